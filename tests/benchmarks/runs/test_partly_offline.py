"""Partly offline: a test set that cannot be had is left out with its reason, which a report finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablations import load_protocol
from benchmarks.data import datasets
from benchmarks.data.images import DataError
from benchmarks.runs import orchestrator
from results import definitions

SETS = ["embedded-test", "Set14", "Manga109"]


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("SPINBENCH_MIRROR", "http://me:s3cret@127.0.0.1:9")
    monkeypatch.setattr("benchmarks.data.fetch._PAUSES_S", ())
    return tmp_path


def prepared(names: list[str]) -> tuple[orchestrator.Prepared, list[str]]:
    protocol, told = load_protocol("published"), list[str]()
    evaluation = protocol.evaluation.model_copy(update={"datasets": names})
    found = orchestrator.prepare(protocol.model_copy(update={"evaluation": evaluation}), [4], told.append)
    return found, told


def test_the_others_are_measured(offline: Path) -> None:
    found, told = prepared(SETS)
    assert found.sets == {4: ("embedded-test",)}
    assert [line.partition(":")[0] for line in told] == ["Set14 x4 is left out", "Manga109 x4 is left out"]
    assert "cannot be downloaded" in told[0] and "s3cret" not in told[0]
    assert "its authors grant a licence" in told[1]


def test_nothing_at_all_is_an_error_with_the_reasons(offline: Path) -> None:
    with pytest.raises(DataError, match=r"none of the test sets Set14 is available: .*cannot be downloaded"):
        prepared(["Set14"])


def test_a_damaged_file_is_not_passed_over(offline: Path) -> None:
    """It lies here, and the user can replace it."""
    (source, *_) = datasets.get("Set14").hr_sources[4].values()
    file = offline / "cache" / source.path  # type: ignore[attr-defined]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"damaged")
    with pytest.raises(DataError, match="damaged or another version"):
        prepared(SETS)


def test_what_is_noted_is_forgotten_once_the_set_is_had(tmp_path: Path) -> None:
    definitions.leave_out("quick", {("Set14", 4): "refused", ("Set14", 2): "refused", ("Set5", 4): None}, tmp_path)
    definitions.leave_out("quick", {("Set14", 4): None}, tmp_path)
    assert definitions.left_out("quick", tmp_path) == {("Set14", 2): "refused"}
    (definitions.folder("quick", tmp_path) / "left-out.yaml").write_text("- 1: [")
    assert definitions.left_out("quick", tmp_path) == {}


@pytest.mark.parametrize("text", ["[" * 5000, "x4: [1", "4: {Set5: 3}", "4: {Set5: [a]}", "- 1"])
def test_notes_that_are_damaged_say_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "runs" / "quick" / "left-out.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert definitions.left_out("quick", tmp_path) == {}
    file.unlink()
    file.mkdir()
    assert definitions.left_out("quick", tmp_path) == {}
