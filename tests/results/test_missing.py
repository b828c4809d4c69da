"""Why a run has no complete result, from its files."""

from __future__ import annotations

from pathlib import Path

import pytest

import results
from results import Run, definitions
from results.missing import missing

TRAIN = {"training": {"iterations": 9}}
SETS = {"Set5": {"images": 5}, "Set14": {"images": 14}}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose training is finished."""
    made = Run("quick", "full", 4, 0, tmp_path)
    made.describe({"variant": "full"}, {"train": TRAIN, "evaluate": {"sets": SETS}, "cost": {}})
    made.record("train", results.digest(TRAIN), {}, {})
    return made


def test_what_is_left_of_a_run_is_told(run: Run) -> None:
    assert missing(run) == ("pending", "trained, not evaluated yet")
    measured = {"Set5": {"file": "measured/Set5.csv", "hash": ""}}
    run.record("evaluate", "", {"sets": measured}, {})
    assert missing(run) == ("pending", "measured on 1 of 2 sets")
    run.record("evaluate", "", {"sets": measured | {"Set14": {}}}, {})
    assert missing(run) is None  # costs come when all trainings are done
    run.write("failure.txt", "RuntimeError: a kernel\n")
    assert missing(run) == ("failed", "RuntimeError: a kernel")
    run.record("cost", "", {}, {})
    assert missing(run) is None


def test_a_training_without_evaluation_is_not_a_result(run: Run) -> None:
    run.describe({"variant": "full"}, {"train": TRAIN})
    assert missing(run) == ("pending", "trained, not evaluated yet")


def test_runs_that_were_asked_for_are_kept_by_name(tmp_path: Path) -> None:
    runs = [Run("quick", "full", 4, seed, tmp_path) for seed in range(3)]
    definitions.ask("quick", runs[:2], tmp_path)
    definitions.ask("quick", runs, tmp_path)
    file = tmp_path / "runs" / "quick" / "asked.txt"
    assert file.read_text().split() == ["full-x4-s0", "full-x4-s1", "full-x4-s2"]
    file.write_text(file.read_text() + "full-x4\n\udcff/x\nfull-x4-s2\n".encode(errors="replace").decode())
    assert definitions.asked("quick", tmp_path) == runs
    assert definitions.asked("paper", tmp_path) == []
