"""Commands on what is available: list shows it, fetch downloads data and checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

import ablations
import results
from foundation import nearest, registered
from results import activity, definitions
from spinbench.console import ConsoleProgress, console, say
from spinbench.options import Folder, Scales, UsageError, integers

app = typer.Typer()

WIDTH = 80


@app.command()
def fetch(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Image sets, networks whose published checkpoints are wanted, or `weights` for all verified ones."
        ),
    ],
    scale: Scales = None,
) -> None:
    """Download image sets or published weights, and verify their checksums.

    Files that exist are verified only. A checkpoint that was never
    verified here is fetched by its network's name; its SHA-256 is shown,
    and recorded for later.

    Example: spinbench fetch Set5 --scale 4
    """
    import models
    from benchmarks.data import datasets, published, registry

    networks = {*models.names(), *registry.networks()}
    with ConsoleProgress(len(names)) as progress:
        for name in names:
            if name == "weights" and scale:
                raise UsageError("weights: --scale does not apply, those of all scales are fetched")
            if name == "weights":
                count = published.fetch_all(progress.stage(name, "fetch"))
                progress.done(f"{name}: {count} files available")
                continue
            if registered(name) in networks:
                lines = published.fetch_of(name, integers(scale, "--scale"), progress.stage(name, "fetch"))
                for line in lines:
                    progress.line(line)
                progress.done(f"{name}: {len(lines)} files available")
                continue
            dataset = datasets.get(name)
            scales: list[int | None] = [*integers(scale, "--scale")] or [None]
            for wanted in scales:
                dataset.fetch_all(wanted, progress.stage(name, "fetch"))
            progress.done(f"{name}: {len(dataset.hr_names())} images available")


@app.command("list")
def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            help="networks, experiments, protocols, data or runs; or an experiment, whose variants are listed. "
            "Default: all but the runs, in tables.",
            show_default=False,
        ),
    ] = None,
    folder: Folder = results.ROOT,
) -> None:
    """List what is available, one line each.

    Example: spinbench list networks
    """
    if what is None:
        _tables()
    elif what in _LISTS:
        lines = list(_LISTS[what](folder))
        for line in lines or [f"{folder / 'runs'}: there are no runs"]:
            say(line)
    elif what in ablations.experiment_names() or what.endswith((".yaml", ".yml")):
        for line in _variants(what):
            say(line)
    else:
        raise UsageError(f"list {what}: {nearest(what, [*_LISTS, *ablations.experiment_names()])}")


def _line(*columns: tuple[str, int]) -> str:
    """Texts in columns of these widths; a text that is too long ends in an ellipsis."""
    cells = (text if len(text) <= width else f"{text[: width - 1]}…" for text, width in columns)
    return " ".join(f"{cell:{width}}" for cell, (_, width) in zip(cells, columns, strict=True))[:WIDTH].rstrip()


def _networks(folder: Path) -> Iterator[str]:
    import models
    from benchmarks.data import registry
    from benchmarks.data.published import availability

    for name in dict.fromkeys([*models.names(), *registry.networks()]):
        info = models.describe(name)
        size = f"{(info.counted_parameters or info.published_parameters).get(4, 0) / 1000:.0f}K"
        states = {scale: availability(name, scale) for scale in models.SCALES}
        kinds = dict.fromkeys(state for state in states.values() if state)
        told = [f"{', '.join(f'x{s}' for s in states if states[s] == kind)} {kind}" for kind in kinds]
        checkpoint = f"checkpoint {'; '.join(told)}" if told else "no checkpoint registered"
        yield _line((name, 13), (str(info.year), 4), (size, 6), (checkpoint, 54))


def _experiments(folder: Path) -> Iterator[str]:
    for name in ablations.experiment_names():
        one = ablations.load_experiment(name)
        scales = ", ".join(f"x{scale}" for scale in one.scales)
        yield _line((name, 10), (f"{len(one.variants)} variants", 11), (scales, 11), (one.title, 45))


def _variants(experiment: str) -> Iterator[str]:
    for name, one in ablations.load_experiment(experiment).variants.items():
        config = ", ".join(f"{key} {value}" for key, value in one.config.items())
        network = f"{one.model} ({config})" if config else one.model or one.status or ""
        yield _line((name, 18), (one.label, 20), (one.weights if one.model else "", 10), (network, 29))


def _protocols(folder: Path) -> Iterator[str]:
    for name in ablations.protocol_names():
        one = ablations.load_protocol(name)
        yield _line((name, 12), (one.cost, 67))


def _data(folder: Path) -> Iterator[str]:
    from benchmarks.data import datasets

    for name, about in datasets.SETS.items():
        yield _line((name, 19), (f"{about.images} images", 10), (about.role, 10), (about.note, 38))


def _runs(folder: Path) -> Iterator[str]:
    for protocol in definitions.protocols(folder):
        for run in results.all_runs(protocol, folder):
            now = activity.standing(run)
            try:
                stages = [stage for stage in results.STAGES if stage in run.provenance()]
            except results.ResultsError:
                stages = ["damaged"]
            state = f"running {now.activity.stage}".strip() if now.activity else ", ".join(stages) or "unfinished"
            step = f"{now.step}/{now.steps}" if now.step and now.steps else ""
            size = activity.shown_size(now.bytes)
            yield _line((f"{protocol}/{run.name}", 38), (state, 21), (step, 11), (size, 7))


_LISTS: dict[str, Callable[[Path], Iterator[str]]] = {
    "networks": _networks,
    "experiments": _experiments,
    "protocols": _protocols,
    "data": _data,
    "runs": _runs,
}


def _tables() -> None:
    """Everything that comes with the suite, in full."""
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
    table = Table("set", "images", "for", "note", title="Image sets")
    for name, about in datasets.SETS.items():
        table.add_row(name, str(about.images), about.role, about.note)
    console.print(table)
