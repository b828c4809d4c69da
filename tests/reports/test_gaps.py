"""The gaps that lead the page: differences of the stored runs, with words that follow from their intervals."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest

import ablations
import results
from reports.gaps import _word, load_gaps, study_gaps
from reports.lead import gaps_sentence
from reports.render import render
from reports.study import load_study
from results.quality import read_quality
from tests.reports.conftest import Store
from tests.reports.pages import Page


def mean_psnr(variant: str, seed: int) -> float:
    rows = read_quality(results.MEASURED / "cpu-short" / f"{variant}-x4-s{seed}" / "quality.csv")
    return float(rows[(rows.dataset == "BSDS100") & (rows.convention == "rcan")].psnr.mean())


def test_a_gap_is_the_difference_of_the_means_of_all_seeds() -> None:
    found = load_gaps(["cpu-short"], results.MEASURED)
    assert found is not None and (found.dataset, found.images, found.budgets[0]) == ("BSDS100", 100, 750)
    patch = next(gap for gap in found.gaps if gap.variant == "patch")
    differences = [mean_psnr("full", seed) - mean_psnr("patch", seed) for seed in range(patch.seeds)]
    assert patch.difference == pytest.approx(statistics.mean(differences))
    assert patch.published == pytest.approx(27.70 - 27.64)
    assert patch.low < patch.difference < patch.high
    assert "over images and trainings that hold for all judged variants" in found.bars


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
        (math.nan, 0.01, 0.2, "open"),
        (0.0, 0.01, 0.2, "open"),
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
    assert found.bars == "There are too few images for an interval."  # whatever the number of trainings


@pytest.mark.drawn
def test_a_page_of_trainings_leads_with_its_own_gaps_or_those_of_the_suite(store: Store, tmp_path: Path) -> None:
    page = Page(render(["table2"], "quick", tmp_path))
    assert "750" in next(row for row in page.rows_of("Patch") if "open" in row[-1] or "direction" in row[-1])
    assert "these are the suite's own runs" in page.text
    for variant in ("full", "svq"):
        store(variant)
    page = Page(render(["table2"], "quick", tmp_path))
    assert "these are the suite's own runs" not in page.text
    assert (tmp_path / "report" / "quick" / "gaps-table2.pdf").is_file()
    assert "Synthetic CPU" in page.text
    assert "suite's own runs" not in Page(render(["table1"], "published", tmp_path)).text
