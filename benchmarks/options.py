"""What the commands of the command line share: options, what becomes of them, and the console."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console

from foundation import SpinbenchError

if TYPE_CHECKING:
    import torch
    from torch import nn

console = Console(width=None if sys.stdout.isatty() else 160)  # a file or a pipe has no width of its own

DeviceName = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; default: one per core.")]
Scale = Annotated[int, typer.Option(help="2, 3 or 4.")]
Settings = Annotated[list[str] | None, typer.Option("--config", help="key=value of the network's configuration.")]
Weights = Annotated[Path | None, typer.Option(help="A run's folder, its weights, or a published checkpoint.")]


class UsageError(SpinbenchError):
    """An argument that cannot be used; one line."""


def compute_device(name: str, threads: int | None) -> torch.device:
    """The device of this name, and so many CPU threads from now on."""
    import torch

    from benchmarks import devices

    if threads:
        torch.set_num_threads(threads)
    try:
        return devices.device(name)
    except ValueError as error:
        raise UsageError(str(error)) from error


def network(
    name: str, scale: int, config: dict[str, Any], weights: Path | None = None, published: bool = False
) -> nn.Module:
    """A network with weights of ours, of a published checkpoint, or the registered one; else freshly initialised."""
    import models
    from benchmarks.published import network as published_network
    from models.weights import read_weights, with_published_names

    if weights and published:
        raise UsageError("--weights and --published: expected one of them")
    try:
        if published:
            models.describe(name)
            return published_network(name, scale)
        model = models.build(name, scale, **config)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if weights is None:
        return model
    file = weights / "weights.safetensors" if weights.is_dir() else weights
    state, own = read_weights(file), model.state_dict()
    if set(state) != set(own):
        return models.load_published(name, scale, file)
    model.load_state_dict(with_published_names(model, {key: key for key in own}, state, str(file)))
    return model


def settings(pairs: list[str] | None) -> dict[str, Any]:
    """Values of `key=value`, read as YAML."""
    found = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--config {pair}: expected key=value")
        found[key] = yaml.safe_load(value)
    return found


def words(values: list[str] | None) -> list[str]:
    """Values of an option that may be repeated, and holds several separated by commas."""
    return [word for value in values or [] for word in value.split(",") if word]


def integers(values: list[str] | None, option: str) -> list[int]:
    """The same for whole numbers."""
    found = words(values)
    for word in found:
        if not word.isdecimal():
            raise UsageError(f"{option} {word}: expected whole numbers such as 0,1,2")
    return [int(word) for word in found]


def say(text: str) -> None:
    """Print a line as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
