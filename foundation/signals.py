"""The end of a process: signals are noted until work can stop without loss, and children end with their parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from types import FrameType

# Ctrl-C, the end of a process, a terminal that is closed, and what clusters send before the time of a job is over
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
STOP = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
_SAME_S = 1.0


@dataclass
class _Noted:
    """The signals of a context, and when the first arrived."""

    received: list[int] = field(default_factory=list)
    first: float = 0.0

    def add(self, number: int) -> None:
        if not self.received:
            self.first = time.monotonic()
        self.received.append(number)


_noting: list[_Noted] = []  # what is collected in the main thread at present, the innermost context last


@contextlib.contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Collect the signals of STOP, so that the current step is finished first.

    A second signal acts immediately, unless it follows within a second: Slurm sends several, and to every process of a
    job. In other threads than the main one this has no effect. Ignored signals remain ignored, such as SIGHUP under
    nohup.
    """
    noted = _Noted()
    if threading.current_thread() is not threading.main_thread():
        yield noted.received
        return
    handlers = {number: signal.getsignal(number) for number in STOP}
    handlers = {number: old for number, old in handlers.items() if old not in (None, signal.SIG_IGN)}

    def restore() -> None:
        for number, old in handlers.items():
            signal.signal(number, old)

    def note(number: int, _frame: FrameType | None) -> None:
        noted.add(number)
        if time.monotonic() - noted.first > _SAME_S:
            restore()
            signal.raise_signal(number)

    _noting.append(noted)
    try:
        for number in handlers:
            signal.signal(number, note)
        yield noted.received
    finally:
        _noting.pop()
        restore()
    if noted.received:  # it arrived after the last step and is handled now
        signal.raise_signal(noted.received[0])


def stop() -> None:
    """Ask this process to end as Ctrl-C does, from any thread; where signals are noted, unless one was already."""
    noted = next(iter(_noting[-1:]), None)
    if noted is None:
        signal.raise_signal(signal.SIGINT)
    elif not noted.received:
        noted.add(signal.SIGINT)


@contextlib.contextmanager
def withheld() -> Iterator[None]:
    """A context in which processes are started that get none of these signals while they import what they need.

    Until then they would end with a traceback. They call `ignore_signals` or `accept_signals` afterwards. Signals to
    this process arrive at the end of the context.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # its start, with the first process, would let signals in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def accept_signals() -> None:
    """Let signals end this process, which has nothing to save, at once and without a traceback; not ignored ones."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)


def ignore_signals() -> None:
    """Ignore the signals of STOP: Ctrl-C and Slurm signal a whole group, of which the parent decides when it ends."""
    for number in STOP:
        signal.signal(number, signal.SIG_IGN)


def end_at_once() -> None:
    """Let signals, and the end of its parent, end this process, which `multiprocessing` has started and which has
    nothing to save."""
    accept_signals()
    end_with_parent()


def end_with_parent() -> None:
    """Let this process, which `multiprocessing` has started, end when its parent has, even if that was killed.

    It gets SIGTERM, upon which a training saves its state; if it ignores that, it ends at once. The system's own
    PR_SET_PDEATHSIG would already act at the end of the thread that started it.
    """
    parent = multiprocessing.parent_process()

    def wait() -> None:
        assert parent is not None
        parent.join()
        if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
            os._exit(1)
        os.kill(os.getpid(), signal.SIGTERM)

    if parent is not None:
        threading.Thread(target=wait, name="end with parent", daemon=True).start()
