"""Commands on one network: evaluate it, upscale with it, measure its cost, export it; and the speed of all."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

import results
from benchmarks.options import (
    DeviceName,
    Scale,
    Settings,
    Threads,
    UsageError,
    Weights,
    compute_device,
    console,
    network,
    say,
    settings,
    words,
)

if TYPE_CHECKING:
    import torch

    from benchmarks.evaluation import Upscale

Published = Annotated[bool, typer.Option("--published", help="With the registered published checkpoint.")]
Ensemble = Annotated[bool, typer.Option("--self-ensemble", help="Mean over the 8 symmetries of the square.")]
TileSize = Annotated[str, typer.Option("--tile", help="auto: tiles if the memory asks for them; off; or their edge.")]

app = typer.Typer()


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A network's name, or bicubic.")],
    data: Annotated[list[str], typer.Option(help="A set's name (see `spinbench list`), or a folder of HR images.")],
    weights: Weights = None,
    published: Published = False,
    scale: Scale = 4,
    config: Settings = None,
    convention: Annotated[list[str] | None, typer.Option(help="Of PSNR and SSIM; repeat for several.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the rows of every image here.")] = None,
    tile: TileSize = "auto",
    self_ensemble: Ensemble = False,
    device: DeviceName = "auto",
    threads: Threads = None,
) -> None:
    """Measure PSNR and SSIM of a network, or of bicubic interpolation, on sets of images."""
    import pandas as pd

    from benchmarks import evaluation
    from benchmarks.data import datasets
    from benchmarks.progress import RunProgress

    where = compute_device(device, threads)
    conventions = words(convention) or ["rcan"]
    frames = []
    with RunProgress(len(data), console) as progress:
        upscale = _upscaler(
            model, scale, settings(config), weights, published, tile, self_ensemble, where, progress.line
        )
        for name in data:
            advance = progress.stage(name, "evaluate")
            frames.append(evaluation.evaluate(upscale, datasets.get(name), scale, conventions, advance))
            progress.done(name)
    rows = pd.concat(frames, ignore_index=True)
    if csv:
        results.write(csv, rows.to_csv(index=False, lineterminator="\n"))
    title = f"{model}{'+' if self_ensemble else ''} x{scale}"
    table = Table("set", "LR", "convention", "images", "PSNR (dB)", "SSIM", title=title)
    for (name, origin, rule), group in rows.groupby(["dataset", "lr_origin", "convention"], sort=False):
        finite = group[group["psnr"] != float("inf")]
        psnr = f"{finite['psnr'].mean():.3f}" if len(finite) else "infinite"
        table.add_row(name, origin, rule, str(len(group)), psnr, f"{group['ssim'].mean():.4f}")
    console.print(table)


@app.command()
def upscale(
    images: Annotated[list[Path], typer.Argument(help="Images to enlarge.")],
    model: Annotated[str, typer.Option(help="A network's name, or bicubic.")],
    output: Annotated[Path, typer.Option(help="Folder for the results, 8-bit PNG by the images' names.")],
    weights: Weights = None,
    published: Published = False,
    scale: Scale = 4,
    config: Settings = None,
    tile: TileSize = "auto",
    self_ensemble: Ensemble = False,
    device: DeviceName = "auto",
    threads: Threads = None,
) -> None:
    """Enlarge images. No file that is there already is ever overwritten."""
    from PIL import Image

    from benchmarks.data.images import DataError, read_image
    from benchmarks.progress import RunProgress
    from benchmarks.quality import eight_bit
    from benchmarks.tiling import TooLarge

    if model != results.BASELINE and weights is None and not published:
        raise UsageError(f"{model}: expected --weights or --published, without them a network knows nothing")
    targets = _targets(images, output)
    where = compute_device(device, threads)
    failed = []
    with RunProgress(len(images), console) as progress:

        def on_tile(done: int, total: int) -> None:
            advance(done, total, "tiles")

        enlarge = _upscaler(
            model, scale, settings(config), weights, published, tile, self_ensemble, where, progress.line, on_tile
        )
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
    source: Annotated[Path, typer.Argument(help="A run's folder, or its weights.")],
    output: Annotated[Path, typer.Argument(help="File to write: .pth, .pt or .safetensors.")],
    model: Annotated[str, typer.Option(help="The network's name.")],
    scale: Scale = 4,
) -> None:
    """Write trained weights under the names and shapes of the network's published checkpoints."""
    from benchmarks import published

    if output.exists():
        raise UsageError(f"{output}: is there already, expected a new file")
    trained = network(model, scale, {}, source)
    try:
        count = published.export(model, trained, output)
    except ValueError as error:
        raise UsageError(str(error)) from error
    say(f"{output}: {count} tensors")


