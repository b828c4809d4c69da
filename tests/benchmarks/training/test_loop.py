"""Run as a script, this file trains a small network, to be killed: test_training.py FOLDER CASE."""

from __future__ import annotations

import json
import logging
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from torch import Tensor, nn

import models
import results
from ablations.schema import Training
from benchmarks.data import datasets, patches
from benchmarks.measure.evaluation import network_upscale
from benchmarks.measure.provenance import Process
from benchmarks.measure.quality import scores
from benchmarks.training import checkpoints, loop
from benchmarks.training.checkpoints import CheckpointError
from benchmarks.training.loop import Step, TrainingError, TrainingStopped
from benchmarks.training.profiling import WARM_UP, Profile

ITERATIONS = 40
CASES: dict[str, dict[str, Any]] = {
    "constant": {},
    "milestones, bfloat16": {
        "schedule": {"kind": "milestones", "milestones": [7, 30]},
        "precision": "bfloat16",
    },
    "one-cycle, averaged, clipped": {
        "schedule": {"kind": "one-cycle"},
        "ema": 0.9,
        "gradient_clip": 5.0,
        "validation": {"data": "any", "every": 7},
    },
    "float16": {"precision": "float16", "gradient_clip": 5.0},
    "long": {
        "schedule": {"kind": "one-cycle"},
        "ema": 0.99,
        "gradient_clip": 5.0,
        "iterations": 300,
        "checkpoint_every": 13,
        "validation": {"data": "any", "every": 70},
    },
    "workers": {"workers": 2, "iterations": 120, "checkpoint_every": 11},
}
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU PyTorch can use")),
]


def protocol(**changes: Any) -> Training:
    plain = {
        "data": "any",
        "lr_patch": 8,
        "batch_size": 2,
        "iterations": ITERATIONS,
        "learning_rate": 1e-2,
        "schedule": {"kind": "constant"},
        "checkpoint_every": 10,
    }
    return Training(**(plain | changes))


class Patches:
    """Noise patches, a pure function of the index as those of PatchBatches."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng(index)
        hr = generator.integers(0, 256, (2, 3, 16, 16), dtype=np.uint8)
        return torch.from_numpy(hr[..., ::2, ::2].copy()), torch.from_numpy(hr)


class Network(nn.Module):
    """Dropout makes it depend on the state of the generators, normalisation gives it buffers."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.2)
        self.upconv = nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(self.norm(self.first(x)).relu())
        return nn.functional.pixel_shuffle(self.upconv(y), 2)


def mean_weight(model: nn.Module) -> tuple[float, float]:
    """In place of PSNR and SSIM: any two numbers that depend on the network."""
    weight = next(model.parameters()).detach().double()
    return float(weight.mean()), float(weight.std())


def train(
    folder: Path, case: dict[str, Any], model: nn.Module | None = None, device: str = "cpu", **arguments: Any
) -> results.Run:
    run = results.Run("test", "network", 2, 1, root=folder)
    sampler: Any = Patches()
    arguments = {"validate": mean_weight, "fingerprint": "f" * 64, "about": {"model": "network"}} | arguments
    model = Network() if model is None else model
    loop.train(run, model, sampler, protocol(**case), device=torch.device(device), **arguments)
    return run


def weights(run: results.Run) -> bytes:
    return run.path("weights.safetensors").read_bytes()


