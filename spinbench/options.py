"""The options that several commands share, and their interpretation."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import ablations
from foundation import SpinbenchError, printable, registered
from foundation.image_sets import image_set
from results import BASELINE

if TYPE_CHECKING:
    import torch

    from benchmarks.measure.precision import Precision
    from benchmarks.measure.tiling import Tile
    from benchmarks.networks import Network
    from benchmarks.runs.places import Place
    from results.comparison import Box


def _results_folder(folder: Path) -> Path:
    """Also one that is not there yet: nothing but folders leads to it."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        raise typer.BadParameter(f"{printable(str(there))} is no folder")
    return folder


def _picture_name(name: str | None) -> str | None:
    from results.pictures import check_name

    try:
        if name is not None:
            check_name(name)
    except ValueError as error:
        raise UsageError(f"--name {error}") from error
    return name


MOST_THREADS = 4096  # more than any machine has; PyTorch takes no number of any size
DeviceName = Annotated[str, typer.Option(help="The device: auto, cpu, cuda, cuda:1 or a GPU's UUID.")]
Threads = Annotated[int | None, typer.Option(min=1, max=MOST_THREADS, help="CPU threads. Default: one per core.")]
Scale = Annotated[int, typer.Option(help="Upscaling factor: 2, 3 or 4.")]
ScaleOfWeights = Annotated[
    int | None, typer.Option("--scale", help="Upscaling factor: 2, 3 or 4. Default: the one of the weights, or 4.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--config", help="An entry of the network's configuration, as key=value. Can be repeated."),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        help="A run's folder, a file of weights, a published checkpoint, or pretrained: those that come with the suite."
    ),
]

Published = Annotated[bool, typer.Option("--published", help="Use the registered published checkpoint.")]
Ensemble = Annotated[
    bool, typer.Option("--self-ensemble", help="Average the results of the 8 flips and rotations of the input.")
]
Untrained = Annotated[bool, typer.Option("--untrained", help="Use random weights (seed 0).")]
TileSize = Annotated[
    str | None,
    typer.Option(
        "--tile",
        help="Tiling: auto (default) tiles images that exceed the memory; off; or the edge of a tile in LR pixels.",
    ),
]

PrecisionName = Annotated[
    Literal["float32", "tf32", "bfloat16", "bf16", "float16", "fp16"] | None,
    typer.Option(
        "--precision",
        case_sensitive=False,
        help="Compute in it, by autocast; tf32 concerns GPUs. Default: the device's own.",
    ),
]

LrFolders = Annotated[
    list[str] | None,
    typer.Option(
        "--lr",
        help="The folder of the LR images of --data, named as the HR images, also with x4, _LR or the like at the "
        "end. Several in the order of --data.",
    ),
]
ProtocolName = Annotated[str, typer.Option(help="The name of a protocol, or the path of its YAML file.")]
Folder = Annotated[
    Path, typer.Option("--results", help="The folder of results, with runs/ and report/.", callback=_results_folder)
]
PictureName = Annotated[
    str | None,
    typer.Option("--name", help="The name of the picture. Default: image and scale.", callback=_picture_name),
]
Rerun = Annotated[
    bool,
    typer.Option(
        "--rerun", help="Repeat trainings that are stale or damaged. Their old folders are kept under stale/."
    ),
]
Only = Annotated[list[str] | None, typer.Option(help="Restrict to these variants, separated by commas.")]
Scales = Annotated[
    list[str] | None, typer.Option("--scale", help="Scales, separated by commas. Default: those of the experiment.")
]
Seeds = Annotated[list[str] | None, typer.Option(help="Seeds, such as 0,1,2 or 0-2. Default: those of the protocol.")]


_MOST = 10_000  # numbers of a range


class UsageError(SpinbenchError):
    """An invalid argument; the message is one line."""


def compute_device(name: str, threads: int | None) -> torch.device:
    """The device of this name; sets the number of CPU threads."""
    from benchmarks.measure import devices

    devices.use_threads(threads)
    try:
        return devices.device(name if name.startswith("GPU-") else name.strip().lower())
    except ValueError as error:
        raise UsageError(str(error)) from error


def compute_places(name: str, threads: int | None, jobs: int | None = None, gpus: str | None = None) -> list[Place]:
    """Where runs are executed at the same time: all GPUs (or those that are named), or `jobs` shares of the CPU."""
    import torch

    from benchmarks.runs.places import Place, on_cpu, on_gpus

    if gpus is not None and (jobs is not None or name != "auto"):
        raise UsageError(f"--gpus {gpus}: not together with --{'device' if name != 'auto' else 'jobs'}")
    if gpus is not None or (name == "auto" and jobs is None and torch.cuda.is_available()):
        if not torch.cuda.is_available():
            raise UsageError(f"--gpus {gpus}: PyTorch {torch.__version__} sees no GPU")
        return on_gpus(gpus, threads)
    where = compute_device("cpu" if jobs is not None and name == "auto" else name, threads)
    if where.type == "cpu":
        return on_cpu(jobs or 1, threads)
    if jobs is not None:
        raise UsageError(f"--jobs {jobs}: is for a CPU; several GPUs are named by --gpus")
    return [Place(name, threads, torch.cuda.get_device_name(where))]


