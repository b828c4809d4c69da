"""A run in a process of its own: same bits, same errors, same messages; and what happens if either process dies."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

import ablations
from benchmarks.measure import memory
from benchmarks.runs import training
from benchmarks.runs.apart import LOG, call_apart
from benchmarks.runs.executors import ElsewhereRun, execute, held
from benchmarks.runs.places import Place
from benchmarks.runs.plan import Job, plan, without_stages
from benchmarks.runs.pool import _execute
from benchmarks.runs.progress import Advance
from benchmarks.runs.stages import RefusedRun, RunError
from benchmarks.training.loop import TrainingStopped
from tests.benchmarks.runs.test_orchestrator import TINY

CPU = torch.device("cpu")


def job(root: Path, variant: str = "patch", **training: object) -> Job:
    definition, protocol = ablations.load_experiment("table2"), ablations.load_protocol(TINY)
    assert protocol.training is not None
    changed = protocol.training.model_copy(update=training)
    found = plan(
        definition, TINY, protocol.model_copy(update={"training": changed}), only=[variant], device=CPU,
        sets={4: ["embedded-test"]}, root=root,
    )  # fmt: skip
    return without_stages(found[-1], ["train", "evaluate"])


def execute_apart(job: Job, begin: Callable[[str, str], Advance], say: Callable[[str], None]) -> bool:
    return bool(call_apart(partial(_execute, rerun=False), [job], Place(), begin, say))


class Told:
    """What a run reports; `react` is called with the iteration of each training step."""

    def __init__(self, react: Callable[[int], None] = lambda iteration: None) -> None:
        self.stages: list[str] = []
        self.lines: list[str] = []
        self.react = react

    def begin(self, run: str, stage: str) -> Advance:
        self.stages.append(stage)
        return lambda done, total, note: self.react(done) if stage == "train" else None


def weights(job: Job) -> bytes:
    return job.run.path("weights.safetensors").read_bytes()


@pytest.mark.slow
def test_the_same_bits_as_in_this_process(tmp_path: Path) -> None:
    here, there, told = job(tmp_path / "here"), job(tmp_path / "there"), Told()
    assert execute(here, Told().begin, print)
    assert execute_apart(there, told.begin, told.lines.append)
    assert weights(here) == weights(there)
    assert here.run.path("quality.csv").read_bytes() == there.run.path("quality.csv").read_bytes()
    assert told.stages == ["start", "train", "evaluate"]


@pytest.mark.slow
def test_errors_come_over(tmp_path: Path) -> None:
    one = job(tmp_path)
    with held(one.run), pytest.raises(ElsewhereRun, match="another process is executing it"):
        execute_apart(one, Told().begin, print)
    execute(without_stages(one, ["train"]), Told().begin, print)
    with pytest.raises(RefusedRun, match="was trained under other settings") as caught:
        execute_apart(job(tmp_path, iterations=5), Told().begin, print)
    assert "RefusedRun" in str(caught.value.__cause__)  # the traceback of the other process


@pytest.mark.slow
def test_a_signal_is_passed_on_and_the_training_resumes_to_the_same_bits(tmp_path: Path) -> None:
    whole, stopped = job(tmp_path / "whole"), job(tmp_path / "stopped", workers=0)
    execute(whole, Told().begin, print)

    def stop(iteration: int) -> None:
        if iteration == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(TrainingStopped, match=r"stopped after iteration [1-4] of 4; its state is saved"):
        execute_apart(stopped, Told(stop).begin, print)
    assert stopped.run.path("checkpoint.pt").is_file()
    assert execute(stopped, Told().begin, print)
    assert weights(stopped) == weights(whole)


@pytest.mark.slow
def test_a_repeated_run_has_a_log_of_its_own(tmp_path: Path) -> None:
    """The log of the old run goes with it."""
    execute(without_stages(job(tmp_path), ["train"]), Told().begin, print)
    again = without_stages(job(tmp_path, iterations=5), ["train"])
    assert call_apart(partial(_execute, rerun=True), [again], Place(), Told().begin, print)
    assert "patch-x4-s0 train" in again.run.path(LOG).read_text()


class Fatal(dict[str, object]):
    """Ends the process that unpickles it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Callable[..., object], tuple[int, ...]]:
        return (_kill, (self.number,)) if self.number else (os._exit, (3,))


def _kill(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(
    ("number", "how"),
    [(0, "ended with exit code 3, without a result"), (signal.SIGKILL, "was ended by SIGKILL, usually for lack of")],
)
def test_a_process_that_dies_is_one_clear_line(tmp_path: Path, number: int, how: str) -> None:
    dying = dataclasses.replace(job(tmp_path), sets=Fatal(number))  # type: ignore[arg-type]
    threads = threading.active_count()
    with pytest.raises(RunError, match=f"patch-x4-s0: its process {how}"):
        execute_apart(dying, Told().begin, print)
    assert threading.active_count() == threads


def test_a_step_too_large_for_a_card_is_refused_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The paper's batch takes 14 GiB: a card with 8 is told so, and one with 24 takes it."""
    one = dataclasses.replace(job(tmp_path, "full", batch_size=64, lr_patch=64), device=torch.device("cuda"))
    changed = one.protocol.training
    assert changed is not None
    monkeypatch.setattr(memory, "available", lambda device: 8 * 2**30)
    with pytest.raises(RunError, match=r"batch_size 64 and lr_patch 64 takes at least 1[0-6]\.\d GiB, and 8\.0 GiB"):
        training._check_memory(one)
    monkeypatch.setattr(memory, "available", lambda device: 24 * 2**30)
    training._check_memory(one)
