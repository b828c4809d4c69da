"""Deferral of the signals that ask a process to end until a training can stop without loss."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

# Ctrl-C, the end of a process, and what clusters send before the time of a job is over
STOP = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name))
_SAME_S = 1.0


@contextlib.contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM, SIGUSR1 and SIGUSR2, so that the current step is finished first.

    A second signal acts immediately, unless it follows within a second: Slurm sends several, and to every process of a
    job. In other threads than the main one this has no effect. Ignored signals remain ignored.
    """
    received: list[int] = []
    first = 0.0
    handlers = {number: signal.getsignal(number) for number in STOP}
    handlers = {number: old for number, old in handlers.items() if old not in (None, signal.SIG_IGN)}
    if threading.current_thread() is not threading.main_thread():
        handlers = {}

    def restore() -> None:
        for number, old in handlers.items():
            signal.signal(number, old)

    def note(number: int, _frame: FrameType | None) -> None:
        nonlocal first
        received.append(number)
        if len(received) == 1:
            first = time.monotonic()
        elif time.monotonic() - first > _SAME_S:
            restore()
            signal.raise_signal(number)

    try:
        for number in handlers:
            signal.signal(number, note)
        yield received
    finally:
        restore()
    if received:  # it arrived after the last step and is handled now
        signal.raise_signal(received[0])
