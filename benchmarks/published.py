"""Published checkpoints: which networks have one, at which scales, and where it lies on this machine."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

import models
from benchmarks.data.images import DataError
from benchmarks.data.registry import entries
from benchmarks.data.sources import Published


def checkpoint(name: str, scale: int) -> Published | None:
    """The checkpoint of a network at a scale (one file may serve all), or None if none is registered."""
    for entry in entries(name):
        if entry.kind == "weights" and entry.scale in (0, scale):
            return Published(entry.path, entry.hash)
    return None


def network(name: str, scale: int) -> nn.Module:
    """The published network. Raises DataError if its checkpoint cannot be had, models.WeightsError if it is not its."""
    source = checkpoint(name, scale)
    if source is None:
        raise DataError(f"{name} x{scale}: no published checkpoint is registered")
    return models.load_published(name, scale, source.locate())


def fetch_all(progress: Callable[[int, int, str], None] | None = None) -> int:
    """Fetch and check all checkpoints, and the data that a network needs beside its own; how many they are.

    Raises DataError naming those that cannot be had, after all others were fetched.
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
