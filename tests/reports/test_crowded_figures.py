"""Quality over cost where it is hard to draw: many networks, long names, one's own network, three kinds of points."""

from __future__ import annotations

import numpy as np
import pytest

from reports import figures
from reports.tradeoff import Point
from tests.reports.test_figures import assert_legible, picture


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", figures.WIDTHS)
def test_many_networks_with_long_names_are_legible_in_a_column_too(name: str, seed: int) -> None:
    random, size = np.random.default_rng(seed), figures.WIDTHS[name]
    names = ["IMDN", "SwinIR-light", "Association gradient", "My own long network name", "LatticeNet+"]
    points = []
    for index in range(20):
        label, x, y = f"{names[index % 5]} {index}", random.uniform(3e9, 12e9), random.normal(32.3, 0.12)
        points += [Point(label, "counted", x, y), Point(label, "measured", x, y + 0.005)][: 1 + index % 2]
    points.append(
        Point("a name that is longer than the column of a paper is wide, with all its settings", "counted", 4e9, 32)
    )
    found = picture("macs", points=points, ours=("SwinIR-light 1",))
    assert_legible(figures.trade_off(found, size), size)


def test_ones_own_network_is_a_star_with_a_bold_name() -> None:
    (ax,) = figures.trade_off(picture(ours=("BSRN",))).axes
    assert [text.get_text() for text in ax.texts if text.get_weight() == "bold"] == ["BSRN"]
    stars = [mark for mark in ax.lines if mark.get_marker() == "*"]
    assert [star.get_label() for star in stars] == ["BSRN, measured: 32.35 dB, 352,000 parameters"]


def test_the_legend_tells_the_kinds_of_points_apart() -> None:
    points = [*picture().points, Point("CARN", "counted", 1_592_000, 32.13)]
    (legend,) = figures.trade_off(picture("macs", points=points)).legends
    told = [text.get_text() for text in legend.get_texts()]
    assert told == ["published", "published PSNR, MACs counted", "measured"]
