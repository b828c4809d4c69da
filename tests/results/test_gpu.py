"""The files of measurements on GPUs: those of a card together, refused where they are damaged or a rehearsal's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from results import ResultsError
from results.gpu import folder_of, load_cards
from tests.results.cards import CARD, LATENCY, STEPS, store_card


def test_a_card_is_read(tmp_path: Path) -> None:
    store_card(tmp_path)
    store_card(tmp_path, {"latency": LATENCY}, card="Another Card")
    another, card = load_cards(tmp_path)
    assert (another.name, another.steps, another.compiled) == ("Another Card", None, None)
    assert card.name == CARD and card.latency and card.steps and card.compiled
    assert card.latency.networks["x4"]["spin"].graph_s == 0.004
    assert card.steps.steps["bfloat16"].hours_per_million == 12.5
    assert folder_of(CARD, tmp_path).name == "synthetic-gpu-80-gb"


def test_without_files_there_is_no_card(tmp_path: Path) -> None:
    assert load_cards(tmp_path) == []
    folder_of(CARD, tmp_path).mkdir(parents=True)
    assert load_cards(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rehearsal": True}, r"latency\.json: of a rehearsal on a CPU"),
        ({"networks": {"x4": {"spin": {"title": "SPIN", "median_s": -1.0}}}}, r"networks\.x4\.spin\.median_s: .*-1\.0"),
        ({"networks": {"x4": {"spin": {"title": "SPIN", "median_s": "fast"}}}}, "valid number .*'fast'"),
        ({"card": "Another Card"}, f"measurements on Another Card, {CARD}, expected those of one card"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    store_card(tmp_path, {"latency": LATENCY | changes, "steps": STEPS})
    with pytest.raises(ResultsError, match=message):
        load_cards(tmp_path)


def test_a_file_that_was_cut_is_named(tmp_path: Path) -> None:
    store_card(tmp_path)
    file = folder_of(CARD, tmp_path) / "steps.json"
    file.write_text(file.read_text()[:40])
    with pytest.raises(ResultsError, match=r"steps\.json: not JSON"):
        load_cards(tmp_path)
    file.write_text(json.dumps({"card": CARD}))
    with pytest.raises(ResultsError, match=r"steps\.json: torch: Field required"):
        load_cards(tmp_path)