def history(run: results.Run) -> pd.DataFrame:
    """training.csv without the one column that depends on the clock."""
    return pd.read_csv(run.path("training.csv")).drop(columns="seconds")


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    """A suite that runs in the background may have been started with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Crash(Exception):
    pass


def crash_at(iteration: int) -> Callable[[Step], None]:
    def on_step(step: Step) -> None:
        if step.iteration == iteration:
            raise Crash

    return on_step


# What is trained


def test_the_loop_equals_one_written_by_hand(tmp_path: Path) -> None:
    case = CASES["one-cycle, averaged, clipped"]
    steps: list[Step] = []
    run = train(tmp_path, case, on_step=steps.append)

    model, sampler = Network(), Patches()
    torch.manual_seed(run.seed)
    # fused as in the loop: the normalisation leaves first.bias a gradient of mere rounding, which Adam blows up
    optimiser = torch.optim.Adam(model.parameters(), betas=(0.9, 0.999), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, ITERATIONS, cycle_momentum=False)
    average: dict[str, Tensor] = {}
    for index in range(ITERATIONS):
        lr, hr = sampler[index]
        loss = 255 * (model(lr / 255) - hr / 255).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        assert steps[index].iteration == index + 1
        assert steps[index].loss == pytest.approx(loss.item(), rel=1e-4)
        assert steps[index].learning_rate == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
        for name, parameter in model.named_parameters():
            before = average.get(name, parameter.detach())
            average[name] = 0.9 * before + 0.1 * parameter.detach()
    stored = safetensors.torch.load(weights(run))
    for name, expected in (dict(model.named_buffers()) | average).items():
        torch.testing.assert_close(stored[name], expected, rtol=1e-3, atol=1e-4)


def test_the_network_holds_the_weights_that_are_kept(tmp_path: Path) -> None:
    model = Network()
    run = train(tmp_path, CASES["one-cycle, averaged, clipped"], model)
    stored = safetensors.torch.load(weights(run))
    assert stored.keys() == model.state_dict().keys()
    assert all(torch.equal(stored[name], tensor) for name, tensor in model.state_dict().items())
    with safetensors.safe_open(run.path("weights.safetensors"), "pt") as file:
        assert list(file.metadata()) == ["spin-bench"]  # several entries would stand in random order
        told = json.loads(file.metadata()["spin-bench"])
    assert (told["fingerprint"], told["model"]) == ("f" * 64, "network")
    assert {path.name for path in run.folder.iterdir()} <= {"checkpoint.pt", "training.csv", "weights.safetensors"}


def test_the_seed_decides(tmp_path: Path) -> None:
    runs = [train(tmp_path / str(number), {}) for number in range(2)]
    assert weights(runs[0]) == weights(runs[1])
    other = results.Run("test", "network", 2, 2, root=tmp_path)
    sampler: Any = Patches()
    loop.train(other, Network(), sampler, protocol(), device=torch.device("cpu"), fingerprint="f" * 64)
    assert weights(other) != weights(runs[0])


def test_milestones() -> None:
    case = protocol(schedule={"kind": "milestones", "milestones": [3, 5], "factor": 0.5}, learning_rate=0.8)
    rates = [loop.learning_rate(case, iteration) for iteration in range(1, 9)]
    assert rates == [0.8, 0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.2]


@given(st.data())
@budget(max_examples=40, deadline=None)
def test_schedules_equal_those_of_torch(data: st.DataObject) -> None:
    iterations = data.draw(st.integers(2, 60))
    optimiser = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=2e-3)
    schedule: torch.optim.lr_scheduler.LRScheduler
    if data.draw(st.booleans()):
        warmup = data.draw(st.floats(0.05, 0.95).filter(lambda share: abs(share * iterations - 1) > 1e-9))
        case: dict[str, Any] = {"kind": "one-cycle", "warmup": warmup}
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, 2e-3, iterations, pct_start=warmup, cycle_momentum=False
        )
    else:
        milestones = sorted(data.draw(st.sets(st.integers(1, 70), min_size=1, max_size=4)))
        case = {"kind": "milestones", "milestones": milestones, "factor": 0.3}
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones, 0.3)
    settings = protocol(schedule=case, iterations=iterations, learning_rate=2e-3)
    for iteration in range(1, iterations + 1):
        expected = optimiser.param_groups[0]["lr"]
        assert loop.learning_rate(settings, iteration) == pytest.approx(expected, rel=1e-9)
        optimiser.step()
        schedule.step()


def test_one_cycle_may_rise_in_a_single_step() -> None:
    case = protocol(schedule={"kind": "one-cycle", "warmup": 0.1}, iterations=10)
    rates = [loop.learning_rate(case, iteration) for iteration in range(1, 11)]
    assert rates[0] == case.learning_rate and rates == sorted(rates, reverse=True)


def test_compiled_and_plain_training_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = train(tmp_path / "plain", {"ema": 0.9})
    compile_, calls = torch.compile, []

    def eager(model: nn.Module) -> Any:  # traced as ever, but without a C++ compiler
        calls.append(model)
        return compile_(model, backend="eager")

    monkeypatch.setattr(torch, "compile", eager)
    assert weights(train(tmp_path / "compiled", {"ema": 0.9, "compile": True})) == weights(plain)
    assert len(calls) == 1


def test_reduced_precision_runs_in_it(tmp_path: Path) -> None:
    seen: list[torch.dtype] = []
    for precision in ("float32", "bfloat16", "float16"):
        model = Network()
        model.upconv.register_forward_hook(lambda _module, _input, output: seen.append(output.dtype))
        run = train(tmp_path / precision, {"precision": precision, "iterations": 3}, model)
        stored = safetensors.torch.load(weights(run))
        assert {tensor.dtype for name, tensor in stored.items() if "conv" in name} == {torch.float32}
    assert seen == [torch.float32] * 3 + [torch.bfloat16] * 3 + [torch.float16] * 3


def test_the_real_network_and_patches(tmp_path: Path) -> None:
    scale, cpu = 2, torch.device("cpu")
    settings = protocol(
        lr_patch=24, batch_size=1, iterations=4, checkpoint_every=2, validation={"data": "any", "every": 2}
    )
    held_out = datasets.get("embedded-test")
    pair = held_out.pair(held_out.hr_names()[0], scale)

    def validate(model: nn.Module) -> tuple[float, float]:
        return scores(network_upscale(model, cpu)(pair.lr[:48, :48]), pair.hr[:96, :96], scale)

    def run(name: str, on_step: Callable[[Step], None] | None = None) -> results.Run:
        where = results.Run("test", "full", scale, 0, root=tmp_path / name)
        torch.manual_seed(where.seed)
        model = models.build("spin", scale, blocks=1)
        sampler = patches.PatchBatches(datasets.get("embedded-train"), scale, 24, 1, seed=where.seed)
        loop.train(where, model, sampler, settings, device=cpu, fingerprint="f", validate=validate, on_step=on_step)
        return where

    whole = run("whole")
    with pytest.raises(Crash):
        run("resumed", crash_at(3))
    resumed = run("resumed")
    assert weights(resumed) == weights(whole)
    table = history(whole)
    pd.testing.assert_frame_equal(table, history(resumed))
    assert list(table["psnr"].notna()) == [False, True, False, True]
    assert table["psnr"].dropna().between(5, 50).all() and table["ssim"].dropna().between(0, 1).all()


# What is written on the way


def test_rows_hold_means_and_validation(tmp_path: Path) -> None:
    steps: list[Step] = []
    case = {"iterations": 500, "checkpoint_every": 33, "validation": {"data": "any", "every": 101}}
    run = train(tmp_path, case, on_step=steps.append)
    table = pd.read_csv(run.path("training.csv"))
    assert list(table) == loop.COLUMNS
    looks = [101, 202, 303, 404]
    assert sorted({*range(2, 501, 2), *looks}) == list(table["iteration"])
    assert list(table["iteration"][table["psnr"].notna()]) == looks
    assert table["psnr"].notna().equals(table["ssim"].notna())
    losses = [step.loss for step in steps]
    begin = 0
    for end, mean in zip(table["iteration"], table["loss"], strict=True):
        assert mean == pytest.approx(math.fsum(losses[begin:end]) / (end - begin), abs=1e-6)
        begin = end
    assert table["seconds"].is_monotonic_increasing and table["loss"].iloc[-1] < table["loss"].iloc[0]


def test_validation_cannot_influence_the_training(tmp_path: Path) -> None:
    def validate(model: nn.Module) -> tuple[float, float]:
        assert not any(module.training for module in model.modules())
        return float(torch.rand(())), random.random() + np.random.rand()  # noqa: NPY002

    case = {"validation": {"data": "any", "every": 3}}
    with_it = train(tmp_path / "with", case, validate=validate)
    assert weights(with_it) == weights(train(tmp_path / "without", {}))


def test_the_averaged_weights_are_validated(tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []

    def validate(model: nn.Module) -> tuple[float, float]:
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return 0.0, 0.0

    case = {"ema": 0.5, "validation": {"data": "any", "every": ITERATIONS}}
    run = train(tmp_path, case, validate=validate)
    stored = safetensors.torch.load(weights(run))
    assert all(torch.equal(stored[name], tensor) for name, tensor in seen[0].items())


def test_time_spent_on_validation_is_not_counted(tmp_path: Path) -> None:
    def validate(model: nn.Module) -> tuple[float, float]:
        time.sleep(0.3)
        return 0.0, 0.0

    started = time.perf_counter()
    run = train(tmp_path, {"validation": {"data": "any", "every": 10}}, validate=validate)
    elapsed = time.perf_counter() - started
    assert pd.read_csv(run.path("training.csv"))["seconds"].iloc[-1] < elapsed - 0.9


# Where the time goes


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", ["one-cycle, averaged, clipped", "float16"])
def test_profiling_changes_nothing(tmp_path: Path, case: str, device: str) -> None:
    profile = Profile(torch.device(device))
    profiled = train(tmp_path / "profiled", CASES[case], device=device, on_phase=profile)
    plain = train(tmp_path / "plain", CASES[case], device=device)
    assert weights(profiled) == weights(plain)
    pd.testing.assert_frame_equal(history(profiled), history(plain))
    assert profile.steps == ITERATIONS - WARM_UP
    assert list(profile.phases()) == ["data", "forward", "backward", "optimiser", "rest"]


def test_each_phase_gets_its_own_time(tmp_path: Path) -> None:
    class SlowPatches(Patches):
        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            time.sleep(0.02)
            return super().__getitem__(index)

    class SlowNetwork(Network):
        def forward(self, x: Tensor) -> Tensor:
            time.sleep(0.04)
            return super().forward(x)

    def validate(model: nn.Module) -> tuple[float, float]:
        time.sleep(2)
        return 0.0, 0.0

    run, cpu = results.Run("test", "network", 2, 1, root=tmp_path), torch.device("cpu")
    sampler: Any = SlowPatches()
    settings = protocol(iterations=8, validation={"data": "any", "every": 6})
    profile = Profile(cpu)
    loop.train(run, SlowNetwork(), sampler, settings, device=cpu, fingerprint="f", validate=validate, on_phase=profile)
    seconds, cores = ({name: pair[part] for name, pair in profile.phases().items()} for part in (0, 1))
    assert seconds["data"] >= 0.02 and seconds["forward"] >= 0.04
    assert seconds["backward"] + seconds["optimiser"] + seconds["rest"] < 0.2  # without 2 s / 5 of validation
    assert cores["data"] < 0.5 and cores["forward"] < 0.5  # asleep


def test_phases_add_up_to_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = np.random.default_rng(0).random((100, 2)).cumsum(axis=0)
    calls = iter(clocks)
    monkeypatch.setattr("benchmarks.training.profiling._clocks", lambda: next(calls))
    names = ["data", "forward", "backward", "optimiser", "rest"]
    profile = Profile(torch.device("cpu"))
    for _ in range(WARM_UP + 7):
        for name in names:
            profile(name)
    begin, end = clocks[[len(names) * WARM_UP, len(names) * (WARM_UP + 7)]]
    phases = profile.phases()
    assert sum(seconds for seconds, _ in phases.values()) == pytest.approx((end - begin)[0] / 7)
    assert sum(seconds * cores for seconds, cores in phases.values()) == pytest.approx((end - begin)[1] / 7)


# Resumption


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", ["constant", "milestones, bfloat16", "one-cycle, averaged, clipped", "float16"])
def test_a_crashed_training_ends_with_the_same_bits(
    tmp_path: Path, case: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "ROWS", 10)  # a row holds the mean of 4 losses, and a checkpoint parts of it
    whole = train(tmp_path / "whole", CASES[case], device=device)
    draw = random.Random(case)
    for number in range(3):
        folder, first = tmp_path / str(number), draw.randint(1, ITERATIONS)
        for iteration in (first, draw.randint(first, ITERATIONS)):
            with pytest.raises(Crash):
                train(folder, CASES[case], device=device, on_step=crash_at(iteration))
        seen: list[Step] = []
        resumed = train(folder, CASES[case], Network(seed=9), device=device, on_step=seen.append)
        assert weights(resumed) == weights(whole)
        pd.testing.assert_frame_equal(history(resumed), history(whole))
        assert seen[0].iteration % 10 == 1  # it went on from a checkpoint


@pytest.mark.parametrize(("case", "kills"), [("long", 3), ("workers", 1)])
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
    command = [sys.executable, __file__, str(folder), case]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **options)


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


# Faults


class Faulty(Network):
    """Its loss or its gradient is not finite at the given steps."""

    def __init__(self, at: range, where: str) -> None:
        super().__init__()
        self.at, self.where, self.step = at, where, 0

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        self.step += 1
        if self.step in self.at:
            if self.where == "loss":
                return y * float("nan")
            y.register_hook(lambda gradient: gradient * float("inf"))
        return y


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("where", "words"), [("loss", "loss is nan"), ("gradient", "norm of the gradient is")])
@pytest.mark.parametrize(("bad", "good"), [(37, 30), (30, 20), (31, 30), (5, 0)])
def test_the_last_good_state_is_kept(tmp_path: Path, where: str, words: str, bad: int, good: int, device: str) -> None:
    whole = train(tmp_path / "whole", {}, device=device)
    with pytest.raises(TrainingError) as caught:
        train(tmp_path / "run", {}, Faulty(range(bad, ITERATIONS + 1), where), device=device)
    message = str(caught.value)
    run = results.Run("test", "network", 2, 1, root=tmp_path / "run")
    kept = f"{run.path('checkpoint.pt')}, iteration {good}" if good else "none was saved yet"
    assert words in message and message.endswith(f"last good state: {kept}")
    assert f"at iteration {bad} (learning rate 0.01)" in message and "\n" not in message
    assert not run.path("weights.safetensors").exists()
    assert run.path("checkpoint.pt").exists() == bool(good)
    assert history(run)["loss"].notna().all()
    assert weights(train(tmp_path / "run", {}, device=device)) == weights(whole)  # repaired, it goes on from there


@pytest.mark.parametrize("device", DEVICES)
def test_a_bad_step_is_named_though_it_is_noticed_later(tmp_path: Path, device: str) -> None:
    """On a GPU the host looks at the losses at every fifth of 1000 steps only: a row of training.csv is due then."""
    case = {"iterations": 1000, "checkpoint_every": 100}
    with pytest.raises(TrainingError, match=r"loss is nan at iteration 37 .* none was saved yet"):
        train(tmp_path, case, Faulty(range(37, 1000), "loss"), device=device)


def test_the_first_of_many_bad_steps_is_named() -> None:
    """As on a GPU, where several steps are looked at together."""
    steps = [(number, 1e-3, torch.tensor([1.0, 2.0])) for number in range(1, 8)]
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    assert loop._finite_losses(steps, scaler) == [1.0] * 7
    steps[4] = (5, 1e-3, torch.tensor([math.inf, 2.0]))
    steps[6] = (7, 1e-3, torch.tensor([math.nan, 2.0]))
    with pytest.raises(ArithmeticError, match="loss is inf at iteration 5"):
        loop._finite_losses(steps, scaler)
    steps[2] = (3, 1e-3, torch.tensor([1.0, math.nan]))
    with pytest.raises(ArithmeticError, match="gradient is nan at iteration 3"):
        loop._finite_losses(steps, scaler)


def test_float16_skips_a_step_that_overflows_but_not_forever(tmp_path: Path) -> None:
    train(tmp_path / "some", {"precision": "float16"}, Faulty(range(4, 8), "gradient"))
    with pytest.raises(TrainingError, match="norm of the gradient"):
        train(tmp_path / "ever", {"precision": "float16"}, Faulty(range(4, ITERATIONS), "gradient"))


def test_the_output_must_have_the_shape_of_hr(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"gave \(2, 3, 8, 8\), expected \(2, 3, 16, 16\)"):
        train(tmp_path, {}, nn.Conv2d(3, 3, 3, padding=1))


def test_warm_start_takes_what_fits(tmp_path: Path) -> None:
    source, target = Network(seed=5), Network()
    target.upconv = nn.Conv2d(8, 27, 3)
    own = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    assert loop.warm_start(target, source.state_dict()) == ["upconv.weight", "upconv.bias"]
    for name, tensor in target.state_dict().items():
        expected = own[name] if name.startswith("upconv") else source.state_dict()[name]
        assert torch.equal(tensor, expected)
    with pytest.raises(TrainingError, match="none of 2 tensors"):
        loop.warm_start(target, {"weight": torch.ones(1), "first.weight": torch.ones(2)})


def test_a_training_begins_from_the_warm_start_only_once(tmp_path: Path) -> None:
    initial = Network(seed=5).state_dict()
    whole = train(tmp_path / "whole", {}, Network(seed=5))
    warm = train(tmp_path / "warm", {}, Network(seed=0), initial=initial)
    assert weights(warm) == weights(whole)
    with pytest.raises(Crash):
        train(tmp_path / "crashed", {}, initial=initial, on_step=crash_at(25))
    assert weights(train(tmp_path / "crashed", {}, initial=initial)) == weights(whole)


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("iteration", [1, 9, 10, ITERATIONS - 1])
def test_a_signal_ends_the_training_after_a_whole_step(tmp_path: Path, number: int, iteration: int) -> None:
    whole = train(tmp_path / "whole", {})
    before = signal.getsignal(number)

    def send(step: Step) -> None:
        if step.iteration == iteration:
            signal.raise_signal(number)

    with pytest.raises(TrainingStopped, match=f"stopped after iteration {iteration + 1} of {ITERATIONS}"):
        train(tmp_path / "run", {}, on_step=send)
    assert signal.getsignal(number) is before
    seen: list[int] = []
    run = train(tmp_path / "run", {}, Network(seed=9), on_step=lambda step: seen.append(step.iteration))
    assert seen == list(range(iteration + 2, ITERATIONS + 1))
    assert weights(run) == weights(whole)


def test_a_signal_after_a_bad_step_saves_nothing(tmp_path: Path) -> None:
    class Interrupted(Faulty):
        def forward(self, x: Tensor) -> Tensor:
            if self.step == 14:
                signal.raise_signal(signal.SIGINT)
            return super().forward(x)

    with pytest.raises(TrainingError, match="loss is nan at iteration 15"):
        train(tmp_path, {}, Interrupted(range(15, 16), "loss"))
    run = results.Run("test", "network", 2, 1, root=tmp_path)
    content = checkpoints.load_checkpoint(run.path("checkpoint.pt"), "f" * 64)
    assert content is not None and content["iteration"] == 10


def test_a_second_signal_acts_at_once(tmp_path: Path) -> None:
    def send(step: Step) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        train(tmp_path, {}, on_step=send)
    assert not isinstance(caught.value, TrainingStopped)


def test_a_signal_in_the_last_step_is_not_lost(tmp_path: Path) -> None:
    def send(step: Step) -> None:
        if step.iteration == ITERATIONS:
            signal.raise_signal(signal.SIGINT)

    whole = train(tmp_path / "whole", {})
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", {}, on_step=send)
    assert weights(results.Run("test", "network", 2, 1, root=tmp_path / "run")) == weights(whole)


def test_training_runs_in_any_thread(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", {})
    thread = threading.Thread(target=train, args=(tmp_path / "run", {}))
    thread.start()
    thread.join()
    assert weights(results.Run("test", "network", 2, 1, root=tmp_path / "run")) == weights(whole)


if __name__ == "__main__":

    def report(step: Step) -> None:
        print(step.iteration, flush=True)
        time.sleep(0.001)

    torch.set_num_threads(1)
    train(Path(sys.argv[1]), CASES[sys.argv[2]], on_step=report)
