"""The command that takes over runs of other machines."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

import results
from spinbench.console import say
from spinbench.options import Folder

app = typer.Typer()


@app.command()
def collect(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Folders of results of other machines, or of some of their runs."),
    ],
    folder: Folder = results.ROOT,
) -> None:
    """Take over the runs of other machines. What lies in their folders stays.

    A run that is here already is replaced only by one with more finished
    stages, made from the same files; the one that was here is kept under
    stale/. Conflicting and damaged runs are refused (exit code 1).

    Example: spinbench collect other/results
    """
    from results.merging import merge

    found = [one for source in sources for one in merge(source, folder)]
    for one in found:
        if one.word != "there already":
            say(f"{one.run.protocol}/{one.run.name} {one.word}" + (f": {one.reason}" if one.reason else ""))
    told = Counter(one.word for one in found)
    say(", ".join(f"{count} {word}" for word, count in told.items()))
    if told["refused"]:
        raise typer.Exit(1)
