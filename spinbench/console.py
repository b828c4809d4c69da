"""The console, and the display of progress: bars on a terminal, plain lines otherwise.

Output may go while work goes on: nothing that is printed can fail, so that it costs no work.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining
from rich.text import Text

from foundation import printable
from foundation.signals import stop

_SECONDS_BETWEEN_LINES = 15.0


def _open_closed_streams() -> None:
    """Put the null device in the place of standard streams that are closed, as after `>&-`.

    Else the next file that is opened would get their number, and what libraries print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, number)  # also for processes that this one starts
            if null != number:
                os.close(null)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


_open_closed_streams()


class _Output:
    """Standard output at the moment of writing, for rich. An error is kept, for the end of the command, not raised.

    On a full disk the next line is tried again. Where nobody reads on, as after `| head`, the command is asked to end:
    a training saves its state, as after Ctrl-C.
    """

    def __init__(self) -> None:
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return _stdout().write(text)
        except OSError as error:
            self._failed(error)
            return len(text)

    def flush(self) -> None:
        try:
            _stdout().flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        before, self.error = self.error, error
        if isinstance(error, BrokenPipeError) and not isinstance(before, BrokenPipeError):
            self.discard()
            stop()

    def discard(self) -> None:
        """Let the null device take what is left in the buffer, and all that follows."""
        with contextlib.suppress(OSError, ValueError):  # streams of a notebook have no number
            number = _stdout().fileno()
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(_stdout(), name)


def _stdout() -> Any:
    return getattr(sys.stdout, "rich_proxied_file", sys.stdout)  # bars put themselves in the place of sys.stdout


class _Literal(Console):
    """A console on which names are shown as they are: without markup, emoji, and escapes of a terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


_WIDTH = None if sys.stdout.isatty() else 160  # for a file or a pipe, rich would assume 80 columns
output = _Output()
console = _Literal(file=cast(IO[str], output), markup=False, emoji=False, width=_WIDTH)


def complain(text: str) -> None:
    """Print a line to standard error."""
    with contextlib.suppress(OSError):
        print(printable(text), file=sys.stderr)


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
        if console.is_interactive:  # a dumb terminal shows no bars
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
