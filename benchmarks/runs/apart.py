"""A run in a process of its own.

An error of a GPU makes every later call of its process fail, and memory that was kept is not given back: with a process
for each run, neither reaches the next one.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.runs.executors import execute
from benchmarks.runs.plan import Job
from benchmarks.runs.progress import Advance
from benchmarks.runs.stages import BeginStage, RunError
from benchmarks.training.loop import TrainingStopped
from benchmarks.training.signals import noted_signals

_POLL_S = 0.2


def execute_apart(job: Job, begin: BeginStage, say: Callable[[str], None], rerun: bool = False) -> bool:
    """`executors.execute` in a process of its own: the same result, errors, progress and log messages.

    SIGINT and SIGTERM are passed on once, and the process is waited for: a training ends its step and saves. Raises
    RunError if the process dies.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, rerun, sender), name=job.run.name)
    advance: Advance = begin(job.run.name, "start")
    passed_on = False
    with noted_signals() as signals, contextlib.closing(receiver):
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
                    how = _death(process.exitcode or 0)
                    raise RunError(f"{job.run.name}: its process {how}") from None
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
                    return bool(content)
        finally:
            if process.is_alive():
                process.kill()
            process.join()


class _Remote(Exception):
    """The traceback of the other process, as the cause of its error."""


def _death(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}, without a result"
    name = signal.Signals(-code).name if -code in {number.value for number in signal.Signals} else f"signal {-code}"
    return f"was ended by {name}" + (", usually for lack of memory" if -code == signal.SIGKILL else "")


def _work(job: Job, rerun: bool, sender: Connection) -> None:
    """The other process. Its group is its own, since Ctrl-C would reach it a second time, and a second one kills."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()

    def send(kind: str, content: Any) -> None:
        sender.send((kind, content))

    def begin(run: str, stage: str) -> Advance:
        send("stage", (run, stage))
        return lambda *progress: send("advance", progress)

    log = logging.getLogger("benchmarks")
    log.setLevel(logging.INFO)
    log.handlers = [_Sent(lambda record: send("log", record))]
    try:
        send("result", execute(job, begin, lambda line: send("line", line), rerun))
    except (Exception, KeyboardInterrupt) as error:
        with contextlib.suppress(BrokenPipeError):  # the parent is gone
            send("error", (_portable(error), traceback.format_exc()))


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
        self.send(record)
