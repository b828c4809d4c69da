"""Several runs at the same time: which one is next and where, and that nothing depends on who executed it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import ablations
from benchmarks.runs import pool
from benchmarks.runs.apart import LOG, ProcessError
from benchmarks.runs.estimates import training_seconds
from benchmarks.runs.executors import ElsewhereRun, execute
from benchmarks.runs.places import Place, PlaceError, on_cpu, on_gpus
from benchmarks.runs.plan import Job, plan, without_stages
from benchmarks.runs.pool import execute_all
from benchmarks.runs.progress import Advance
from benchmarks.training.loop import TrainingStopped
from tests.benchmarks.runs.test_orchestrator import TINY, Quiet

CARDS = [Place("GPU-a", 1, "card"), Place("GPU-b", 1, "card")]


def planned(root: Path, only: Sequence[str], **training: Any) -> list[Job]:
    definition, protocol = ablations.load_experiment("table2"), ablations.load_protocol(TINY)
    assert protocol.training is not None
    changed = protocol.model_copy(update={"training": protocol.training.model_copy(update=training)})
    scales = [3, 4] if training.get("warm_start") else [4]
    jobs = plan(
        definition, TINY, changed, only=only, scales=scales, device=Place().kind,
        sets={scale: ["embedded-test"] for scale in scales}, root=root,
    )  # fmt: skip
    return [without_stages(job, ["train", "evaluate"]) for job in jobs if "train" in job.stages]


def acted(
    jobs: list[Job], act: Callable[[Job, Place], object], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Which run was executed where, in this order, and the word of each outcome; `act` takes the place of a process."""
    seen: list[tuple[str, str]] = []

    def call(work: object, jobs: Sequence[Job], place: Place, *_: object) -> bool:
        seen.append((jobs[0].run.name, place.device))
        return bool(act(jobs[0], place))

    monkeypatch.setattr(pool, "call_apart", call)
    monkeypatch.setattr(pool, "_POLL_S", 0.01)
    outcomes = execute_all(jobs, CARDS, Quiet(), rerun=False)
    return seen, {run.name: outcome.word for run, outcome in outcomes.items()}


def test_places_work_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=20)  # broken if one run waits for the other
    seen, found = acted(planned(tmp_path, ["full", "patch"]), lambda *_: both.wait() >= 0, monkeypatch)
    assert {device for _, device in seen} == {"GPU-a", "GPU-b"}
    assert found == {"full-x4-s0": "done", "patch-x4-s0": "done"}


def test_a_failed_run_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(job: Job, place: Place) -> bool:
        if job.run.variant == "full":
            raise OSError(28, "No space left on device")
        return True

    seen, found = acted(planned(tmp_path, ["full", "patch", "svq"]), act, monkeypatch)
    assert found == {"full-x4-s0": "failed", "patch-x4-s0": "done", "svq-x4-s0": "done"}
    assert len(seen) == 3  # not the device's fault


def test_a_process_that_is_stopped_alone_is_a_failed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(job: Job, place: Place) -> bool:
        if job.run.scale == 3:
            raise TrainingStopped("stopped after iteration 2 of 4")
        return True

    jobs = [*planned(tmp_path, ["patch"], warm_start=3), *planned(tmp_path, ["full"])]
    _, found = acted(jobs, act, monkeypatch)
    assert found == {"patch-x3-s0": "failed", "patch-x4-s0": "done", "full-x4-s0": "done"}


