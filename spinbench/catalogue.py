"""Commands on the available networks, experiments, protocols and data: list shows them, fetch downloads data."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

import ablations
from spinbench.console import ConsoleProgress, console
from spinbench.options import Scales, UsageError, integers

app = typer.Typer()


@app.command()
def fetch(
    names: Annotated[
        list[str],
        typer.Argument(help="Names of image sets (see `spinbench list`), or `weights` for all published checkpoints."),
    ],
    scale: Scales = None,
) -> None:
    """Download image sets or published weights, and verify their checksums. Files that exist are verified only."""
    from benchmarks.data import datasets, published

    with ConsoleProgress(len(names)) as progress:
        for name in names:
            if name == "weights" and scale:
                raise UsageError("weights: --scale does not apply, those of all scales are fetched")
            if name == "weights":
                count = published.fetch_all(progress.stage(name, "fetch"))
                progress.done(f"{name}: {count} files available")
                continue
            dataset = datasets.get(name)
            scales: list[int | None] = [*integers(scale, "--scale")] or [None]
            for wanted in scales:
                dataset.fetch_all(wanted, progress.stage(name, "fetch"))
            progress.done(f"{name}: {len(dataset.hr_names())} images available")


@app.command("list")
def list_() -> None:
    """List networks, experiments with their variants, protocols and image sets."""
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
