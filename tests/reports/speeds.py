"""Rows as `spinbench speed` writes them, of times and memory that are powers of the pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

NETWORKS = [
    "espcn", "fsrcnn", "carn", "imdn", "awsrn_m", "lapar_a", "rfdn", "latticenet", "smsr", "drsan", "swinir_light",
    "esrt", "elan_light", "spin",
]  # fmt: skip


def speed_rows(networks: Sequence[str] = NETWORKS) -> pd.DataFrame:
    """Four sizes of each network: time ~ pixels^(1 + index/20), memory ~ pixels, the latter but at the smallest."""
    rows = []
    for index, network in enumerate(networks):
        for side in (32, 48, 64, 96):
            pixels = side * side
            rows.append(
                {
                    "network": network, "scale": 4, "lr_height": side, "lr_width": side, "device": "cpu",
                    "device_name": "X", "threads": 2, "dtype": "float32", "macs": 9 * pixels,
                    "median_s": 1e-6 * (index + 1) * pixels ** (1 + index / 20), "q1_s": 0, "q3_s": 1, "repeats": 5,
                    "memory_bytes": 4096 * (index + 1) * pixels if side > 40 else math.nan, "memory_method": "growth",
                    "python": "3", "torch": "2",
                }
            )  # fmt: skip
    return pd.DataFrame(rows)
