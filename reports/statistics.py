"""Statistics of paired differences over images and seeds: intervals, tests, and the correction for several tests.

Two networks differ on every image, and every training of them differs from the next. With several trainings, images and
seeds are crossed random factors: the mean difference varies with both (`crossed`). With one training, a test says
something about other images, and nothing about another training: Wilcoxon's signed ranks (1945), with an interval by
Student's t. Several tests are corrected by Holm's step-down procedure (1979).

`nox -s error-rates` measures how often all this is wrong. The bootstrap (BCa; Efron 1987) was given up for it: its 95%
intervals held the mean in 92% of cases at 30 images and in 94% at 100, Student's t in 94 to 95%, skewed or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95
LEVEL = 0.05  # of the tests
FEWEST = 6  # images, or differences that are not zero: with fewer, no signed-rank test reaches LEVEL
ESTIMATES = ["difference", "median", "low", "high", "freedom", "p", "sd_images"]  # the first is the mean


def interval(differences: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The 95% interval of the mean of some differences, by Student's t.

    NaN and NaN for fewer than FEWEST. Equal differences have their own value as both ends: that is no proof that other
    images would give it too.
    """
    low, high = _intervals(np.asarray(differences, dtype=float)[None])[0]
    return float(low), float(high)


class Trainings(NamedTuple):
    """How much the difference of two networks' means over a set varies from training to training: a variance, and the
    degrees of freedom with which it was estimated."""

    variance: float
    freedom: float


