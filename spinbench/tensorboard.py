"""The command that writes the trainings as event files, for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import results
from results import definitions
from spinbench.console import say
from spinbench.options import Folder, UsageError

app = typer.Typer()


@app.command()
def tensorboard(
    output: Annotated[Path, typer.Argument(help="The folder for the event files, for `tensorboard --logdir`.")],
    folder: Folder = results.ROOT,
) -> None:
    """Write loss, learning rate and validation of all trainings, finished and running, for TensorBoard.

    What the folder holds of them is brought up to date. Needs the extra
    `tensorboard`: pip install "spin-bench[tensorboard]".

    Example: spinbench tensorboard events
    """
    try:
        from spinbench.events import write_events
    except ImportError as error:
        raise UsageError(
            f"tensorboard: the package {error.name} is missing, expected the extra: pip install "
            '"spin-bench[tensorboard]"'
        ) from error

    count = 0
    for protocol in definitions.protocols(folder):
        for run in results.all_runs(protocol, folder):
            if run.path("training.csv").is_file():
                steps = write_events(run, output / protocol / run.name)
                say(f"{protocol}/{run.name}: {steps} points")
                count += 1
    if not count:
        raise UsageError(f"{folder / 'runs'}: no run has a training.csv, expected a training")
    say(f"{count} trainings; tensorboard --logdir {output}")