@app.command()
def cost(
    model: Annotated[str, typer.Argument(help="A network's name.")],
    scale: Scale = 4,
    config: Settings = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    repeats: Annotated[int, typer.Option(min=1, help="Timed forward passes.")] = 10,
    memory: Annotated[bool, typer.Option(help="Measure peak memory in a fresh process.")] = True,
) -> None:
    """Count parameters and MACs at an output of 1280x720, and measure latency and peak memory."""
    from benchmarks import cost as costing

    where = compute_device(device, threads)
    network(model, scale, settings(config))
    measured = costing.measure(model, scale, settings(config), where, repeats=repeats, memory=memory)
    console.print_json(data=measured)


@app.command()
def speed(
    networks: Annotated[
        list[str] | None, typer.Option("--models", help="Networks instead of all: repeat, or separate by commas.")
    ] = None,
    scale: Scale = 4,
    lr: Annotated[str, typer.Option(help="The common size of the input, height x width.")] = "64x64",
    repeats: Annotated[int, typer.Option(min=1, help="Timed forward passes at each size.")] = 5,
    csv: Annotated[Path, typer.Option(help="File that the rows go to.")] = results.ROOT / "speed.csv",
    device: DeviceName = "auto",
    threads: Threads = None,
) -> None:
    """Time all networks at a common size, and how their time grows over four sizes."""
    import models
    from benchmarks import devices
    from benchmarks import speed as timing
    from benchmarks.progress import RunProgress
    from reports.speed import exponent

    size = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", lr)
    if size is None:
        raise UsageError(f"--lr {lr}: expected height x width, such as 64x64")
    lr_size = int(size[1]), int(size[2])
    where = compute_device(device, threads)
    names = words(networks) or models.names()
    for name in names:
        network(name, scale, {})  # a wrong name is told at once
    about = devices.describe(where)
    title = f"x{scale}, LR {lr} (HxW), {about['name']}, {about['threads']} threads"
    table = Table("network", "seconds", "GMACs", "GMACs/s", "peak MiB", "time ~ pixels^", "MACs ~ pixels^", title=title)
    failed = []
    with RunProgress(len(names), console) as progress:
        for name in names:
            try:
                rows = timing.measure(name, scale, lr_size, where, repeats, progress.stage(name, "speed"))
                timing.store(rows, csv)
            except results.ResultsError:
                raise
            except Exception as error:  # whatever is wrong with one network, the others are measured
                failed.append(name)
                progress.done(f"{name} failed: {str(error).partition(chr(10))[0] or type(error).__name__}")
                continue
            (row,) = rows[rows["memory_bytes"].notna()].to_dict("records")
            gmacs, seconds = row["macs"] / 1e9, row["median_s"]
            grows = (f"{exponent(rows, column):.2f}" for column in ("median_s", "macs"))
            memory = f"{row['memory_bytes'] / 2**20:.0f}"
            table.add_row(name, f"{seconds:.4f}", f"{gmacs:.2f}", f"{gmacs / seconds:.1f}", memory, *grows)
            progress.done(f"{name}: {seconds:.4f} s")
    console.print(table)
    say(f"rows: {csv}")
    if failed:
        say(f"failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _upscaler(
    model: str,
    scale: int,
    config: dict[str, Any],
    weights: Path | None,
    published: bool,
    tile: str,
    ensemble: bool,
    where: torch.device,
    tell: Callable[[str], None],
    on_tile: Callable[[int, int], None] | None = None,
) -> Upscale:
    """Bicubic interpolation or a network that takes images as the memory allows; its self-ensemble if wanted."""
    import models
    from benchmarks import evaluation
    from benchmarks.tiling import Fitted

    if tile not in ("auto", "off") and not (tile.isdecimal() and int(tile)):
        raise UsageError(f"--tile {tile}: expected auto, off, or the edge of a tile in LR pixels")
    upscale: Upscale
    if model == results.BASELINE:
        upscale = evaluation.bicubic_upscale(scale)
    else:
        upscale = Fitted(
            network(model, scale, config, weights, published),
            scale,
            where,
            least=models.describe(model).smallest_input,
            tile=int(tile) if tile.isdecimal() else "auto" if tile == "auto" else "off",
            say=tell,
            on_tile=on_tile,
        )
    return evaluation.self_ensemble(upscale) if ensemble else upscale


def _targets(images: list[Path], output: Path) -> dict[Path, Path]:
    """The file for each image's result; none is there, and no two are the same."""
    targets: dict[Path, Path] = {}
    for image in images:
        target = output / f"{image.stem}.png"
        if target in targets.values():
            raise UsageError(f"{image}: another image gives {target} too, expected images of different names")
        if target.exists():
            raise UsageError(f"{target}: is there already, expected a folder without it")
        targets[image] = target
    return targets


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"
