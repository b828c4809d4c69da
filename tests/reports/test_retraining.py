"""The change of a network that was trained again, beside its margin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.retraining import Change, change, gains, verdicts

random = np.random.default_rng(0)
BEFORE = random.normal(28, 2, (20, 1))
NOISE = random.normal(0, 0.05, 20)


def verdict(before: np.ndarray, now: np.ndarray, margin: float = 0.05) -> str:
    (found,) = verdicts([change(before, now, margin)])
    return found


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    now = BEFORE[:, 0] - 0.1 + NOISE
    found = change(BEFORE, now, 0.05)
    expected = stats.ttest_rel(now, BEFORE[:, 0])
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))
    above = stats.ttest_1samp(now - BEFORE[:, 0], -0.05, alternative="less")
    assert found.p_worse == pytest.approx(above.pvalue)
    assert found.p_better == pytest.approx(1 - stats.ttest_1samp(now - BEFORE[:, 0], 0.05, alternative="less").pvalue)


@pytest.mark.parametrize(
    ("mean", "expected"), [(0, "equal"), (-0.04, "inconclusive"), (-0.06, "inconclusive"), (-0.1, "worse")]
)
def test_worse_is_what_lies_beyond_the_margin_as_a_whole(mean: float, expected: str) -> None:
    """A loss that is significant, but no larger than trainings differ, raises no alarm."""
    now = BEFORE[:, 0] + mean + NOISE - NOISE.mean()
    assert verdict(BEFORE, now) == expected
    mirrored = {"worse": "better"}.get(expected, expected)
    assert verdict(BEFORE, BEFORE[:, 0] - mean - NOISE + NOISE.mean()) == mirrored


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=12), st.integers(1, 4), st.floats(0.001, 0.5))
def test_no_verdict_goes_beyond_its_data(differences: list[float], trainings: int, margin: float) -> None:
    before = np.zeros((len(differences), trainings))
    found = change(before, np.array(differences), margin)
    told = verdict(before, np.array(differences), margin)
    if len(differences) < 6:
        assert math.isnan(found.low)
        assert math.isnan(found.high)
        assert told in ("equal", "inconclusive")
    if told == "worse":
        assert found.high < -margin
    if told == "better":
        assert found.low > margin
    if told == "equal":
        assert abs(found.mean) <= margin


def test_holm_counts_all_lines() -> None:
    """Alone, a p-value of 0.02 decides; beside three lines without a change it does not."""
    line = Change(-0.1, -0.14, -0.06, 0.05, 0.02, 1.0, 0.2)
    quiet = Change(0.0, -0.01, 0.01, 0.05, 0.9, 0.9, 0.1)
    assert verdicts([line]) == ["worse"]
    assert verdicts([line, quiet, quiet, quiet]) == ["inconclusive", "equal", "equal", "equal"]


def test_the_spread_of_three_trainings_widens_the_margin() -> None:
    shifts = np.array([-0.1, 0.0, 0.1])
    before = BEFORE + shifts
    now = BEFORE[:, 0] - 0.12 + NOISE - NOISE.mean()  # not far from the first
    assert verdict(BEFORE, now) == "worse"
    assert verdict(before[:, :2], now - 0.05) == "worse"  # two do not show their spread
    found = change(before, now, 0.05)
    one_more = stats.t.ppf(0.975, 2) * 0.1 * math.sqrt(1 + 1 / 3)
    half = found.high - found.mean
    assert found.margin == pytest.approx(math.hypot(one_more, half) - half)
    assert verdict(before, now) == "equal"
    assert change(BEFORE + 0.001 * shifts, now, 0.05).margin == 0.05


def test_trainings_of_few_images_are_equal_within_what_they_differ_by() -> None:
    """SPIN of the protocol quick: three trainings and a fourth, on the two photographs of embedded-test."""
    psnr = np.array([[30.700, 30.590, 30.557], [26.745, 26.722, 26.739]])
    ssim = np.array([[0.7775, 0.7669, 0.7658], [0.7237, 0.7190, 0.7277]])
    now_psnr, now_ssim = np.array([30.708, 26.737]), np.array([0.7812, 0.7311])
    changes = [change(psnr, now_psnr, 0.05), change(ssim, now_ssim, 0.0015)]
    assert verdicts(changes) == ["equal", "equal"]
    assert verdicts([change(ssim[:, :1], now_ssim, 0.0015)]) == ["inconclusive"]


def test_infinite_values() -> None:
    before, now = np.full((8, 1), np.inf), np.full(8, np.inf)
    assert gains(before, now).tolist() == [0.0] * 8
    assert verdict(before, now) == "equal"
    now[3] = 40
    assert verdict(before, now) == "inconclusive"