def settings(pairs: list[str] | None, option: str = "--config") -> dict[str, Any]:
    """The entries `key=value` of an option as a mapping, with values read as YAML."""
    found: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"{option} {pair}: expected key=value")
        if key in found:
            raise UsageError(f"{option} {pair}: {key} is given twice")
        try:
            found[key] = ablations.parsed(value)
        except ValueError as error:
            raise UsageError(f"{option} {pair}: {error}") from error
    return found


def lr_size_of(text: str) -> tuple[int, int]:
    """(H, W) of the option --lr. Raises UsageError."""
    size = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if size is None:
        raise UsageError(f"--lr {text}: expected height x width, such as 64x64")
    return int(size[1]), int(size[2])


def words(values: list[str] | None) -> list[str]:
    """The values of an option that can be repeated and contain several values separated by commas and spaces.

    The path of a file or folder with a comma in its name is one value.
    """
    parts = [part for value in values or [] for part in ([value] if Path(value).exists() else value.split(","))]
    return [part.strip() for part in parts if part.strip()]


def integers(values: list[str] | None, option: str, ranges: bool = True) -> list[int]:
    """The values of such an option as integers; with `ranges`, 0-3 is 0,1,2,3. Raises UsageError for other values."""
    found: list[int] = []
    for word in words(values):
        number = re.fullmatch(r"([0-9]{1,20})(?:-([0-9]{1,20}))?", word)
        first, last = (int(number[1]), int(number[2] or number[1])) if number else (0, -1)
        if not 0 <= last - first < _MOST or ("-" in word and not ranges):
            more = " or a range such as 0-3" * ranges
            raise UsageError(f"{option} {word}: expected whole numbers such as 0,1,2{more}")
        found += range(first, last + 1)
    return found


def seeds_of(values: list[str] | None) -> list[int]:
    """The seeds of the option --seeds. Raises UsageError for one that is out of range."""
    found = integers(values, "--seeds")
    if wrong := [seed for seed in found if seed >= 2**32]:
        raise UsageError(f"--seeds {wrong[0]}: expected at most {2**32 - 1}")
    return found


def with_lr(data: list[str], lr: list[str] | None) -> list[str]:
    """The sets of --data with the folders of --lr. Raises UsageError where they are not as many."""
    if not lr:
        return data
    if len(lr) != len(data):
        raise UsageError(f"--lr: {len(lr)} folders for {len(data)} --data, expected one for each")
    try:
        return [str(replace(image_set(images), lr=folder)) for images, folder in zip(data, lr, strict=True)]
    except ValueError as error:
        raise UsageError(f"--data: {error}") from error


def network_of(
    model: str | None,
    scale: int | None,
    config: list[str] | None,
    weights: Path | None,
    published: bool,
    untrained: bool,
    ensemble: bool,
) -> Network:
    """The network that the options specify. Raises UsageError for options that do not apply or exclude each other."""
    from benchmarks import networks

    own = settings(config)
    taken = {"--weights": weights is not None, "--published": published, "--untrained": untrained}
    ways = [option for option, given in taken.items() if given]
    if model is not None and registered(model) == BASELINE:
        if unused := [*ways, *(["--config"] if own else [])]:
            raise UsageError(f"{model}: interpolation takes no {' and no '.join(unused)}")
        found = networks.bicubic(scale)
    elif len(ways) > 1:
        raise UsageError(f"{' and '.join(ways)}: expected one of them")
    elif weights is not None and str(weights) == "pretrained":
        found = networks.pretrained(model or "spin", scale, own)
    elif weights is not None:
        found = networks.of_weights(weights, model=model, scale=scale, config=own)
    elif model is None:
        raise UsageError("no --model: expected one, or --weights with a description of their network")
    elif published:
        found = networks.published(model, scale, own)
    else:
        found = networks.untrained(model, scale, own)  # an unknown name is reported first
        if not untrained:
            raise UsageError(f"{model}: expected --weights or --published, or --untrained for random weights")
    return replace(found, ensemble=found.ensemble or ensemble)


def precision_of(name: str | None, model: str = "") -> Precision | None:
    """The precision that the option names. Raises UsageError for bicubic interpolation."""
    if name is None:
        return None
    if model == BASELINE:
        raise UsageError(f"{model}: interpolation takes no --precision")
    short: dict[str, Any] = {"bf16": "bfloat16", "fp16": "float16"}
    found: Precision = short.get(name, name)
    return found


def tile_of(tile: str | None, network: Network) -> Tile:
    """The tiling that the option specifies. Raises UsageError for other values."""
    if tile in (None, "auto"):
        return "auto"
    if tile != "off" and not (tile.isdecimal() and int(tile)):
        raise UsageError(f"--tile {tile}: expected auto, off, or the edge of a tile in LR pixels")
    if network.model == BASELINE:
        raise UsageError(f"{network.model}: interpolation takes no --tile")
    return "off" if tile == "off" else int(tile)


def box_of(text: str) -> Box:
    """A box from x,y,width,height in HR pixels. Raises UsageError for another text."""
    from results.comparison import Box

    numbers = integers([text], "--box", ranges=False)
    if len(numbers) != 4 or 0 in numbers[2:]:
        raise UsageError(f"--box {text}: expected x,y,width,height, such as 40,120,64,64")
    return Box(**dict(zip(Box.model_fields, numbers, strict=True)))
