"""The page about what the whole paper costs is what its script computes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.docs.scripts import load


@pytest.fixture(scope="module")
def scale() -> Any:
    return load("scale")


def test_the_page_is_up_to_date(scale: Any) -> None:
    assert scale.page() == scale.PAGE.read_text(encoding="utf-8"), "run python docs/scale.py"


def test_the_longest_run_bounds_the_wall_time(scale: Any) -> None:
    each = [5.0, 3.0, 3.0, 2.0, 2.0, 1.0]
    assert [scale.wall(each, gpus) for gpus in (1, 2, 64)] == [16.0, 8.0, 5.0]


def test_every_network_is_trained_once(scale: Any) -> None:
    every = scale.trainings()
    assert [sum(one.part == part for one in every) for part in ("Table 2", "Fig. 7")] == [6, 6]
    spin = [one for one in every if one.model == "spin"]
    assert [one.scale for one in spin if one.part == "Table 1"] == [2, 3]  # x4 is Full of Table 2
    assert [one.blocks for one in spin if one.part == "Fig. 7"] == [4, 5, 6, 7, 9, 10]
