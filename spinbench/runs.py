"""Commands that execute the runs of an experiment: run, train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

import ablations
import results
from spinbench.console import ConsoleProgress, console, say
from spinbench.options import (
    DeviceName,
    Folder,
    Only,
    ProtocolName,
    Rerun,
    Scales,
    Seeds,
    Threads,
    UsageError,
    compute_places,
    integers,
    seeds_of,
    words,
)
from spinbench.report import render
from spinbench.selection import Selection
from spinbench.status import remember

if TYPE_CHECKING:
    from benchmarks.runs.plan import Job
    from benchmarks.runs.pool import Outcome

app = typer.Typer()


@app.command()
def run(
    experiment: Annotated[
        str, typer.Argument(help="The name of an experiment (see `spinbench list`), or a YAML file.")
    ],
    protocol: ProtocolName = "quick",
    only: Only = None,
    scale: Scales = None,
    seeds: Seeds = None,
    data: Annotated[
        list[str] | None, typer.Option(help="Restrict to these of the protocol's test sets, separated by commas.")
    ] = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="Checkpoints of yours for variants that are not trained, as variant=FILE,variant=FILE."),
    ] = None,
    rerun: Rerun = False,
    jobs_at_once: Annotated[
        int | None,
        typer.Option("--jobs", min=1, max=1024, help="Runs at the same time on a CPU, which share its cores."),
    ] = None,
    gpus: Annotated[
        str | None, typer.Option(help="GPUs, a run on each at the same time, such as 0-3,6. Default: all visible ones.")
    ] = None,
    executor: Annotated[
        Literal["local", "slurm"], typer.Option(help="Execute the runs here, or submit them to Slurm.")
    ] = "local",
    cluster: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file with what jobs of Slurm ask for: partition, account, gres, time, ...", dir_okay=False
        ),
    ] = None,
    print_sbatch: Annotated[
        bool, typer.Option("--print-sbatch", help="Print a script for sbatch instead of submitting anything.")
    ] = False,
    task: Annotated[
        str | None, typer.Option(metavar="RUN", help="Execute only the run of this name: for such a script.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would run, with hours, and stop.")] = False,
    folder: Folder = results.ROOT,
) -> None:
    """Train, evaluate and measure the cost of an experiment's variants, then render the report.

    The same command resumes after an interruption. Finished work is not
    repeated. A run whose training differs from the protocol is reported
    and left as it is. With several GPUs or --jobs, each run is a process
    of its own, which writes run.log in the run's folder.

    On a Slurm cluster, --executor slurm submits a job for each run, then
    one for the costs and one for the report; examples/cluster.yaml is such
    a file.

    Example: spinbench run table2 --protocol quick --only full
    """
    from benchmarks.measure import devices
    from benchmarks.runs import orchestrator
    from results import definitions

    selection = Selection(
        experiment,
        protocol,
        tuple(words(only)),
        tuple(integers(scale, "--scale")),
        tuple(seeds_of(seeds)),
        tuple(words(data)),
        tuple(words(weights)),
        folder,
    )
    if executor == "slurm" or cluster is not None:
        asked = {"--jobs": jobs_at_once, "--gpus": gpus, "--threads": threads, "--device": device}
        for option, given in asked.items():
            if given not in (None, "auto"):
                raise UsageError(f"{option} {given}: not on a cluster, whose jobs ask for what the file says")
        _on_cluster(selection, executor, cluster, print_sbatch, task, rerun, dry_run)
        return
    if print_sbatch or task is not None:
        raise UsageError(f"{'--print-sbatch' if print_sbatch else '--task'}: needs --cluster FILE")
    places = compute_places(device, threads, jobs_at_once, gpus)
    jobs = selection.plan(places[0], None if dry_run else say)
    if dry_run:
        _show_plan(jobs, len(places), rerun)
        return
    definition, training = selection.definitions()
    name = places[0].card or devices.cpu_name()
    where = name if len(places) == 1 else f"{len(places)} places on {name}"
    say(f"{definition.title}: {len(jobs)} runs under protocol {ablations.name_of(protocol)} on {where}")
    say(f"{training.summary} Expect: {training.expect}.")
    for job in jobs:
        if job.status and job.variant.given:
            say(f"{job.run.name}: only its cost is measured: {job.status}")
    definitions.remember(protocol, experiment, folder)
    definitions.ask(protocol, (job.run for job in jobs), folder)
    with ConsoleProgress(len(jobs)) as progress:
        outcomes = orchestrator.carry_out(jobs, progress, rerun, places)
    render(protocol, folder)
    remember(jobs)
    tell_failures(outcomes)


def _on_cluster(
    selection: Selection,
    executor: str,
    file: Path | None,
    print_sbatch: bool,
    task: str | None,
    rerun: bool,
    dry_run: bool,
) -> None:
    """Submit the runs, print a script that does, execute one of them, or list what would be executed."""
    from spinbench import cluster as on_cluster

    if file is None:
        raise UsageError("--executor slurm: needs --cluster FILE, which says what jobs ask for")
    cluster = ablations.load_cluster(file)
    selection = selection.anywhere()
    if dry_run:
        _show_plan(selection.plan(on_cluster.planned_place(cluster)), cluster.parallel or 1, rerun)
    elif print_sbatch:
        say(on_cluster.script(selection, cluster, file, rerun))
    elif task is not None:
        on_cluster.in_job(on_cluster.RunTask(selection, task, cluster, rerun))
    elif executor == "slurm":
        on_cluster.submit(selection, cluster, rerun)
    else:
        raise UsageError(f"--cluster {file}: needs --executor slurm, or --print-sbatch")


def _show_plan(jobs: Sequence[Job], places: int, rerun: bool) -> None:
    """What is pending, and the hours of its trainings as far as stored trainings tell."""
    from benchmarks.runs.estimates import training_seconds
    from results.state import state

    seconds = training_seconds(jobs, rerun)
    table = Table("run", "pending", "hours", title=f"{len(jobs)} runs")
    for job in jobs:
        found, each = state(job.run, job.stages), seconds[job.run]
        todo = ", ".join(found.pending) or "nothing"
        if found.refused:
            todo = "everything again" if rerun else f"refused: {found.refused}"
        hours = "unknown" if each is None else f"{each / 3600:.2f}" if each else ""
        table.add_row(job.run.name, todo, hours)
    console.print(table)
    known = [each for each in seconds.values() if each is not None]
    unknown = len(seconds) - len(known)
    least = max(sum(known) / places, *known, 0.0) / 3600
    say(
        f"trainings: {sum(known) / 3600:.2f} hours, at {places} at once at least {least:.2f}"
        + (
            f"; unknown for {unknown} run{'s' * (unknown > 1)}, since no training of such a network is stored"
            if unknown
            else ""
        )
    )


def tell_failures(outcomes: Sequence[Outcome]) -> None:
    """Print the failed and refused runs, and exit with code 1 if there are any."""
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        say(f"{outcome.word}: {outcome.job.run.name}: {outcome.error}")
    if any(outcome.word == "refused" for outcome in failed):
        say("--rerun trains refused runs again; their old folders are kept under stale/")
    if failed:
        raise typer.Exit(1)
