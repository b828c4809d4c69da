"""Execution of all runs of an experiment in turn, and then of their costs.

Finished work is kept, and a failed run does not stop the others.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ablations import AblationError, Protocol
from benchmarks.data import datasets
from benchmarks.data.images import DataError
from benchmarks.runs.apart import execute_apart
from benchmarks.runs.costing import measure_costs
from benchmarks.runs.executors import ElsewhereRun, RefusedRun, execute
from benchmarks.runs.plan import Job, without_stages
from benchmarks.runs.progress import Progress
from foundation import SpinbenchError, nearest, one_line, write
from results import Run

FAILURE = "failure.txt"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run; `error` is None unless it failed, or was refused as its training is stale or damaged."""

    job: Job
    word: Literal["done", "already finished", "elsewhere", "refused", "failed"]
    error: str | None = None


def narrowed(protocol: Protocol, sets: Sequence[str]) -> Protocol:
    """The protocol restricted to these test sets. Raises AblationError for a set that it does not have."""
    for name in sets:
        if name not in protocol.evaluation.datasets:
            raise AblationError(f"the protocol has no test set {name!r}; {nearest(name, protocol.evaluation.datasets)}")
    evaluation = protocol.evaluation.model_copy(update={"datasets": list(dict.fromkeys(sets))})
    return protocol.model_copy(update={"evaluation": evaluation})


def prepare(protocol: Protocol, scales: Sequence[int], say: Callable[[str], None]) -> dict[int, tuple[str, ...]]:
    """Fetch the data that a protocol needs, before any training, and return the available test sets by scale.

    A test set without any available image is reported and left out. Raises DataError if training or validation data
    is unavailable, or all test sets are.
    """
    training = protocol.training
    if training and training.warm_start:
        scales = [*scales, training.warm_start]
    needed = [training.data] if training else []
    if training and training.validation:
        needed.append(training.validation.data)
    for name in needed:
        for scale in scales:
            datasets.get(name).fetch_all(scale)
    found = {scale: available_sets(protocol.evaluation.datasets, scale) for scale in scales}
    for scale, names in found.items():
        for name in protocol.evaluation.datasets:
            if name not in names:
                say(f"{name} x{scale} is left out: none of its images is available")
        for name in names:
            if not datasets.get(name).missing(scale):
                datasets.get(name).fetch_all(scale)
    if not any(found.values()):
        raise DataError(f"none of the test sets {', '.join(protocol.evaluation.datasets)} is available")
    return found


def available_sets(names: Sequence[str], scale: int) -> tuple[str, ...]:
    """The sets with at least one image that is stored or can be downloaded."""
    found = []
    for name in names:
        try:
            dataset = datasets.get(name)
        except DataError:  # a set that the user has to provide
            if name not in datasets.SETS:
                raise
            continue
        if len(dataset.missing(scale)) < len(dataset.hr_names()):
            found.append(name)
    return tuple(found)


def carry_out(jobs: Sequence[Job], progress: Progress, rerun: bool = False) -> list[Outcome]:
    """Finish every job that can be finished, and report the progress. KeyboardInterrupt is not caught.

    Costs are measured last, with all networks of a scale in turn. Runs that another process is executing are tried
    again in the end. If that process still executes them, this is not a failure. The traceback of a failed run is
    stored in its folder.
    """
    outcomes = _alone([without_stages(job, ("train", "evaluate")) for job in jobs], progress, rerun)
    ready = [job for job in jobs if outcomes[job.run].word in ("done", "already finished") and "cost" in job.stages]
    for scale in dict.fromkeys(job.run.scale for job in ready):
        group = [without_stages(job, ("cost",)) for job in ready if job.run.scale == scale]
        outcomes |= _together(group, progress)
    return list(outcomes.values())


def _together(jobs: Sequence[Job], progress: Progress) -> dict[Run, Outcome]:
    """Measure the costs of these jobs; returns the outcomes of those that had pending ones."""
    try:
        measured = measure_costs(jobs, progress.stage, progress.line)
        return {job.run: Outcome(job, "done") for job in jobs if job.run in measured}
    except Exception as error:  # one network must not take the costs of the others along
        if len(jobs) == 1:
            outcome = _failure(jobs[0], error)
            progress.line(f"{jobs[0].run.name} {outcome.word}: {outcome.error}")
            return {jobs[0].run: outcome}
        found: dict[Run, Outcome] = {}
        for job in jobs:
            found |= _together([job], progress)
        return found


def _alone(jobs: Sequence[Job], progress: Progress, rerun: bool) -> dict[Run, Outcome]:
    """Execute the jobs one after the other."""
    outcomes: dict[Run, Outcome] = {}
    for attempt in ("first", "last"):
        for job in jobs:
            if attempt == "last" and outcomes[job.run].word != "elsewhere":
                continue
            before = outcomes.get(job.start) if job.start else None
            if before and before.word == "elsewhere":
                outcome = Outcome(job, "elsewhere")
            else:
                outcome = _attempt(job, progress, rerun)
            outcomes[job.run] = outcome
            if outcome.word != "elsewhere" or attempt == "last":
                progress.done(f"{job.run.name} {outcome.word}" + (f": {outcome.error}" if outcome.error else ""))
    return outcomes


def _attempt(job: Job, progress: Progress, rerun: bool) -> Outcome:
    try:
        apart = job.device.type == "cuda" and job.on_phase is None
        worked = (execute_apart if apart else execute)(job, progress.stage, progress.line, rerun)
        job.run.path(FAILURE).unlink(missing_ok=True)
        return Outcome(job, "done" if worked else "already finished")
    except ElsewhereRun:
        return Outcome(job, "elsewhere")
    except RefusedRun as error:
        return Outcome(job, "refused", one_line(error))
    except Exception as error:  # a failed run must not stop the others
        return _failure(job, error)


def _failure(job: Job, error: Exception) -> Outcome:
    if job.run.folder.is_dir():
        with contextlib.suppress(OSError):
            write(job.run.path(FAILURE), "".join(traceback.format_exception(error)))
    known = isinstance(error, SpinbenchError | OSError)
    return Outcome(job, "failed", one_line(error) if known else f"{type(error).__name__}: {one_line(error)}")
