"""What a training writes on the way, and that looking at it changes nothing: validation, profiling."""

from __future__ import annotations

import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

import results
from benchmarks.training import loop
from benchmarks.training.loop import Step
from benchmarks.training.profiling import WARM_UP, Profile
from tests.benchmarks.training.small import (
    CASES,
    DEVICES,
    ITERATIONS,
    Network,
    Patches,
    history,
    protocol,
    train,
    weights,
)

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
