"""The gaps that lead the page: differences of the stored runs, with words that follow from their intervals."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest
from scipy import stats

import ablations
import results
from reports.contrasts import Contrast, compute_contrasts
from reports.gaps import _word, load_gaps, study_gaps
from reports.lead import gaps_sentence
from reports.render import render
from reports.study import load_study
from tests.reports.conftest import Store
from tests.reports.pages import Page
from tests.results.test_measured import mean_psnr as mean_of

CONTRAST = Contrast(4, "BSDS100", "full", "patch", "psnr")


def mean_psnr(variant: str, seed: int) -> float:
    return mean_of(results.MEASURED / "cpu-short" / f"{variant}-x4-s{seed}", "BSDS100")


def test_a_gap_is_the_difference_of_the_means_of_all_seeds() -> None:
    found = load_gaps(["cpu-short"], results.MEASURED)
    assert found is not None and (found.dataset, found.images, found.budgets[0]) == ("BSDS100", 100, 750)
    patch = next(gap for gap in found.gaps if gap.variant == "patch")
    differences = [mean_psnr("full", seed) - mean_psnr("patch", seed) for seed in range(patch.seeds)]
    assert patch.difference == pytest.approx(statistics.mean(differences))
    assert patch.published == pytest.approx(27.70 - 27.64)
    assert patch.low < patch.difference < patch.high
    assert "over images and trainings, widened to hold for all judged variants together" in found.bars


def test_without_a_registered_outcome_there_are_no_gaps(tmp_path: Path) -> None:
    assert load_gaps(["quick", "paper"], results.MEASURED) is None
    assert load_gaps(["cpu-short"], tmp_path) is None


@pytest.mark.parametrize(
    ("published", "low", "high", "word"),
    [
        (0.06, 0.01, 0.2, "agrees in direction"),
        (0.06, -0.2, -0.01, "disagrees in direction"),
        (-0.06, -0.2, -0.01, "agrees in direction"),
        (0.06, -0.1, 0.2, "open"),
        (0.06, math.nan, math.nan, "open"),
        (math.nan, 0.01, 0.2, "not judged"),
        (0.0, 0.01, 0.2, "not judged"),
    ],
)
def test_the_word_follows_from_the_interval(published: float, low: float, high: float, word: str) -> None:
    assert _word(published, low, high) == word


def test_without_a_registered_outcome_the_gaps_have_no_verdict(store: Store, tmp_path: Path) -> None:
    for variant, psnr in (("full", 26.0), ("svq", 25.0), ("patch", 26.5)):
        store(variant, psnr=psnr)
    found = study_gaps(load_study("table2", "quick", tmp_path), ablations.load_protocol("quick"))
    assert found is not None and not found.judged
    assert [(gap.variant, round(gap.difference, 9)) for gap in found.gaps] == [("svq", 1.0), ("patch", -0.5)]
    assert all(math.isnan(gap.published) for gap in found.gaps)  # the paper has no values for this set
    assert "Nothing is compared with the paper on this set." in gaps_sentence(found)
    assert found.bars == "One training of each network has no interval."
    for variant, psnr in (("full", 26.0), ("svq", 25.0), ("patch", 26.5)):
        store(variant, seed=1, psnr=psnr)
    found = study_gaps(load_study("table2", "quick", tmp_path), ablations.load_protocol("quick"))
    assert found is not None and found.bars == "There are too few images for an interval."


@pytest.mark.drawn
def test_a_page_of_trainings_leads_with_its_own_gaps_or_those_of_the_suite(store: Store, tmp_path: Path) -> None:
    page = Page(render(["table2"], "quick", tmp_path))
    assert "750" in next(row for row in page.rows_of("Patch") if "open" in row[-1] or "direction" in row[-1])
    assert "No gap is measured on this page yet; these are the suite's own runs" in page.text
    assert "In the suite's own runs: Of 3 gaps" in page.text
    for variant in ("full", "svq"):
        store(variant)
    page = Page(render(["table2"], "quick", tmp_path))
    assert "these are the suite's own runs" not in page.text
    assert (tmp_path / "report" / "quick" / "gaps-table2.pdf").is_file()
    assert "To take away" in page.text and ("a", {"href": "table2.tex"}) in page.elements
    assert "Synthetic CPU" in page.text
    store(results.BASELINE, psnr=25.5)  # better than both
    assert (
        "below bicubic interpolation; these are the suite's own runs"
        in Page(render(["table2"], "quick", tmp_path)).text
    )
    assert "suite's own runs" not in Page(render(["table1"], "published", tmp_path)).text


def test_intervals_hold_for_all_that_were_to_be_judged_also_before_they_are_there(store: Store, tmp_path: Path) -> None:
    images = {"BSDS100": [f"img_{index:03d}" for index in range(8)]}

    def check_width(*variants: str) -> None:
        for variant in variants:
            for seed in range(3):
                psnr = 27.0 + 0.05 * seed * (-1) ** len(variant)
                store(variant, "cpu-short", seed, psnr=psnr, datasets=images, images={"BSDS100": 8})
        found = load_gaps(["cpu-short"], tmp_path)
        assert found is not None
        patch = next(gap for gap in found.gaps if gap.variant == "patch")
        study = compute_contrasts(load_study("table2", "cpu-short", tmp_path).frame, [CONTRAST])
        own = float(study.high.iloc[0] - study.low.iloc[0])
        wider = stats.t.ppf(1 - 0.05 / 6, study.freedom.iloc[0]) / stats.t.ppf(0.975, study.freedom.iloc[0])
        assert patch.high - patch.low == pytest.approx(own * wider)

    check_width("full", "patch")
    check_width("svq", "only-spca", "only-ispa")  # with the last of them, which is shown, not judged


def test_one_training_has_no_interval_and_decides_nothing(store: Store, tmp_path: Path) -> None:
    images = {"BSDS100": [f"img_{index:03d}" for index in range(8)]}
    for variant, seeds, psnr in (("full", (0, 1, 2), 27.0), ("patch", (0, 1, 2), 26.0), ("svq", (0,), 25.0)):
        for seed in seeds:
            store(variant, "cpu-short", seed, psnr=psnr + seed / 100, datasets=images, images={"BSDS100": 8})
    found = load_gaps(["cpu-short"], tmp_path)
    assert found is not None
    svq, patch = found.gaps
    assert (svq.variant, svq.seeds, svq.word) == ("svq", 1, "open") and math.isnan(svq.low)
    assert (patch.seeds, patch.word) == (3, "agrees in direction") and 0 < patch.low < 1 < patch.high
    assert svq.difference == pytest.approx(27.01 - 25.0)
