"""Signals end a training after a whole step."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest
from torch import Tensor

import results
from benchmarks.training import checkpoints
from benchmarks.training.loop import Step, TrainingError, TrainingStopped
from foundation.signals import STOP
from tests.benchmarks.training.small import (
    ITERATIONS,
    Faulty,
    Network,
    train,
    weights,
)


@pytest.mark.parametrize("number", STOP)
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


@pytest.mark.parametrize("pause", [0.0, 1.1])
def test_a_second_signal_acts_at_once_unless_it_is_the_same_stop(tmp_path: Path, pause: float) -> None:
    """Slurm sends several within a moment, and a pool's processes get them twice."""

    def send(step: Step) -> None:
        signal.raise_signal(signal.SIGTERM)
        time.sleep(pause)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        train(tmp_path, {}, on_step=send)
    assert isinstance(caught.value, TrainingStopped) == (pause == 0)


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
