"""Starting `spinbench` as a process of its own.

A command is a fork of the campaign's process, which has imported everything and computed nothing: that saves the
seconds of the imports, and the command is otherwise as a shell starts it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults import strikes
from tests.faults.strikes import Strike

TIMEOUT_S = 120


class Done(NamedTuple):
    """How a command ended: its exit code (negative: a signal; None: it did not end), what it printed as one line,
    seconds, how many steps of training it made, how many files it flushed, and how many changes to the disk it made."""

    code: int | None
    text: str
    seconds: float
    steps: int
    flushes: int
    changes: int

    @property
    def crash(self) -> str | None:
        """That it ended otherwise than by an exit code, or with a traceback."""
        if self.code is None:
            return f"it did not end within {TIMEOUT_S} s"
        if self.code < 0:
            return f"it died of {signal.Signals(-self.code).name}"
        if "Traceback (most recent call last)" in self.text:
            return f"a traceback: ...{self.text[-150:]}"
        return None


@dataclass(frozen=True)
class Command:
    """A command that was started, and is killed after so many seconds if it has not ended."""

    pid: int
    started: float
    output: Path
    marks: Path
    kill_after: float | None

    def wait(self) -> Done:
        limit = TIMEOUT_S if self.kill_after is None else self.kill_after
        while not (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            if time.monotonic() - self.started >= limit:
                os.kill(self.pid, signal.SIGKILL)
                ended = os.waitpid(self.pid, 0)
                break
            time.sleep(0.005)
        seconds = time.monotonic() - self.started
        code = None if seconds >= TIMEOUT_S else os.waitstatus_to_exitcode(ended[1])
        text = re.sub(r"[\s│┃]+", " ", self.output.read_text(errors="replace"))
        marks = self.marks.read_bytes()
        steps, flushes, others = (marks.count(mark) for mark in (strikes.STEP, strikes.FLUSH, strikes.OTHER))
        return Done(code, text, seconds, steps, flushes, flushes + others)


def start(
    arguments: Sequence[object],
    folder: Path,
    *,
    strike: Strike | None = None,
    kill_after: float | None = None,
    largest_file: int | None = None,
    environment: Mapping[str, str] | None = None,
    modules: Path | None = None,
) -> Command:
    """Start `spinbench` with these arguments in a folder. `modules` takes the names of what it has imported."""
    number = time.monotonic_ns()
    output, marks = folder / f"output-{number}.txt", folder / f"marks-{number}"
    for file in (output, marks):
        file.touch()
    started = time.monotonic()
    pid = os.fork()
    if pid:
        return Command(pid, started, output, marks, kill_after)
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        os.environ.update(environment or {})
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(output, os.O_WRONLY | os.O_APPEND), 1)
        os.dup2(1, 2)
        _count_steps(marks)
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        if strike is not None:
            strikes.install(strike, folder, marks)
        sys.argv = ["spinbench", *map(str, arguments)]
        code = exit_code(_entry_point())
        if modules is not None:
            modules.write_text("\n".join(sys.modules))
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def launch(arguments: Sequence[object], folder: Path, **options: Any) -> Done:
    """The same, to its end."""
    return start(arguments, folder, **options).wait()


def _entry_point() -> Callable[[], None]:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="spinbench")
    main: Callable[[], None] = script.load()
    return main


def exit_code(main: Callable[[], object]) -> int:
    """The code with which a process that is nothing but this call would end."""
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _count_steps(marks: Path) -> None:
    """A mark for each step of the optimiser, which outlives the process."""
    import torch

    descriptor, step = os.open(marks, os.O_WRONLY | os.O_APPEND), torch.optim.Adam.step

    @functools.wraps(step)
    def counted(*arguments: Any, **options: Any) -> Any:
        result = step(*arguments, **options)
        os.write(descriptor, strikes.STEP)
        return result

    torch.optim.Adam.step = counted  # type: ignore[method-assign]
