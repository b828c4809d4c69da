"""How fast the networks are at one size, and how their time grows with the size.

The growth is the exponent of a power law over pixels: 1 for a network whose work is in proportion to the image. Where
time grows faster than the MACs do, something beside the arithmetic does.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

import models
import results
from benchmarks.measure import cost, provenance

FILE = results.ROOT / "speed.csv"
EDGES = (0.5, 0.75, 1.0, 1.5)  # of the sizes, relative to the common one
# what a row was measured on; measured anew on the same it replaces the old one
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
    """Measure a freshly initialised network: a row per size of `EDGES`, with the columns `COLUMNS`.

    `lr_size` (H, W) is the common size, the only one at which memory is measured. Sizes that are too small for the
    network are left out. Raises CostError, and ValueError for an unknown network or a common size that is too small.
    """
    least = models.describe(name).smallest_input
    if min(lr_size) < least:
        raise ValueError(f"{name} needs an input of at least {least} pixels in height and width, not {_text(lr_size)}")
    model = models.build(name, scale)
    sizes = [size for edge in EDGES if min(size := _scaled(lr_size, edge)) >= least]
    rows = []
    for done, size in enumerate(sizes, start=1):
        counted = cost.macs(model, size)
        latency = cost.latency(model, size, device, repeats, warmup=1)
        memory = cost.peak_memory(name, scale, {}, size, device) if size == lr_size else None
        rows.append(
            {
                "network": name,
                "scale": scale,
                "lr_height": size[0],
                "lr_width": size[1],
                "device": latency.device,
                "device_name": latency.device_name,
                "threads": latency.threads,
                "dtype": latency.dtype,
                "macs": counted.total,
                "median_s": latency.median_s,
                "q1_s": latency.q1_s,
                "q3_s": latency.q3_s,
                "repeats": repeats,
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
    """Add rows to a file of them. Those measured anew on the same device replace the old ones; all others stay.

    Raises ResultsError if the file is no such table.
    """
    content = rows.to_csv(index=False, lineterminator="\n")
    if path.is_file():
        try:
            old = pd.read_csv(path, dtype=str, keep_default_na=False)  # as text numbers stay to the last digit
        except ValueError as error:  # pandas' and Unicode's own are among these
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
