"""All that is measured and checked on a GPU, most telling first: `python -m tests.gpu`, or `nox -s gpu`.

Needs the checkout and its dependencies, but no installation. Every check has a process and a time limit of its own, so
that a lost device, a hang or held memory does not reach the others, and writes its results as soon as they are known.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import torch
from rich.table import Table

from foundation import nearest, write
from results.gpu import folder_of
from spinbench.console import console, say

CHECKOUT = Path(__file__).parents[2]
BUDGET = 600.0  # seconds on a GPU
PATIENCE = 2  # a check may take so many times its seconds
REHEARSED = 300.0  # seconds that it may take on a CPU, which may be slow and have other work


@dataclass(frozen=True)
class Check:
    """A check by the name of its module, and the seconds that it takes on a fast card, with a margin."""

    name: str
    seconds: float
    package: str = "tests.gpu.checks"


CHECKS = [
    Check("machine", 10),
    Check("correctness", 50),
    Check("kernels", 35),
    Check("steps", 50),
    Check("memory", 30),
    Check("latency", 100),
    Check("determinism", 35),
    Check("amp", 50),
    Check("training", 110),
    Check("chosen", 15),
    Check("compiled", 90),
]


@dataclass(frozen=True)
class Outcome:
    check: Check
    word: Literal["passed", "failed", "not run"]
    seconds: float
    line: str


def main(arguments: list[str], checks: list[Check] = CHECKS) -> int:
    """Exit status 1 if a check failed. Checks that no longer fit into the budget are named, and are no failure."""
    parser = argparse.ArgumentParser("tests.gpu", description="Measure and check the suite on a GPU.")
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, with the smallest sizes")
    parser.add_argument("--out", type=Path, help="folder of the results; default: results/measured/gpu/<card>")
    parser.add_argument("--only", default="", help="names of checks, separated by commas")
    parser.add_argument("--budget", type=float, help=f"seconds for everything; default: {BUDGET:g}, without --rehearse")
    given = parser.parse_args(arguments)
    only = [name for name in given.only.split(",") if name]
    known = [check.name for check in checks]
    for name in only:
        if name not in known:
            parser.error(f"unknown check {name!r}; {nearest(name, known)}")
    if not given.rehearse and not torch.cuda.is_available():
        say("no GPU that PyTorch can use: nothing was measured; --rehearse tries everything out on the CPU")
        return 0
    chosen = [check for check in checks if not only or check.name in only]
    budget = given.budget or (float("inf") if given.rehearse else BUDGET)
    with tempfile.TemporaryDirectory() as scratch:
        out = given.out or (Path(scratch) if given.rehearse else _folder_of_the_card())
        outcomes = _carry_out(chosen, out, given.rehearse, budget)
    _show(outcomes, None if given.rehearse and not given.out else out)
    return 1 if any(outcome.word == "failed" for outcome in outcomes) else 0


def _carry_out(checks: list[Check], out: Path, rehearsal: bool, budget: float) -> list[Outcome]:
    end = time.monotonic() + budget
    outcomes = []
    for check in checks:
        left = end - time.monotonic()
        if left < check.seconds:
            outcome = Outcome(
                check, "not run", 0, f"{left:.0f} s of the budget are left, it may take {check.seconds:g}"
            )
        else:
            say(f"{check.name} ...")
            patience = REHEARSED if rehearsal else PATIENCE * check.seconds
            outcome = _carried_out(check, out / f"{check.name}.json", rehearsal, min(left, patience))
        say(f"{check.name}: {outcome.word} ({outcome.seconds:.1f} s) {outcome.line}")
        outcomes.append(outcome)
    return outcomes


def _carried_out(check: Check, file: Path, rehearsal: bool, limit: float) -> Outcome:
    """One check in a process of its own, which is killed at the limit with all that it started."""
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.gpu.child", f"{check.package}.{check.name}", str(file.absolute())]
    begin = time.monotonic()
    command += ["--rehearse"] * rehearsal
    alone = {"OMP_NUM_THREADS": "1"} if rehearsal else {}  # the sizes are small, and other work may have the cores
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env={**alone, **os.environ}, stderr=errors, start_new_session=True
        )
        try:
            failed = f"exit status {status}" if (status := process.wait(limit)) else None
        except subprocess.TimeoutExpired:
            failed = f"stopped after {limit:.0f} s"
        finally:
            _end(process.pid)
            process.wait()
        errors.seek(0)
        told = [line.strip() for line in errors if line.strip()]
    if failed and told and not failed.startswith("stopped"):
        failed += f": {told[-1][:300]}"
    seconds = time.monotonic() - begin
    found: dict[str, Any] = {"check": check.name, "rehearsal": rehearsal}
    if file.is_file():
        found = json.loads(file.read_text())
    if failed is None and found.get("wrong"):
        failed = f"wrong: {'; '.join(found['wrong'])}"[:600]
    found |= {"seconds": round(seconds, 1), "failed": failed}
    if failed:
        found["stderr"] = told[-30:]
    write(file, json.dumps(found, indent=1) + "\n")
    return Outcome(check, "failed" if failed else "passed", seconds, failed or str(found.get("summary", "")))


def _end(session: int) -> None:
    """Kill what is left of a session of processes; some may have a group of their own."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == session:
                process.kill()


def _folder_of_the_card() -> Path:
    """Asked of another process, since a card may admit one process at a time."""
    ask = [sys.executable, "-c", "import torch; print(torch.cuda.get_device_name())"]
    return folder_of(subprocess.run(ask, capture_output=True, text=True, check=True).stdout)


def _show(outcomes: list[Outcome], out: Path | None) -> None:
    table = Table("check", "", "seconds", "")
    for outcome in outcomes:
        table.add_row(outcome.check.name, outcome.word, f"{outcome.seconds:.1f}", outcome.line)
    console.print(table)
    if out:
        say(f"results: {out}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
