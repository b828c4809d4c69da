"""Deferral of SIGINT and SIGTERM until a training can stop without loss."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM, so that the current step is finished first; a second signal acts immediately.

    In other threads than the main one this has no effect. Ignored signals remain ignored.
    """
    received: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: old for number, old in handlers.items() if old not in (None, signal.SIG_IGN)}
    if threading.current_thread() is not threading.main_thread():
        handlers = {}

    def restore() -> None:
        for number, old in handlers.items():
            signal.signal(number, old)

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        restore()

    try:
        for number in handlers:
            signal.signal(number, note)
        yield received
    finally:
        restore()
    if received:  # it arrived after the last step and is handled now
        signal.raise_signal(received[0])
