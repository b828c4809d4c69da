"""The interface by which the library reports the progress of long computations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Advance = Callable[[int, int, str], None]  # done, total, a note


class Progress(Protocol):
    """The progress of the stage that each run is in, and of all runs together."""

    def stage(self, run: str, stage: str) -> Advance:
        """Begin a stage of a run; the returned function is called with its progress."""

    def done(self, text: str, run: str | None = None) -> None:
        """End a run; the text is its outcome."""

    def line(self, text: str) -> None:
        """Report any other line of text."""
