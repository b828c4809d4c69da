"""Starting `spinbench` on hostile input: in a process of its own, with limits, between two canaries.

Each try has a folder. The command works in `inside`, with its cache and its results there. What the input would execute
makes `executed`; everything else in the folder is `outside` and must stay as it is. A command is a fork of the
session's process, which has imported everything and computed nothing; otherwise it is as a shell starts it.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.launcher import exit_code

LIMIT_S = 40.0  # of the clock
PATIENCE_S = 5.0  # of a download
MEMORY = 3 << 29  # bytes that a command may take beyond those of the session: 1.5 GiB
LARGEST_FILE = 1 << 28


@dataclass(frozen=True)
class Place:
    """The folder of a try."""

    root: Path

    @property
    def inside(self) -> Path:
        return self.root / "inside"

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    @property
    def canary(self) -> Path:
        """What the input makes if anything in it is executed."""
        return self.root / "executed"

    def furnish(self) -> None:
        for folder in (self.inside, self.outside):
            folder.mkdir(parents=True)
        (self.outside / "precious.txt").write_text("precious")

    def surroundings(self) -> dict[str, object]:
        """Everything that lies around the folder in which the command works, with its content."""
        around = [path for path in self.root.rglob("*") if not path.is_relative_to(self.inside)]
        known = (self.canary, self.root / "output.txt")
        return {str(path): path.read_bytes() if path.is_file() else None for path in around if path not in known}


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code (negative: a signal; None: it did not end), and what it printed."""

    code: int | None
    text: str
    seconds: float
    executed: bool
    escaped: bool


def carry_out(work: Callable[[], object], place: Place, environment: Mapping[str, str] | None = None) -> Done:
    """Call a function in a process with limits, in the folder of a try, and see what became of the canaries."""
    before, output, began = place.surroundings(), place.root / "output.txt", time.monotonic()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            _confine(place, output, environment or {})
            code = exit_code(work)
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    ended = (0, 0)
    while not ended[0] and time.monotonic() - began < LIMIT_S:
        time.sleep(0.01)
        ended = os.waitpid(pid, os.WNOHANG)
    hung = not ended[0]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # the processes that it has started, too
    status = os.waitpid(pid, 0)[1] if hung else ended[1]
    return Done(
        None if hung else os.waitstatus_to_exitcode(status),
        output.read_text(encoding="utf-8", errors="backslashreplace"),
        time.monotonic() - began,
        place.canary.exists(),
        place.surroundings() != before,
    )


def spinbench(arguments: Sequence[object]) -> Callable[[], object]:
    """The command with these arguments."""
    from benchmarks.data import registry, transfer
    from spinbench.app import main

    def work() -> None:
        own = Path("registry.csv")  # of the place, in which a hostile file has the registered checksum
        if own.is_file():
            registry._FILE = own.absolute()
            registry.entries.cache_clear()
        transfer.PATIENCE_S, transfer.SLOWEST = PATIENCE_S, 1_000_000  # a user waits longer
        sys.argv = ["spinbench", *map(str, arguments)]
        main()

    return work


def _confine(place: Place, output: Path, environment: Mapping[str, str]) -> None:
    os.setsid()
    os.chdir(place.inside)
    os.environ.update({"SPINBENCH_DATA": str(place.inside / "cache"), "HOME": str(place.inside), **environment})
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    os.dup2(1, 2)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for limit, most in ((resource.RLIMIT_AS, held + MEMORY), (resource.RLIMIT_FSIZE, LARGEST_FILE)):
        resource.setrlimit(limit, (most, most))


def error_lines(text: str) -> list[str]:
    """The lines that tell an error; those of typer's box count as one."""
    return re.findall(r"(?m)^(?:error: |failed: |\[\d+/\d+\] failed: ).*$|^Usage: .*(?:\n.*)*$", text)
