"""`spinbench picture superpixels`: what the blocks of a SPIN see in an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import results
from benchmarks.options import (
    DeviceName,
    Scale,
    Threads,
    UsageError,
    Weights,
    compute_device,
    integers,
    network,
    say,
)


def superpixels(
    image: Annotated[str, typer.Argument(help="SET/NAME or a file, of an HR image.")],
    name: Annotated[
        str, typer.Option("--network", help="The variant of the experiment that the weights are of.")
    ] = "full",
    weights: Weights = None,
    untrained: Annotated[bool, typer.Option("--untrained", help="With random weights, and labelled so.")] = False,
    scale: Scale = 4,
    at: Annotated[
        str | None, typer.Option(help="x,y in LR pixels, whose superpixels are looked at; default: found.")
    ] = None,
    blocks: Annotated[list[str] | None, typer.Option(help="Only these blocks, such as 1,4,8.")] = None,
    experiment: Annotated[str, typer.Option(help="The experiment that defines the variants.")] = "table2",
    protocol: Annotated[str, typer.Option(help="Of the run with trained weights.")] = "quick",
    picture: Annotated[str | None, typer.Option("--name", help="Of the picture; default: by what it shows.")] = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    folder: Annotated[Path, typer.Option("--results", help="Folder that holds runs/ and pictures/.")] = results.ROOT,
) -> None:
    """What SPIN sees: superpixels of each block, the pixels that one selects, those ignored, and its attention."""
    import torch

    from benchmarks import pictures
    from benchmarks.pictures.views import draw
    from models.spin.network import SPIN
    from results.pictures import store

    if weights and untrained:
        raise UsageError("--weights and --untrained: expected one of them")
    place = None if at is None else tuple(integers([at], "--at"))
    if place is not None and len(place) != 2:
        raise UsageError(f"--at {at}: expected x,y in LR pixels, such as 20,35")
    where = compute_device(device, threads)
    given = "untrained" if untrained else weights
    one = pictures.contestant(f"{name}={given}" if given else name, scale, experiment, protocol, folder)
    source = one.source
    if untrained:
        torch.manual_seed(0)
        model, source = network(one.model, scale, one.variant.config), "untrained, seed 0"
    else:
        model = one.network(scale)
    if not isinstance(model, SPIN):
        raise UsageError(f"{name}: has no superpixels, expected a SPIN")
    title, pair = pictures.pair(image, scale)
    facts, images = draw(
        title, pair, scale, model,
        label=one.variant.label, source=source, blocks=integers(blocks, "--blocks"), at=place, device=where,
    )  # fmt: skip
    say(f"pixel {facts.at[0]},{facts.at[1]}: {facts.at_rule}")
    for block in facts.blocks:
        left = "" if block.ignored is None else f", {block.ignored:.1%} of the pixels ignored"
        say(f"block {block.number}: {block.rows}x{block.columns} superpixels, entropy {block.entropy:.2f} bits{left}")
    picture = picture or pictures.stored_name("superpixels", one.name, title, f"x{scale}", "untrained" * untrained)
    try:
        stored = store(picture, "superpixels", facts.model_dump(), images, folder)
    except ValueError as error:
        raise UsageError(f"--name {error}") from error
    say(f"picture: {stored}; `spinbench report` shows it")
