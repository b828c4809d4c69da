"""Figures: what they draw, that no text covers another, that grey is enough, and that their files are as promised."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import results
from reports import figures, study
from reports import speed as speeds
from reports.differences import ImageDifferences, VariantDifferences
from reports.figures.breakdown import HATCHES
from reports.figures.depth import interval_over_seeds
from reports.figures.style import COLUMN, INK, LINE, PAGE, FigureSize, line, literal
from reports.figures.trade_off import FRONTS, POINT_MARKS
from reports.study import Curve
from reports.tradeoff import POINT_KINDS, CostName, Point, TradeOff
from tests.reports.figure_data import paired, training
from tests.reports.speeds import NETWORKS, speed_rows

Store = Callable[..., results.Run]
SIZES = {"page": PAGE, "column": COLUMN, "line": LINE}
SET5 = {"Set5": ["a", "b"]}


def curve(seeds: int = 3, dataset: str = "Set5") -> Curve:
    random = np.random.default_rng(0)
    rows = [
        {"seed": seed, "x": x, "psnr": 31 + math.log(x) / 3 + random.normal(0, 0.03), "ssim": 0.88 + x / 1000}
        for seed in range(seeds)
        for x in range(4, 11)
    ]
    published = pd.DataFrame([{"x": 8, "psnr": 32.48, "ssim": 0.8983}])
    return Curve("fig7", 4, dataset, [float(x) for x in range(4, 11)], pd.DataFrame(rows), published)


def parts() -> dict[str, dict[str, int]]:
    one = {
        "convolutions": 7,
        "association": 1,
        "SPCA": 14,
        "ISPA": 11,
        "local attention": 15,
        "FFNs": 12,
        "upsampler": 17,
    }
    scaled = {name: count * 10**9 for name, count in one.items()}
    return {"Full": scaled, "Only ISPA": {name: count for name, count in scaled.items() if name != "SPCA"}}


@pytest.fixture
def speed(tmp_path: Path) -> speeds.Speed:
    speed_rows().to_csv(tmp_path / "speed.csv", index=False)
    (found,) = speeds.load_speed(tmp_path)
    return found


@pytest.fixture
def networks(store: Store, tmp_path: Path) -> study.Study:
    """Table 1 with three measured networks, one of them where its published point is, and SPIN trained here."""
    measured = {
        "imdn": (715176, 38.0, 34.36, 32.205),
        "bsrn": (352000, 38.1, 34.46, 32.35),
        "hpinet-m": (896000, 38.12, 34.7, 32.6),
        "latticenet-plus": (777440, 38.15, 34.55, 32.3),
        "latticenet": (777440, 38.06, 34.4, 32.18),
        "carn-m": (415003, 37.53, 33.99, 31.92),
    }
    for variant, (parameters, *values) in measured.items():
        for scale, psnr in zip((2, 3, 4), values, strict=True):
            store(
                variant, "published", scale=scale, psnr=psnr, parameters=parameters, datasets=SET5,
                images={"Set5": 2}, weights=True,
            )  # fmt: skip
    store("full", "paper", psnr=32.4, datasets=SET5, images={"Set5": 2})
    return study.load_study("table1", "published", tmp_path)


class Texts(dict[str, tuple[float, float, float, float]]):
    """The boxes of all texts as they are drawn, in points, by text and position."""

    def __init__(self, figure: Figure, size: FigureSize) -> None:
        super().__init__()
        draw = Text.draw

        def note(text: Text, renderer: Any) -> None:
            draw(text, renderer)
            if text.get_visible() and text.get_text().strip():
                # of an annotation without its line
                left, bottom, right, top = Text.get_window_extent(text).extents / figure.dpi * 72
                self[f"{text.get_text()} at {left:.0f}, {bottom:.0f}"] = (left, bottom, right, top)

        with size.context(), pytest.MonkeyPatch.context() as patch:
            figures.save(figure, "png", size)
            patch.setattr(Text, "draw", note)  # ticks beyond the axes have texts that are never drawn
            figure.draw_without_rendering()


def assert_legible(figure: Figure, size: FigureSize) -> None:
    """No text covers another by more than half a point, nor leaves the figure."""
    boxes = Texts(figure, size)
    assert len(boxes) > 5
    width, height = figure.get_size_inches() * 72
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        covered = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        assert min(covered) <= 0.5, (one, other)
    for name, (left, bottom, right, top) in boxes.items():
        assert left >= -0.5 and bottom >= -0.5 and right <= width + 0.5 and top <= height + 0.5, name


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(
    ("draw", "data"),
    [
        (partial(figures.depth, curve(dataset="embedded-test"), "blocks"), "curve"),
        (partial(figures.training, training()), "training"),
        (partial(figures.differences, paired()), "differences"),
        (partial(figures.breakdown, parts()), "breakdown"),
    ],
    ids=["depth", "training", "differences", "breakdown"],
)
def test_no_text_covers_another(draw: figures.Draw, data: str, name: str) -> None:
    assert_legible(draw(SIZES[name]), SIZES[name])


@pytest.mark.parametrize("name", SIZES)
def test_names_of_networks_cover_neither_each_other_nor_a_mark(networks: study.Study, name: str) -> None:
    for scale in (2, 3, 4):
        found, size = networks.trade_off("Set5", scale), SIZES[name]
        figure = figures.trade_off(found, size)
        assert_legible(figure, size)
        (ax,) = figure.axes
        labels = {literal(point.label) for point in found.points}
        boxes = [Text.get_window_extent(text) for text in ax.texts if text.get_text() in labels]
        assert len(boxes) == len(labels)
        for point in found.points:
            x, y = ax.transData.transform((point.x / 1000, point.y))
            assert not [box for box in boxes if box.x0 < x < box.x1 and box.y0 < y < box.y1], point


@pytest.mark.parametrize("name", SIZES)
def test_names_at_the_ends_of_lines_stand_apart_in_their_order(speed: speeds.Speed, name: str) -> None:
    figure = figures.growth(speed, SIZES[name])
    assert_legible(figure, SIZES[name])
    assert len(figure.axes) == 2
    for ax in figure.axes:
        by_height = sorted(ax.texts, key=lambda text: text.get_window_extent().y0)
        ends = [text.xy[1] for text in by_height]
        assert ends == sorted(ends)
        assert len(ends) == len(NETWORKS)
    assert "spin 1.65" in [text.get_text() for text in figure.axes[0].texts]


def test_lines_marks_and_hatches_differ_without_colour() -> None:
    styles = [(line(index)["linestyle"], line(index)["marker"]) for index in range(32)]
    assert len(set(styles)) == 32
    marks = {(mark["marker"], mark.get("markerfacecolor")) for mark in POINT_MARKS.values()}
    assert len(marks) == len(set(FRONTS.values())) == len(POINT_KINDS)
    kinds = {kind for counts in parts().values() for kind in counts}
    assert len(set(HATCHES)) == len(HATCHES) >= len(kinds)


def boxes_of(pdf: bytes) -> list[float]:
    (found,) = re.findall(rb"/MediaBox \[([^\]]*)\]", pdf)
    return [float(number) for number in found.split()]


def test_printed_figures_have_the_width_of_a_column_and_embedded_fonts() -> None:
    draw = partial(figures.depth, curve(), "blocks")
    files = figures.files("fig7", draw, wide=True)
    assert set(files) == {"fig7.svg", "fig7.png", "fig7.pdf", "fig7-wide.pdf"}
    for name, inches in (("fig7.pdf", 3.25), ("fig7-wide.pdf", 4.8)):  # CVPR's column, the line of llncs
        assert boxes_of(files[name])[2] == pytest.approx(72 * inches)
        assert b"/FontFile2" in files[name]
        assert b"/Type3" not in files[name]
        assert b"/Subtype /Image" not in files[name]


def picture(x: CostName = "params", **changes: Any) -> TradeOff:
    """Three networks, one of them published and measured; the last to come is the cheapest."""
    points = [
        Point("IMDN", "published", 715_000, 32.21),
        Point("IMDN", "measured", 715_176, 32.205),
        Point("HPINet-M", "measured", 896_000, 32.6),
        Point("BSRN", "measured", 352_000, 32.35),
    ]
    return TradeOff("Set5", 4, x, "psnr", points, [])._replace(**changes)


def test_the_same_numbers_give_the_same_bytes() -> None:
    draw = partial(figures.trade_off, picture())
    once, again = (figures.files("fig1", draw, wide=True) for _ in range(2))
    assert once == again


def test_a_figure_in_a_page_takes_its_colours_and_has_names_of_its_own() -> None:
    svg = figures.inline(figures.save(figures.trade_off(picture()), "svg"), "fig1", 'over "parameters" & <more>')
    assert svg.startswith('<svg role="group" aria-label="over &#34;parameters&#34; &amp; &lt;more&gt;"')
    assert INK not in svg and "currentColor" in svg
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("fig1-") for name in [*ids, *re.findall(r'href="#([^"]*)"', svg)])
    assert "<title>IMDN, published: 32.21 dB, 715,000 parameters</title>" in svg


def test_the_front_is_drawn_from_point_to_point() -> None:
    (ax,) = figures.trade_off(picture()).axes
    (front,) = [drawn for drawn in ax.lines if drawn.get_drawstyle() == "steps-post" and drawn.get_linestyle() == "-"]
    assert front.get_xydata().tolist() == [[352, 32.35], [896, 32.6]]


def test_costs_that_differ_much_stand_on_a_logarithmic_axis() -> None:
    assert figures.trade_off(picture()).axes[0].get_xscale() == "linear"
    far = [Point("IMDN", "measured", 1e5, 32.2), Point("BSRN", "measured", 2e6, 32.35)]
    assert figures.trade_off(picture(points=far)).axes[0].get_xscale() == "log"


@pytest.mark.parametrize(
    ("x", "cost", "label", "title"),
    [
        ("params", 715_176, "parameters (thousands)", "715,176 parameters"),
        ("macs", 40.89e9, "MACs (G)", "MACs 40.89 G"),
        ("latency", 1.2345, "latency (ms)", "latency 1,234.5 ms"),
        ("memory", 700 * 2**20, "peak memory (MiB)", "peak memory 700.0 MiB"),
    ],
)
def test_labels_and_titles_name_quantity_and_unit(x: CostName, cost: float, label: str, title: str) -> None:
    figure = figures.trade_off(picture(x, y="ssim", points=[Point("IMDN", "measured", cost, 0.7)]))
    assert figure.axes[0].get_xlabel() == label
    assert figure.axes[0].get_ylabel() == "SSIM on Set5, ×4"
    assert f"<title>IMDN, measured: 0.7000 SSIM, {title}</title>" in figures.save(figure, "svg").decode()


def test_the_interval_over_seeds_is_students() -> None:
    measured = pd.DataFrame({"x": [4, 4, 4, 5], "psnr": [31.0, 31.2, 31.4, 30.0]})
    found = interval_over_seeds(measured, "psnr")
    assert found["mean"].tolist() == pytest.approx([31.2, 30])
    assert found.half[4] == pytest.approx(4.302653 * 0.2 / math.sqrt(3), rel=1e-6)  # t(0.975, 2) of the tables
    assert math.isnan(found.half[5])


@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        (1, ["measured, one seed", "published"]),
        (3, ["measured, mean of 3 seeds", "95% t interval over seeds", "each seed", "published"]),
    ],
)
def test_the_legend_says_what_bars_are(seeds: int, told: list[str]) -> None:
    (legend,) = figures.depth(curve(seeds), "blocks").legends
    assert sorted(text.get_text() for text in legend.get_texts()) == sorted(told)


def test_seeds_that_are_not_the_same_for_all() -> None:
    some = curve()
    some = some._replace(measured=some.measured[(some.measured.seed == 0) | (some.measured.x < 6)])
    (legend,) = figures.depth(some, "blocks").legends
    assert "measured, mean of 1 to 3 seeds" in [text.get_text() for text in legend.get_texts()]


def test_differences_are_sorted_and_counted() -> None:
    panels = {"SVQ": VariantDifferences([0.3, -0.1, 0.1, 0.1], (-0.02, 0.2)), "Patch": VariantDifferences([-1.0])}
    first, second = figures.differences(ImageDifferences("Full", "Set5", 4, "psnr", panels)).axes
    assert first.get_title(loc="left") == "SVQ: 3 of 4 better\nmean +0.100 [−0.020, 0.200]"
    assert second.get_title(loc="left") == "Patch: 0 of 1 better\nmean −1.000"
    drawn = next(each for each in first.lines if each.get_marker() == "o")
    assert drawn.get_ydata().tolist() == [-0.1, 0.1, 0.1, 0.3]
    levels = [each.get_ydata()[0] for each in first.lines if len(each.get_ydata()) == 2]
    assert levels == pytest.approx([0.1, 0])


def test_bars_stand_one_after_the_other() -> None:
    (ax,) = figures.breakdown(parts()).axes
    full = [bar for bar in ax.patches if bar.get_y() < 0 < bar.get_y() + bar.get_height()]
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in full]
    assert ends == [(0, 7), (7, 8), (8, 22), (22, 33), (33, 48), (48, 60), (60, 77)]
    assert [text.get_text() for text in ax.texts] == ["77.0", "63.0"]


def test_memory_at_one_size_does_not_grow(tmp_path: Path) -> None:
    rows = speed_rows(["spin"])
    rows.loc[rows.lr_height != 64, "memory_bytes"] = math.nan
    rows.to_csv(tmp_path / "speed.csv", index=False)
    (found,) = speeds.load_speed(tmp_path)
    assert len(figures.growth(found).axes) == 1


def test_labels_are_not_mathematics() -> None:
    (ax,) = figures.breakdown({"a$b$c": {"convolutions": 10**9}}).axes
    with PAGE.context():
        ax.figure.draw_without_rendering()
    assert "a$b$c" in figures.save(ax.figure, "svg").decode()
