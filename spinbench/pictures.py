"""`spinbench picture`: crops of the results of several networks, superpixels, and attribution maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import ablations
import results
from foundation.image_sets import image_set
from results import definitions
from spinbench.attribution import attribution
from spinbench.console import ConsoleProgress, say
from spinbench.options import (
    DeviceName,
    Folder,
    PictureName,
    ScaleOfWeights,
    Threads,
    box_of,
    compute_device,
    words,
)
from spinbench.superpixels import superpixels

if TYPE_CHECKING:
    from benchmarks.networks import Network

app = typer.Typer(help="Make pictures for the report: crops, superpixels, attribution maps.", no_args_is_help=True)
app.command()(superpixels)
app.command()(attribution)


@app.command()
def compare(
    experiment: Annotated[str, typer.Argument(help="The experiment with the variants.")] = "table1",
    image: Annotated[
        str | None,
        typer.Option(help="An image as SET/NAME, or a file. Default: the one whose measured PSNR differs most."),
    ] = None,
    networks: Annotated[
        list[str] | None,
        typer.Option(
            help="Variants, networks, or NAME=WEIGHTS, separated by commas; spin=pretrained has the suite's. "
            "Default: all with weights."
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(help="The crop as x,y,width,height in HR pixels. Default: where the results differ most."),
    ] = None,
    scale: ScaleOfWeights = None,
    protocol: Annotated[str, typer.Option(help="The protocol of the runs with trained weights.")] = "published",
    name: PictureName = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    folder: Folder = results.ROOT,
) -> None:
    """Show crops of HR, bicubic and each network with PSNR, SSIM and error maps.

    Example: spinbench picture compare table1 --image Set5/img_003 --networks bicubic,imdn
    """
    from benchmarks.pictures import comparison
    from benchmarks.pictures.named import common_scale, image_pair, own_image, picture_name
    from results.pictures import store_picture

    definitions.protocol(protocol, folder)  # a wrong name is told even if no network needs it
    wanted = None if box is None else box_of(box)
    where = compute_device(device, threads)
    named = words(networks)
    scale = common_scale(named, scale)
    chosen = _networks(named, scale, experiment, protocol, folder)
    image_rule = "chosen by hand"
    if image is None:
        frame = results.load(experiment, protocol, root=folder)
        image, image_rule = comparison.differing_image(frame, scale, [one.name for one in chosen])
        say(f"{image}: {image_rule}")
        image = _located(image, definitions.protocol(protocol, folder))
    title, pair = image_pair(image, scale)
    upscaled: list[comparison.UpscaledImage] = []
    if wanted:
        comparison.check_crop(wanted, pair, upscaled)
    with ConsoleProgress(len(chosen)) as progress:
        for one in chosen:
            advance = progress.stage(one.name, "upscale")
            upscaled.append(comparison.upscale_image(one, pair.lr, where))
            advance(1, 1, title)
            progress.done(f"{one.label}, {one.source}")
    if wanted:
        comparison.check_crop(wanted, pair, upscaled)
        place, box_rule = wanted, "chosen by hand"
    else:
        place, box_rule = comparison.differing_box(pair, scale, upscaled)
        say(f"box {place}: {box_rule}")
    facts, images = comparison.draw_comparison(title, image_rule, pair, scale, upscaled, place, box_rule)
    name = name or picture_name("comparison", title, f"x{scale}", own_image(title, pair))
    stored = store_picture(name, "comparison", facts.model_dump(), images, folder)
    say(f"picture: {stored}; `spinbench report` shows it")


def _located(image: str, protocol: ablations.Protocol) -> str:
    """SET/NAME of results with the folder of the set, where it is one of the user's."""
    name, _, single = image.rpartition("/")
    own = [text for text in protocol.evaluation.datasets if name in image_set(text).names and image_set(text).own]
    return f"{own[0]}/{single}" if own else image


def _networks(names: list[str], scale: int, experiment: str, protocol: str, root: Path) -> list[Network]:
    """The given networks, or bicubic and every variant of the experiment with available weights."""
    from benchmarks.networks import NetworkError
    from benchmarks.pictures.named import PictureError, named_network

    if names:
        return [named_network(name, scale, experiment, protocol, root) for name in names]
    found = []
    for name in (results.BASELINE, *ablations.load_experiment(experiment).variants):
        try:
            found.append(named_network(name, scale, experiment, protocol, root))
        except (PictureError, NetworkError) as error:
            say(f"left out: {error}")
    return found
