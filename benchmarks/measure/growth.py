"""The time of networks at a common size, and its growth with the size of the image.

The growth is the exponent of a power law in the number of pixels: 1 if the work is proportional to the size of the
image. If time grows faster than MACs, the cost of operations other than the arithmetic grows.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import models
import results
from benchmarks.measure import provenance
from benchmarks.measure.devices import device_facts
from benchmarks.measure.latency import latency
from benchmarks.measure.macs import macs
from benchmarks.measure.peak import peak_memory

EDGES = (0.5, 0.75, 1.0, 1.5)  # edge lengths relative to the common size
# the key of a row: a new measurement replaces the row with the same key
KEY = ["network", "scale", "lr_height", "lr_width", "device", "device_name", "threads", "dtype"]
COLUMNS = [*KEY, "macs", "median_s", "q1_s", "q3_s", "repeats", "memory_bytes", "memory_method", "python", "torch"]


def timings(
    name: str,
    scale: int,
    lr_size: tuple[int, int],
    device: torch.device,
    repeats: int = 5,
    progress: Callable[[int, int, str], None] | None = None,
) -> pd.DataFrame:
    """Measure a network with random weights: a row per size of `EDGES`, with the columns `COLUMNS`.

    `lr_size` (H, W) is the common size, the only one at which memory is measured. Sizes below the network's smallest
    input are omitted. Raises CostError, and ValueError for an unknown network or a common size that is too small.
    """
    least = models.describe(name).smallest_input
    if min(lr_size) < least:
        raise ValueError(f"{name} needs an input of at least {least} pixels in height and width, not {_text(lr_size)}")
    model = models.build(name, scale)
    scaled = dict.fromkeys(_scaled(lr_size, edge) for edge in EDGES)  # several are the same where these are small
    sizes = [size for size in scaled if min(size) >= least]
    where = device_facts(device)
    rows = []
    for done, size in enumerate(sizes, start=1):
        counted = macs(model, size)
        timed = latency(model, size, device, repeats, warmup_s=0)
        q1, median, q3 = np.quantile(np.concatenate(timed.rounds_s), [0.25, 0.5, 0.75]).tolist()
        memory = peak_memory(name, scale, {}, size, device) if size == lr_size else None
        rows.append(
            {
                "network": name,
                "scale": scale,
                "lr_height": size[0],
                "lr_width": size[1],
                "device": where["kind"],
                "device_name": where["name"],
                "threads": where["threads"],
                "dtype": timed.dtype,
                "macs": counted.total,
                "median_s": median,
                "q1_s": q1,
                "q3_s": q3,
                "repeats": sum(map(len, timed.rounds_s)),
                "memory_bytes": memory.bytes if memory else pd.NA,
                "memory_method": memory.method if memory else pd.NA,
                "python": provenance.versions()["python"],
                "torch": provenance.versions()["torch"],
            }
        )
        if progress:
            progress(done, len(sizes), _text(size))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"memory_bytes": "Int64"})


def store_timings(rows: pd.DataFrame, path: Path) -> None:
    """Add rows to a CSV file. A row replaces the one with the same `KEY`; all others are kept.

    Raises ResultsError if the file is not such a table.
    """
    content = rows.to_csv(index=False, lineterminator="\n")
    if path.is_file():
        try:
            old = pd.read_csv(path, dtype=str, keep_default_na=False)  # as text, numbers keep all digits
        except ValueError as error:  # includes the errors of pandas and of decoding
            raise results.ResultsError(f"{path}: not a CSV file ({str(error).partition(chr(10))[0]})") from error
        if list(old.columns) != COLUMNS:
            raise results.ResultsError(f"{path}: expected the columns {', '.join(COLUMNS)}")
        new = pd.read_csv(io.StringIO(content), dtype=str, keep_default_na=False)
        both = pd.concat([old, new], ignore_index=True).drop_duplicates(KEY, keep="last")
        content = both.to_csv(index=False, lineterminator="\n")
    results.write(path, content)


def _scaled(lr_size: tuple[int, int], edge: float) -> tuple[int, int]:
    height, width = (round(edge * side) for side in lr_size)
    return height, width


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
