"""Execution of runs at one place after the other, or at several at the same time."""

from __future__ import annotations

import contextlib
import re
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Literal

import torch

from benchmarks.runs.apart import ProcessError, call_apart
from benchmarks.runs.estimates import training_seconds
from benchmarks.runs.executors import ElsewhereRun, execute, nothing_to_do
from benchmarks.runs.places import Place
from benchmarks.runs.plan import Job
from benchmarks.runs.progress import Advance, Progress
from benchmarks.runs.stages import BeginStage, RefusedRun
from benchmarks.training import ranks
from benchmarks.training.loop import TrainingStopped
from foundation import SpinbenchError, one_line, write
from foundation.signals import noted_signals
from results import Run
from results.missing import FAILURE


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run; `error` is None unless it failed, or was refused as its training is stale or damaged."""

    job: Job
    word: Literal["done", "already finished", "elsewhere", "refused", "failed"]
    error: str | None = None
    of_device: bool = False  # the error may be the device's, so that another one may do better


def execute_all(jobs: Sequence[Job], places: Sequence[Place], progress: Progress, rerun: bool) -> dict[Run, Outcome]:
    """Execute every run at a free place, the longest first; at a single place in the order given.

    A run waits for the one that it starts from. Runs that another process is executing are tried again in the end. A
    failed run does not stop the others; after an error of a GPU it is tried once more on another one. A signal
    to end reaches every process once, all are waited for, and KeyboardInterrupt is raised.
    """
    if len(places) == 1:
        schedule = _Schedule(jobs, places, progress)
        while job := schedule.next(places[0]):
            schedule.ended(_attempt(job, places[0], progress, rerun), places[0])
        return schedule.outcomes
    shared, free = _Shared(progress), list(places)
    schedule = _Schedule(_longest_first(jobs), places, shared)
    running: dict[Future[Outcome], tuple[Job, Place]] = {}
    with noted_signals() as signals, ThreadPoolExecutor(len(places)) as threads:
        while True:
            for place in list(free):
                if not signals and (job := schedule.next(place)):
                    free.remove(place)
                    running[threads.submit(_attempt, job, place, shared, rerun, signals)] = job, place
            if not running:
                break
            finished, _ = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for future in finished:
                job, place = running.pop(future)
                free.append(place)
                try:
                    schedule.ended(future.result(), place)
                except TrainingStopped as stopped:
                    if signals:
                        shared.line(str(stopped))
                    else:  # somebody stopped this one alone
                        schedule.ended(Outcome(job, "failed", str(stopped)), place)
        if signals:
            raise TrainingStopped("stopped; the same command goes on")
    return schedule.outcomes


def _longest_first(jobs: Sequence[Job]) -> list[Job]:
    """Trainings of unknown length come before all others."""
    seconds = training_seconds(jobs)
    return sorted(jobs, key=lambda job: -inf if seconds[job.run] is None else -(seconds[job.run] or 0.0))


def _attempt(job: Job, place: Place, progress: Progress, rerun: bool, stopping: Sequence[int] | None = None) -> Outcome:
    def worked() -> bool:
        here = job.on_phase is not None or ranks.size() > 1  # what is together with others cannot move to a new process
        if here or (stopping is None and place.device == "cpu"):
            return execute(job, progress.stage, progress.line, rerun)
        if nothing_to_do(job, rerun):  # a process takes seconds to start
            return False
        work = partial(_execute, rerun=rerun)
        return bool(call_apart(work, [job], place, progress.stage, progress.line, stopping))

    return attempted(job, worked)


def attempted(job: Job, work: Callable[[], bool]) -> Outcome:
    """The outcome of `work` on a run, which returns whether there was anything to do; only KeyboardInterrupt is raised.

    The traceback of a failed run is stored in its folder.
    """
    try:
        worked = work()
        job.run.path(FAILURE).unlink(missing_ok=True)
        return Outcome(job, "done" if worked else "already finished")
    except ElsewhereRun:
        return Outcome(job, "elsewhere")
    except RefusedRun as error:
        return Outcome(job, "refused", one_line(error))
    except Exception as error:  # a failed run must not stop the others
        outcome = failure(job, error)
        if ranks.parted():  # the processes cannot begin the next one together
            raise
        return outcome


def _execute(jobs: Sequence[Job], begin: BeginStage, say: Callable[[str], None], rerun: bool) -> bool:
    return execute(jobs[0], begin, say, rerun)


def failure(job: Job, error: Exception) -> Outcome:
    """The outcome of a run that failed; the traceback is stored in its folder."""
    if job.run.folder.is_dir():
        with contextlib.suppress(OSError):
            write(job.run.path(FAILURE), "".join(traceback.format_exception(error)))
    known = isinstance(error, SpinbenchError | OSError)
    text = one_line(error) if known else f"{type(error).__name__}: {one_line(error)}"
    of_device = isinstance(error, ProcessError | torch.OutOfMemoryError) or bool(_OF_DEVICE.search(str(error)))
    return Outcome(job, "failed", text, of_device)


_POLL_S = 0.2
_OF_DEVICE = re.compile(r"CUDA error|cuDNN error|CUBLAS_STATUS|CUDNN_STATUS|NVML")


class _Schedule:
    """Which run is next, and the outcomes. Runs elsewhere are offered once more when nothing else is left."""

    def __init__(self, jobs: Sequence[Job], places: Sequence[Place], progress: Progress) -> None:
        self.waiting = list(jobs)
        self.places = places
        self.progress = progress
        self.outcomes: dict[Run, Outcome] = {}
        self._planned = {job.run for job in jobs}
        self._taken: set[Run] = set()
        self._again: list[Job] = []
        self._second: set[Run] = set()
        self._avoid: dict[Run, str] = {}

    def next(self, place: Place) -> Job | None:
        """A run that can be executed at this place now."""
        if not self.waiting and not self._taken:
            self.waiting, self._again = self._again, []
            self._second |= {job.run for job in self.waiting}
            for job in self.waiting:  # what starts from them waits for them again
                del self.outcomes[job.run]
        for job in list(self.waiting):
            if job.start in self._planned and job.start not in self.outcomes:
                continue
            if job.start and (start := self.outcomes.get(job.start)) and start.word == "elsewhere":
                self.waiting.remove(job)
                self.ended(Outcome(job, "elsewhere"), place)
            elif self._avoid.get(job.run) != place.device:
                self.waiting.remove(job)
                self._taken.add(job.run)
                return job
        return self.next(place) if not self.waiting and not self._taken and self._again else None

    def ended(self, outcome: Outcome, place: Place) -> None:
        """Keep an outcome, or offer the run again."""
        run = outcome.job.run
        self._taken.discard(run)
        if outcome.word == "elsewhere" and run not in self._second:
            self.outcomes[run] = outcome
            self._again.append(outcome.job)
            return
        others = {one.device for one in self.places} - {place.device}
        if outcome.of_device and others and run not in self._avoid:
            self.progress.line(f"{run.name} is tried on another GPU: {outcome.error}")
            self._avoid[run] = place.device
            self.waiting.insert(0, outcome.job)
            return
        self.outcomes[run] = outcome
        told = f"{run.name} {outcome.word}" + (f": {outcome.error}" if outcome.error else "")
        self.progress.done(told, run.name)


class _Shared:
    """The progress of several threads."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.lock = threading.Lock()

    def stage(self, run: str, stage: str) -> Advance:
        with self.lock:
            advance = self.progress.stage(run, stage)

        def locked(done: int, total: int, note: str) -> None:
            with self.lock:
                advance(done, total, note)

        return locked

    def done(self, text: str, run: str | None = None) -> None:
        with self.lock:
            self.progress.done(text, run)

    def line(self, text: str) -> None:
        with self.lock:
            self.progress.line(text)
