"""Every network against its plain formulation: the same image, and no more memory touched on the way to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import models
from tests.models.shallow import shorten
from tests.oracles.networks_plain import FORWARD


class Created(TorchDispatchMode):
    """Counts the elements of all tensors that operators create, views and results in place excepted.

    Memory that is touched for the first time costs a process as much as arithmetic does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, operator: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {each.untyped_storage()._cdata for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        result = operator(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, Tensor) and each.untyped_storage()._cdata not in given:
                self.elements += each.numel()
        return result


@pytest.fixture(scope="module", params=FORWARD)
def network(request: pytest.FixtureRequest) -> Iterator[tuple[str, nn.Module]]:
    torch.manual_seed(0)
    model = shorten(models.build(request.param, 4), request.param).eval()
    for buffer in model.buffers():
        if buffer.isnan().any():  # LAPAR's dictionary, where its file is not at hand
            buffer.normal_()
    with torch.inference_mode():
        yield request.param, model


def test_the_same_image(network: tuple[str, nn.Module]) -> None:
    name, model = network
    lr = torch.rand(2, 3, 26, 32)
    expected = FORWARD[name](model, lr)
    torch.testing.assert_close(model(lr), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_no_more_memory_is_touched_than_plainly(network: tuple[str, nn.Module]) -> None:
    name, model = network
    lr = torch.rand(1, 3, 48, 64)
    with Created() as ours:
        model(lr)
    with Created() as plain:
        FORWARD[name](model, lr)
    assert ours.elements <= 1.01 * plain.elements
