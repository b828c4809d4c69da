"""Paired statistics of differences: intervals, tests, and the correction for several tests.

The mean of some differences has a 95% interval by the bias-corrected and accelerated bootstrap (BCa; Efron 1987), and
is tested by Wilcoxon's signed ranks (1945), corrected over a family of tests by Holm's step-down procedure (1979).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
LEVEL = 0.05  # of the tests
RESAMPLES = 2000
FEWEST = 6  # differences that are not zero: the smallest p-value of n of them, 2 / 2**n, is above LEVEL for fewer
ESTIMATES = ["difference", "median", "low", "high", "p", "sd_images"]  # the first is the mean


def interval(differences: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The 95% BCa bootstrap interval of the mean of some differences, the same each time.

    NaN and NaN for fewer than two. Equal differences have their own value as both ends, as every resample has it for
    its mean: that is no proof that other images would give it too.
    """
    low, high = _intervals(np.asarray(differences, dtype=float)[None])[0]
    return float(low), float(high)


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


def estimates(samples: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The ESTIMATES of each sample of differences, each as an array over the samples.

    Samples of the same length are computed together, which is much faster than one by one.
    """
    found = {name: np.full(len(samples), np.nan) for name in ESTIMATES}
    lengths = np.array([len(row) for row in samples], dtype=int)
    for length in np.unique(lengths):
        index = np.flatnonzero(lengths == length)
        rows = np.stack([row for row in samples if len(row) == length])
        found["difference"][index], found["median"][index] = rows.mean(axis=1), np.median(rows, axis=1)
        found["low"][index], found["high"][index] = _intervals(rows).T
        found["p"][index] = _signed_ranks(rows)
        if length > 1:
            found["sd_images"][index] = rows.std(axis=1, ddof=1)
    return found


def _intervals(rows: np.ndarray) -> np.ndarray:
    """`interval` of each row, (k, n) -> (k, 2)."""
    found = np.full((len(rows), 2), np.nan)
    n = rows.shape[1]
    if n < 2:
        return found
    equal = np.ptp(rows, axis=1) == 0
    found[equal] = rows[equal, :1]
    varied = rows[~equal]
    if not len(varied):
        return found

    def mean(index: np.ndarray, axis: int) -> np.ndarray:
        """Means of all rows over the same resampled images: how often each was drawn, times its differences."""
        drawn = (index[..., None] == np.arange(n)).sum(axis=axis - 1, dtype=float)
        # not a matrix product: its rounding depends on its shape, and equal means must stay equal
        return np.einsum("...n,kn->k...", drawn, varied) / index.shape[axis]

    result = stats.bootstrap(
        (np.arange(n),), mean, axis=-1, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, method="BCa",
        rng=np.random.default_rng(0),
    )  # fmt: skip
    found[~equal] = np.column_stack(result.confidence_interval)
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
