"""The kernels at other widths than the published ones, and the declared parameters of the C++ functions."""

from __future__ import annotations

import copy
import ctypes
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import models
from models.spin import cpu
from models.spin.configuration import Configuration
from models.spin.cpu import library, signatures
from models.spin.cpu.kernels import Kernels
from models.spin.cpu.widths import PUBLISHED, Widths
from models.spin.network import FeedForward

OTHER = {"channels": 16}  # a library to compile; every further width would be one more


@pytest.fixture(autouse=True)
def there_are_kernels() -> None:
    if cpu.kernels() is None:
        pytest.skip("needs the kernels (a C++ compiler, and SPINBENCH_NATIVE not 0)")


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, Widths]]:
    """Names and widths of the kernels that were called, in a process that has asked for none before."""
    found: set[tuple[str, Widths]] = set()
    call = Kernels._call

    def noted(self: Kernels, name: str, *arguments: Any) -> None:
        found.add((name, self.widths))
        call(self, name, *arguments)

    monkeypatch.setattr(Kernels, "_call", noted)
    monkeypatch.setattr(library, "_asked", {})
    return found


def network(**config: int) -> nn.Module:
    torch.manual_seed(0)
    return models.build("spin", 2, blocks=1, superpixel_sizes=(8,), **config)


def results(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of all parameters."""
    output = model(x)
    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(2)).to(x.dtype)
    return [output.detach(), *torch.autograd.grad((output * weight).sum(), list(model.parameters()))]


def image() -> Tensor:
    return torch.rand(2, 3, 26, 25, generator=torch.Generator().manual_seed(1))


def test_published_widths_are_those_of_the_configuration() -> None:
    config = Configuration()
    assert (config.channels, config.attention_width, config.hidden) == PUBLISHED
    ffn = FeedForward(config.channels, config.hidden)
    assert PUBLISHED.feed_forward == [tuple(parameter.shape) for parameter in ffn.parameters()]


@pytest.mark.slow
def test_other_widths_have_kernels_of_their_own(called: set[tuple[str, Widths]]) -> None:
    model = network(**OTHER)
    found = results(model, image())
    for ours, exact in zip(found, results(copy.deepcopy(model).double(), image().double()), strict=True):
        assert (ours - exact).abs().max() <= 3e-5 * max(0.1, float(exact.abs().max()))
    assert cpu.used() == cpu.compiler()
    assert {name for name, _ in called} == set(signatures.PARAMETERS)
    assert {widths for _, widths in called} == {Widths(16)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"channels": 36}, "none for 36 channels"),
        ({"channels": 72}, "none for 72 channels"),
        ({"attention_width": 20}, "{compiler}; none for an attention width of 20"),
        ({"hidden": 70}, "{compiler}; none for a hidden width of 70"),
    ],
)
@torch.no_grad()
def test_widths_that_are_not_served_are_said(
    config: dict[str, int], said: str, called: set[tuple[str, Widths]]
) -> None:
    model = network(**config)
    found = model(image())
    said = said.format(compiler=cpu.compiler())
    assert cpu.used() == said and cpu.here(said) == said
    with cpu.off():
        torch.testing.assert_close(found, model(image()))
    assert bool(called) == ("; " in said)


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ("", "{compiler}"),
        ("none", "{compiler}"),
        ("c++ 0.1", "{compiler}"),
        ("c++ 0.1; none for 36 channels", "{compiler}; none for 36 channels"),
        ("none for 36 channels", "none for 36 channels"),
    ],
)
def test_what_would_be_used_here(recorded: str, expected: str) -> None:
    assert cpu.here(recorded) == expected.format(compiler=cpu.compiler())


def test_parameters_are_declared_as_in_the_sources() -> None:
    kinds = {"int64_t": ctypes.c_int64, "float": ctypes.c_float, "int": ctypes.c_int}
    found = {}
    for source in Path(library.__file__).parent.glob("*.cpp"):
        exported = source.read_text("utf-8").partition('extern "C" {')[2]
        for name, parameters in re.findall(r"^void (\w+)\(([^)]*)\) \{", exported, re.MULTILINE):
            found[name] = [ctypes.c_void_p if "*" in each else kinds[each.split()[0]] for each in parameters.split(",")]
    assert found == {name: [*kinds, ctypes.c_int] for name, kinds in signatures.PARAMETERS.items()}


def test_an_integer_for_a_float_is_converted() -> None:
    kernels = cpu.kernels()
    assert kernels is not None
    parts = [torch.randn(1, 20, width, generator=torch.Generator().manual_seed(width)) for width in (24, 24, 40)]
    whole, real = (kernels.attend(*parts, scale=scale)[0] for scale in (1, 1.0))
    assert torch.equal(whole, real)
    with pytest.raises(ctypes.ArgumentError):
        kernels.library.enlarge_gradient(None, None, 1.5, 1, 1, 1, 0.1, None, 1)
