"""The command that checks whether a network can be trained and measured here."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from spinbench.console import console, say
from spinbench.options import Scale, Settings, settings

app = typer.Typer()


@app.command()
def validate(
    model: Annotated[str, typer.Argument(help="A class in a file, such as net.py:Net, or the name of a network.")],
    scale: Scale = 4,
    config: Settings = None,
) -> None:
    """Check that a network can be trained and measured here, and show what holds.

    The file is imported, since you name it.

    Example: spinbench validate net.py:Net --config width=32
    """
    from benchmarks import networks
    from benchmarks.measure.contract import examine

    own = settings(config)
    networks.untrained(model, scale, own).module()  # an invalid configuration is reported first
    table = Table("", "check", "found", title=f"{model} x{scale}")
    wrong = []
    for finding in examine(model, scale, own):
        held = finding.wrong is None
        wrong += [finding] if finding.needed and not held else []
        mark = Text("holds", "green") if held else Text("fails", "red") if finding.needed else Text("not", "yellow")
        table.add_row(mark, finding.check, finding.wrong or "")
    console.print(table)
    if wrong:
        say(f"{len(wrong)} of the needed checks fail: its results would be wrong")
        raise typer.Exit(1)
