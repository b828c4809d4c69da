"""Interrupted anywhere, a training ends with the same bits; what does not fit it is refused."""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

import results
from benchmarks.measure.provenance import Process
from benchmarks.training import checkpoints, loop
from benchmarks.training.checkpoints import CheckpointError
from benchmarks.training.loop import Step
from tests.benchmarks.training import small
from tests.benchmarks.training.small import (
    CASES,
    DEVICES,
    ITERATIONS,
    Crash,
    Network,
    Patches,
    crash_at,
    history,
    mean_weight,
    protocol,
    train,
    weights,
)

CHECKOUT = Path(__file__).parents[3]


@pytest.mark.parametrize("check_every", [1, 50])  # as on a CPU and as on a GPU, where few steps are reported
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", ["constant", "milestones, bfloat16", "one-cycle, averaged, clipped", "float16"])
def test_a_crashed_training_ends_with_the_same_bits(
    tmp_path: Path, case: str, device: str, check_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "ROWS", 10)  # a row holds the mean of 4 losses, and a checkpoint parts of it
    monkeypatch.setitem(loop.CHECK_EVERY, device, check_every)
    whole = train(tmp_path / "whole", CASES[case], device=device)
    draw = random.Random(case)
    for number in range(3):
        folder, first = tmp_path / str(number), draw.randint(1, ITERATIONS - 1)
        for iteration in (first, draw.randint(first, ITERATIONS - 1)):
            with pytest.raises(Crash):
                train(folder, CASES[case], device=device, patches=Patches(until=iteration))
        patches = Patches()
        resumed = train(folder, CASES[case], Network(seed=9), device=device, patches=patches)
        assert weights(resumed) == weights(whole)
        pd.testing.assert_frame_equal(history(resumed), history(whole))
        assert patches.asked[0] == iteration // 10 * 10  # it went on from the last checkpoint


@pytest.mark.parametrize(("case", "kills"), [("long", 3), ("workers", 1)])
@pytest.mark.slow
def test_a_killed_process_ends_with_the_same_bits(tmp_path: Path, case: str, kills: int) -> None:
    whole = train(tmp_path / "whole", CASES[case] | {"workers": 0})
    every, iterations = CASES[case]["checkpoint_every"], CASES[case]["iterations"]
    draw = random.Random(case)
    done = 0
    for kill in sorted(draw.sample(range(every + 1, iterations - every), kills)):
        process = start_script(tmp_path / "killed", case)
        assert process.stdout is not None
        first = int(process.stdout.readline())
        assert first == 1 if not done else (first > 1 and first % every == 1)
        for line in process.stdout:
            if (done := int(line)) >= kill:
                time.sleep(draw.uniform(0, 0.004))  # anywhere in the steps that follow
                break
        process.kill()
        process.wait()
        assert process.returncode != 0 and done < iterations
    run = train(tmp_path / "killed", CASES[case] | {"workers": 0}, Network(seed=9))
    assert weights(run) == weights(whole)
    pd.testing.assert_frame_equal(history(run), history(whole))


@pytest.mark.skipif(os.name == "nt", reason="needs process groups")
@pytest.mark.slow
def test_a_signal_to_the_whole_group_ends_it_cleanly(tmp_path: Path) -> None:
    """As Ctrl-C and Slurm send it: the workers must outlive the step in progress."""
    process = start_script(tmp_path, "workers", start_new_session=True, stderr=subprocess.PIPE)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 20:  # both workers are past their start
        pass
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert "TrainingStopped: network-x2-s1: stopped after iteration" in errors
    run = train(tmp_path, CASES["workers"] | {"workers": 0}, Network(seed=9))
    assert weights(run) == weights(train(tmp_path / "whole", CASES["workers"] | {"workers": 0}))


