"""Means, differences and ranks against values worked out by hand, and ranks against a plain definition."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ablations
import results
from reports.tables import PUBLISHED_WEIGHTS, departures, marks, means, side_by_side
from results import BASELINE, COLUMNS, ResultsError

TABLE2 = ablations.load_experiment("table2")
PUBLISHED = results.published("table2.csv")
Image = tuple[str, int, str, str, float, float]  # variant, seed, dataset, image, psnr, ssim


def frame(
    *images: Image, convention: str = "rcan", lr_origin: str = "stored", source: str = PUBLISHED_WEIGHTS
) -> pd.DataFrame:
    rows = [
        {
            "experiment": "table2", "protocol": "cpu", "variant": variant, "source": source, "scale": 4, "seed": seed,
            "ensemble": False, "dataset": dataset, "lr_origin": lr_origin, "convention": convention, "image": image,
            "psnr": psnr, "ssim": ssim,
        }
        for variant, seed, dataset, image, psnr, ssim in images
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def cell(table: pd.DataFrame, variant: str, dataset: str, metric: str = "psnr") -> pd.Series:
    found = table[(table.variant == variant) & (table.dataset == dataset) & (table.metric == metric)]
    assert len(found) == 1
    return found.iloc[0]


values = st.lists(st.one_of(st.just(math.nan), st.just(math.inf), st.floats(20, 20.2)), max_size=8)


@given(values, st.sampled_from([2, 4]))
def test_marks_follow_the_displayed_digits(column: list[float], decimals: int) -> None:
    texts = ["" if math.isnan(value) else f"{value:.{decimals}f}" for value in column]
    contest = sum(text != "" for text in texts) > 1
    for text, mark in zip(texts, marks(column, decimals), strict=True):
        above = [other for other in texts if other and text and float(other) > float(text)]
        expected = {0: "best", 1: "second"}.get(len(above), "") if text and contest else ""
        assert mark == expected


def test_marks_of_a_tie_are_shared() -> None:
    assert marks([28.80, 28.75, 28.75, 28.69], 2) == ["best", "second", "second", ""]


def test_two_firsts_leave_no_second() -> None:
    assert marks([28.801, 28.80, 28.71, 28.69], 2) == ["best", "best", "", ""]
    assert marks([28.806, 28.80], 2) == ["best", "second"]


def test_a_single_value_is_no_contest() -> None:
    assert marks([30.0, math.nan], 2) == ["", ""]


def test_an_infinite_image_is_left_out_of_its_mean_and_counted() -> None:
    images = frame(
        ("full", 0, "Set5", "a", 30.0, 0.8),
        ("full", 0, "Set5", "b", math.inf, 1.0),
        ("full", 0, "Set5", "c", 34.0, 0.9),
    )
    run = means(images).iloc[0]
    assert run.psnr == 32.0
    assert run.ssim == pytest.approx(0.9)
    assert (run.n_images, run.n_infinite) == (3, 1)
    assert means(images[images.image == "b"]).iloc[0].psnr == math.inf


def test_a_missing_number_is_refused_by_name() -> None:
    with pytest.raises(ResultsError, match=r"full-x4-s0/quality.csv: Set5, a: no number"):
        means(frame(("full", 0, "Set5", "a", math.nan, 0.8)))


def test_means_over_seeds_and_their_spread() -> None:
    images = [
        ("full", seed, "Set5", image, 30.0 + seed + shift, 0.8)
        for seed in range(3)
        for image, shift in (("a", -1.0), ("b", 1.0))
    ]
    row = cell(side_by_side(TABLE2, frame(*images), PUBLISHED), "full", "Set5")
    assert (row.measured, row.sd) == (31.0, 1.0)
    assert (row.n_seeds, row.n_images, row.of_images) == (3, 2, 2)
    assert row.published == 32.48
    assert row.difference == pytest.approx(31.0 - 32.48)


def test_one_seed_has_a_value_and_no_spread() -> None:
    row = cell(side_by_side(TABLE2, frame(("full", 0, "Set5", "a", 30.0, 0.8)), PUBLISHED), "full", "Set5")
    assert (row.measured, row.n_seeds) == (30.0, 1)
    assert math.isnan(row.sd)


def test_the_spread_is_over_seeds_and_not_over_images() -> None:
    images = [("full", seed, "Set5", image, psnr, 0.8) for seed in (0, 1) for image, psnr in (("a", 20.0), ("b", 40.0))]
    row = cell(side_by_side(TABLE2, frame(*images), PUBLISHED), "full", "Set5")
    assert (row.measured, row.sd) == (30.0, 0.0)


def test_difference_only_where_the_set_is_published() -> None:
    table = side_by_side(TABLE2, frame(("full", 0, "embedded-test", "a", 25.0, 0.7)), PUBLISHED)
    ours = cell(table, "full", "embedded-test")
    assert ours.measured == 25.0
    assert math.isnan(ours.published)
    assert math.isnan(ours.difference)
    theirs = cell(table, "full", "Set5")
    assert math.isnan(theirs.measured)
    assert math.isnan(theirs.difference)
    assert theirs.published_mark == "best"


def test_part_of_a_set_is_neither_ranked_nor_compared() -> None:
    images = [("full", 0, "Set5", name, 40.0, 0.9) for name in "ab"]
    images += [
        (variant, 0, "Set5", name, psnr, 0.8) for variant, psnr in (("svq", 30.0), ("patch", 31.0)) for name in "abc"
    ]
    table = side_by_side(TABLE2, frame(*images), PUBLISHED)
    part = cell(table, "full", "Set5")
    assert (part.n_images, part.of_images, part.measured_mark) == (2, 3, "")
    assert math.isnan(part.difference)
    assert cell(table, "patch", "Set5").measured_mark == "best"
    assert cell(table, "svq", "Set5").measured_mark == "second"


def test_the_full_count_makes_even_agreeing_runs_partial() -> None:
    images = [(variant, 0, "Urban100", "a", psnr, 0.8) for variant, psnr in (("full", 26.0), ("svq", 25.0))]
    table = side_by_side(TABLE2, frame(*images), PUBLISHED, {"Urban100": 100})
    assert math.isnan(cell(table, "full", "Urban100").difference)
    assert cell(table, "full", "Urban100").of_images == 100
    assert cell(table, "full", "Urban100").measured_mark == "best"  # same images: they may be compared


def test_a_seed_with_fewer_images_is_left_out() -> None:
    images = [
        ("full", 0, "Set5", "a", 30.0, 0.8),
        ("full", 0, "Set5", "b", 30.0, 0.8),
        ("full", 1, "Set5", "a", 99.0, 0.9),
    ]
    row = cell(side_by_side(TABLE2, frame(*images), PUBLISHED), "full", "Set5")
    assert (row.measured, row.n_seeds) == (30.0, 1)


def test_another_lr_origin_is_another_contest() -> None:
    ours = frame(("full", 0, "Set5", "a", 30.0, 0.8), ("svq", 0, "Set5", "a", 29.0, 0.8))
    other = frame(("patch", 0, "Set5", "a", 50.0, 0.9), lr_origin="imresize-symmetric")
    table = side_by_side(TABLE2, pd.concat([ours, other]), PUBLISHED)
    assert not cell(table, "patch", "Set5").comparable
    assert cell(table, "patch", "Set5").measured_mark == ""
    assert cell(table, "full", "Set5").measured_mark == "best"


@pytest.mark.parametrize(("seeds", "images", "marked"), [(1, 6, False), (2, 5, False), (2, 6, True)])
def test_networks_trained_once_or_seen_on_a_handful_of_images_are_not_ranked(
    seeds: int, images: int, marked: bool
) -> None:
    """Another training, or other images, may change their order."""
    ours = frame(
        *((variant, seed, "Set5", f"{i}", psnr, 0.8)
          for variant, psnr in (("full", 31.0), ("svq", 30.0)) for seed in range(seeds) for i in range(images)),
        source="run",
    )  # fmt: skip
    bicubic = frame(*((BASELINE, 0, "Set5", f"{i}", 28.4, 0.8) for i in range(images)), source="baseline")
    table = side_by_side(TABLE2, pd.concat([ours, bicubic]), PUBLISHED)
    found = [cell(table, name, "Set5").measured_mark for name in ("full", "svq", BASELINE)]
    assert found == (["best", "second", ""] if marked else ["", "", ""])


def test_published_weights_are_not_ranked_among_networks_trained_here() -> None:
    ours = frame(
        *((variant, seed, "Set5", f"{i}", psnr, 0.8)
          for variant, psnr in (("full", 29.0), ("svq", 28.0)) for seed in range(2) for i in range(6)),
        source="run",
    )  # fmt: skip
    table = side_by_side(TABLE2, pd.concat([ours, frame(*(("patch", 0, "Set5", f"{i}", 31.0, 0.9) for i in range(6)))]))
    marks = {name: cell(table, name, "Set5").measured_mark for name in ("full", "svq", "patch")}
    assert marks == {"full": "best", "svq": "second", "patch": ""}


def test_bicubic_takes_part_in_the_measured_ranks_only() -> None:
    images = [(BASELINE, 0, "Set5", "a", 28.4, 0.8), ("full", 0, "Set5", "a", 25.0, 0.7)]
    table = side_by_side(TABLE2, frame(*images), PUBLISHED)
    first = cell(table, BASELINE, "Set5")
    assert (first.label, first.measured_mark) == ("Bicubic", "best")
    assert math.isnan(first.published)
    assert cell(table, "full", "Set5").measured_mark == "second"


def test_nothing_measured_leaves_the_published_values() -> None:
    table = side_by_side(TABLE2, frame(), PUBLISHED)
    assert len(table) == 6 * 5 * 2
    assert table.measured.isna().all()
    assert (table.measured_mark == "").all()


def test_an_unknown_published_value_leaves_its_column_without_ranks() -> None:
    printed = PUBLISHED.copy()
    lost = (printed.method == "SVQ") & (printed.dataset == "Set5")
    printed.loc[lost, ["psnr", "ssim"]] = math.nan
    assert cell(side_by_side(TABLE2, frame(), printed), "full", "Set5").published_mark == "best"  # a dash
    printed.loc[lost, "note"] = "lost"
    table = side_by_side(TABLE2, frame(), printed)
    assert (table[table.dataset == "Set5"].published_mark == "").all()
    assert cell(table, "full", "Set14").published_mark == "best"
    assert cell(table, "svq", "Set5").published_note == "lost"


def test_departures_compare_the_same_images_only() -> None:
    base = frame(
        ("full", 0, "Set5", "a", 30.0, 0.8), ("full", 0, "Set5", "b", 32.0, 0.8), ("svq", 0, "Set5", "a", 29.0, 0.8),
        ("full", 0, "Set5", "c", math.inf, 1.0), (BASELINE, 0, "Set5", "a", 28.0, 0.8),
    )  # fmt: skip
    other = frame(
        ("full", 0, "Set5", "a", 30.1, 0.8), ("full", 0, "Set5", "b", 32.3, 0.8), ("svq", 0, "Set5", "a", 29.0, 0.8),
        ("full", 0, "Set5", "c", 60.0, 1.0), ("full", 0, "Set5", "only-here", 90.0, 1.0),
        (BASELINE, 0, "Set5", "a", 99.0, 0.8),
        convention="float",
    )  # fmt: skip
    (row,) = departures(pd.concat([base, other])).itertuples()
    assert (row.scale, row.convention, row.dataset, row.n_runs) == (4, "float", "Set5", 2)
    assert (row.mean, row.lowest, row.highest) == pytest.approx((0.1, 0.0, 0.2))


def test_no_departures_without_another_convention() -> None:
    assert departures(frame(("full", 0, "Set5", "a", 30.0, 0.8))).empty
    assert departures(frame()).empty
