"""Figures of much data: the loss of long trainings, and files that stay small."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from reports import figures
from reports.figures.style import PAGE
from tests.reports.figure_data import paired, training


def test_validation_is_drawn_where_there_is_one() -> None:
    assert len(figures.training(training(3, validated=False)).axes) == 1
    loss, validation = figures.training(training(3)).axes
    assert len(loss.lines) == len(validation.lines) == 3
    assert validation.lines[0].get_xdata().tolist() == [20, 40]
    assert loss.get_ylabel() == "training loss" and validation.get_ylabel() == "validation PSNR (dB)"


def test_the_loss_is_averaged_since_the_previous_point() -> None:
    table = pd.DataFrame({"iteration": [10, 20, 40], "loss": [3.0, 1.0, 4.0]})
    shown = figures.training({"a": [table]}).axes[0].lines[0]
    assert shown.get_xdata().tolist() == [10, 20, 40] and shown.get_ydata().tolist() == [3.0, 1.0, 4.0]
    iteration = np.array([*range(1, 120), 139])  # the last row stands for twenty steps
    table = pd.DataFrame({"iteration": iteration, "loss": np.where(iteration < 139, iteration, 500)})
    shown = figures.training({"a": [table]}).axes[0].lines[0]
    assert shown.get_xdata().tolist() == [*range(2, 119, 2), 139]
    assert shown.get_ydata()[:2].tolist() == [1.5, 3.5] and shown.get_ydata()[-1] == (119 + 20 * 500) / 21


def long_trainings() -> dict[str, list[pd.DataFrame]]:
    """Six variants with five seeds of a million steps each, a row every 200."""
    random = np.random.default_rng(0)
    steps = np.arange(1, 5001) * 200
    return {
        f"variant {index}": [pd.DataFrame({"iteration": steps, "loss": 5 + random.random(5000)}) for _ in range(5)]
        for index in range(6)
    }


@pytest.mark.parametrize(
    "draw",
    [
        partial(figures.training, long_trainings()),
        partial(figures.differences, paired()),
        partial(figures.differences, paired(images=1000)),
    ],
    ids=["trainings", "100 images", "1000 images"],
)
def test_figures_stay_small(draw: figures.Draw) -> None:
    assert len(figures.save(draw(PAGE), "svg")) < 200_000