def test_finished_weights_are_recognised(tmp_path: Path) -> None:
    run = train(tmp_path, {})
    assert loop.finished(run, "f" * 64)
    assert not loop.finished(run, "e" * 64)
    run.path("weights.safetensors").write_bytes(b"damaged")
    assert not loop.finished(run, "f" * 64)
    run.path("weights.safetensors").unlink()
    assert not loop.finished(run, "f" * 64)


def start_script(folder: Path, case: str, **options: Any) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", small.__name__, str(folder), case]
    return subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, env=environment, **options)


def test_rows_after_the_checkpoint_are_cut(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", {})
    with pytest.raises(Crash):
        train(tmp_path / "cut", {}, on_step=crash_at(27))
    run = results.Run("test", "network", 2, 1, root=tmp_path / "cut")
    assert list(history(run)["iteration"]) == list(range(1, 27))
    with run.path("training.csv").open("a") as file:
        file.write("27,1.0,0.0")  # and a line cut short

    def first_step(step: Step) -> None:
        assert step.iteration > 21 or list(history(run)["iteration"]) == list(range(1, 21))

    train(tmp_path / "cut", {}, on_step=first_step)
    pd.testing.assert_frame_equal(history(run), history(whole))


def test_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Crash):
        train(tmp_path, {"learning_rate": 1e-3}, on_step=crash_at(25), fingerprint="e" * 64)
    with pytest.raises(checkpoints.CheckpointError, match="other settings"):
        train(tmp_path, {})
    assert results.Run("test", "network", 2, 1, root=tmp_path).path("checkpoint.pt").is_file()


def test_every_process_is_told_with_its_seconds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Training seconds add up over processes, and what moves the last bits is said."""
    cpu = torch.device("cpu")
    processes = [Process(cpu) for _ in range(3)]
    threads = torch.get_num_threads()
    try:
        for process, stop, count in zip(processes, (15, 32, None), (1, 1, 2), strict=True):
            torch.set_num_threads(count)
            if stop:
                with pytest.raises(Crash):
                    train(tmp_path, {}, on_step=crash_at(stop), process=process)
            else:
                with caplog.at_level(logging.WARNING):
                    sampler: Any = Patches()
                    run = results.Run("test", "network", 2, 1, root=tmp_path)
                    earlier = loop.train(
                        run, Network(), sampler, protocol(), device=cpu, fingerprint="f" * 64, process=process,
                        validate=mean_weight,
                    )  # fmt: skip
                    facts = process.facts(earlier)
    finally:
        torch.set_num_threads(threads)
    assert "resumes with threads 1 -> 2; the last bits may differ" in caplog.text
    assert [one["threads"] for one in (*facts["earlier"], facts)] == [1, 1, 2]
    assert facts["started"] == earlier[0]["started"]
    own = processes[-1].facts()["seconds"]
    assert facts["seconds"] == pytest.approx(own + sum(one["seconds"] for one in earlier), abs=0.3)


def test_a_folder_that_is_removed_while_training_ends_it_in_one_line(tmp_path: Path) -> None:
    run = results.Run("test", "network", 2, 1, root=tmp_path)

    def remove(step: Step) -> None:
        if step.iteration == 15:
            shutil.rmtree(run.folder)

    with pytest.raises(results.ResultsError, match="was removed while the run was at work"):
        train(tmp_path, {}, on_step=remove)
    assert not run.folder.exists()


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Crash):
        train(tmp_path, {}, on_step=crash_at(25))
    stored = results.Run("test", "network", 2, 1, root=tmp_path).path("checkpoint.pt")
    before = stored.read_bytes()
    with pytest.raises(CheckpointError, match="does not match this training") as caught:
        train(tmp_path, {}, nn.Conv2d(3, 3, 3))
    assert str(stored) in str(caught.value) and "\n" not in str(caught.value)
    assert stored.read_bytes() == before
    with pytest.raises(CheckpointError, match="KeyError: 'averaged'"):
        train(tmp_path, {"ema": 0.5})
    assert stored.read_bytes() == before
