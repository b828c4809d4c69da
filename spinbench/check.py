"""`spinbench check`: comparison with stored references. Exit code 0, 1 (worse or changed) or 2 (an error)."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

import results
from foundation import SpinbenchError, check_writable, one_line
from foundation.image_sets import image_set
from results import references
from spinbench.console import ConsoleProgress, complain, console, say
from spinbench.options import (
    DeviceName,
    Folder,
    ScaleOfWeights,
    Threads,
    UsageError,
    compute_device,
    words,
)

if TYPE_CHECKING:
    from reports.verdicts import Check
    from results.references import Reference

app = typer.Typer()

STYLES = {"equal": "green", "better": "cyan", "worse": "bold red", "changed": "bold red", "inconclusive": "yellow"}
DATA = ["embedded-test"]  # the default sets of a new reference


@app.command()
def check(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Weights, folders of runs, names of networks with published weights, or experiments. "
            "Default: all references with stored weights.",
            show_default=False,
        ),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="The reference to compare with, such as quick/full-x4-s0.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The network of the weights of a new reference.")] = None,
    scale: ScaleOfWeights = None,
    protocol: Annotated[str | None, typer.Option(help="The protocol of an experiment's runs. Default: quick.")] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="Restrict to these image sets, or the image sets of a new reference.")
    ] = None,
    retrained: Annotated[
        bool,
        typer.Option("--retrained", help="The weights were trained again: compare only quality and cost."),
    ] = False,
    psnr: Annotated[
        float | None,
        typer.Option(min=0, help="Tolerance of PSNR in dB. Default: 0.002; retrained: 0.05.", show_default=False),
    ] = None,
    ssim: Annotated[
        float | None,
        typer.Option(min=0, help="Tolerance of SSIM. Default: 0.0001; retrained: 0.0015.", show_default=False),
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Store the measurement as the reference.")] = False,
    reason: Annotated[str, typer.Option(help="The reason for --update, stored with the reference.")] = "",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the comparison to this file.")] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", help="Write the comparison as Markdown, for a comment of CI.")
    ] = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    folder: Folder = results.ROOT,
) -> None:
    """Compare networks with stored references: quality, images, parameters, MACs, latency and peak memory.

    The results of the same weights may change by rounding only, else
    they are "changed". Weights without a description are taken for
    those of the reference. A run with other weights than the reference,
    trained again or on another machine, is compared by quality and cost
    only, as are weights marked with --retrained: "worse" is a loss
    beyond what trainings differ by.

    Example: spinbench check results/runs/quick/full-x4-s0
    """
    with _two_for_an_error():
        if update != bool(reason.strip()):
            raise UsageError("--update: expected --reason with it" if update else "--reason: expected --update with it")
        judged = {"--retrained": retrained, "--psnr": psnr is not None, "--ssim": ssim is not None}
        judged |= {"--json": json_file is not None, "--markdown": markdown_file is not None}
        if update and any(judged.values()):
            unused = " and ".join(option for option, given in judged.items() if given)
            raise UsageError(f"--update: nothing is compared, expected no {unused} with it")
        from benchmarks.data import datasets
        from benchmarks.regression.checks import measured
        from benchmarks.regression.references import find
        from reports import regression, verdicts

        for file in filter(None, (json_file, markdown_file)):
            check_writable(file)
        where = compute_device(device, threads)
        given = [(name, value) for name, value in (("psnr", psnr), ("ssim", ssim)) if value is not None]
        limits = {field: value for name, value in given for field in (name, f"{name}_retrained")}
        tolerance = verdicts.Tolerance(**limits)
        found = find(
            targets or [], reference=reference, model=model, scale=scale, protocol=protocol, new=update, root=folder
        )
        asked = words(data)
        datasets.several(asked)  # an unknown name is reported first
        checks = []
        with ConsoleProgress(len(found)) as progress:
            for network, name in found:
                known = name in references.reference_names(folder)
                stored = references.load_reference(name, folder) if known or not update else None
                sets = asked or (_sets_of(stored) if stored else DATA)
                if stored and not update:
                    for each in datasets.several(sets):
                        if each.name not in stored.measured.data:
                            there = ", ".join(stored.measured.data)
                            raise UsageError(f"--data {each.name}: not in the reference {stored.name}: {there}")
                now = measured(network, sets, where, partial(progress.stage, network.name))
                if update:
                    weights = network.weights
                    kept = weights.locate() if weights and stored and stored.weights else None
                    written = references.store_reference(name, now, reason, kept, folder)
                    progress.done(f"{written.folder}: reference written")
                elif stored:
                    others = references.trainings_of(stored, folder)
                    checks.append(regression.check_network(network.name, stored, now, tolerance, retrained, others))
                    progress.done(f"{network.name}: {checks[-1].verdict}")
        if update:
            return
        for one in checks:
            console.print(table(one))
        if json_file:
            content = verdicts.as_json(checks, tolerance)
            results.write(json_file, json.dumps(content, indent=1, allow_nan=False) + "\n")
        if markdown_file:
            results.write(markdown_file, verdicts.markdown(checks))
        verdict = verdicts.overall(checks)
        say(f"regression check: {verdict}")
        if verdict in verdicts.FAILURES:
            raise typer.Exit(1)


def _sets_of(stored: Reference) -> list[str]:
    """The sets of a reference. Raises UsageError for one of the user's that is not where it was."""
    from benchmarks.data.datasets import SETS

    found = []
    for name in stored.measured.data:
        place = name if name in SETS else stored.measured.places.get(name)
        if place is None or not (name in SETS or image_set(place).path.is_dir()):
            was = f"was {image_set(place).hr}, which is not there" if place else "is a folder that it does not name"
            raise UsageError(f"{stored.name}: its set {name} {was}; expected --data {name}=FOLDER")
        found.append(place)
    return found


def table(check: Check) -> Table:
    """The table of a check for a terminal."""
    from reports.verdicts import line_texts

    title = Text(f"{check.name} against {check.reference}{', retrained' if check.retrained else ''}: {check.verdict}")
    printed = Table(title=title)
    for heading in ("quantity", "reference", "now", "change", "range", "verdict", "note"):
        printed.add_column(heading, justify="right" if heading in ("reference", "now", "change") else "left")
    for line in check.lines:
        verdict = Text(line.verdict, STYLES[line.verdict])
        printed.add_row(line.quantity, *map(Text, line_texts(line)), verdict, Text(line.note))
    return printed


@contextmanager
def _two_for_an_error() -> Iterator[None]:
    """Exit with code 2 for an error of any kind, since code 1 is a verdict."""
    try:
        yield
    except typer.Exit:
        raise
    except (SpinbenchError, OSError) as error:
        complain(f"error: {one_line(error)}")
        raise typer.Exit(2) from error
    except Exception as error:
        traceback.print_exc()
        raise typer.Exit(2) from error
