"""What the orchestrator itself costs with thousands of finished runs: planning, status, report.

`python -m tests.orchestration` from the root of the repository (`nox -s orchestration`); about a quarter of an hour.
Seconds are those of the processor, since other processes share the machine; memory is the peak of the process, of which
about 0.3 GB are PyTorch. `run` leaves what it knows of its runs, so that a status reads only what has changed; of runs
from elsewhere, the first status verifies every file. Fails where planning or a status of what `run` left takes over
five seconds for the largest number, or where a cost grows faster than the number of runs.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from spinbench.console import console, say
from spinbench.seen import FILE
from spinbench.status import remember
from tests.orchestration.world import define, finish

RUNS = (1_000, 3_000, 10_000)
LIMIT_S = 5.0  # of planning, and of status
LINEAR = 1.5  # how much more than in proportion a cost may grow
VERIFYING = "status, verifying"
TASKS = ("nothing", "plan", "status", VERIFYING, "report")


class Cost(NamedTuple):
    """Seconds of the processor, and the peak of memory, in bytes."""

    seconds: float
    bytes: int


def measured(task: str, experiment: Path, protocol: Path, root: Path) -> Cost:
    """The cost of a task in a process of its own, start and imports included."""
    command = [sys.executable, "-m", "tests.orchestration", task, str(experiment), str(protocol), str(root)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Cost(*json.loads(done.stdout.splitlines()[-1]))


def child(task: str, experiment: str, protocol: str, root: str) -> None:
    """Carry out one task and print what it cost."""
    if task == "plan":
        from tests.orchestration.world import jobs_of

        jobs_of(Path(experiment), Path(protocol), Path(root))
    elif task in ("status", VERIFYING):
        from spinbench.status import status

        if task == VERIFYING:
            for kept in Path(root).rglob(FILE):
                kept.unlink()
        status(experiment, protocol, threads=1, folder=Path(root))
    elif task == "report":
        from reports.overview import write_report

        write_report(protocol, Path(root))
    # the kernel's own count, since getrusage tells the memory of the process that started this one
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak, "the peak of memory is read from /proc, which only Linux has"
    print(json.dumps([time.process_time(), int(peak[1]) * 1024]))


def excesses(costs: dict[int, dict[str, Cost]]) -> list[str]:
    """What is beyond its bounds: `costs` by number of runs and task. What an idle process takes is subtracted."""
    found = []
    least, most = min(costs), max(costs)
    times = most / least
    for task in TASKS[1:]:
        if task in ("plan", "status") and costs[most][task].seconds > LIMIT_S:
            took = costs[most][task].seconds
            found.append(f"{task} of {most:,} runs takes {took:.1f} s, expected at most {LIMIT_S:g} s")
        for index, (name, floor) in enumerate({"seconds": 0.5, "memory": 1e8}.items()):
            small, large = (costs[runs][task][index] - costs[runs]["nothing"][index] for runs in (least, most))
            if (grown := large / max(small, floor)) > LINEAR * times:
                found.append(f"{task}: {name} grow {grown:.1f} times with {times:.1f} times the runs")
    return found


def main(numbers: tuple[int, ...] = RUNS) -> int:
    """Print the table; 1 where something is beyond its bounds."""
    costs: dict[int, dict[str, Cost]] = {}
    table = Table("runs", *(f"{task}: s, GB" for task in TASKS), title="Cost of the orchestrator")
    for runs in numbers:
        with tempfile.TemporaryDirectory() as folder:
            experiment, protocol = define(Path(folder), runs)
            root = Path(folder) / "results"
            remember(finish(experiment, protocol, root))
            costs[runs] = {task: measured(task, experiment, protocol, root) for task in TASKS}
        table.add_row(f"{runs:,}", *(f"{one.seconds:.1f}, {one.bytes / 1e9:.2f}" for one in costs[runs].values()))
    console.print(table)
    beyond = excesses(costs)
    for line in beyond:
        say(line)
    return int(bool(beyond))


if __name__ == "__main__":
    if sys.argv[1:]:
        child(*sys.argv[1:])
    else:
        sys.exit(main())
