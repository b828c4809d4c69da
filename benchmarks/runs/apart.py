"""Work on runs in a process of its own.

An error of a GPU makes every later call of its process fail, and memory that was kept is not given back: with a process
for each run, neither reaches the next one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.runs.places import Place
from benchmarks.runs.plan import Job
from benchmarks.runs.progress import Advance
from benchmarks.runs.stages import BeginStage, RunError
from benchmarks.training.loop import TrainingStopped
from foundation import SpinbenchError, one_line
from foundation.signals import end_with_parent, noted_signals
from results import Run

_POLL_S = 0.2
LOG = "run.log"


class ProcessError(RunError):
    """A process that ended without a result."""


Work = Callable[[Sequence[Job], BeginStage, Callable[[str], None]], Any]  # a function of a module, or a partial of one


def call_apart(
    work: Work,
    jobs: Sequence[Job],
    place: Place,
    begin: BeginStage,
    say: Callable[[str], None],
    stopping: Sequence[int] | None = None,
) -> Any:
    """`work(jobs, begin, say)` in a process of its own: the same result, errors, progress and log messages.

    The jobs' device is that of the place. What the process writes, and its messages, go to run.log of the first job.
    A signal to end is passed on once, and the process is waited for: a training ends its step and saves. So it does if
    this process is killed. In other threads than the main one, `stopping` has the signals that were received. Raises
    ProcessError if the process dies.
    """
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    name = jobs[0].run.name
    process = context.Process(target=_work, args=(work, jobs, place, sender), name=name)
    advance: Advance = begin(name, "start")
    passed_on = False
    with noted_signals() as noted, contextlib.closing(receiver):
        signals = noted if stopping is None else stopping
        process.start()
        sender.close()  # so that the end of the process is the end of the messages
        try:
            while True:
                if signals and not passed_on:
                    process.terminate()
                    passed_on = True
                try:
                    if not receiver.poll(_POLL_S):
                        continue
                    kind, content = receiver.recv()
                except EOFError:
                    process.join()
                    if signals:  # not while it trained; Slurm may also have ended what it began from
                        raise TrainingStopped(f"{name}: stopped") from None
                    how = _death(process.exitcode or 0)
                    raise ProcessError(f"{name}: its process {how}") from None
                if kind == "stage":
                    advance = begin(*content)
                elif kind == "advance":
                    advance(*content)
                elif kind == "line":
                    say(content)
                elif kind == "log":
                    logging.getLogger(content.name).handle(content)
                elif kind == "error":
                    process.join()
                    error, trace = content
                    raise error from _Remote(trace)
                else:
                    process.join()
                    return content
        finally:
            if process.is_alive():
                process.kill()
            process.join()


def _context() -> Any:
    """How processes begin: as copies of one that has imported everything and done nothing, where a system can do that.

    An import of PyTorch takes seconds, which is longer than a small run.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.runs.pool", "benchmarks.runs.costing"])
    return context


class _Remote(Exception):
    """The traceback of the other process, as the cause of its error."""


def _death(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}, without a result"
    name = signal.Signals(-code).name if -code in {number.value for number in signal.Signals} else f"signal {-code}"
    return f"was ended by {name}" + (", usually for lack of memory" if -code == signal.SIGKILL else "")


def _work(work: Work, jobs: Sequence[Job], place: Place, sender: Connection) -> None:
    """The other process. Its group is its own, since Ctrl-C would reach it a second time, and a second one kills."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    end_with_parent()
    log_file = write_to_log(jobs[0].run)

    def send(kind: str, content: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # the parent is gone, so that a training saves its state and stops
            sender.send((kind, content))

    def begin(run: str, stage: str) -> Advance:
        _note(f"{run} {stage}")
        send("stage", (run, stage))
        return lambda *progress: send("advance", progress)

    def say(line: str) -> None:
        if not log_file.exists():  # the old run was set aside, with its log
            write_to_log(jobs[0].run)
        _note(line)
        send("line", line)

    log = logging.getLogger("benchmarks")
    log.setLevel(logging.INFO)
    log.handlers = [_Sent(lambda record: send("log", record))]
    try:
        here = place.enter()
        send("result", work([dataclasses.replace(job, device=here) for job in jobs], begin, say))
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, SpinbenchError):
            _note(one_line(error))
        else:
            traceback.print_exc()
        send("error", (_portable(error), traceback.format_exc()))


def write_to_log(run: Run) -> Path:
    """Append all that this process writes to run.log of a run, also what libraries and drivers write."""
    log = run.folder / LOG
    with contextlib.suppress(OSError):  # a log is not worth a run
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
    return log


def _note(line: str) -> None:
    with contextlib.suppress(OSError):
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}", flush=True)


def _portable(error: BaseException) -> BaseException:
    """The error itself, if it survives the way to another process; else one of the same text."""
    if isinstance(error, KeyboardInterrupt):
        return TrainingStopped(*error.args)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # a foreign exception may refuse in any way
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class _Sent(logging.Handler):
    """Sends records to another process, as text."""

    def __init__(self, send: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self.send = send

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        _note(record.msg)
        self.send(record)
