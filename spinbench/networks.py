"""Commands on one network: evaluate it, upscale with it, measure its cost."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

import results
from foundation import SpinbenchError, check_writable, meant, one_line
from spinbench.console import ConsoleProgress, console, say
from spinbench.costs import cost_table
from spinbench.options import (
    DeviceName,
    Ensemble,
    LrFolders,
    PrecisionName,
    Published,
    Scale,
    ScaleOfWeights,
    Settings,
    Threads,
    TileSize,
    Untrained,
    UsageError,
    Weights,
    compute_device,
    lr_size_of,
    network_of,
    precision_of,
    settings,
    tile_of,
    with_lr,
    words,
)
from spinbench.sr_images import keep_sr, sr_files, write_upscaled

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer()


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="The name of a network or of a run's variant, or bicubic.")],
    data: Annotated[
        list[str],
        typer.Option(
            help="The name of an image set (see `spinbench list`), or a folder of HR images: FOLDER, or label=FOLDER, "
            "where the label names it in the table. Can be repeated."
        ),
    ],
    lr: LrFolders = None,
    weights: Weights = None,
    published: Published = False,
    untrained: Untrained = False,
    scale: ScaleOfWeights = None,
    config: Settings = None,
    convention: Annotated[list[str] | None, typer.Option(help="Convention of PSNR and SSIM. Can be repeated.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the values of every image to this file.")] = None,
    save: Annotated[
        Path | None,
        typer.Option(help="Keep the SR images in this folder, as 8-bit PNG files named by set, image and network."),
    ] = None,
    tile: TileSize = None,
    self_ensemble: Ensemble = False,
    precision: PrecisionName = None,
    device: DeviceName = "auto",
    threads: Threads = None,
) -> None:
    """Measure PSNR and SSIM of a network, or of bicubic interpolation, on image sets.

    With --precision, such as bf16, the table has a column for the loss of
    PSNR against float32. A folder of HR images has the LR images of
    --lr, or those that lie beside them (HR/ and LR_bicubic/X4/, or
    a_SRF_4_HR.png and a_SRF_4_LR.png), or else MATLAB's bicubic ones.
    Files are PNG, JPEG (.jpg, .jpeg, .jpe, .jfif), BMP, TIFF, WebP, PPM
    and PGM with 8 bit.

    Example: spinbench evaluate imdn --published --data Set5 --save images
    """
    import pandas as pd

    from benchmarks.data import datasets
    from benchmarks.data.own import OwnDataset
    from benchmarks.measure import evaluation

    for file in filter(None, (csv, save and save / "image.png")):
        check_writable(file)
    where = compute_device(device, threads)
    network = network_of(model, scale, config, weights, published, untrained, self_ensemble)
    manner, conventions, sets = (
        tile_of(tile, network),
        _conventions(convention),
        datasets.several(with_lr(words(data), lr)),
    )
    targets = sr_files(save, sets, network) if save else {}
    reduced = precision_of(precision, network.model)
    for each in sets:
        each.missing(network.scale)  # LR images that are no partners are told first
    frames: list[pd.DataFrame] = []
    failed: dict[str, None] = {}
    with ConsoleProgress(len(sets)) as progress:
        progress.line(network.summary)
        upscale = network.upscaler(where, tile=manner, say=progress.line)
        for each in sets:
            advance = progress.stage(each.name, "evaluate")
            keep = partial(keep_sr, targets[each.name]) if save else None
            measure = partial(
                evaluation.evaluate,
                dataset=each, scale=network.scale, conventions=conventions, progress=advance, multiple=network.multiple,
                failed=lambda error: failed.setdefault(one_line(error)),
            )  # fmt: skip
            try:
                if reduced is None:
                    frames.append(measure(upscale, keep=keep))
                else:
                    exact = measure(evaluation.in_precision(upscale, where, "float32"))
                    found = measure(evaluation.in_precision(upscale, where, reduced), keep=keep)
                    exact = exact[["convention", "image", "psnr"]].rename(columns={"psnr": "psnr_float32"})
                    frames.append(found.assign(precision=reduced).merge(exact, on=["convention", "image"]))
            except SpinbenchError as error:  # no image of the set could be measured
                if each is sets[-1] and not frames:
                    raise
                failed.setdefault(one_line(error))
                progress.done(f"{each.name}: failed")
                continue
            progress.done(each.name)
    rows = pd.concat(frames, ignore_index=True)
    title = f"{network.model}{'+' * network.ensemble} x{network.scale}{', untrained' * untrained}"
    more = [] if reduced is None else [f"loss by {reduced} (dB)"]
    table = Table("set", "LR", "convention", "images", "PSNR (dB)", "SSIM", *more, title=title)
    whole = {each.name: each.hr_names() for each in sets}
    remarks = [each.left_out for each in sets if isinstance(each, OwnDataset) and each.left_out]
    for (name, origin, rule), group in rows.groupby(["dataset", "lr_origin", "convention"], sort=False):
        finite = group[group["psnr"] != float("inf")]
        psnr = f"{finite['psnr'].mean():.3f}" if len(finite) else "infinite"
        if missing := [image for image in whole[name] if image not in set(group["image"])]:
            remarks.append(f"{name}: {len(missing)} of {len(whole[name])} images are missing: {', '.join(missing)}")
        if 0 < len(finite) < len(group):
            same = f"{len(group) - len(finite)} of {len(group)} images"
            remarks.append(f"{name}, {rule}: {same} equal HR (infinite PSNR) and are left out of its mean")
        images = f"{len(group)} of {len(whole[name])}" if missing else str(len(group))
        loss = [] if reduced is None else [f"{(finite['psnr_float32'] - finite['psnr']).mean():.4f}"]
        table.add_row(name, origin, rule, images, psnr, f"{group['ssim'].mean():.4f}", *loss)
    console.print(table)
    for remark in dict.fromkeys(remarks):
        say(remark)
    if csv:
        results.write(csv, results.as_csv(rows))
    if failed:
        for line in failed:
            say(f"failed: {line}")
        raise typer.Exit(1)


@app.command()
def upscale(
    images: Annotated[list[Path], typer.Argument(help="The images to upscale, or folders of images.")],
    output: Annotated[
        Path, typer.Option(help="The folder for the results: PNG files with the names of the images.")
    ] = Path("upscaled"),
    model: Annotated[
        str | None, typer.Option(help="The name of a network, or bicubic. Default: the network of the weights.")
    ] = None,
    weights: Weights = None,
    published: Published = False,
    untrained: Untrained = False,
    scale: ScaleOfWeights = None,
    config: Settings = None,
    tile: TileSize = None,
    self_ensemble: Ensemble = False,
    precision: PrecisionName = None,
    device: DeviceName = "auto",
    threads: Threads = None,
) -> None:
    """Upscale images. Existing files are never overwritten.

    Without --model and --weights, by SPIN x4 with the weights that come
    with the suite: they were trained briefly, and are far from converged.

    Images are turned as their EXIF orientation says. 16 bit per channel,
    transparency and colour profile (ICC) are kept.

    Example: spinbench upscale photo.png --output big
    """
    from benchmarks.data.images import DataError
    from benchmarks.data.photos import images_in, read_photo
    from benchmarks.measure.evaluation import in_precision
    from benchmarks.measure.tiling import TooLarge

    images = [file for image in images for file in (images_in(image) if image.is_dir() else [image])]
    where = compute_device(device, threads)
    if model is None and weights is None and not (published or untrained):
        weights = Path("pretrained")
    network = network_of(model, scale, config, weights, published, untrained, self_ensemble)
    manner, targets = tile_of(tile, network), _targets(images, output)
    chosen = precision_of(precision, network.model)
    failed = []
    with ConsoleProgress(len(images)) as progress:

        def on_tile(done: int, total: int) -> None:
            advance(done, total, "tiles")

        progress.line(network.summary)
        enlarge = network.upscaler(where, tile=manner, say=progress.line, on_tile=on_tile)
        enlarge = enlarge if chosen is None else in_precision(enlarge, where, chosen)
        for image, target in targets.items():
            advance = progress.stage(image.name, "upscale")
            try:
                photo = read_photo(image)
                sr = enlarge(photo.rgb)
                remarks = write_upscaled(target, photo, sr, network.scale)
            except (DataError, TooLarge, ValueError) as error:
                reason = str(error) if isinstance(error, DataError) else f"{image}: {error}"
                failed.append(reason)
                progress.done(f"failed: {reason}")
                continue
            progress.done(", ".join([f"{image} {_size(photo.rgb.shape)} -> {target} {_size(sr.shape)}", *remarks]))
    if failed:
        say(f"failed: {len(failed)} of {len(images)} images")
        raise typer.Exit(1)


@app.command()
def cost(
    model: Annotated[str, typer.Argument(help="The name of a network.")],
    scale: Scale = 4,
    config: Settings = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    lr: Annotated[
        str | None, typer.Option(help="The LR image of latency and memory, height x width. Default: for 1280x720.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=10_000, help="Number of timed forward passes.")] = 21,
    memory: Annotated[bool, typer.Option(help="Measure peak memory too.")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything that was counted and measured, as in a cost.json.")
    ] = False,
    precision: PrecisionName = None,
) -> None:
    """Count parameters and MACs for an output of 1280x720, and measure latency and peak memory.

    A network with C++ kernels is measured with them and in PyTorch.

    Example: spinbench cost fsrcnn --lr 64x64 --repeats 5
    """
    from benchmarks import networks
    from benchmarks.measure.cost import Subject, costs

    where = compute_device(device, threads)
    own = settings(config)
    network = networks.untrained(model, scale, own)
    network.module()  # an invalid configuration is reported first
    size, subject = lr_size_of(lr) if lr else None, Subject(network.model, scale, own)
    try:
        (measured,) = costs(
            [subject], where, lr_size=size, repeats=repeats, memory=memory, precision=precision_of(precision)
        )
    except ValueError as error:  # an image that the network does not take
        if size is None:
            raise
        raise UsageError(f"--lr {lr}: {one_line(error)}") from error
    if as_json:
        say(json.dumps(measured, indent=1))
    else:
        console.print(cost_table(f"{network.model} x{scale}", measured))


def _conventions(names: list[str] | None) -> list[str]:
    """The conventions of PSNR and SSIM in the values of the option, without duplicates."""
    from benchmarks.measure.quality import CONVENTIONS, find_convention

    chosen = list(dict.fromkeys(meant(name, CONVENTIONS) or name for name in words(names))) or ["rcan"]
    try:
        for name in chosen:
            find_convention(name)
    except ValueError as error:
        raise UsageError(f"--convention: {error}") from error
    return chosen


def _targets(images: list[Path], output: Path) -> dict[Path, Path]:
    """The file for each result. Raises UsageError for an existing file or two results with one file."""
    targets: dict[Path, Path] = {}
    check_writable(output / "image.png")
    for image in images:
        target = output / f"{image.stem}.png"
        if target in targets.values():
            raise UsageError(f"{image}: another image is also written to {target}, expected images of different names")
        if target.exists():
            raise UsageError(f"{target}: exists already, expected a folder without it")
        targets[image] = target
    return targets


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"
