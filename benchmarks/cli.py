"""The command line, `spinbench`. Errors a user can mend are one line and exit code 1 (wrong arguments: 2)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

import ablations
import results

app = typer.Typer(
    help="Reproducible benchmark and ablation suite for lightweight image super-resolution around SPIN.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
console = Console(width=None if sys.stdout.isatty() else 160)  # a file or a pipe has no width of its own

ProtocolName = Annotated[str, typer.Option(help="A protocol's name, or the path of its YAML file.")]
Folder = Annotated[Path, typer.Option("--results", help="Folder that holds runs/ and report/.", file_okay=False)]
DeviceName = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Only = Annotated[list[str] | None, typer.Option(help="Only these variants: repeat, or separate by commas.")]
Scales = Annotated[list[str] | None, typer.Option("--scale", help="Scales instead of the experiment's.")]
Seeds = Annotated[list[str] | None, typer.Option(help="Seeds instead of the protocol's, such as 0,1,2.")]
Scale = Annotated[int, typer.Option(help="2, 3 or 4.")]
Settings = Annotated[list[str] | None, typer.Option("--config", help="key=value of the network's configuration.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; default: one per core.")]


class UsageError(Exception):
    """An argument that cannot be used; one line."""


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="An experiment's name (see `spinbench list`), or a YAML file.")],
    protocol: ProtocolName = "quick",
    only: Only = None,
    scale: Scales = None,
    seeds: Seeds = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    folder: Folder = results.ROOT,
) -> None:
    """Train, evaluate and cost an experiment's variants, then render the report. The same command resumes."""
    from benchmarks import devices, orchestrator
    from benchmarks.plan import plan

    definition, training = ablations.load_experiment(experiment), ablations.load_protocol(protocol)
    where = _device(devices, device, threads)
    scales = _integers(scale, "--scale") or list(definition.scales)
    sets = orchestrator.prepare(training, scales, console)
    jobs = plan(
        definition,
        protocol,
        training,
        only=_words(only),
        scales=scales,
        seeds=_integers(seeds, "--seeds"),
        device=where,
        sets=sets,
        root=folder,
    )
    name = devices.describe(where)["name"]
    _say(f"{definition.title}: {len(jobs)} runs under protocol {Path(protocol).stem} on {name}")
    _say(f"{training.summary} Expect: {training.expect}.")
    outcomes = orchestrator.carry_out(jobs, console)
    _render(protocol, folder)
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        _say(f"failed: {outcome.job.run.name}: {outcome.error}")
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
    from benchmarks import devices, orchestrator, provenance
    from benchmarks.plan import plan

    definition, training = ablations.load_experiment(experiment), ablations.load_protocol(protocol)
    sets = {each: orchestrator.at_hand(training.evaluation.datasets, each) for each in models.SCALES}
    jobs = plan(definition, protocol, training, device=_device(devices, device, threads), sets=sets, root=folder)
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
    folder: Folder = results.ROOT,
) -> None:
    """Train one variant without evaluating it. `spinbench run` later takes it from there."""
    from benchmarks import devices, orchestrator
    from benchmarks.plan import plan, without_stages

    definition, training = ablations.load_experiment(experiment), ablations.load_protocol(protocol)
    scales = _integers(scale, "--scale") or list(definition.scales)
    sets = orchestrator.prepare(training, scales, console)
    jobs = plan(
        definition,
        protocol,
        training,
        only=[variant],
        scales=scales,
        seeds=_integers(seeds, "--seeds"),
        device=_device(devices, device, threads),
        sets=sets,
        root=folder,
    )
    jobs = [without_stages(job, ["train"]) for job in jobs if "train" in job.stages]
    outcomes = orchestrator.carry_out(jobs, console)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A network's name, or bicubic.")],
    data: Annotated[list[str], typer.Option(help="A set's name (see `spinbench list`), or a folder of HR images.")],
    weights: Annotated[
        Path | None, typer.Option(help="A run's folder, its weights, or a published checkpoint.")
    ] = None,
    scale: Scale = 4,
    config: Settings = None,
    convention: Annotated[list[str] | None, typer.Option(help="Of PSNR and SSIM; repeat for several.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the rows of every image here.")] = None,
    device: DeviceName = "auto",
    threads: Threads = None,
) -> None:
    """Measure PSNR and SSIM of a network, or of bicubic interpolation, on sets of images."""
    import pandas as pd

    from benchmarks import devices, evaluation
    from benchmarks.data import datasets
    from benchmarks.progress import RunProgress

    where = _device(devices, device, threads)
    if model == results.BASELINE:
        upscale = evaluation.bicubic_upscale(scale)
    else:
        upscale = evaluation.network_upscale(_network(model, scale, _settings(config), weights), where)
    conventions = _words(convention) or ["rcan"]
    frames = []
    with RunProgress(len(data), console) as progress:
        for name in data:
            advance = progress.stage(name, "evaluate")
            frames.append(evaluation.evaluate(upscale, datasets.get(name), scale, conventions, advance))
            progress.done(name)
    rows = pd.concat(frames, ignore_index=True)
    if csv:
        results.write(csv, rows.to_csv(index=False, lineterminator="\n"))
    table = Table("set", "LR", "convention", "images", "PSNR (dB)", "SSIM", title=f"{model} x{scale}")
    for (name, origin, rule), group in rows.groupby(["dataset", "lr_origin", "convention"], sort=False):
        finite = group[group["psnr"] != float("inf")]
        psnr = f"{finite['psnr'].mean():.3f}" if len(finite) else "infinite"
        table.add_row(name, origin, rule, str(len(group)), psnr, f"{group['ssim'].mean():.4f}")
    console.print(table)


