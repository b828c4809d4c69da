"""`spinbench picture superpixels`: superpixels and attention of the blocks of SPIN in an image."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

import results
from spinbench.console import say
from spinbench.options import (
    DeviceName,
    Folder,
    PictureName,
    ScaleOfWeights,
    Threads,
    UsageError,
    Weights,
    compute_device,
    integers,
)

DEFAULT = "full"  # the default variant


def superpixels(
    image: Annotated[str, typer.Argument(help="An HR image as SET/NAME, or a file.")],
    name: Annotated[
        str | None,
        typer.Option("--network", help="A variant of the experiment. Default: the one of the weights, or full."),
    ] = None,
    weights: Weights = None,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Use random weights. The picture is labelled accordingly.")
    ] = False,
    scale: ScaleOfWeights = None,
    at: Annotated[
        str | None, typer.Option(help="The LR pixel x,y whose superpixels are shown. Default: the least certain one.")
    ] = None,
    blocks: Annotated[list[str] | None, typer.Option(help="Restrict to these blocks, such as 1,4,8.")] = None,
    experiment: Annotated[str, typer.Option(help="The experiment with the variants.")] = "table2",
    protocol: Annotated[
        str | None, typer.Option(help="The protocol of the run with trained weights. Default: quick.")
    ] = None,
    picture: PictureName = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    folder: Folder = results.ROOT,
) -> None:
    """Show the superpixels of SPIN's blocks, the pixels that one of them selects, ignored pixels, and attention.

    Example: spinbench picture superpixels Set5/img_003 --network full --protocol quick
    """
    from benchmarks import networks
    from benchmarks.pictures.named import (
        common_scale,
        image_pair,
        named_network,
        own_image,
        picture_name,
        untrained_variant,
    )
    from benchmarks.pictures.superpixel_views import draw_superpixels
    from models.spin.network import SPIN
    from results import definitions
    from results.pictures import store_picture

    if weights and untrained:
        raise UsageError("--weights and --untrained: expected one of them")
    if protocol and (weights or untrained):
        raise UsageError(f"--protocol {protocol}: does not apply to {'--weights' if weights else '--untrained'}")
    place = None if at is None else tuple(integers([at], "--at", ranges=False))
    if place is not None and len(place) != 2:
        raise UsageError(f"--at {at}: expected x,y in LR pixels, such as 20,35")
    if protocol:
        definitions.protocol(protocol, folder)  # a wrong name is told even if the network does not need it
    where = compute_device(device, threads)
    if weights and name is None and networks.description_of(weights):
        found = networks.of_weights(weights, scale=scale)
        one = replace(found, name=found.model, label=f"{found.label} ({weights.name})")
    else:
        named = f"{name or DEFAULT}={weights}" if weights else name or DEFAULT
        scale = common_scale([named], scale)
        if untrained:
            one = untrained_variant(named, scale, experiment)
        else:
            one = named_network(named, scale, experiment, protocol or "quick", folder)
    model = one.module()
    if not isinstance(model, SPIN):
        raise UsageError(f"{one.name}: has no superpixels, expected a SPIN")
    title, pair = image_pair(image, one.scale)
    facts, images = draw_superpixels(
        title, pair, one.scale, model,
        label=one.label, source=one.source, blocks=integers(blocks, "--blocks"), at=place, device=where,
    )  # fmt: skip
    say(f"pixel {facts.at[0]},{facts.at[1]}: {facts.at_rule}")
    for block in facts.blocks:
        left = "" if block.ignored is None else f", {block.ignored:.1%} of the pixels ignored"
        say(f"block {block.number}: {block.rows}x{block.columns} superpixels, entropy {block.entropy:.2f} bits{left}")
    picture = picture or picture_name(
        "superpixels", one.name, title, f"x{one.scale}", "untrained" * untrained, own_image(title, pair)
    )
    stored = store_picture(picture, "superpixels", facts.model_dump(), images, folder)
    say(f"picture: {stored}; `spinbench report` shows it")
