"""The command that shows how far the runs are, also while another process executes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table

import ablations
import results
from foundation import one_line
from results import activity, definitions
from results.queue import Queued, queue
from spinbench.console import clock, complain, console, say
from spinbench.options import (
    DeviceName,
    Folder,
    Only,
    Scales,
    Seeds,
    Threads,
    UsageError,
    compute_device,
    integers,
    seeds_of,
    words,
)
from spinbench.seen import Row, Seen

if TYPE_CHECKING:
    from benchmarks.runs.plan import Job

app = typer.Typer()

EVERY_S = 2.0
_MOST = 200  # runs that are all listed; of more, those that are not finished
Planned = dict[tuple[str, str], "list[Job]"]  # the jobs by experiment and protocol
Known = dict[Path, Seen]  # by the folder of a protocol's runs


@app.command()
def status(
    experiment: Annotated[
        str | None,
        typer.Argument(
            help="The name of an experiment, or a YAML file. Default: all that were run, or table2.",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="The name of a protocol, or the path of its YAML file. Default: all with runs, or quick.",
            show_default=False,
        ),
    ] = None,
    only: Only = None,
    scale: Scales = None,
    seeds: Seeds = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it every two seconds, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, an entry per run.")] = False,
    device: DeviceName = "auto",
    threads: Threads = None,
    folder: Folder = results.ROOT,
) -> None:
    """Show which runs are running, finished, unfinished or stale, and why.

    Runs of other processes are shown with their step, loss, remaining
    time, host, job in Slurm, and when they were last heard of.

    Example: spinbench status table2 --protocol quick --only full
    """
    if watch and as_json:
        raise UsageError("--watch and --json: expected one of them")
    planned = _planned(experiment, protocol, words(only), scale, seeds, device, threads, folder)
    seen: Known = {}
    if as_json:
        rows = [row for names, jobs in planned.items() for row in _rows(names, jobs, seen)]
        say(json.dumps(rows, indent=1))
    elif not watch:
        console.print(_shown(planned, seen, remarks=True))
    else:
        with Live(console=console, auto_refresh=False) as live:
            try:
                while True:
                    live.update(_shown(planned, seen, remarks=False), refresh=True)
                    sleep(EVERY_S)
            except KeyboardInterrupt:  # the usual end
                return


def _planned(
    experiment: str | None,
    protocol: str | None,
    only: list[str],
    scale: list[str] | None,
    seeds: list[str] | None,
    device: str,
    threads: int | None,
    root: Path,
) -> Planned:
    """The jobs of what was asked for: of one or all experiments under one or all protocols.

    Those that cannot be planned as asked are told on stderr; AblationError or ResultsError if none can.
    """
    import models
    from benchmarks.measure import devices
    from benchmarks.runs import orchestrator
    from benchmarks.runs.plan import plan

    where = compute_device(device, threads)
    card = devices.card(where)
    found: Planned = {}
    errors: list[Exception] = []
    for each in [protocol] if protocol else definitions.protocols(root) or ["quick"]:
        for name in [experiment] if experiment else definitions.experiments(each, root) or ["table2"]:
            try:
                training = definitions.protocol(each, root)
                sets = {one: orchestrator.available_sets(training.evaluation.datasets, one) for one in models.SCALES}
                found[name, each] = plan(
                    definitions.experiment(name, each, root), each, training,
                    only=only, scales=integers(scale, "--scale"), seeds=seeds_of(seeds),
                    device=where, card=card, sets=sets, root=root,
                )  # fmt: skip
            except (ablations.AblationError, results.ResultsError) as error:
                errors.append(error)
    if errors and not found:
        raise errors[0]
    for left_out in errors:
        complain(f"left out: {one_line(left_out)}")
    return found


def _rows(names: tuple[str, str], jobs: list[Job], seen: Known) -> list[Row]:
    """What is known of each run, as JSON holds it."""
    experiment, protocol = map(ablations.name_of, names)
    return [{"experiment": experiment, "protocol": protocol, **row} for row in _standing(jobs, seen)]


def remember(jobs: Iterable[Job]) -> None:
    """Look the runs up once, so that `status` later reads only what has changed since."""
    _standing(jobs, {})


def _standing(jobs: Iterable[Job], seen: Known) -> list[Row]:
    """The row of each job; what is new in `seen` is kept in the folders of the runs."""
    found = partial(_row, jobs_in_slurm=queue())
    rows = []
    for job in jobs:
        folder = job.run.folder.parent
        known = seen[folder] if folder in seen else seen.setdefault(folder, Seen(folder))
        rows.append(known.row(job, found))
    for known in seen.values():
        known.keep()
    return rows


def _row(job: Job, jobs_in_slurm: Mapping[str, Queued] | None) -> Row:
    """What is known of a run, whichever experiment it is part of. Reads all of its files."""
    from benchmarks.measure import provenance
    from results import processes
    from results.state import state

    found, now = state(job.run, job.stages), activity.standing(job.run, jobs_in_slurm)
    at_work = now.activity
    in_slurm = jobs_in_slurm.get(at_work.job or "") if at_work and jobs_in_slurm else None
    word = found.word if not at_work else activity.QUEUED if at_work.stage == activity.QUEUED else "running"
    readable = not any(line.startswith("provenance.json") for line in found.damaged)
    recorded = job.run.provenance() if readable else {}
    return {
        "run": job.run.name,
        "variant": job.run.variant,
        "scale": job.run.scale,
        "seed": job.run.seed,
        "state": word,
        "stage": at_work.stage if at_work and word == "running" else None,
        "step": now.step,
        "steps": now.steps,
        "loss": now.loss,
        "left_s": at_work.left_s if at_work else None,
        "host": at_work.host or None if at_work else None,
        "job": at_work.job if at_work else None,  # in Slurm
        "reason": in_slurm.reason or None if in_slurm else None,  # why it waits there
        "heard_s": at_work.age_s if at_work else None,  # seconds since its process was last heard of
        "bytes": now.bytes,
        "pending": list(found.pending),
        "sets": list(found.sets),  # that are to be measured
        "remarks": [*found.remarks, *provenance.flags(recorded), *processes.remarks(recorded.get("train", {}))],
    }


def _shown(planned: Planned, seen: Known, remarks: bool) -> Group:
    """A table per experiment and protocol, with the `remarks` below it or not, and what all runs take on disk."""
    parts: list[Any] = []
    sizes: dict[tuple[str, str], int] = {}
    for names, jobs in planned.items():
        rows = _rows(names, jobs, seen)
        sizes |= {(row["protocol"], row["run"]): row["bytes"] for row in rows}
        listed = [row for row in rows if len(rows) <= _MOST or row["state"] != "finished"]
        title = " under ".join(map(ablations.name_of, names))
        if listed:
            parts.append(_table(title, listed))
        if more := len(rows) - len(listed):
            parts.append(f"{title}: {more} finished runs, which --json lists")
        if remarks:
            parts += [f"{row['run']}: {line}" for row in rows for line in row["remarks"]]
    parts.append(f"{len(sizes)} runs, {activity.shown_size(sum(sizes.values()))}")
    return Group(*parts)


def _table(title: str, rows: list[Row]) -> Table:
    """A line per run, with the columns that have any entry."""
    cells = [_cells(row) for row in rows]
    table = Table(title=title)
    shown = [name for name in _COLUMNS if name in ("run", "state") or any(cell[name] for cell in cells)]
    for name in shown:
        right = name in ("step", "loss", "left", "heard", "disk")
        table.add_column(name, justify="right" if right else "left", no_wrap=name != "pending")
    for cell in cells:
        table.add_row(*(cell[name] for name in shown))
    return table


_COLUMNS = ("run", "state", "step", "loss", "left", "host", "job", "heard", "disk", "pending")


def _cells(row: Row) -> dict[str, str]:
    """The texts of a line, by column."""
    pending = row["pending"]
    if "train" not in pending:  # else nothing is measured yet, and all sets are pending
        pending = [f"{stage} ({', '.join(row['sets'])})" if stage == "evaluate" else stage for stage in pending]
    return {
        "run": row["run"],
        "state": f"{row['state']}: {row['stage']}" if row["stage"] else row["state"],
        "step": "" if row["step"] is None else f"{row['step']}/{row['steps'] or '?'}",
        "loss": "" if row["loss"] is None else f"{row['loss']:.2f}",
        "left": "" if row["left_s"] is None else clock(row["left_s"]),
        "host": row["host"] or "",
        "job": f"{row['job']} ({row['reason']})" if row["job"] and row["reason"] else row["job"] or "",
        "heard": f"{clock(row['heard_s'])} ago" if row["heard_s"] is not None else "",
        "disk": activity.shown_size(row["bytes"]) if row["bytes"] else "",
        "pending": ", ".join(pending),
    }
