"""The report's section on GPUs: what was measured on each card, or that nothing was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import results
from reports.render import render
from reports.study import load_study
from tests.reports.pages import Page
from tests.results.cards import CARD, LATENCY, store_card

Store = Callable[..., results.Run]


def section(root: Path) -> Page:
    return Page(render(["table2"], "quick", root))


def test_where_nothing_was_measured_the_report_says_so(tmp_path: Path) -> None:
    page = section(tmp_path)
    assert "Not measured on a GPU." in page.text
    assert ("a", {"href": "#gpu"}) in page.elements and ("h2", {"id": "gpu"}) in page.elements


def test_a_card_is_shown_with_every_figure(tmp_path: Path) -> None:
    store_card(tmp_path)
    page = section(tmp_path)
    assert "Not measured on a GPU." not in page.text and CARD in page.text
    assert ["SPIN", "×4", "16.00", "8.00", "4.00"] in page.rows
    assert ["SPIN", "×2", "64.00", "–", "–"] in page.rows
    assert ["SMSR", "×4", "2.00", "1.00", "–"] in page.rows
    assert page.rows_of("float32") == 2 * [["float32", "180.0", "5.5", "50.0", "15.0"]]
    assert page.rows_of("bfloat16") == 2 * [["bfloat16", "45.0", "22.2", "12.5", "–"]]
    assert "batch 64, LR patches of 64×64. PyTorch 2.11.0+cu130." in page.text


@pytest.mark.drawn
def test_networks_timed_on_a_card_enter_costs_and_figures(store: Store, tmp_path: Path) -> None:
    """Beside those timed on a CPU, and never in one figure with them."""
    for variant in ("imdn", "bsrn"):
        store(variant, "published", weights=True, datasets={"Set5": ["a", "b"]}, images={"Set5": 2})
    timed = {
        "imdn": {"title": "IMDN", "median_s": 0.002, "low_s": 0.0019, "high_s": 0.0021, "graph_s": 0.001},
        "bsrn": {"title": "BSRN", "median_s": 0.003},
    }
    latency = {**LATENCY, "networks": {"x4": timed}}
    store_card(tmp_path, {"latency": latency})
    one = load_study("table1", "published", tmp_path)
    assert one.cards == [f"PyTorch on {CARD}"]
    points = one.trade_off("Set5", 4, "latency", implementation=one.cards[0]).points
    assert [(point.label, point.kind, point.x) for point in points] == [
        ("IMDN", "counted", 0.002),
        ("IMDN", "measured", 0.002),
        ("BSRN", "measured", 0.003),
    ]
    assert {point.x for point in one.trade_off("Set5", 4, "latency").points} == {1.2345}
    page = Page(render(["table1"], "published", tmp_path))
    assert [f"PyTorch, {CARD}"] in page.rows
    assert [
        "IMDN",
        "×4",
        "180×320",
        "41.25",
        "2.0",
        "1.9 to 2.1",
        "–",
        "1.0",
        "–",
    ] in page.rows
    grouped = page.rows[page.rows.index([f"PyTorch, {CARD}"]) :]
    single = next(row for row in grouped if row[0] == "BSRN")
    assert single[4:6] == ["3.0", "–"]
    told = "Diamonds: published PSNR over latency measured here. Dots: measured PSNR over latency measured here."
    assert f"PSNR over latency on Set5, ×4. {told} Latency: PyTorch, {CARD}, batch 1, LR 180×320" in page.text


def test_what_is_incomplete_or_missing_is_named(tmp_path: Path) -> None:
    store_card(tmp_path)
    assert "Compiled training steps: incomplete, stopped after 180 s." in section(tmp_path).text
    store_card(tmp_path, {"latency": LATENCY}, card="Another Card")
    text = section(tmp_path).text
    assert "Another Card" in text and "Training steps: not measured." in text
