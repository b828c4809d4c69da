"""A stored run carried out again from its folder alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.runs.executors import execute
from benchmarks.runs.reproduction import ReproductionError, compared, jobs_for
from results import Run
from tests.benchmarks.runs.test_orchestrator import Quiet
from tests.benchmarks.runs.test_pool import planned


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Run:
    (job,) = planned(tmp_path_factory.mktemp("stored"), ["patch"], iterations=2)
    execute(job, Quiet().stage, print)
    return job.run


def test_the_same_bits_from_the_folder_alone(stored: Run, tmp_path: Path) -> None:
    (job,) = jobs_for(stored, tmp_path)
    execute(job, Quiet().stage, print)
    found = compared(stored, job.run)
    assert found.same == {"weights.safetensors": True, "quality.csv": True}
    assert found.psnr == {"embedded-test, float": 0.0, "embedded-test, rcan": 0.0} and not found.changes


def test_other_weights_are_other_bits_and_a_difference_in_db(stored: Run, tmp_path: Path) -> None:
    (job,) = planned(tmp_path, ["patch"], iterations=3)
    execute(job, Quiet().stage, print)
    found = compared(stored, job.run)
    assert found.same == {"weights.safetensors": False, "quality.csv": False}
    assert abs(found.psnr["embedded-test, rcan"]) > 1e-3


def test_weights_that_were_removed_are_compared_by_their_record(stored: Run, tmp_path: Path) -> None:
    shutil.copytree(stored.root / "runs", tmp_path / "runs")
    slim = Run(stored.protocol, stored.variant, stored.scale, stored.seed, tmp_path)
    slim.path("weights.safetensors").unlink()
    assert compared(slim, stored).same["weights.safetensors"]


def test_a_run_of_other_data_is_not_reproduced(stored: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.data.datasets.Dataset.checksum", lambda *_: "other")
    with pytest.raises(ReproductionError, match=r"train: is no longer possible as it was \(data: [0-9a-f]+ -> other"):
        jobs_for(stored, tmp_path)


def test_what_was_not_trained_is_refused(stored: Run, tmp_path: Path) -> None:
    begun = Run("tiny", "full", 4, 7, tmp_path)
    begun.describe({"variant": "full"}, {"train": {"model": "spin"}})
    with pytest.raises(ReproductionError, match="expected a run that was trained and evaluated"):
        jobs_for(begun, tmp_path)
