"""How often the regression check of retrained networks is wrong, and how often it finds a loss, by simulation.

Every experiment trains a reference, some times, and a network that is compared with it, on sets of images. A training
shifts the PSNR of a whole set by `seed_sd` dB, and that of each image so that the differences of two trainings have
the standard deviation `image_sd` dB. The shifts of different sets are independent, which gives the most false alarms.
SSIM follows PSNR in part, by 0.03 per dB with a correlation of 0.7.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reports import retraining
from reports.verdicts import Tolerance

SETS = {"Set14 + BSDS100": (14, 100), "all five": (5, 14, 100, 100, 109)}
SSIM_PER_DB, CORRELATION = 0.03, 0.7
FALSE_ALARMS, DETECTION = 0.05, 0.95  # the bounds: at most, at least
LOSS = -0.15  # dB, to be found by DETECTION


def table(thorough: bool) -> list[dict[str, Any]]:
    """A row per setting: what was simulated, and the share of experiments with a line that is "worse".

    `kind` is "false alarms" without a true change, else "detection"; `bound` is what the share must not exceed or fall
    below, None where it is only stated.
    """
    experiments = 1000 if thorough else 150
    rows = []
    for count in (1, 3, 5) if thorough else (1, 3):
        for seed_sd in (0.0, 0.011, 0.017) if thorough else (0.017,):
            for image_sd in (0.05, 0.1, 0.15) if thorough else (0.05, 0.15):
                rows += [
                    row("Set14 + BSDS100", count, seed_sd, image_sd, 0.0, experiments, FALSE_ALARMS),
                    row("Set14 + BSDS100", count, seed_sd, image_sd, LOSS, experiments, DETECTION),
                ]
                if thorough:
                    rows += [
                        row("all five", count, seed_sd, image_sd, 0.0, experiments, FALSE_ALARMS),
                        row("Set14 + BSDS100", count, seed_sd, image_sd, -0.1, experiments, None),
                    ]
    for count in (3, 5):  # of a network whose trainings differ more, several in the reference prevent alarms
        rows.append(row("Set14 + BSDS100", count, 0.03, 0.05, 0.0, experiments, FALSE_ALARMS))
    return rows


def row(
    sets: str, trainings: int, seed_sd: float, image_sd: float, change: float, experiments: int, bound: float | None
) -> dict[str, Any]:
    """A row of the table; the same each time."""
    random = np.random.default_rng(0)
    worse = [
        "worse" in experiment(SETS[sets], trainings, seed_sd, image_sd, change, random) for _ in range(experiments)
    ]
    return {
        "kind": "detection" if change else "false alarms",
        "sets": sets,
        "trainings": trainings,
        "seed_sd": seed_sd,
        "image_sd": image_sd,
        "change": change,
        "experiments": experiments,
        "share": float(np.mean(worse)),
        "bound": bound,
    }


def experiment(
    sets: tuple[int, ...], trainings: int, seed_sd: float, image_sd: float, change: float, random: np.random.Generator
) -> list[retraining.Verdict]:
    """The verdicts on PSNR and SSIM of sets with these numbers of images."""
    tolerance, changes = Tolerance(), []
    for images in sets:
        psnr, own = (
            random.normal(0, seed_sd, trainings + 1) + random.normal(0, image_sd / np.sqrt(2), (images, trainings + 1))
            for _ in range(2)
        )
        ssim = SSIM_PER_DB * (CORRELATION * psnr + np.sqrt(1 - CORRELATION**2) * own)
        for shifts, loss, margin in (
            (psnr, change, tolerance.psnr_retrained),
            (ssim, SSIM_PER_DB * change, tolerance.ssim_retrained),
        ):
            changes.append(retraining.change(shifts[:, :-1], shifts[:, -1] + loss, margin))
    return retraining.verdicts(changes)