@pytest.mark.parametrize("error", [ProcessError("its process was ended by SIGKILL"), RuntimeError("CUDA error: no")])
def test_an_error_of_a_card_is_tried_once_on_another(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(job: Job, place: Place) -> bool:
        if job.run.variant == "full":
            raise error
        return True

    seen, found = acted(planned(tmp_path, ["full", "patch"]), act, monkeypatch)
    assert sorted(device for name, device in seen if name == "full-x4-s0") == ["GPU-a", "GPU-b"]
    assert found == {"full-x4-s0": "failed", "patch-x4-s0": "done"}


def test_a_run_waits_for_the_one_it_starts_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = planned(tmp_path, ["patch"], warm_start=3)
    assert [job.run.name for job in jobs] == ["patch-x3-s0", "patch-x4-s0"]
    seen, found = acted(jobs[::-1], lambda *_: True, monkeypatch)
    assert [name for name, _ in seen] == ["patch-x3-s0", "patch-x4-s0"]
    assert set(found.values()) == {"done"}


def test_a_run_elsewhere_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def act(job: Job, place: Place) -> bool:
        tries.append(job.run.name)
        if job.run.scale == 3 and tries.count("patch-x3-s0") == 1:
            raise ElsewhereRun("held")
        return True

    jobs = [*planned(tmp_path, ["patch"], warm_start=3), *planned(tmp_path, ["full"])]
    _, found = acted(jobs, act, monkeypatch)
    assert tries.count("patch-x3-s0") == 2
    assert tries.count("patch-x4-s0") == 1 and tries[-1] == "patch-x4-s0"  # not before the run that it starts from
    assert set(found.values()) == {"done"}


def row(folder: Path, iteration: int, seconds: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "training.csv").write_text(f"iteration,loss,learning_rate,seconds\n{iteration},1.0,0.1,{seconds}\n")


def test_hours_come_from_stored_steps_and_the_longest_is_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = planned(tmp_path, ["full", "patch", "svq"])
    by_name = {job.run.variant: job for job in jobs}
    stages = {name: dict(stage) for name, stage in by_name["full"].stages.items()}
    other = planned(tmp_path, ["full", "patch"], batch_size=2)
    for job in other:  # a step takes 10 and 2 s for twice the pixels
        stored = type(job.run)("another", job.run.variant, 4, 7, tmp_path)
        stored.describe(job.header, {name: dict(stage) for name, stage in job.stages.items()})
        row(stored.folder, 5, 50.0 if job.run.variant == "full" else 10.0)
    assert stages["train"]["training"]["iterations"] == 4 and stages["train"]["training"]["batch_size"] == 1
    found = training_seconds(jobs)
    assert {run.variant: seconds for run, seconds in found.items()} == {"full": 20.0, "patch": 4.0, "svq": None}
    row(by_name["full"].run.folder, 3, 15.0)  # begun
    by_name["full"].run.path("checkpoint.pt").touch()
    assert training_seconds(jobs)[by_name["full"].run] == 5.0
    monkeypatch.setattr(pool, "nothing_to_do", lambda *_: False)
    seen, _ = acted(jobs[::-1], lambda *_: True, monkeypatch)
    assert [name.partition("-")[0] for name, _ in seen] == ["svq", "full", "patch"]  # what is unknown first


@pytest.mark.slow
def test_two_processes_stopped_by_a_signal_go_on_to_the_same_bits(tmp_path: Path) -> None:
    sent: list[int] = []

    class Stopping(Quiet):
        def stage(self, run: str, stage: str) -> Advance:
            def advance(done: int, total: int, note: str) -> None:
                if not sent:
                    sent.append(signal.SIGTERM)
                    os.kill(os.getpid(), signal.SIGTERM)

            return advance if stage == "train" else super().stage(run, stage)

    alone, together = (
        [without_stages(job, ["train"]) for job in planned(tmp_path / name, ["patch", "only-ispa"], iterations=6)]
        for name in ("alone", "together")
    )
    with pytest.raises(TrainingStopped, match="the same command goes on"):
        execute_all(together, on_cpu(2, 1), Stopping(), rerun=False)
    assert any(job.run.path("checkpoint.pt").is_file() for job in together)
    assert not any(job.run.path("failure.txt").exists() for job in together)
    found = execute_all(together, on_cpu(2, 1), Quiet(), rerun=False)
    assert [outcome.word for outcome in found.values()] == ["done", "done"]
    for job, other in zip(alone, together, strict=True):
        execute(job, Quiet().stage, print)
        assert job.run.path("weights.safetensors").read_bytes() == other.run.path("weights.safetensors").read_bytes()
        assert "train" in other.run.path(LOG).read_text()


DRIVER = """#!/bin/sh
echo "0, GPU-aa, NVIDIA H100"
echo "1, GPU-bb, NVIDIA H100"
echo "2, GPU-cc, NVIDIA H100"
"""


@pytest.fixture
def three_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text(DRIVER)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("three_cards")
def test_gpus_are_named_by_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def devices(which: str | None) -> list[str]:
        return [place.device for place in on_gpus(which, 1)]

    assert devices(None) == ["GPU-aa", "GPU-bb", "GPU-cc"]
    assert devices("0-1,2") == ["GPU-aa", "GPU-bb", "GPU-cc"]
    assert devices("2,0") == ["GPU-cc", "GPU-aa"]
    assert on_gpus("1", 3) == [Place("GPU-bb", 3, "NVIDIA H100")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-aa")
    assert devices(None) == ["GPU-cc", "GPU-aa"]
    assert devices("0") == ["GPU-cc"]  # numbers count what is visible, as in PyTorch
    with pytest.raises(PlaceError, match="there is no GPU 2, this machine shows 2"):
        devices("0-2")
    with pytest.raises(PlaceError, match="expected numbers and ranges"):
        devices("first")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(PlaceError, match="no GPU is visible"):
        devices(None)


def test_cores_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.measure.devices.cores", lambda: 8)
    assert on_cpu(3) == [Place(threads=2)] * 3
    assert on_cpu(2, 1) == [Place(threads=1)] * 2
    assert on_cpu(1) == [Place()]
    with pytest.raises(PlaceError, match="--jobs 9: this machine has 8 cores"):
        on_cpu(9)
