"""Published checkpoints: their files by network and scale, and the export of weights in their form."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

import models
import results
from benchmarks.data.fetch import local_file, mirror_folder
from benchmarks.data.images import DataError
from benchmarks.data.registry import Entry, entries
from benchmarks.data.sources import Published, Unverified
from foundation import registered


def checkpoint(name: str, scale: int) -> Published | Unverified | None:
    """The checkpoint of a network at a scale (one file may contain all scales); None if none is registered."""
    for entry in _weights(name):
        if entry.scale in (0, scale):
            return _source(entry)
    return None


def unavailable(name: str, scale: int) -> str | None:
    """Why the checkpoint of a network cannot be used now; None if it can."""
    source = checkpoint(name, scale)
    if source is None:
        return "no published checkpoint is registered"
    if source.available():
        return None
    file = Path(source.path).name
    if isinstance(source, Unverified):
        return f"its published checkpoint was never verified here, and must first be fetched by name ({file})"
    return f"its checkpoint is not in the mirror ({file})"


def availability(name: str, scale: int) -> str | None:
    """Whether the checkpoint of a network is at hand, in a word or two; None if none is registered."""
    source = checkpoint(name, scale)
    if source is None:
        return None
    at_hand = local_file(source.path).is_file()
    word = "at hand" if at_hand else "to fetch" if mirror_folder() is None else "not in the mirror"
    return f"{word}, unverified" if isinstance(source, Unverified) else word


def fetch_all(progress: Callable[[int, int, str], None] | None = None) -> int:
    """Fetch and verify all checkpoints and the additional data of networks; returns the number of files.

    Files whose SHA-256 is unknown are left to `fetch_of`. Raises DataError naming those that are unavailable, after
    fetching all others.
    """
    registered_files = [entry for name in models.names() for entry in entries(name)]
    every = [entry for entry in registered_files if entry.kind in ("weights", "data") and entry.hash]
    missing = []
    for done, entry in enumerate(every, start=1):
        source = Published(entry.path, entry.hash, entry.bytes)
        if source.available():
            source.locate()
        else:
            missing.append(entry.path)
        if progress:
            progress(done, len(every), f"{entry.name} x{entry.scale}" if entry.scale else entry.name)
    if missing:
        raise DataError(f"{len(missing)} of {len(every)} files are not in the mirror: {', '.join(missing)}")
    return len(every)


def fetch_of(name: str, scales: Sequence[int], progress: Callable[[int, int, str], None] | None = None) -> list[str]:
    """Fetch the checkpoints of a network at these scales, or at all; returns a line on each.

    Raises DataError for one that is unavailable or damaged, and if none is registered.
    """
    every = [entry for entry in _weights(name) if not scales or entry.scale in (0, *scales)]
    if not every:
        at = f" at {', '.join(f'x{scale}' for scale in scales)}" if scales else ""
        raise DataError(f"{name}: no published checkpoint is registered{at}")
    told = []
    for done, entry in enumerate(every, start=1):
        source = _source(entry)
        if isinstance(source, Unverified):
            file = source.fetch()
            told.append(f"{file}: SHA-256 {source.content}, now recorded; never verified here, from {entry.path}")
        else:
            told.append(f"{source.locate()}: verified")
        if progress:
            progress(done, len(every), Path(entry.path).name)
    return told


def _weights(name: str) -> list[Entry]:
    return [entry for entry in entries(registered(name)) if entry.kind == "weights"]


def _source(entry: Entry) -> Published | Unverified:
    return Published(entry.path, entry.hash, entry.bytes) if entry.hash else Unverified(entry.path)


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
