"""The texts beside figures speak of what is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.render import render
from tests.reports.conftest import Store
from tests.reports.pages import Page


@pytest.mark.drawn
@pytest.mark.parametrize(
    ("images", "seeds", "banded"), [("ab", 2, False), ("abcdefgh", 1, False), ("abcdefgh", 2, True)]
)
def test_with_few_images_or_one_training_there_is_no_interval(
    images: str, seeds: int, banded: bool, store: Store, tmp_path: Path
) -> None:
    for index, variant in enumerate(["bicubic", "full", "patch"]):
        for seed in range(seeds if variant != "bicubic" else 1):
            store(variant, seed=seed, datasets={"embedded-test": images}, psnr=30 + index + seed / 10)
    text = Page(render(["table2"], "quick", tmp_path)).text
    assert ("and the band its 95% interval, for this pair alone." in text) is banded
    assert ("Without several trainings of both networks there is no band." in text) is (seeds == 1)
    assert ("The dashed line is the mean." in text) is not banded


@pytest.mark.drawn
@pytest.mark.parametrize("lined", [False, True])
def test_without_a_front_of_several_networks_there_is_no_line(lined: bool, store: Store, tmp_path: Path) -> None:
    """Table 1 has published fronts; the networks of Table 2 are published without costs, and Full dominates all."""
    experiment, protocol = ("table1", "published") if lined else ("table2", "quick")
    variant = "bsrn" if lined else "full"
    store(variant, protocol, weights=lined, datasets={"Set5": ["a", "b"]}, images={"Set5": 2})
    text = Page(render([experiment], protocol, tmp_path)).text
    assert ("Lines connect the Pareto-optimal networks" in text) is lined
