"""How time and memory grow with the image, from the file of measured times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from results import ROOT, ResultsError

FILE = "speed.csv"
_SAME = ["scale", "device", "device_name", "threads", "dtype"]
_TEXTS = ["network", "device", "device_name", "dtype"]
_NUMBERS = ["lr_height", "lr_width", "median_s", "q1_s", "q3_s", "memory_bytes"]


class Speed(NamedTuple):
    """What was measured at one scale on one device; `rows` as in the file, with pixels (of the LR image), by size."""

    scale: int
    conditions: str
    rows: pd.DataFrame


def load_speed(root: Path = ROOT) -> list[Speed]:
    """The content of speed.csv by scale and device; empty without the file. Raises ResultsError for a damaged one."""
    path = root / FILE
    if not path.is_file():
        return []
    try:
        # only a number may be missing: a device or network called NA is one
        missing = {name: [""] for name in _NUMBERS}
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False, na_values=missing)
        table = table.astype(dict.fromkeys(_NUMBERS, float) | {"scale": int, "threads": int})
        groups = list(table.groupby(_SAME, sort=False))
    except (ValueError, KeyError) as error:  # pandas' and Unicode's own are among these
        raise ResultsError(f"{path}: not a table of measured times ({str(error).splitlines()[0]})") from error
    found = []
    for (scale, device, name, threads, dtype), rows in groups:
        if not (rows[["lr_height", "lr_width", "median_s"]] > 0).all(axis=None):
            raise ResultsError(f"{path}: sizes and times of {name}, expected positive numbers")
        conditions = f"{name} ({device}), {threads} CPU thread{'s' * (threads != 1)}, {dtype}"
        rows = rows.assign(pixels=rows.lr_height * rows.lr_width).sort_values("pixels", kind="stable")
        found.append(Speed(scale, conditions, rows))
    return found


def exponent(rows: pd.DataFrame, column: str) -> float:
    """p of column ~ pixels^p over a network's rows, by least squares on logarithms; NaN below two sizes."""
    known = rows[rows[column] > 0]
    pixels = known.lr_height * known.lr_width
    if pixels.nunique() < 2:
        return float("nan")
    return power(pixels, known[column])


def power(pixels: Sequence[float], values: Sequence[float]) -> float:
    """p of values ~ pixels^p, by least squares on logarithms."""
    return float(np.polyfit(np.log(pixels), np.log(values), 1)[0])
