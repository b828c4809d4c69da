"""Synthetic measurements for the regression check, and how they are altered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from reports.verdicts import Check
from results import references
from results.references import Cost, Measured, NetworkRecord, Timing

SETS = {"few": ["a", "b"], "many": [f"{number:03}" for number in range(20)]}
random = np.random.default_rng(0)
SPREAD = random.normal(0, 2, 22)
SR = random.integers(0, 256, (22 * 16, 3))
FORWARD = 0.25 * (1 + 0.04 * random.standard_normal(15))
CALIBRATION = 0.03 * (1 + 0.04 * random.standard_normal(15))


def timing(
    forward: float = 1.0,
    calibration: float = 1.0,
    device_name: str = "a CPU",
    device: str = "cpu",
    kernels: float = 0.5,
) -> dict[str, Timing]:
    return {
        implementation: Timing(
            tuple(factor * forward * FORWARD), tuple(calibration * CALIBRATION), (64, 64), device, device_name, "AVX2"
        )
        for implementation, factor in (("PyTorch", 1), ("C++ kernels", kernels))
        if factor
    }


def measurement() -> Measured:
    """Two sets, of 2 and of 20 images."""
    images = [(name, image) for name, pictures in SETS.items() for image in pictures]
    quality = pd.DataFrame(images, columns=["dataset", "image"])
    quality = quality.assign(lr_origin="imresize-symmetric", psnr=28 + SPREAD, ssim=0.8 + SPREAD / 100)
    samples = quality.loc[quality.index.repeat(16), ["dataset", "image"]].reset_index(drop=True)
    samples = samples.assign(row=np.tile(np.arange(16) // 4, 22), column=np.tile(np.arange(16) % 4, 22))
    samples[["red", "green", "blue"]] = SR
    return Measured(
        NetworkRecord("spin", 4, {"blocks": 8}, weights="1" * 64, training="2" * 64),
        {name: name * 3 for name in SETS},
        Cost(555_035, 78_013_382_208, 22_282_240, timing()),
        quality[references.QUALITY],
        samples[references.SAMPLES],
        {"versions": {"torch": "2.13.0"}, "finished": "2025-01-01T00:00:00+00:00"},
    )


def verdicts(check: Check) -> dict[str, str]:
    return {line.quantity: line.verdict for line in check.lines}


def changed(check: Check) -> set[str]:
    return {line.quantity for line in check.lines if line.verdict == "changed"}


def altered(measured: Measured, table: str, change: Callable[[pd.DataFrame], Any]) -> Measured:
    frame = getattr(measured, table).copy()
    change(frame)
    return replace(measured, **{table: frame})


def by(metric: str, amount: Any, dataset: str = "many") -> Callable[[pd.DataFrame], None]:
    """Adds to a metric of a set."""

    def change(frame: pd.DataFrame) -> None:
        frame.loc[frame["dataset"] == dataset, metric] += amount

    return change


def cost(measured: Measured, **changes: Any) -> Measured:
    assert measured.cost is not None
    return replace(measured, cost=replace(measured.cost, **changes))
