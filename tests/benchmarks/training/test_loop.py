"""What the loop trains: the steps, the schedules, the precision, where it starts from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from benchmarks.data import datasets, patches
from benchmarks.measure.evaluation import network_upscale
from benchmarks.measure.quality import scores
from benchmarks.training import loop
from benchmarks.training.loop import Step, TrainingError
from tests.benchmarks.training.small import (
    CASES,
    ITERATIONS,
    Crash,
    Network,
    Patches,
    crash_at,
    history,
    protocol,
    train,
    weights,
)


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
        lr, hr = map(torch.from_numpy, sampler[index])
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


def test_what_only_a_gpu_has_changes_nothing_on_a_cpu(tmp_path: Path) -> None:
    """A CPU has neither TF32 nor cuDNN."""
    runs = train(tmp_path / "plain", {}), train(tmp_path / "other", {"precision": "tf32", "cudnn_benchmark": True})
    plain, other = (safetensors.torch.load_file(run.path("weights.safetensors")) for run in runs)
    assert all(torch.equal(value, other[name]) for name, value in plain.items())
