"""Made-up data that figures draw."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.differences import ImageDifferences, VariantDifferences


def training(networks: int = 13, validated: bool = True) -> dict[str, list[pd.DataFrame]]:
    found = {}
    for index in range(networks):
        iteration = np.arange(1, 41)
        psnr = np.where(iteration % 20 == 0, 28 + iteration / 40 + index / 10, np.nan)
        table = {"iteration": iteration, "loss": 10 + index / 10 + 90 / iteration}
        found[f"network {index}"] = [pd.DataFrame(table | ({"psnr": psnr} if validated else {}))]
    return found


def paired(count: int = 5, images: int = 100) -> ImageDifferences:
    random = np.random.default_rng(0)
    panels = {
        f"variant {index}": VariantDifferences(random.normal(-0.1, 0.2, images).tolist(), (-0.15, -0.05))
        for index in range(count)
    }
    return ImageDifferences("Full", "BSDS100", 4, "psnr", panels)
