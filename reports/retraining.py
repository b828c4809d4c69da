"""Whether a network that was trained again is as good as before: the change of its quality beside a margin.

Two trainings of one network differ, even with the same seed, on another processor or after a change in rounding. Their
mean PSNR over a set differs with a standard deviation of 0.011 to 0.017 dB between seeds, which no number of images
reduces. Therefore a change is beyond its margin only if its whole interval over the images is, and the margin is about
twice the deviation of a difference of two trainings. Rates of error are simulated in `tests/reports/check_rates.py`.

From three trainings of the reference on, their own spread is known. The margin then grows where necessary to what one
more training adds to the interval: a network whose trainings differ more than usual raises no alarm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from reports.statistics import CONFIDENCE, FEWEST, LEVEL, holm

Verdict = Literal["equal", "better", "worse", "inconclusive"]
SPREAD = 3  # trainings from which on their spread is used: a deviation of two has one degree of freedom


@dataclass(frozen=True)
class Change:
    """The mean change of a metric over the images of a set, more being better.

    `low` and `high` are the ends of the 95% interval by Student's t, and NaN below FEWEST images. `p_worse` and
    `p_better` are one-sided p-values for a mean beyond the margin, NaN without an interval. `largest` is the largest
    change of an image, without its sign.
    """

    mean: float
    low: float
    high: float
    margin: float
    p_worse: float
    p_better: float
    largest: float


def change(before: NDArray[np.float64], now: NDArray[np.float64], margin: float) -> Change:
    """The change from the trainings of a reference, (images, trainings), to another one, (images,).

    The mean of the reference's trainings is compared. A value that is infinite on one side only leaves no interval.
    """
    differences = gains(before, now)
    n, trainings = before.shape
    mean, largest = float(differences.mean()), float(np.abs(differences).max())
    estimable = n >= FEWEST and bool(np.isfinite(differences).all())
    error = float(differences.std(ddof=1)) / math.sqrt(n) if estimable else math.nan
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * error if estimable else math.nan
    if trainings >= SPREAD and np.isfinite(before).all():
        spread = float(before.mean(axis=0).std(ddof=1)) * math.sqrt(1 + 1 / trainings)
        more = float(stats.t.ppf((1 + CONFIDENCE) / 2, trainings - 1)) * spread
        margin = max(margin, math.hypot(more, half) - half if estimable else more)
    p_worse, p_better = (_beyond(sign * mean - margin, error, n) for sign in (-1, 1))
    return Change(mean, mean - half, mean + half, margin, p_worse, p_better, largest)


def gains(before: NDArray[np.float64], now: NDArray[np.float64]) -> NDArray[np.float64]:
    """The change of each image against the mean of the reference's trainings; 0 where both are infinite."""
    with np.errstate(invalid="ignore"):
        mean = before.mean(axis=1)
        return np.where(mean == now, 0.0, now - mean)


def verdicts(changes: Sequence[Change]) -> list[Verdict]:
    """The verdicts on changes that are judged together: Holm's correction counts all of them.

    worse, better: the whole interval is beyond the margin, and the corrected p-value is significant. equal: the whole
    interval is within the margin. Without an interval: equal if no image changes by more than the margin. Else
    inconclusive.
    """
    p_worse, p_better = holm([each.p_worse for each in changes]), holm([each.p_better for each in changes])
    found: list[Verdict] = []
    for each, for_worse, for_better in zip(changes, p_worse, p_better, strict=True):
        if each.high < -each.margin and for_worse <= LEVEL:
            found.append("worse")
        elif each.low > each.margin and for_better <= LEVEL:
            found.append("better")
        elif max(-each.low, each.high) <= each.margin or (math.isnan(each.low) and each.largest <= each.margin):
            found.append("equal")
        else:
            found.append("inconclusive")
    return found


def _beyond(excess: float, error: float, n: int) -> float:
    """One-sided p-value for an excess over the margin, which has this standard error."""
    if error == 0:
        return 0.0 if excess > 0 else 1.0
    return float(stats.t.sf(excess / error, n - 1))
