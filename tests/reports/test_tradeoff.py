"""Quality over cost: which points there are, and who is on the Pareto front."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import results
from reports import study
from reports.costs import PYTORCH
from reports.tradeoff import POINT_KINDS, Point, TradeOff, efficiency_scores
from tests.reports.conftest import replace

Store = Callable[..., results.Run]
SET5 = {"Set5": ["a", "b"]}


@pytest.fixture
def weights(store: Store) -> Store:
    """Stores a run of published weights on the whole of a small Set5."""

    def run(variant: str, protocol: str = "published", **settings: object) -> results.Run:
        return store(variant, protocol, **{"weights": True, "datasets": SET5, "images": {"Set5": 2}} | settings)

    return run


def recost(run: results.Run, **changes: object) -> None:
    replace(run, "cost.json", json.dumps((run.cost() or {}) | changes))


def picture(*points: tuple[str, float, float]) -> TradeOff:
    return TradeOff("Set5", 4, "params", "psnr", [Point(label, "measured", x, y) for label, x, y in points], [])


def test_a_textbook_front() -> None:
    found = picture(("cheap", 1e5, 28), ("good", 3e5, 31), ("worse", 4e5, 30), ("best", 9e5, 33), ("dear", 9.5e5, 33))
    assert [point.label for point in found.front("measured")] == ["cheap", "good", "best"]
    beaten = {point.label: [other.label for other in found.dominated_by(point)] for point in found.points}
    assert beaten == {"cheap": [], "good": [], "worse": ["good"], "best": [], "dear": ["best"]}


def test_a_network_is_dominated_only_beyond_what_measurements_differ_by() -> None:
    """Two networks whose latencies overlapped were told apart by a tenth of a millisecond."""
    points = [
        Point("a", "measured", 0.100, 32.0, 0.098, 0.104),
        Point("b", "measured", 0.099, 32.1, 0.097, 0.103),
        Point("c", "measured", 0.120, 32.05, 0.105, 0.130),
    ]
    found = TradeOff("Set5", 4, "latency", "psnr", points, [])
    assert [found.dominated_by(point) for point in points] == [[], [], [points[1]]]
    assert [point.label for point in found.front("measured")] == ["b", "a"]


@pytest.mark.parametrize(("other", "dominated"), [(1.3, False), (1.4, True)])
def test_memory_must_differ_by_more_than_a_third(weights: Store, tmp_path: Path, other: float, dominated: bool) -> None:
    for variant, size, psnr in (("imdn", 6e8, 32.3), ("bsrn", other * 6e8, 32.2)):
        run = weights(variant, psnr=psnr)
        (entry,) = (run.cost() or {})["measured"]
        recost(run, measured=[entry | {"memory": {"bytes": int(size), "method": "synthetic"}}])
    found = study.load_study("table1", "published", tmp_path).trade_off("Set5", 4, "memory")
    (bsrn,) = (point for point in found.points if point.label == "BSRN")
    assert bool(found.dominated_by(bsrn)) is dominated


def test_what_looks_equal_beats_nobody() -> None:
    found = picture(("one", 100_040, 32.004), ("same", 99_960, 31.996), ("better", 100_000, 32.01))
    assert [point.label for point in found.front("measured")] == ["better"]
    assert found.dominated_by(found.points[0]) == found.dominated_by(found.points[1]) == [found.points[2]]


def test_published_and_measured_do_not_compete() -> None:
    points = [Point("a", "published", 1e5, 33), Point("d", "counted", 2e5, 32.5)]
    points += [Point("b", "measured", 2e5, 32), Point("c", "trained", 3e5, 31)]
    points.append(Point("c (C++ kernels)", "kernels", 1e5, 34))
    found = TradeOff("Set5", 4, "params", "psnr", points, [])
    assert [found.front(kind) for kind in POINT_KINDS] == [[point] for point in points]


numbers = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=15)


@given(numbers)
def test_a_front_rises_and_beats_everything_else(values: list[tuple[int, int]]) -> None:
    found = picture(*((str(index), 1000.0 * x, y / 100) for index, (x, y) in enumerate(values)))
    front = found.front("measured")
    for one, other in pairwise(front):
        assert (one.x < other.x and one.y < other.y) or (one.x, one.y) == (other.x, other.y)
    for point in found.points:
        better = [other for other in front if other.x <= point.x and other.y >= point.y and other[2:] != point[2:]]
        assert (point in front) == (not better)


def test_published_numbers_stand_over_published_parameters_only(weights: Store, tmp_path: Path) -> None:
    weights("imdn", psnr=32.2, ssim=0.895, parameters=715176)
    one = study.load_study("table1", "published", tmp_path)
    found = one.trade_off("Set5", 4)
    assert Point("IMDN", "published", 715_000, 32.21) in found.points
    assert [point for point in found.points if point.kind == "measured"] == [
        Point("IMDN", "measured", 715176, pytest.approx(32.2))
    ]
    assert len(found.points) == 15 + 1
    assert [point.label for point in found.front("published")] == ["RFDN", "SPIN"]
    for x, cost in (("macs", 41_253_000_000), ("latency", 1.2345), ("memory", 734003200)):
        assert [point[:4] for point in one.trade_off("Set5", 4, x, "ssim").points] == [
            ("IMDN", "counted", cost, 0.8948),
            ("IMDN", "measured", cost, pytest.approx(0.895)),
        ]
    assert one.trade_off("Set5", 4, "macs").conditions == "LR 180×320"


def test_a_self_ensemble_takes_eight_passes_but_no_more_memory(weights: Store, tmp_path: Path) -> None:
    weights("latticenet-plus")
    weights("latticenet")
    one = study.load_study("table1", "published", tmp_path)
    for x, ratio in (("macs", 8), ("latency", 8), ("memory", 1)):
        found = one.trade_off("Set5", 4, x)
        costs = {point.label: point.x for point in found.points}
        assert costs["LatticeNet+"] == ratio * costs["LatticeNet"]
    counted = [point.x for point in one.trade_off("Set5", 4).points if point.kind == "measured"]
    assert counted == [555035, 555035]


def test_what_was_measured_otherwise_is_no_point_but_named(weights: Store, tmp_path: Path) -> None:
    for variant in ("imdn", "bsrn", "rfdn"):
        run = weights(variant)
    recost(run, machine={"kind": "cpu", "name": "Another CPU", "threads": 2})
    one = study.load_study("table1", "published", tmp_path)
    found = one.trade_off("Set5", 4, "latency")
    assert [point.label for point in found.points if point.kind == "measured"] == ["IMDN", "BSRN"]
    assert found.apart == ("RFDN",)
    assert found.conditions.startswith("PyTorch, Synthetic CPU, 2 threads")
    assert one.trade_off("Set5", 4, "macs").apart == ()


def test_a_part_of_a_set_is_no_point(weights: Store, tmp_path: Path) -> None:
    weights("imdn", images={"Set5": 5})
    points = study.load_study("table1", "published", tmp_path).trade_off("Set5", 4, "macs").points
    assert [(point.label, point.kind) for point in points] == [("IMDN", "counted")]


def test_what_was_not_costed_is_no_point(weights: Store, tmp_path: Path) -> None:
    run = weights("imdn")
    (entry,) = (run.cost() or {})["measured"]
    recost(run, measured=[entry | {"memory": None}])
    weights("bsrn")
    (point,) = study.load_study("table1", "published", tmp_path).trade_off("Set5", 4, "memory").points
    assert point.label == "BSRN"


def test_kernels_are_a_point_of_their_own(weights: Store, tmp_path: Path) -> None:
    """SPIN in PyTorch is compared with the others in PyTorch; with its kernels it is compared with nobody."""
    weights("imdn", psnr=32.2)
    run = weights("bsrn", psnr=32.3)
    (entry,) = (run.cost() or {})["measured"]
    fast = entry | {"implementation": "C++ kernels", "latency": entry["latency"] | {"median_s": 0.1}}
    recost(run, measured=[entry, fast])
    one = study.load_study("table1", "published", tmp_path)
    found = one.trade_off("Set5", 4, "latency")
    assert [(point.label, point.kind, point.x) for point in found.points] == [
        ("IMDN", "counted", 1.2345),
        ("IMDN", "measured", 1.2345), ("BSRN", "measured", 1.2345), ("BSRN (C++ kernels)", "kernels", 0.1),
    ]  # fmt: skip
    assert [point.label for point in found.front("measured")] == ["BSRN", "IMDN"]  # equally fast, within their rounds
    assert all(other.kind == "measured" for point in found.points[1:3] for other in found.dominated_by(point))
    assert [point.kind for point in one.trade_off("Set5", 4, "macs").points] == ["counted", "measured", "measured"]


def test_published_quality_stands_over_what_was_counted_here(store: Store, tmp_path: Path) -> None:
    """A network without a checkpoint has its place too, and competes with its like alone."""
    store("esrt", "published", weights=True, status="no checkpoint here")
    one = study.load_study("table1", "published", tmp_path)
    for x, cost in (("macs", 41_253_000_000), ("activations", 812_000_000), ("latency", 1.2345)):
        found = one.trade_off("Urban100", 4, x)
        assert [point[:4] for point in found.points] == [("ESRT", "counted", cost, 26.39)]
        assert (
            found.named("counted")
            == {
                "macs": "published PSNR, MACs counted",
                "activations": "published PSNR, activations counted",
                "latency": "published PSNR, latency measured",
            }[x]
        )
    assert "counted" not in {
        point.kind for point in one.trade_off("Urban100", 4).points
    }  # the parameters are published


def test_without_a_wish_the_figure_is_of_the_first_set_with_a_network_at_the_largest_scale(
    store: Store, tmp_path: Path
) -> None:
    store("full", "quick", psnr=30.0)
    store("exp", "quick", psnr=31.0)
    found = study.load_study("switches", "quick", tmp_path).trade_off()
    assert (found.dataset, found.scale, found.x, found.y) == ("embedded-test", 4, "params", "psnr")
    assert [point.label for point in found.points] == ["Full", "Association exp(-d²)"]


def test_what_was_trained_here_lies_below(weights: Store, store: Store, tmp_path: Path) -> None:
    weights("imdn", psnr=32.2)
    store("full", "cpu", psnr=29.5, datasets=SET5, images={"Set5": 2})
    store("full", "paper", psnr=32.6, datasets=SET5, images={"Set5": 2})
    found = study.load_study("table1", "published", tmp_path).trade_off("Set5", 4)
    (below,) = found.below
    assert below == Point("SPIN (protocol cpu)", "trained", 555035, pytest.approx(29.5))
    assert [point.label for point in found.front("trained")] == ["SPIN (protocol paper)"]
    assert [point.label for point in found.dominated_by(below)] == ["SPIN (protocol paper)"]


def test_trainings_are_drawn_where_only_published_values_are_above_them(store: Store, tmp_path: Path) -> None:
    def picture() -> TradeOff:
        return study.load_study("table2", "cpu", tmp_path).trade_off("Set5", 4)

    store("full", "cpu", psnr=29.5, datasets=SET5, images={"Set5": 2})
    assert [point.kind for point in picture().points] == ["counted"] and len(picture().below) == 1  # says nothing
    store("patch", "cpu", psnr=29.4, parameters=558171, datasets=SET5, images={"Set5": 2})
    found = picture()
    assert [(point.label, point.kind) for point in found.points] == [("Patch", "trained"), ("Full", "trained")]
    assert {point.kind for point in found.above} == {"counted"} and not found.below


def measured(*rows: tuple[str, str, float, float, float, str], scale: int = 4) -> pd.DataFrame:
    columns = ["variant", "implementation", "latency_s", "macs", "parameters", "latency_conditions"]
    return pd.DataFrame(rows, columns=columns).assign(scale=scale)


def test_the_efficiency_score_is_that_of_the_ntire_challenges() -> None:
    table = measured(
        ("base", PYTORCH, 0.1, 1e9, 5e5, "here"),
        ("half", PYTORCH, 0.05, 2e9, 5e5, "here"),
        ("half", "kernels", 0.001, 2e9, 5e5, "here"),
        ("elsewhere", PYTORCH, 0.01, 1e9, 5e5, "there"),
        ("untimed", PYTORCH, math.nan, 1e9, 5e5, ""),
    )
    found = efficiency_scores(table, 4, "base")
    expected = 0.7 * math.exp(1) + 0.15 * math.exp(4) + 0.15 * math.exp(2)
    assert found == {"base": pytest.approx(math.exp(2)), "half": pytest.approx(expected)}
    assert efficiency_scores(table, 4, "untimed") == efficiency_scores(table, 2, "base") == {}
