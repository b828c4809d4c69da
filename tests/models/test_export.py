"""Weights under their published names: the inverse of loading them, and the published shapes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import models
from tests.golden import cases
from tests.oracles import spin_dense

CASES = cases.compact_cases()


def network(name: str, scale: int) -> nn.Module:
    """A network whose running statistics are not those of a new one either."""
    torch.manual_seed(0)
    model = models.build(name, scale)
    for buffer in model.buffers():
        if buffer.isnan().any():  # LAPAR's dictionary, where its file is not at hand
            buffer.normal_()
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        with torch.no_grad():
            model(torch.rand(2, 3, 32, 32))
    return model.eval()


@pytest.mark.parametrize("name", models.names())
@torch.no_grad()
def test_loading_is_undone(name: str) -> None:
    model, x = network(name, 2), torch.rand(1, 3, 26, 25)
    state = models.published_state(name, model)
    again = models.load_published(name, 2, state)
    assert torch.equal(again(x), model(x))
    both = zip(model.state_dict().items(), again.state_dict().items(), strict=True)
    assert all(ours == theirs and torch.equal(value, other) for (ours, value), (theirs, other) in both)


@pytest.mark.parametrize("name", CASES)
def test_names_and_shapes_are_the_published_ones(name: str) -> None:
    case = CASES[name]
    exported = shapes(models.published_state(case.arch, models.build(case.arch, case.scale)))
    published = {key: tuple(shape) for key, shape, _ in case.state}
    assert exported == {key: published[key] for key in exported}
    assert {key for key, _, kind in case.state if kind == "param"} <= set(exported)


@pytest.mark.parametrize("scale", models.SCALES)
def test_spin_against_the_independent_reference(scale: int) -> None:
    exported = shapes(models.published_state("spin", models.build("spin", scale)))
    assert exported == spin_dense.published_shapes(scale, spin_dense.Config())


def test_spin_against_the_whole_golden_case(golden_folder: Path) -> None:
    case = cases.whole_case(golden_folder / "spin_x4.npz")
    exported = shapes(models.published_state("spin", models.build("spin", 4)))
    assert exported == {key: tuple(shape) for key, shape, _ in case.state}


def test_an_export_is_a_copy() -> None:
    model = network("espcn", 4)
    state = models.published_state("espcn", model)
    before = {key: value.clone() for key, value in state.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    assert all(torch.equal(value, before[key]) and not value.requires_grad for key, value in state.items())


def shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}
