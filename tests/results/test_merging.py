"""Runs of several machines: which are taken over, and that nothing here is lost or mixed up."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import results
from results import Run
from results.merging import Merged, merge
from results.run import ResultsError
from tests.results.test_results import STAGES, finish


def made(root: Path, seed: int = 0, stages: Mapping[str, Any] = STAGES) -> Run:
    run = Run("quick", "full", 4, seed, root)
    finish(run, stages)
    return run


def content(run: Run) -> dict[str, bytes]:
    return {str(path.relative_to(run.folder)): path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}


def only_trained(run: Run) -> None:
    """Take the later stages away."""
    record = run.provenance()["train"]
    run.path("provenance.json").unlink()
    run.record("train", record["hash"], {"seconds": 1}, record["products"])
    for file in ("quality.csv", "cost.json"):
        run.path(file).unlink()


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here"


@pytest.mark.parametrize("below", ["", "runs", "runs/quick", "runs/quick/full-x4-s0"])
def test_a_run_is_copied_from_whatever_folder_is_named(here: Path, there: Path, below: str) -> None:
    other = made(there)
    (there / "runs" / "quick" / "protocol.yaml").write_text("title: quick\n")
    (one,) = merge(there / below, here)
    assert (one.run, one.word) == (Run("quick", "full", 4, 0, here), "copied")
    assert content(one.run) == content(other)
    assert (here / "runs" / "quick" / "protocol.yaml").read_text() == "title: quick\n"
    assert [each.word for each in merge(there / below, here)] == ["there already"]


def test_seeds_of_several_machines_come_together(here: Path, there: Path) -> None:
    for seed in (0, 1):
        made(there, seed)
    own = made(here, 2)
    assert [(one.run.seed, one.word) for one in merge(there, here)] == [(0, "copied"), (1, "copied")]
    assert own.damage() == {}


def test_more_stages_of_the_same_run_extend_it(here: Path, there: Path) -> None:
    whole, own = made(there), made(here)
    only_trained(own)
    (one,) = merge(there, here)
    assert one.word == "extended" and content(own) == content(whole)
    assert (own.folder.parent / "stale" / "full-x4-s0" / "weights.safetensors").is_file()
    only_trained(whole)
    assert [each.word for each in merge(there, here)] == ["there already"]
    assert set(own.provenance()) == {"train", "evaluate", "cost"}


def refused(here: Path, there: Path) -> str:
    """Why the only run there is refused; nothing here may change by it."""
    own = Run("quick", "full", 4, 0, here)
    before = content(own) if own.folder.is_dir() else None
    (one,) = merge(there, here)
    assert one.word == "refused" and one.reason
    assert (content(own) if own.folder.is_dir() else None) == before
    return one.reason


def test_other_settings_are_refused(here: Path, there: Path) -> None:
    made(there)
    made(here, stages=STAGES | {"train": STAGES["train"] | {"training": {"iterations": 41}}})
    assert refused(here, there).startswith("train: other settings than here (training.iterations: 41 -> 40")


def test_other_results_are_refused(here: Path, there: Path) -> None:
    made(there)
    own = made(here)
    files = {"weights.safetensors": own.write("weights.safetensors", "other"), "training.csv": "0"}
    files["training.csv"] = own.write("training.csv", "iteration,loss\n")
    own.record("train", results.digest(STAGES["train"]), {}, files)
    assert refused(here, there) == "train: other results than here (weights.safetensors)"


def test_damaged_and_unfinished_runs_are_refused(here: Path, there: Path) -> None:
    other = made(there)
    other.path("quality.csv").write_text("x")
    assert "quality.csv: damaged or replaced" in refused(here, there)
    shutil.rmtree(other.folder)
    other.describe({"variant": "full"}, STAGES)
    assert refused(here, there) == "no stage of it is finished"


def test_links_are_not_followed(here: Path, there: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    made(there).path("extra").symlink_to(secret)
    assert refused(here, there) == "extra is a link, expected files"


def test_a_run_that_is_executed_here_is_left_alone(here: Path, there: Path) -> None:
    made(there)
    own = made(here)
    only_trained(own)
    with FileLock(own.folder.parent / ".full-x4-s0.lock"):
        assert refused(here, there) == "another process is executing it here"


def test_a_folder_without_runs_is_an_error(here: Path, there: Path) -> None:
    there.mkdir()
    with pytest.raises(ResultsError, match="holds no runs, expected a folder of results"):
        merge(there, here)


def test_the_folder_itself_is_there_already(here: Path) -> None:
    own = made(here)
    assert merge(here, here) == [Merged(own, "there already")]


def test_runs_that_lie_elsewhere_than_below_runs(here: Path, there: Path, tmp_path: Path) -> None:
    """Such as results/measured, or a stick on which only a protocol's folder was put."""
    whole = content(made(there))
    measured = tmp_path / "measured"
    shutil.move(there / "runs", measured)
    (one,) = merge(measured, here)
    assert one.word == "copied" and content(one.run) == whole


def test_weights_that_were_removed_there_remain_here(here: Path, there: Path) -> None:
    other, own = made(there), made(here)
    only_trained(own)
    other.path("weights.safetensors").unlink()
    assert [one.word for one in merge(there, here)] == ["extended"]
    assert own.path("weights.safetensors").read_text() == "weights" and "cost" in own.provenance()


def test_a_copy_that_fails_leaves_the_run_in_its_place(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(there)
    only_trained(made(here))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("results.merging.shutil.copytree", full)
    assert refused(here, there) == "[Errno 28] No space left on device"
    assert not (here / "runs" / "quick" / "stale").exists()
    monkeypatch.undo()
    monkeypatch.setattr("results.merging.Path.rename", full)
    assert "No space left" in refused(here, there)


def test_a_run_at_any_folder(tmp_path: Path) -> None:
    usual = made(tmp_path)
    assert Run.at(usual.folder) == usual
    moved = tmp_path / "measured" / "quick" / "full-x4-s0"
    shutil.copytree(usual.folder, moved)
    run = Run.at(moved)
    assert (run.folder, run.protocol, run.damage()) == (moved, "quick", {})
