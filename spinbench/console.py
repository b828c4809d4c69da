"""The console, and the display of progress: bars on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining
from rich.text import Text

from foundation import printable

_SECONDS_BETWEEN_LINES = 15.0


class _Literal(Console):
    """A console on which names are shown as they are: without markup, emoji, and escapes of a terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


_WIDTH = None if sys.stdout.isatty() else 160  # for a file or a pipe, rich would assume 80 columns
console = _Literal(markup=False, emoji=False, width=_WIDTH)


def say(text: str) -> None:
    """Print a line without markup and wrapping."""
    console.print(printable(text), highlight=False, soft_wrap=True)


class ConsoleProgress:
    """The progress of the stage that each run is in, and of all runs together, with the remaining time.

    A context manager. Without a terminal it prints lines at intervals instead of bars.
    """

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.finished = 0
        self.began = time.monotonic()
        self._stages: dict[str, TaskID] = {}
        self._shares: dict[str, float] = {}  # of the stage of each run
        self._bars: Progress | None = None
        if console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                Remaining(),
                TextColumn("{task.fields[note]}", markup=False),
                console=console,
            )
            self._overall = self._bars.add_task("all runs", total=runs, note="")

    def __enter__(self) -> ConsoleProgress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def stage(self, run: str, stage: str) -> Callable[[int, int, str], None]:
        """Begin a stage of a run; the returned function is called with its progress."""
        began = time.monotonic()
        last_line = 0.0
        title = f"{run} {stage}"
        if self._bars:
            self._remove(run)
            self._stages[run] = self._bars.add_task(printable(title), total=None, note="")

        def advance(done: int, total: int, note: str) -> None:
            nonlocal last_line
            if self._bars and run in self._stages:
                self._shares[run] = done / max(total, 1) * 0.9
                self._bars.update(self._stages[run], completed=done, total=total, note=printable(note))
                self._bars.update(self._overall, completed=self.finished + sum(self._shares.values()))
                return
            now = time.monotonic()
            if now - last_line < _SECONDS_BETWEEN_LINES and done < total:
                return
            last_line = now
            left = (now - began) / max(done, 1) * (total - done)
            self.line(f"  {title} {done}/{total} {note} (left: {clock(left)})")

        return advance

    def done(self, text: str, run: str | None = None) -> None:
        """End a run, or what is done in turn: print its outcome and the remaining time of all; its stage is gone."""
        for name in [run] if run else list(self._stages):
            self._remove(name)
        self.finished += 1
        elapsed = time.monotonic() - self.began
        left = elapsed / self.finished * (self.runs - self.finished)
        if self._bars:
            self._bars.update(self._overall, completed=self.finished)
        self.line(f"[{self.finished}/{self.runs}] {text}" + (f" (all runs left: {clock(left)})" if left else ""))

    def line(self, text: str) -> None:
        say(text)

    def _remove(self, run: str) -> None:
        self._shares.pop(run, None)
        if self._bars and (task := self._stages.pop(run, None)) is not None:
            self._bars.remove_task(task)


def clock(seconds: float) -> str:
    """A duration as minutes and seconds, or hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
