"""Published checkpoints: their files by network and scale, and the export of weights in their form."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

import models
import results
from benchmarks.data.images import DataError
from benchmarks.data.registry import entries
from benchmarks.data.sources import Published


def checkpoint(name: str, scale: int) -> Published | None:
    """The checkpoint of a network at a scale (one file may contain all scales); None if none is registered."""
    for entry in entries(name):
        if entry.kind == "weights" and entry.scale in (0, scale):
            return Published(entry.path, entry.hash)
    return None


def fetch_all(progress: Callable[[int, int, str], None] | None = None) -> int:
    """Fetch and verify all checkpoints and the additional data of networks; returns the number of files.

    Raises DataError naming those that are unavailable, after fetching all others.
    """
    every = [entry for name in models.names() for entry in entries(name) if entry.kind in ("weights", "data")]
    missing = []
    for done, entry in enumerate(every, start=1):
        source = Published(entry.path, entry.hash)
        if source.available():
            source.locate()
        else:
            missing.append(entry.path)
        if progress:
            progress(done, len(every), f"{entry.name} x{entry.scale}" if entry.scale else entry.name)
    if missing:
        raise DataError(f"{len(missing)} of {len(every)} files are not in the mirror: {', '.join(missing)}")
    return len(every)


def export(name: str, model: nn.Module, path: Path) -> int:
    """Write a network's weights under the published names and shapes; returns the number of tensors.

    The suffix determines the format: .safetensors, or PyTorch's own for .pth and .pt. The file is written atomically.
    Raises ValueError for another suffix, before writing.
    """
    state = models.published_state(name, model)
    if path.suffix == ".safetensors":
        content = safetensors.torch.save(state)
    elif path.suffix in (".pth", ".pt"):
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
    else:
        raise ValueError(f"{path}: expected a name that ends in .pth, .pt or .safetensors")
    results.write(path, content)
    return len(state)
