"""The command line, `spinbench`. Errors a user can mend are one line and exit code 1 (wrong arguments: 2)."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

import ablations
import results
from benchmarks import cli_check, cli_networks, cli_pictures, cli_tradeoff
from benchmarks.options import (
    DeviceName,
    Threads,
    compute_device,
    console,
    integers,
    say,
    words,
)
from foundation import SpinbenchError, one_line

if TYPE_CHECKING:
    from benchmarks.profiling import Profile

app = typer.Typer(
    help="Reproducible benchmark and ablation suite for lightweight image super-resolution around SPIN.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

ProtocolName = Annotated[str, typer.Option(help="A protocol's name, or the path of its YAML file.")]
Folder = Annotated[Path, typer.Option("--results", help="Folder that holds runs/ and report/.", file_okay=False)]
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
    folder: Folder = results.ROOT,
) -> None:
    """Train, evaluate and cost an experiment's variants, then render the report. The same command resumes."""
    from benchmarks import devices, orchestrator
    from benchmarks.plan import plan

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
    say(f"{definition.title}: {len(jobs)} runs under protocol {Path(protocol).stem} on {name}")
    say(f"{training.summary} Expect: {training.expect}.")
    outcomes = orchestrator.carry_out(jobs, console)
    _render(protocol, folder)
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        say(f"failed: {outcome.job.run.name}: {outcome.error}")
    if failed:
        raise typer.Exit(1)


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

    definition, training = ablations.load_experiment(experiment), ablations.load_protocol(protocol)
    sets = {each: orchestrator.at_hand(training.evaluation.datasets, each) for each in models.SCALES}
    jobs = plan(definition, protocol, training, device=compute_device(device, threads), sets=sets, root=folder)
    table = Table("run", "state", "still to do", "remarks", title=f"{experiment} under {Path(protocol).stem}")
    for job in jobs:
        state = job.run.state(job.stages)
        remarks = [*state.reasons, *provenance.flags(job.run.provenance())]
        table.add_row(job.run.name, state.word, ", ".join(state.pending), "\n".join(remarks))
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
    folder: Folder = results.ROOT,
) -> None:
    """Train one variant without evaluating it. `spinbench run` later takes it from there."""
    from benchmarks import orchestrator
    from benchmarks.plan import plan, without_stages
    from benchmarks.profiling import Profile

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
    profiles = {job.run.name: Profile(where) for job in jobs} if profile else {}
    jobs = [dataclasses.replace(job, on_phase=profiles.get(job.run.name)) for job in jobs]
    try:
        outcomes = orchestrator.carry_out(jobs, console)
    finally:  # a training of days is profiled by stopping it
        for name, measured in profiles.items():
            _show(measured, name)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def report(
    protocol: ProtocolName = "quick",
    folder: Folder = results.ROOT,
) -> None:
    """Render the report from stored results. Needs neither torch nor the data."""
    _render(protocol, folder)


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


def _render(protocol: str, folder: Path) -> None:
    from reports.render import render

    trains = ablations.load_protocol(protocol).training is not None

    def worth_showing(name: str) -> bool:
        """The paper's experiments of the protocol's kind; others once two of their variants can be compared."""
        experiment = ablations.load_experiment(name)
        if experiment.published is None:
            return len({run.variant for run in results.runs(name, protocol, folder)} - {results.BASELINE}) > 1
        trained = [variant.weights == "trained" for variant in experiment.variants.values()]
        return (sum(trained) > len(trained) / 2) == trains

    path = render([name for name in ablations.experiment_names() if worth_showing(name)], protocol, folder)
    say(f"report: {path}")


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


def main() -> None:
    """Entry point of `spinbench`."""
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
