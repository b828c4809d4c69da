"""SPIN and HPINet under torch.compile: one graph without a break, and numbers and gradients as without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import models

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "parallel": {"arrangement": "parallel"},
    "svq": {"reach": "all"},
    "exp with gradient": {"association": "exp", "association_gradient": True},
}


@pytest.fixture(
    params=["full", *(pytest.param(name, marks=pytest.mark.slow) for name in [*VARIANTS, "HPINet-M"] if name != "full")]
)
def model(request: pytest.FixtureRequest) -> nn.Module:
    """One block, since what compiles takes seconds."""
    torch.manual_seed(0)
    if request.param in VARIANTS:
        return models.build("spin", 2, blocks=1, superpixel_sizes=(8,), **VARIANTS[request.param])
    hpinet = models.build("hpinet_m", 2)
    del hpinet.blocks[1:]  # type: ignore[union-attr, operator]
    return hpinet


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    yield
    torch.compiler.reset()


def compiled(model: nn.Module) -> Any:
    return torch.compile(model, backend="aot_eager", fullgraph=True)


def image(height: int = 26, width: int = 25) -> Tensor:
    """Not a multiple of the superpixel size: some cells are padded, and the last window is moved back."""
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_inference(model: nn.Module) -> None:
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(compiled(model)(image()), model(image()), rtol=0, atol=2e-5)


def test_training(model: nn.Module) -> None:
    def gradients(network: Any) -> dict[str, Tensor]:
        torch.manual_seed(2)  # HPINet draws
        x = image().requires_grad_()
        output = network(x)
        wanted = {"x": x, **dict(model.named_parameters())}
        weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(3))
        found = torch.autograd.grad((output * weight).sum(), [*wanted.values()])
        return {"output": output, **dict(zip(wanted, found, strict=True))}

    expected, found = gradients(model), gradients(compiled(model))
    for name, value in expected.items():
        deviation, largest = (float(part.detach().abs().max()) for part in (found[name] - value, value))
        assert deviation <= 3e-5 * max(0.1, largest), name


@pytest.mark.slow
def test_another_size() -> None:
    """Height and width are symbols from the second size on, and tables of the first must not stand in that graph."""
    model = models.build("spin", 2, blocks=1, superpixel_sizes=(8,), spca=False, ispa=True).eval()
    network = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        for x in (image(), image(31, 44)):
            torch.testing.assert_close(network(x), model(x), rtol=0, atol=2e-5)
