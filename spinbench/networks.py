"""Commands on one network: evaluate it, upscale with it, measure its cost, export it."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

import results
from spinbench.console import ConsoleProgress, console, say
from spinbench.options import (
    DeviceName,
    Ensemble,
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
    words,
)

app = typer.Typer()


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="The name of a network or of a run's variant, or bicubic.")],
    data: Annotated[
        list[str], typer.Option(help="The name of an image set (see `spinbench list`), or a folder of HR images.")
    ],
    weights: Weights = None,
    published: Published = False,
    untrained: Untrained = False,
    scale: ScaleOfWeights = None,
    config: Settings = None,
    convention: Annotated[list[str] | None, typer.Option(help="Convention of PSNR and SSIM. Can be repeated.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the values of every image to this file.")] = None,
    tile: TileSize = None,
    self_ensemble: Ensemble = False,
    precision: PrecisionName = None,
    device: DeviceName = "auto",
    threads: Threads = None,
) -> None:
    """Measure PSNR and SSIM of a network, or of bicubic interpolation, on image sets.

    With --precision the table has a column for the loss of PSNR against float32. Example:
    spinbench evaluate espcn --untrained --scale 2 --data embedded-test --precision bf16 --device cpu
    """
    import pandas as pd

    from benchmarks.data import datasets
    from benchmarks.measure import evaluation

    where = compute_device(device, threads)
    network = network_of(model, scale, config, weights, published, untrained, self_ensemble)
    manner, conventions, sets = tile_of(tile, network), _conventions(convention), datasets.several(data)
    reduced = precision_of(precision, network.model)
    frames = []
    with ConsoleProgress(len(sets)) as progress:
        progress.line(network.summary)
        upscale = network.upscaler(where, tile=manner, say=progress.line)
        for each in sets:
            advance = progress.stage(each.name, "evaluate")
            measure = partial(
                evaluation.evaluate,
                dataset=each, scale=network.scale, conventions=conventions, progress=advance, multiple=network.multiple,
            )  # fmt: skip
            if reduced is None:
                frames.append(measure(upscale))
            else:
                exact = measure(evaluation.in_precision(upscale, where, "float32"))
                found = measure(evaluation.in_precision(upscale, where, reduced))
                frames.append(found.assign(precision=reduced, psnr_float32=exact["psnr"]))
            progress.done(each.name)
    rows = pd.concat(frames, ignore_index=True)
    if csv:
        results.write(csv, rows.to_csv(index=False, lineterminator="\n"))
    title = f"{network.model}{'+' * network.ensemble} x{network.scale}{', untrained' * untrained}"
    more = [] if reduced is None else [f"loss by {reduced} (dB)"]
    table = Table("set", "LR", "convention", "images", "PSNR (dB)", "SSIM", *more, title=title)
    whole = {each.name: each.hr_names() for each in sets}
    remarks = []
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


@app.command()
def upscale(
    images: Annotated[list[Path], typer.Argument(help="The images to upscale.")],
    output: Annotated[
        Path, typer.Option(help="The folder for the results: 8-bit PNG files with the names of the images.")
    ],
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
    """Upscale images. Existing files are never overwritten."""
    from PIL import Image

    from benchmarks.data.images import DataError, read_image
    from benchmarks.measure.evaluation import in_precision
    from benchmarks.measure.quality import eight_bit
    from benchmarks.measure.tiling import TooLarge

    where = compute_device(device, threads)
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
                lr = read_image(image)
                sr = eight_bit(enlarge(lr))
            except (DataError, TooLarge, ValueError) as error:
                reason = str(error) if isinstance(error, DataError) else f"{image}: {error}"
                failed.append(reason)
                progress.done(f"failed: {reason}")
                continue
            content = io.BytesIO()
            Image.fromarray(sr).save(content, "PNG")
            results.write(target, content.getvalue())
            progress.done(f"{image} {_size(lr.shape)} -> {target} {_size(sr.shape)}")
    if failed:
        say(f"failed: {len(failed)} of {len(images)} images")
        raise typer.Exit(1)


@app.command("export-published")
def export_published(
    source: Annotated[Path, typer.Argument(help="A run's folder, or a file of weights.")],
    output: Annotated[Path, typer.Argument(help="The file to write: .pth, .pt or .safetensors.")],
    model: Annotated[
        str | None, typer.Option(help="The name of the network. Default: the network of the weights.")
    ] = None,
    scale: ScaleOfWeights = None,
    config: Settings = None,
) -> None:
    """Write trained weights with the parameter names and shapes of the published checkpoints."""
    from benchmarks import networks
    from benchmarks.data import published

    if output.exists():
        raise UsageError(f"{output}: exists already, expected a new file")
    trained = networks.of_weights(source, model=model, scale=scale, config=settings(config))
    module = trained.module()
    try:
        count = published.export(trained.model, module, output)
    except ValueError as error:
        raise UsageError(str(error)) from error
    say(f"{output}: {count} tensors of {trained.summary}")


@app.command()
def identify(file: Annotated[Path, typer.Argument(help="A checkpoint: .pth, .pt or .safetensors.")]) -> None:
    """Say which network of the registry, at which scale, a checkpoint fits.

    Nothing in the file is executed. Example:
    spinbench identify checkpoint.pth
    """
    from benchmarks.identification import identify as fits

    found = fits(file)
    fitting = [one for one in found if one.wrong is None]
    for one in fitting:
        say(f"{file}: fits {one.model} x{one.scale}")
    if not fitting:
        say(f"{file}: fits no network of the registry in its published configuration; the nearest:")
        for one in found[:3]:
            say(f"  {one.model} x{one.scale}, {one.share:.0%} of the tensors: {one.wrong}")
        raise typer.Exit(1)


@app.command()
def validate(
    model: Annotated[str, typer.Argument(help="A class in a file, such as net.py:Net, or the name of a network.")],
    scale: Scale = 4,
    config: Settings = None,
) -> None:
    """Check that a network can be trained and measured here, and show what holds.

    The file is imported, since you name it. Example:
    spinbench validate net.py:Net --config width=32
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
        mark = "[green]holds[/green]" if held else "[red]fails[/red]" if finding.needed else "[yellow]not[/yellow]"
        table.add_row(mark, finding.check, escape(finding.wrong or ""))
    console.print(table)
    if wrong:
        say(f"{len(wrong)} of the needed checks fail: its results would be wrong")
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
    repeats: Annotated[int, typer.Option(min=1, help="Number of timed forward passes.")] = 21,
    memory: Annotated[bool, typer.Option(help="Measure peak memory too.")] = True,
    precision: PrecisionName = None,
) -> None:
    """Count parameters and MACs for an output of 1280x720, and measure latency and peak memory.

    A network with C++ kernels is measured with them and in PyTorch.
    """
    from benchmarks import networks
    from benchmarks.measure.cost import Subject, costs

    where = compute_device(device, threads)
    own = settings(config)
    networks.untrained(model, scale, own).module()  # an invalid configuration is reported first
    (measured,) = costs(
        [Subject(model, scale, own)],
        where,
        lr_size=lr_size_of(lr) if lr else None,
        repeats=repeats,
        memory=memory,
        precision=precision_of(precision),
    )
    console.print_json(data=measured)


def _conventions(names: list[str] | None) -> list[str]:
    """The conventions of PSNR and SSIM in the values of the option, without duplicates."""
    from benchmarks.measure.quality import find_convention

    chosen = list(dict.fromkeys(words(names))) or ["rcan"]
    try:
        for name in chosen:
            find_convention(name)
    except ValueError as error:
        raise UsageError(f"--convention: {error}") from error
    return chosen


def _targets(images: list[Path], output: Path) -> dict[Path, Path]:
    """The file for each result. Raises UsageError for an existing file or two results with one file."""
    targets: dict[Path, Path] = {}
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
