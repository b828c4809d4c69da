"""`python -m tests.hostile`: what becomes of hostile input. Exit code 1 unless all of it is refused or handled.

Each input meets a real command in a process with limits of time and memory, on two cores in about three minutes. Words
given as arguments choose the inputs whose kinds or names contain one of them. Before, five commands that are themselves
bad show that the session would notice: they run what they read, write elsewhere, raise, print escapes, and take more
memory than they may.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "COLUMNS": "400"}  # before the first import that reads them

from rich.console import Console

from tests.hostile import archives, definitions, images, mirror, names, weights
from tests.hostile.launcher import Place, carry_out, spinbench
from tests.hostile.tally import Attempt, Outcome, judge, passed, rows, table

CORES = 2
_attempts: dict[str, Attempt] = {}  # known to the forked processes


def main(words: list[str]) -> int:
    began, console = time.monotonic(), Console(width=200, highlight=False, markup=False)
    every = [
        *mirror.attempts(mirror.serve()), *weights.attempts(), *archives.attempts(), *images.attempts(),
        *definitions.attempts(), *names.attempts(),
    ]  # fmt: skip
    chosen = {f"{one.kind}: {one.name}": one for one in every}
    _attempts.update({
        name: one for name, one in chosen.items() if not words or any(word in name for word in words)
    })  # fmt: skip
    _import_everything()
    with tempfile.TemporaryDirectory(prefix="hostile-") as temporary:
        root = Path(temporary).resolve()
        os.environ["SPINBENCH_MIRROR"] = str(root)  # a folder: offline
        unnoticed = [name for name, noticed in _controls(root).items() if not noticed]
        outcomes: list[Outcome] = []
        with ProcessPoolExecutor(CORES, multiprocessing.get_context("fork")) as pool:
            for done in pool.map(partial(_carry_out, root), range(len(_attempts)), list(_attempts)):
                outcomes.append(done)
                if done.word not in ("refused", "handled"):
                    console.print(f"{done.word}: {done.kind}: {done.name}: {done.text!r}"[:900], soft_wrap=True)
    found = rows(outcomes)
    console.print(table(found, f"{len(outcomes)} hostile inputs in {time.monotonic() - began:.0f} s"))
    for name in unnoticed:
        console.print(f"the session did not notice a command that {name}")
    slowest = max(outcomes, key=lambda one: one.seconds)
    console.print(f"the longest: {slowest.seconds:.1f} s, {slowest.kind}: {slowest.name}")
    return 0 if passed(found) and not unnoticed else 1


def _import_everything() -> None:
    """What commands import, so that a fork need not."""
    import importlib

    for name in (
        "spinbench.app", "benchmarks.networks", "benchmarks.runs.orchestrator", "benchmarks.pictures.named",
        "benchmarks.pictures.superpixel_views", "benchmarks.pictures.attribution_maps", "benchmarks.regression.checks",
        "benchmarks.identification", "benchmarks.measure.cost", "reports.render", "reports.figures", "onnxscript",
        "requests",
    ):  # fmt: skip
        importlib.import_module(name)


def _carry_out(root: Path, number: int, name: str) -> Outcome:
    attempt, place = _attempts[name], Place(root / f"{number}")
    place.furnish()
    arguments = attempt.make(place)
    done = carry_out(spinbench(arguments), place, attempt.environment())
    outcome = judge(attempt, place, done)
    shutil.rmtree(place.root, ignore_errors=True)
    return outcome


def _controls(root: Path) -> dict[str, bool]:
    """What bad commands do, and whether it was noticed."""

    def tried(name: str, work: Callable[[Place], object]) -> str:
        place = Place(root / name)
        place.furnish()
        return judge(Attempt(name, name, lambda _: [], ""), place, carry_out(partial(work, place), place)).word

    def writes(place: Place) -> None:
        (place.root / "outside" / "precious.txt").write_text("gone")

    def fills(_: Place) -> None:
        held = deque[bytearray]()
        while True:
            held.append(bytearray(2**26))

    return {
        "runs what it reads": tried("runs", lambda p: pickle.loads(pickle.dumps(weights.payload(p)))) == "executed",
        "writes elsewhere": tried("writes", writes) == "escaped",
        "raises an error": tried("raises", lambda _: {}["a"]) == "tracebacks",
        "fills the memory": tried("fills", fills) == "tracebacks",
        "prints escapes": tried("prints", lambda _: print("\x1b[2J")) == "escaped",
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
