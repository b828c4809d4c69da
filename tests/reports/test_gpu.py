"""The report's section on GPUs: what was measured on each card, or that nothing was."""

from __future__ import annotations

from pathlib import Path

from reports.render import render
from tests.reports.pages import Page
from tests.results.cards import CARD, LATENCY, store_card


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
    assert "steps of batch 64 with LR patches of 64×64. PyTorch 2.11.0+cu130." in page.text


def test_what_is_incomplete_or_missing_is_named(tmp_path: Path) -> None:
    store_card(tmp_path)
    assert "Compiled training steps: incomplete, stopped after 180 s." in section(tmp_path).text
    store_card(tmp_path, {"latency": LATENCY}, card="Another Card")
    text = section(tmp_path).text
    assert "Another Card" in text and "Training steps: not measured." in text