@app.command()
def cost(
    model: Annotated[str, typer.Argument(help="A network's name.")],
    scale: Scale = 4,
    config: Settings = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    repeats: Annotated[int, typer.Option(min=1, help="Timed forward passes.")] = 10,
    memory: Annotated[bool, typer.Option(help="Measure peak memory in a fresh process.")] = True,
) -> None:
    """Count parameters and MACs at an output of 1280x720, and measure latency and peak memory."""
    from benchmarks import cost as costing
    from benchmarks import devices

    where = _device(devices, device, threads)
    _network(model, scale, _settings(config), None)
    measured = costing.measure(model, scale, _settings(config), where, repeats=repeats, memory=memory)
    console.print_json(data=measured)


@app.command()
def report(
    protocol: ProtocolName = "quick",
    folder: Folder = results.ROOT,
) -> None:
    """Render the report from stored results. Needs neither torch nor the data."""
    _render(protocol, folder)


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="Sets to fetch and check (see `spinbench list`).")],
    scale: Scales = None,
) -> None:
    """Download sets of images, or check those that are there, against their checksums."""
    from benchmarks.data import datasets
    from benchmarks.progress import RunProgress

    with RunProgress(len(names), console) as progress:
        for name in names:
            dataset = datasets.get(name)
            scales: list[int | None] = [*_integers(scale, "--scale")] or [None]
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


def _render(protocol: str, folder: Path) -> None:
    from reports.render import render

    def worth_showing(name: str) -> bool:
        """The paper's experiments always; others once two of their variants can be compared."""
        measured = {run.variant for run in results.runs(name, protocol, folder)} - {results.BASELINE}
        return ablations.load_experiment(name).published is not None or len(measured) > 1

    path = render([name for name in ablations.experiment_names() if worth_showing(name)], protocol, folder)
    _say(f"report: {path}")


def _network(name: str, scale: int, config: dict[str, Any], weights: Path | None) -> Any:
    """A network with weights of ours or published ones; without weights, freshly initialised."""
    import models
    from models.weights import read_weights

    try:
        if weights is None:
            return models.build(name, scale, **config)
        file = weights / "weights.safetensors" if weights.is_dir() else weights
        state = read_weights(file)
        model = models.build(name, scale, **config)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if set(state) != set(model.state_dict()):
        return models.load_published(name, scale, file)
    model.load_state_dict(state)
    return model


def _device(devices: Any, name: str, threads: int | None) -> Any:
    import torch

    if threads:
        torch.set_num_threads(threads)
    try:
        return devices.device(name)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _settings(pairs: list[str] | None) -> dict[str, Any]:
    found = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--config {pair}: expected key=value")
        found[key] = yaml.safe_load(value)
    return found


def _words(values: list[str] | None) -> list[str]:
    return [word for value in values or [] for word in value.split(",") if word]


def _integers(values: list[str] | None, option: str) -> list[int]:
    words = _words(values)
    for word in words:
        if not word.isdecimal():
            raise UsageError(f"{option} {word}: expected whole numbers such as 0,1,2")
    return [int(word) for word in words]


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _expected_errors() -> tuple[type[Exception], ...]:
    """What a user can mend. Modules that were never loaded cannot have raised."""
    names = {
        "benchmarks.checkpoints": "CheckpointError",
        "benchmarks.data.images": "DataError",
        "benchmarks.evaluation": "EvaluationError",
        "benchmarks.executors": "RunError",
        "benchmarks.macs": "CostError",
        "benchmarks.training": "TrainingError",
        "models": "WeightsError",
    }
    loaded = [getattr(sys.modules[module], name) for module, name in names.items() if module in sys.modules]
    return (UsageError, ablations.AblationError, results.ResultsError, *loaded)


def main() -> None:
    """Entry point of `spinbench`."""
    try:
        app()
    except KeyboardInterrupt as error:
        _say(str(error) or "interrupted; the same command continues")
        sys.exit(130)
    except Exception as error:
        if isinstance(error, _expected_errors()):
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        raise


if __name__ == "__main__":
    main()
