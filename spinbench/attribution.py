"""`spinbench picture attribution`: local attribution maps of several networks side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import results
from spinbench.console import ConsoleProgress, say
from spinbench.options import (
    DeviceName,
    Folder,
    PictureName,
    ScaleOfWeights,
    Threads,
    UsageError,
    box_of,
    compute_device,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.networks import Network


def attribution(
    image: Annotated[str, typer.Argument(help="An HR image as SET/NAME, or a file.")],
    networks: Annotated[list[str], typer.Option(help="Variants, networks, or NAME=WEIGHTS, separated by commas.")],
    box: Annotated[
        str | None,
        typer.Option(
            help="The box as x,y,width,height in HR pixels. Default: the 16x16 pixels with the strongest gradient."
        ),
    ] = None,
    scale: ScaleOfWeights = None,
    sigma: Annotated[
        float, typer.Option(help="Standard deviation of the blur at the start of the path, in LR pixels.")
    ] = 1.2,
    steps: Annotated[
        int, typer.Option(min=1, max=10_000, help="Number of steps of the path. The residual decreases with it.")
    ] = 50,
    experiment: Annotated[str, typer.Option(help="The experiment with the variants.")] = "table1",
    protocol: Annotated[str, typer.Option(help="The protocol of the runs with trained weights.")] = "published",
    name: PictureName = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    folder: Folder = results.ROOT,
) -> None:
    """Show local attribution maps: which LR pixels contribute to a box of the result, and their extent.

    Example: spinbench picture attribution Set5/img_003 --networks imdn,bsrn
    """
    from benchmarks.pictures.attribution_maps import detector_box, draw_maps
    from benchmarks.pictures.named import common_scale, image_pair, named_network, own_image, picture_name
    from results import definitions
    from results.pictures import store_picture

    definitions.protocol(protocol, folder)  # a wrong name is told even if no network needs it
    wanted = None if box is None else box_of(box)
    where = compute_device(device, threads)
    named = words(networks)
    scale = common_scale(named, scale)
    chosen = [named_network(word, scale, experiment, protocol, folder) for word in named]
    if not chosen:
        raise UsageError("--networks: expected at least one")
    title, pair = image_pair(image, scale)
    place, rule = detector_box(wanted, pair, scale)
    say(f"box {place}: {rule}")
    with ConsoleProgress(len(chosen)) as progress:

        def stage(one: Network) -> Callable[[int, int, str], None]:
            advance = progress.stage(one.name, "attribute")

            def steps_done(done: int, total: int, note: str) -> None:
                advance(done, total, note)
                if done == total:
                    progress.done(f"{one.label}, {one.source}")

            return steps_done

        facts, images = draw_maps(
            title, pair, scale, place, rule, chosen, sigma=sigma, steps=steps, device=where, progress=stage
        )
    for panel in facts.panels:
        gain = f"residual {panel.residual:+.4g} of {panel.end - panel.start:+.4g}"
        say(f"{panel.label}: diffusion index {panel.diffusion_index:.2f}, {gain}")
    name = name or picture_name("attribution", title, f"x{scale}", own_image(title, pair))
    stored = store_picture(name, "attribution", facts.model_dump(), images, folder)
    say(f"picture: {stored}; `spinbench report` shows it")
