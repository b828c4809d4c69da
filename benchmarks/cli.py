"""The command line, `spinbench`. Errors a user can mend are one line and exit code 1 (wrong arguments: 2)."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

import ablations
import results
from benchmarks import cli_check, cli_networks, cli_pictures, cli_tradeoff
from benchmarks.options import (
    DeviceName,
    Threads,
    UsageError,
    compute_device,
    console,
    integers,
    say,
    words,
)
from foundation import SpinbenchError, one_line

if TYPE_CHECKING:
    from benchmarks.orchestrator import Outcome
    from benchmarks.profiling import Profile

app = typer.Typer(
    help="Reproducible benchmark and ablation suite for lightweight image super-resolution around SPIN.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

ProtocolName = Annotated[str, typer.Option(help="A protocol's name, or the path of its YAML file.")]
Folder = Annotated[Path, typer.Option("--results", help="Folder that holds runs/ and report/.", file_okay=False)]
Rerun = Annotated[
    bool, typer.Option("--rerun", help="Train again what is stale or damaged; the old folders are kept under stale/.")
]
Only = Annotated[list[str] | None, typer.Option(help="Only these variants: repeat, or separate by commas.")]
Scales = Annotated[list[str] | None, typer.Option("--scale", help="Scales instead of the experiment's.")]
Seeds = Annotated[list[str] | None, typer.Option(help="Seeds instead of the protocol's, such as 0,1,2.")]


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="An experiment's name (see `spinbench list`), or a YAML file.")],
    protocol: ProtocolName = "quick",
    only: Only = None,
    scale: Scales = None,
    seeds: Seeds = None,
    data: Annotated[list[str] | None, typer.Option(help="Only these of the protocol's test sets.")] = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    rerun: Rerun = False,
    folder: Folder = results.ROOT,
) -> None:
    """Train, evaluate and cost an experiment's variants, then render the report. The same command resumes.

    What is finished is never repeated. A training under other settings than the protocol now has is refused.
    """
    from benchmarks import devices, orchestrator
    from benchmarks.plan import plan
    from results import definitions

    definition, training = ablations.load_experiment(experiment), ablations.load_protocol(protocol)
    if data:
        training = orchestrator.narrowed(training, words(data))
    where = compute_device(device, threads)
    scales = integers(scale, "--scale") or list(definition.scales)
    sets = orchestrator.prepare(training, scales, console)
    jobs = plan(
        definition,
        protocol,
        training,
        only=words(only),
        scales=scales,
        seeds=integers(seeds, "--seeds"),
        device=where,
        sets=sets,
        root=folder,
    )
    name = devices.describe(where)["name"]
    say(f"{definition.title}: {len(jobs)} runs under protocol {ablations.name_of(protocol)} on {name}")
    say(f"{training.summary} Expect: {training.expect}.")
    definitions.remember(protocol, experiment, folder)
    outcomes = orchestrator.carry_out(jobs, console, rerun)
    _render(protocol, folder)
    _tell_failures(outcomes)


@app.command()
def status(
    experiment: Annotated[str, typer.Argument(help="An experiment's name, or a YAML file.")] = "table2",
    protocol: ProtocolName = "quick",
    device: DeviceName = "auto",
    threads: Threads = None,
    folder: Folder = results.ROOT,
) -> None:
    """Say which runs of an experiment are finished, unfinished or stale, and why."""
    import models
    from benchmarks import orchestrator, provenance
    from benchmarks.plan import plan
    from results import processes
    from results.state import state

    definition, training = ablations.load_experiment(experiment), ablations.load_protocol(protocol)
    sets = {each: orchestrator.at_hand(training.evaluation.datasets, each) for each in models.SCALES}
    jobs = plan(definition, protocol, training, device=compute_device(device, threads), sets=sets, root=folder)
    table = Table("run", "state", "still to do", "remarks", title=f"{experiment} under {ablations.name_of(protocol)}")
    for job in jobs:
        found = state(job.run, job.stages)
        recorded = {} if any(line.startswith("provenance.json") for line in found.damaged) else job.run.provenance()
        remarks = [*found.remarks, *provenance.flags(recorded), *processes.told(recorded.get("train", {}))]
        todo = [f"{name} ({', '.join(found.sets)})" if name == "evaluate" else name for name in found.pending]
        table.add_row(job.run.name, found.word, escape(", ".join(todo)), "\n".join(map(escape, remarks)))
    console.print(table)


@app.command()
def train(
    variant: Annotated[str, typer.Argument(help="A variant of the experiment.")],
    experiment: Annotated[str, typer.Option(help="The experiment that defines the variant.")] = "table2",
    protocol: ProtocolName = "quick",
    scale: Scales = None,
    seeds: Seeds = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    profile: Annotated[bool, typer.Option("--profile", help="Show where the time of a step goes.")] = False,
    rerun: Rerun = False,
    folder: Folder = results.ROOT,
) -> None:
    """Train one variant without evaluating it. `spinbench run` later takes it from there."""
    from benchmarks import orchestrator
    from benchmarks.plan import plan, without_stages
    from benchmarks.profiling import Profile
    from results import definitions

    definition, training = ablations.load_experiment(experiment), ablations.load_protocol(protocol)
    scales = integers(scale, "--scale") or list(definition.scales)
    where = compute_device(device, threads)
    sets = orchestrator.prepare(training, scales, console)
    jobs = plan(
        definition,
        protocol,
        training,
        only=[variant],
        scales=scales,
        seeds=integers(seeds, "--seeds"),
        device=where,
        sets=sets,
        root=folder,
    )
    jobs = [without_stages(job, ["train"]) for job in jobs if "train" in job.stages]
    if not jobs:
        weights = "has published weights" if definition.variants[variant].weights == "published" else "is not trained"
        raise UsageError(f"{variant}: {weights} under protocol {protocol}, there is nothing to train")
    definitions.remember(protocol, experiment, folder)
    profiles = {job.run.name: Profile(where) for job in jobs} if profile else {}
    jobs = [dataclasses.replace(job, on_phase=profiles.get(job.run.name)) for job in jobs]
    try:
        outcomes = orchestrator.carry_out(jobs, console, rerun)
    finally:  # a training of days is profiled by stopping it
        for name, measured in profiles.items():
            _show(measured, name)
    _tell_failures(outcomes)


@app.command()
def report(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            help="Experiments to show beside those that were run: names, or YAML files.", show_default=False
        ),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="A protocol's name, or the path of its YAML file: repeat for several. "
            "Default: every protocol that has runs, or quick.",
            show_default=False,
        ),
    ] = None,
    folder: Folder = results.ROOT,
) -> None:
    """Render the reports from stored results. Needs neither torch nor the data."""
    for name in protocol or results.protocols(folder) or ["quick"]:
        try:
            _render(name, folder, experiments or [])
        except (ablations.AblationError, results.ResultsError) as error:
            if protocol:
                raise
            say(f"left out: {error}")  # a protocol whose file is not known here, or is damaged


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="Sets (see `spinbench list`), or weights for all published ones.")],
    scale: Scales = None,
) -> None:
    """Download sets of images or published weights, or check those that are there, against their checksums."""
    from benchmarks import published
    from benchmarks.data import datasets
    from benchmarks.progress import RunProgress

    with RunProgress(len(names), console) as progress:
        for name in names:
            if name == "weights" and scale:
                raise UsageError("weights: those of all scales are fetched, --scale says nothing about them")
            if name == "weights":
                count = published.fetch_all(progress.stage(name, "fetch"))
                progress.done(f"{name}: {count} files at hand")
                continue
            dataset = datasets.get(name)
            scales: list[int | None] = [*integers(scale, "--scale")] or [None]
            for wanted in scales:
                dataset.fetch_all(wanted, progress.stage(name, "fetch"))
            progress.done(f"{name}: {len(dataset.hr_names())} images at hand")


@app.command("list")
def list_() -> None:
    """List networks, experiments with their variants, protocols and sets of images."""
    import models
    from benchmarks.data import datasets

    table = Table("network", "paper", "venue", "parameters as published (x2, x3, x4)", title="Networks")
    for name in models.names():
        info = models.describe(name)
        counts = ", ".join(f"{count / 1000:g}K" for count in info.published_parameters.values())
        table.add_row(name, info.paper, f"{info.venue} {info.year}", counts)
    console.print(table)
    table = Table("experiment", "title", "variants", title="Experiments")
    for name in ablations.experiment_names():
        experiment = ablations.load_experiment(name)
        table.add_row(name, experiment.title, ", ".join(experiment.variants))
    console.print(table)
    table = Table("protocol", "cost", "expect", title="Protocols")
    for name in ablations.protocol_names():
        protocol = ablations.load_protocol(name)
        table.add_row(name, protocol.cost, protocol.expect)
    console.print(table)
    table = Table("set", "images", "for", "note", title="Sets of images")
    for name, about in datasets.SETS.items():
        table.add_row(name, str(about.images), about.role, about.note)
    console.print(table)


for part in (cli_networks, cli_tradeoff, cli_check):
    app.add_typer(part.app)
app.add_typer(cli_pictures.app, name="picture")


def _render(protocol: str, folder: Path, also: Iterable[str] = ()) -> None:
    from reports.overview import report

    path = report(protocol, folder, also)
    say(f"report: {path}")
    say(f"all reports: {folder / 'report' / 'index.html'}")


def _tell_failures(outcomes: Sequence[Outcome]) -> None:
    """Name what could not be done, and end with exit code 1 if there was any."""
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        say(f"{outcome.word}: {outcome.job.run.name}: {outcome.error}")
    if any(outcome.word == "refused" for outcome in failed):
        say("--rerun trains refused runs again; their old folders are kept under stale/")
    if failed:
        raise typer.Exit(1)


def _show(profile: Profile, run: str) -> None:
    from benchmarks.profiling import DATA_LIMIT

    if not profile.steps:
        say(f"{run}: no steps to profile; if it is finished, --results FOLDER trains it anew")
        return
    phases = profile.phases()
    whole = sum(seconds for seconds, _ in phases.values())
    table = Table("phase", "ms in a step", "share", "cores busy", title=f"{run}: mean of {profile.steps} steps")
    for phase, (seconds, cores) in phases.items():
        table.add_row(phase, f"{1000 * seconds:.2f}", f"{seconds / whole:.2%}", f"{cores:.2f}")
    busy = sum(seconds * cores for seconds, cores in phases.values()) / whole
    table.add_row("a step", f"{1000 * whole:.2f}", "", f"{busy:.2f}")
    console.print(table)
    share = phases["data"][0] / whole
    verdict = "below" if share < DATA_LIMIT else "above"
    say(f"data: {share:.2%} of a step, {verdict} the limit of {DATA_LIMIT:.0%}")


class _Shown(logging.Handler):
    """Prints what the library logs, above the bars of a progress if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        say(
            f"{record.levelname.lower()}: {record.getMessage()}"
            if record.levelno > logging.INFO
            else record.getMessage()
        )


def main() -> None:
    """Entry point of `spinbench`."""
    log = logging.getLogger("benchmarks")
    log.setLevel(logging.INFO)
    log.handlers = [_Shown()]
    try:
        app()
    except KeyboardInterrupt as error:
        say(str(error) or "interrupted; the same command continues")
        sys.exit(130)
    except (SpinbenchError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
