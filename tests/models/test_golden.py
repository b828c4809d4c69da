"""Every network against its golden cases: what the published code computes from parameters filled by their names."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import models
from models.lapar_a import read_dictionary
from tests.golden import cases
from tests.golden.cases import RUNS, Case
from tests.golden.compact import compact
from tests.models.shallow import shorten

CASES = cases.compact_cases()
every_case = pytest.mark.parametrize("name", CASES)
every_output = pytest.mark.parametrize(
    ("name", "output"), [pytest.param(name, out, id=f"{name}-{out}") for name in CASES for out in CASES[name].outputs]
)


@every_output
def test_sampled_output(name: str, output: str) -> None:
    assert_met(CASES[name], output)


@every_output
def test_whole_output(name: str, output: str, golden_folder: Path) -> None:
    assert_met(whole(golden_folder / f"{name}.npz"), output)


def assert_met(case: Case, output: str) -> None:
    expected = case.outputs[output]
    deviation = np.abs(computed(case.name, output)[expected.places] - expected.values).max()
    assert deviation <= case.limit(output)


@every_case
def test_a_published_state_loads_with_its_buffers(name: str) -> None:
    case = CASES[name]
    state = {parameter: np.zeros(shape, np.float32) for parameter, shape, _ in case.state}
    model = models.load_published(case.arch, case.scale, state)
    assert sum(parameter.numel() for parameter in model.parameters()) == case.params


def test_the_compact_form_is_made_from_the_whole_one(golden_folder: Path) -> None:
    made = compact(golden_folder)
    with np.load(cases.COMPACT) as stored:
        assert sorted(stored) == sorted(made)
        for name, array in made.items():
            assert np.array_equal(stored[name], array), name


@cache
def computed(name: str, output: str) -> NDArray[Any]:
    """What our network makes of a case's input, flat and in the case's range."""
    case, run = CASES[name], RUNS[output]
    if case.arch == "lapar_a":
        skip_without_dictionary()
    state = parameters(name)
    if run.change == "scales of one half":
        state = {key: np.full_like(value, 0.5) if key.endswith(".scale") else value for key, value in state.items()}
    model = models.load_published(case.arch, case.scale, state)
    if run.change == "shallow":
        shorten(model, case.arch)
    with torch.inference_mode():
        result = model(torch.from_numpy(case.outputs[output].input) / case.range) * case.range
    return result.numpy().ravel()


@lru_cache(maxsize=1)
def parameters(name: str) -> dict[str, NDArray[np.float32]]:
    return cases.fill(CASES[name].state, CASES[name].gain)


@lru_cache(maxsize=1)
def whole(path: Path) -> Case:
    return cases.whole_case(path)


def skip_without_dictionary() -> None:
    """LAPAR-A runs with a published file that is no part of this project."""
    try:
        read_dictionary()
    except models.WeightsError as error:
        pytest.skip(str(error))
