"""`python -m tests.faults`: what becomes of runs when something goes wrong. Exit code 1 if anything is lost or wrong.

Two small networks are trained under a protocol of four steps, undisturbed; then again and again with one fault each,
on two cores within ten minutes: what is not begun by then is left out, and said. The seeds are fixed; where in its work
SIGKILL meets a process also depends on the machine's speed. Words given as arguments choose the cases whose names
contain one of them.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import cycle
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "COLUMNS": "400"}  # before the first import that reads them

from rich.console import Console

from tests.faults import disturbed, mounts, stored, tally, world
from tests.faults.launcher import launch
from tests.faults.strikes import Strike
from tests.faults.tally import Try
from tests.faults.world import Undisturbed

SEED = 0
CORES = 2
LIMIT_S = 570.0  # for the beginning of a try; none takes half a minute
Case = Callable[[Path], Try]  # given a folder of its own


def main(words: list[str]) -> int:
    began, console = time.monotonic(), Console(width=200, highlight=False, markup=False)
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        root = Path(temporary).resolve()
        os.environ |= {"SPINBENCH_DATA": str(root / "data"), "XDG_CACHE_HOME": str(root / "data")}
        finished, known = _undisturbed(root)
        cases = {
            name: case for name, case in _cases(finished, known) if not words or any(word in name for word in words)
        }
        console.print(f"undisturbed: {known.seconds:.1f} s, {known.changes} changes to the disk; {len(cases)} tries")
        tries: dict[str, Try] = {}
        order = list(cases)
        random.Random(SEED).shuffle(order)  # where time runs out, something of every fault was tried
        with ProcessPoolExecutor(CORES, multiprocessing.get_context("fork"), mounts.private) as pool:
            attempts = pool.map(partial(_carry_out, root, began + LIMIT_S), [(name, cases[name]) for name in order])
            for name, done in zip(order, attempts, strict=True):
                if done is None:
                    continue
                tries[name] = done
                if not done.survived:
                    console.print(f"{done.fault}, {done.what}: {done.problems}"[:600], soft_wrap=True)
    rows = tally.rows(tries[name] for name in cases if name in tries)
    console.print(tally.table(rows, f"{len(tries)} faults in {time.monotonic() - began:.0f} s"))
    if left_out := len(cases) - len(tries):
        console.print(f"{left_out} tries were not begun within {LIMIT_S:.0f} s: this machine is slow, or busy")
    return 0 if tally.passed(rows) else 1


def _undisturbed(root: Path) -> tuple[Path, Undisturbed]:
    """The results of a run that nothing disturbs, with a reference for `check`; and what is known of it.

    The first of two runs fills the caches and says what is imported on the way; both must be equal.
    """
    folders = root / "first", root / "undisturbed"
    modules = root / "modules.txt"
    for folder in folders:
        world.furnish(folder)
        done = launch(world.run(folder / "results"), folder, strike=Strike("kill", sys.maxsize), modules=modules)
        if done.code != 0:
            raise SystemExit(f"the undisturbed run ends with {done.code}: {done.text}")
        for name in modules.read_text().splitlines():
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    first, finished = (folder / "results" for folder in folders)
    known = Undisturbed.read(finished, done)
    if differences := known.differences(first):
        raise SystemExit(f"two undisturbed runs differ: {differences}")
    reference = ["--reference", "small/one", "--update", "--reason", "the campaign", "--data", "images/first"]
    run = ["check", world.run_folder(finished, stored.RUN), "--model", "spin", "--threads", 1, "--results", finished]
    done = launch([*run, *reference], folders[1])
    if done.code != 0:
        raise SystemExit(f"no reference: {done.text}")
    return finished, known


def _cases(finished: Path, known: Undisturbed) -> Iterator[tuple[str, Case]]:
    """Everything that is tried, by name."""
    spread = _Spread(random.Random(SEED))
    for share in spread.shares(25):
        yield f"kill {share:.3f}", partial(disturbed.killed_after, known=known, share=share)
    for at, phase in zip(spread.places(25, known.changes), cycle(["middle", "before", "after"]), strict=False):
        yield f"kill {phase} change {at}", partial(disturbed.killed_in_write, known=known, at=at, phase=phase)
    for at in spread.places(6, known.flushes):
        yield f"full file {at}", partial(disturbed.disk_full, known=known, at=at)
    for share in (0.05, 0.3, 0.6, 0.9):
        size = int(share * known.size)
        yield f"full system {share}", partial(disturbed.file_system_full, known=known, size=size)
    for size in (20_000, 300_000):
        yield f"full limit {size}", partial(disturbed.file_too_large, known=known, size=size)
    for what in ("new results", "finished results", "cache"):
        yield f"read-only {what}", partial(disturbed.read_only, finished=finished, known=known, what=what)
    for at in spread.places(3, known.changes):
        yield f"bug {at}", partial(disturbed.failed, known=known, at=at)
    for file, kind in stored.cases(SEED):
        case = partial(stored.damaged, finished=finished, known=known, file=file, kind=kind, seed=SEED)
        yield f"damage {file} {kind}", case
    for file, kind in stored.reference_cases(SEED):
        case = partial(stored.reference, finished=finished, known=known, file=file, kind=kind, seed=SEED)
        yield f"reference {file} {kind}", case
    for delay in (0.0, 0.1, 0.3, 0.6):
        yield f"two {delay}", partial(disturbed.together, known=known, delay=delay * known.seconds)
    for name, at in (("checkpoint.pt", 2), ("weights.safetensors", 1), ("cost.json", 1)):
        yield f"vanish {name}", partial(disturbed.vanished, known=known, name=name, at=at)
    for at in spread.places(3, known.changes):
        yield f"clock {at}", partial(disturbed.clock_back, known=known, at=at)
    for years in (-2.0, 2.0):
        yield f"clock {years}", partial(disturbed.other_file_times, finished=finished, known=known, years=years)
    for what in ("kernels", "decoded images"):
        for kind in ("flipped", "cut", "empty"):
            yield f"cache {what} {kind}", partial(disturbed.cache_damaged, known=known, what=what, kind=kind)


class _Spread:
    """Random numbers that leave no large gap."""

    def __init__(self, generator: random.Random) -> None:
        self.generator = generator

    def shares(self, count: int) -> list[float]:
        return [(number + self.generator.random()) / count for number in range(count)]

    def places(self, count: int, last: int) -> list[int]:
        """From 1 to `last`, each once."""
        return sorted({1 + int(share * last) for share in self.shares(count)})


def _carry_out(root: Path, until: float, case: tuple[str, Case]) -> Try | None:
    if time.monotonic() > until:
        return None
    name, attempt = case
    work = root / "".join(letter if letter.isalnum() else "-" for letter in name)
    world.furnish(work)
    began = time.monotonic()
    try:
        done = attempt(work)
    except Exception as error:  # of the campaign itself, and no reason to end it
        done = Try(name.partition(" ")[0], name, lost=[f"the campaign failed: {type(error).__name__}: {error}"])
    finally:
        shutil.rmtree(work, ignore_errors=True)
    done.seconds = time.monotonic() - began
    return done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
