"""The command that deletes what is no longer needed, after it has asked."""

from __future__ import annotations

from typing import Annotated

import typer

import results
from results.activity import shown_size
from results.leftovers import KINDS, at_work, leftovers, remove
from spinbench.console import say
from spinbench.options import Folder

app = typer.Typer()


@app.command()
def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Delete everything that is listed, without asking.")] = False,
    folder: Folder = results.ROOT,
) -> None:
    """List stale runs, caches and leftovers of killed processes with their sizes, and delete them if you agree.

    Runs that count or are running, and downloads, are never touched.

    Example: spinbench clean
    """
    in_use = at_work()
    found = leftovers(folder, caches=not in_use)
    if in_use:
        say("caches stay: another process of the suite is at work and may need them")
    if not found:
        say("there is nothing to delete")
        return
    for kind, about in KINDS.items():
        of_kind = [each for each in found if each.kind == kind]
        if not of_kind:
            continue
        total = shown_size(sum(each.bytes for each in of_kind))
        say(f"{kind}, {about}:")
        for each in of_kind:
            say(f"  {shown_size(each.bytes):>7}  {each.path}")
        if yes or typer.confirm(f"Delete these {len(of_kind)} ({total})?"):
            for each in of_kind:
                remove(each)
            say(f"deleted: {len(of_kind)} {kind}, {total}")
