"""The per-image differences between variants and a reference, which a figure shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from reports.contrasts import image_means
from results import BASELINE


class VariantDifferences(NamedTuple):
    """Differences of the images (variant minus reference), and the interval of their mean where there is one."""

    values: list[float]
    interval: tuple[float, float] | None = None


class ImageDifferences(NamedTuple):
    """A panel per variant, by label, against the variant labelled `reference`; in dB for PSNR."""

    reference: str
    dataset: str
    scale: int
    metric: str
    panels: Mapping[str, VariantDifferences]


def image_differences(frame: pd.DataFrame, compared: pd.DataFrame) -> ImageDifferences | None:
    """The images behind some rows of `contrasts.against_reference`, which are of one scale, set and metric.

    `frame` is of `results.load`. Seeds are averaged first, and pairs that are not finite left out, as there. Bicubic
    interpolation is excluded, since its differences are so large that those of networks would be invisible. None
    without a pair.
    """
    _, means = image_means(frame)
    panels = {}
    for row in compared[compared.variant != BASELINE].itertuples():
        images = means[row.metric].xs((row.scale, row.dataset), level=("scale", "dataset")).unstack("variant")
        change = (images[row.variant] - images[row.reference]).to_numpy(dtype=float)
        if np.isfinite(change).any():
            interval = (row.low, row.high) if np.isfinite([row.low, row.high]).all() else None
            panels[row.label] = VariantDifferences(change[np.isfinite(change)].tolist(), interval)
    return ImageDifferences(row.reference_label, row.dataset, row.scale, row.metric, panels) if panels else None
