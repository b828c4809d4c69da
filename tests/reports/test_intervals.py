"""Intervals of one training and of several: against scipy, the textbooks' sums, and cases that decide nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.statistics import Trainings, crossed, interval, joint_intervals


@pytest.mark.parametrize("n", [6, 14, 800])
def test_the_interval_is_students(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.1, 1, n)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert interval(differences) == pytest.approx((expected.low, expected.high), rel=1e-12)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_handful_of_images_has_no_interval(n: int) -> None:
    assert all(map(math.isnan, interval(np.arange(n))))


@given(st.lists(st.integers(-50, 50), min_size=6, max_size=40), st.integers(-100, 100))
def test_the_interval_moves_with_the_differences(differences: list[int], shift: int) -> None:
    low, high = interval(differences)
    assert low <= np.mean(differences) <= high
    assert interval([d + shift for d in differences]) == pytest.approx((low + shift, high + shift), abs=1e-9)


def test_degenerate_differences() -> None:
    assert interval([0.25] * 7) == (0.25, 0.25)
    assert interval([0.0] * 7) == (0.0, 0.0)


# images and trainings


def plain_crossed(d: np.ndarray) -> tuple[float, float]:
    """Variance of the mean and degrees of freedom of an images x seeds table, by the sums of the textbooks."""
    n, seeds = d.shape
    grand = d.mean()
    ms_images = sum(seeds * (d[i].mean() - grand) ** 2 for i in range(n)) / (n - 1)
    ms_seeds = sum(n * (d[:, s].mean() - grand) ** 2 for s in range(seeds)) / (seeds - 1)
    rest = [d[i, s] - d[i].mean() - d[:, s].mean() + grand for i in range(n) for s in range(seeds)]
    ms_rest = sum(r**2 for r in rest) / ((n - 1) * (seeds - 1))
    total = ms_images + ms_seeds - ms_rest
    if total < max(ms_images, ms_seeds):
        return max(ms_images, ms_seeds) / (n * seeds), n - 1 if ms_images > ms_seeds else seeds - 1
    freedom = total**2 / (ms_images**2 / (n - 1) + ms_seeds**2 / (seeds - 1) + ms_rest**2 / ((n - 1) * (seeds - 1)))
    return total / (n * seeds), freedom


@given(st.integers(6, 12), st.integers(2, 5), st.integers(0, 10**6), st.floats(0, 2))
def test_crossed_factors_by_their_definition(n: int, seeds: int, number: int, between: float) -> None:
    generator = np.random.default_rng(number)
    d = generator.normal(0.3, 1, (n, 1)) + generator.normal(0, between, (1, seeds)) + generator.normal(0, 1, (n, seeds))
    variance, freedom = plain_crossed(d)
    low, high, p, df = crossed(d)
    assert (low + high) / 2 == pytest.approx(d.mean())
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, freedom) * math.sqrt(variance))
    assert df == pytest.approx(freedom)
    assert p == pytest.approx(2 * stats.t.sf(abs(d.mean()) / math.sqrt(variance), freedom))
    together = crossed(np.stack([d, d + 1]))
    assert [float(part[0]) for part in together] == pytest.approx([float(part) for part in (low, high, p, df)])


def test_seeds_that_agree_by_chance_prove_nothing_against_what_all_networks_show() -> None:
    generator = np.random.default_rng(3)
    d = 0.03 + generator.normal(0, 0.05, (100, 1)) + np.zeros((1, 3))
    assert crossed(d)[2] < 1e-4
    low, high, p, _ = crossed(d, Trainings(2 * 0.03**2, 12))
    assert low < 0 < high
    error = math.sqrt((d.mean(axis=1).var(ddof=1) / 100) + 2 * 0.03**2 / 3)
    assert high - low == pytest.approx(2 * 2.178 * error, rel=0.03)  # t of nearly 12 degrees of freedom
    assert p > 0.05
    assert crossed(d, Trainings(0.0, 12))[2] <= crossed(d)[2] < 1e-4


def test_equal_differences_and_few_images() -> None:
    assert [float(part) for part in crossed(np.full((6, 2), 0.25))[:3]] == [0.25, 0.25, 0.0]
    assert [float(part) for part in crossed(np.zeros((6, 2)))[:3]] == [0.0, 0.0, 1.0]
    assert all(map(math.isnan, crossed(np.ones((5, 3)))))


def test_joint_intervals_are_those_of_a_smaller_level() -> None:
    rows = np.random.default_rng(0).normal(0.2, 1, (4, 20))
    low, high = np.array([interval(row) for row in rows]).T
    joint_low, joint_high = joint_intervals([*low, math.nan], [*high, math.nan], [19] * 5)
    for row, *found in zip(rows, joint_low[:4], joint_high[:4], strict=True):
        expected = stats.ttest_1samp(row, 0).confidence_interval(1 - 0.05 / 4)
        assert found == pytest.approx([expected.low, expected.high])
