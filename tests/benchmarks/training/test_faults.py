"""What is not finite or not of the right shape ends a training, and its last good state is kept."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import results
from benchmarks.training import loop
from benchmarks.training.loop import TrainingError
from tests.benchmarks.training.small import (
    DEVICES,
    ITERATIONS,
    Faulty,
    history,
    train,
    weights,
)


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
