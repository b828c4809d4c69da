"""The command that writes the files of an experiment with a network of the user's own."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from foundation import write
from spinbench.console import say
from spinbench.options import UsageError

app = typer.Typer()


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The name of the experiment, such as my-paper.")],
    folder: Annotated[Path, typer.Option(help="Where to write the files.", file_okay=False)] = Path(),
) -> None:
    """Write a commented experiment, a protocol and a network file, to start from.

    Your network stands beside IMDN, BSRN and SPIN. Files that exist are
    not overwritten.

    Example: spinbench new my-paper
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,50}", name):
        raise UsageError(f"{name}: expected letters, digits, '.', '-' and '_', beginning with a letter or digit")
    starter = resources.files("spinbench") / "starter"
    files = {"experiment.yaml": f"{name}.yaml", "protocol.yaml": f"{name}-protocol.yaml", "net.py": "net.py"}
    for target in files.values():
        if (folder / target).exists():
            raise UsageError(f"{folder / target}: exists already, expected a folder without it")
    for source, target in files.items():
        write(folder / target, (starter / source).read_text(encoding="utf-8").replace("NAME", name))
        say(f"written: {folder / target}")
    options = f"--protocol {folder / name}-protocol.yaml"
    say("next:")
    say(f"  spinbench validate {folder / 'net.py'}:Net")
    say(f"  spinbench run {folder / name}.yaml {options}")
    say(f"  spinbench report {options}")
