"""Verdicts and intervals are wrong no more often than they say; `nox -s error-rates` looks more closely."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from reports.contrasts import Contrast, compute_contrasts
from results import COLUMNS
from tests.reports.error_rates import (
    COVERAGE,
    NETWORKS,
    SHAPES,
    WRONG_PER_CLAIM,
    WRONG_PER_EXPERIMENT,
    _measured,
    _test,
    coverage_of_images,
    coverage_of_trainings,
    slack,
    verdicts,
)


@pytest.mark.parametrize(("images", "seeds", "seed_sd"), [(14, 3, 0.0), (100, 3, 0.03), (100, 5, 0.015)])
def test_few_verdicts_are_wrong_where_nothing_is_true(images: int, seeds: int, seed_sd: float) -> None:
    """65% of such experiments had a wrong verdict when seeds were averaged and images alone were tested."""
    found = verdicts(150, images, seeds, seed_sd)
    assert found.claim <= slack(WRONG_PER_CLAIM, 150)
    assert found.any_claim <= slack(WRONG_PER_EXPERIMENT, 150)


def test_a_gap_as_the_papers_is_found() -> None:
    assert verdicts(40, 100, 3, 0.015, gap=0.15).supported > 0.9


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("images", [6, 14, 100])
def test_intervals_over_images_keep_their_word(images: int, shape: str) -> None:
    assert COVERAGE[0] <= coverage_of_images(5000, images, shape) <= COVERAGE[1]


@pytest.mark.parametrize(("images", "seeds", "seed_sd"), [(14, 3, 0.03), (100, 3, 0.0), (100, 5, 0.03)])
def test_intervals_over_trainings_keep_their_word(images: int, seeds: int, seed_sd: float) -> None:
    found = coverage_of_trainings(1000, images, seeds, seed_sd)
    assert 1 - slack(1 - COVERAGE[0], 1000) <= found <= slack(COVERAGE[1], 1000)


def test_the_simulation_tests_as_the_reports_do() -> None:
    """It skips the frames, which take most of the time; what comes out is the same."""
    psnr = _measured(np.random.default_rng(0), 8, 3, 0.02)
    places = [(one, image, seed) for one in range(len(NETWORKS)) for image in range(8) for seed in range(3)]
    rows = [
        ("table2", "cpu", NETWORKS[one], "run", 4, seed, False, "Set14", "stored", "rcan", f"{image}", psnr[place], 0.8)
        for place in places
        for one, image, seed in [place]
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    (expected,) = compute_contrasts(frame, [Contrast(4, "Set14", "full", "svq", "psnr")]).itertuples()
    row = _test(psnr, NETWORKS.index("full"), NETWORKS.index("svq"))
    for name in ("low", "high", "difference", "median", "p"):
        assert getattr(row, name) == pytest.approx(getattr(expected, name), rel=1e-9), name
