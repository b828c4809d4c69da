"""The progress of long work, as the library reports it and the command line shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Advance = Callable[[int, int, str], None]  # done, of how many, a note


class Progress(Protocol):
    """Progress of one stage at a time, and of all runs together."""

    def stage(self, run: str, stage: str) -> Advance:
        """Begin a stage of a run; the returned function is called with how far it is."""

    def done(self, text: str) -> None:
        """A run is over; the text says how it went."""

    def line(self, text: str) -> None:
        """Tell something else."""