def crossed(differences: np.ndarray, trainings: Trainings | None = None) -> tuple[np.ndarray, ...]:
    """95% interval (low, high) of the mean of differences (..., images, seeds), 2 seeds or more; two-sided p-value; and
    degrees of freedom.

    Images and seeds are crossed random factors. The variance of the mean is (MS_images + MS_seeds - MS_residual) / (n
    S), and never below that by either factor alone; its degrees of freedom are Satterthwaite's (1946). Two or three
    seeds often agree by chance, and would then prove too much. Therefore `trainings`, estimated from all networks of an
    experiment, replaces the part of the seeds where it is larger, and has its degrees of freedom.
    NaN for fewer than FEWEST images: an interval over a handful of images would say little about others.
    """
    d = np.asarray(differences, dtype=float)
    n, seeds = d.shape[-2:]
    if n < FEWEST:
        nothing = np.full(d.shape[:-2], np.nan)
        return nothing, nothing, nothing, nothing
    mean = d.mean(axis=(-2, -1), keepdims=True)
    by_image, by_seed = d.mean(axis=-1, keepdims=True), d.mean(axis=-2, keepdims=True)
    of_images = ((by_image - mean) ** 2).sum(axis=(-2, -1)) / (n - 1) / n
    of_seeds = ((by_seed - mean) ** 2).sum(axis=(-2, -1)) / (seeds - 1) / seeds
    rest = ((d - by_image - by_seed + mean) ** 2).sum(axis=(-2, -1)) / ((n - 1) * (seeds - 1)) / (n * seeds)
    freedom_of_seeds = float(seeds - 1)
    if trainings is not None:
        of_seeds = np.maximum(of_seeds, trainings.variance / seeds)
        freedom_of_seeds = trainings.freedom
    variance = of_images + of_seeds - rest
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = variance**2 / (
            of_images**2 / (n - 1) + of_seeds**2 / freedom_of_seeds + rest**2 / ((n - 1) * (seeds - 1))
        )
    alone = np.maximum(of_images, of_seeds)
    freedom_alone = np.where(of_images > of_seeds, n - 1.0, freedom_of_seeds)
    freedom = np.where(variance <= alone, freedom_alone, freedom)
    error, centre = np.sqrt(np.maximum(variance, alone)), mean[..., 0, 0]
    width = np.where(error > 0, stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * error, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stats.t.sf(np.abs(centre) / error, freedom)
    return centre - width, centre + width, np.where(error > 0, p, np.where(centre == 0, 1.0, 0.0)), freedom


def signed_rank(differences: Sequence[float] | np.ndarray) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test of some differences.

    Exact up to 50 differences without ties, and up to 13 with them; else by the normal approximation with correction
    for continuity. Zeros are left out. NaN where fewer than FEWEST are not zero: no outcome could be significant.
    """
    return float(_signed_ranks(np.asarray(differences, dtype=float)[None])[0])


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p-values corrected for testing all of them (Holm 1979); NaN, no test, stays and counts for nothing."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN sort last
    corrected = np.full(len(p), np.nan)
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1)
    return corrected


def joint_intervals(
    low: ArrayLike, high: ArrayLike, freedom: ArrayLike, family: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals that hold all at once with CONFIDENCE (Bonferroni), from 95% intervals by Student's t.

    `family` is how many there are to be, of which some may not be at hand yet.
    """
    lows, highs, df = (np.asarray(part, dtype=float) for part in (low, high, freedom))
    count = max(1, family, int(np.isfinite(lows).sum()))
    wider = stats.t.ppf(1 - (1 - CONFIDENCE) / (2 * count), df) / stats.t.ppf((1 + CONFIDENCE) / 2, df)
    centre, half = (lows + highs) / 2, (highs - lows) / 2
    return centre - wider * half, centre + wider * half


def estimates(samples: Sequence[np.ndarray], trainings: Sequence[Trainings | None]) -> dict[str, np.ndarray]:
    """The ESTIMATES of each sample of differences, (images, seeds), each as an array over the samples.

    With several seeds, interval and p-value are those of `crossed`, else of `interval` and `signed_rank`; median and
    standard deviation are over images, after averaging over seeds.
    """
    found = {name: np.full(len(samples), np.nan) for name in ESTIMATES}
    once: dict[int, list[int]] = {}  # the same number of images: computed together, which is much faster
    for index, (sample, between) in enumerate(zip(samples, trainings, strict=True)):
        images = sample.mean(axis=1)
        found["difference"][index], found["median"][index] = images.mean(), np.median(images)
        if len(images) > 1:
            found["sd_images"][index] = images.std(ddof=1)
        if sample.shape[1] > 1:
            estimate = crossed(sample, between)
            for name, value in zip(("low", "high", "p", "freedom"), estimate, strict=True):
                found[name][index] = value
        else:
            once.setdefault(len(images), []).append(index)
    for same in once.values():
        rows = np.stack([samples[index][:, 0] for index in same])
        found["low"][same], found["high"][same] = _intervals(rows).T
        found["p"][same], found["freedom"][same] = _signed_ranks(rows), rows.shape[1] - 1
    return found


def _intervals(rows: np.ndarray) -> np.ndarray:
    """`interval` of each row, (k, n) -> (k, 2)."""
    found = np.full((len(rows), 2), np.nan)
    n = rows.shape[1]
    if n < FEWEST:
        return found
    equal = np.ptp(rows, axis=1) == 0
    found[equal] = rows[equal, :1]
    varied = rows[~equal]
    width = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * varied.std(axis=1, ddof=1) / np.sqrt(n)
    found[~equal] = varied.mean(axis=1)[:, None] + np.outer(width, [-1, 1])
    return found


def _signed_ranks(rows: np.ndarray) -> np.ndarray:
    """`signed_rank` of each row, (k, n) -> (k,)."""
    found = np.full(len(rows), np.nan)
    sizes = np.sort(np.abs(rows), axis=1)
    testable = np.count_nonzero(rows, axis=1) >= FEWEST
    plain = (sizes[:, :1] != 0).all(axis=1) & (np.diff(sizes, axis=1) != 0).all(axis=1)
    if (together := testable & plain).any():
        found[together] = stats.wilcoxon(rows[together], axis=1).pvalue
    for index in np.flatnonzero(testable & ~plain):  # with zeros or ties, each has a null distribution of its own
        found[index] = stats.wilcoxon(rows[index]).pvalue
    return found
