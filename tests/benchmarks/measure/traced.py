"""Functions as networks, whose MACs are counted here and by torch's own counter."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure.macs import macs

SIZE = (6, 8)


class Applied(nn.Module):
    """A function of tensors of the given shapes, whatever the image is."""

    def __init__(self, function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.operands = nn.ParameterList(torch.empty(shape) for shape in shapes)

    def forward(self, image: Tensor) -> Tensor:
        return self.function(*self.operands)


class OnImage(nn.Module):
    """A function of the image."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: Tensor) -> Tensor:
        return self.function(image)


def torch_count(model: nn.Module, lr_size: tuple[int, int] = SIZE) -> int:
    """Half of torch's FLOPs. The plain attention: torch's counter does not know the CPU's fused one.

    As in a trace, attention is not padded to the widths that a GPU's kernels want.
    """
    model = model.to("meta").eval()
    unpadded = mock.patch("torch.jit.is_tracing", return_value=True)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH), unpadded:
        model(torch.empty(1, 3, *lr_size, device="meta"))
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2


def agreed(function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> int:
    """The count that `macs` and torch's counter agree on."""
    model = Applied(function, *shapes)
    count = macs(model, SIZE).total
    assert count == torch_count(model)
    return count
