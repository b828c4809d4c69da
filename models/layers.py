"""Layers and helpers that several networks share. Tokens are (batch, tokens, channels)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

P = ParamSpec("P")
R = TypeVar("R")

MEAN = (0.4488, 0.4371, 0.4040)  # RGB of DIV2K, in [0, 1]
FACTORS = {2: (2,), 3: (3,), 4: (2, 2)}  # factors by which upsamplers with pixel shuffles enlarge in turn, by scale


def require_size(x: Tensor, least: int, title: str) -> tuple[int, int]:
    """Height and width of x (..., H, W). Raises ValueError where one of them is smaller than `least`."""
    height, width = x.shape[-2:]
    if min(height, width) < least:
        raise ValueError(f"{title} needs an input of at least {least} pixels in height and width, not {height}x{width}")
    return height, width


def mirrored_to(x: Tensor, multiple: int) -> Tensor:
    """x (B, C, H, W), mirrored at bottom and right so that H and W are multiples of `multiple`."""
    height, width = x.shape[-2:]
    if not torch.compiler.is_exporting():
        return F.pad(x, (0, -width % multiple, 0, -height % multiple), mode="reflect")
    # Without negative numbers, whose remainder is another one in ONNX, and in sizes that are multiples for any H and W.
    for axis, length in ((2, height), (3, width)):
        place = torch.arange((length + multiple - 1) // multiple * multiple, device=x.device)
        x = x.index_select(axis, torch.where(place < length, place, 2 * (length - 1) - place))
    return x


class MeanShift(nn.Conv2d):
    """Adds `sign` times the mean colour, in units of `value_range`.

    It is a full 1x1 convolution, since checkpoints store it as one and some contain a trained one.
    """

    def __init__(self, sign: int, value_range: float, frozen: bool) -> None:
        super().__init__(3, 3, 1)
        self.weight = nn.Parameter(torch.eye(3)[:, :, None, None], requires_grad=not frozen)
        self.bias = nn.Parameter(sign * value_range * torch.tensor(MEAN), requires_grad=not frozen)


class ContrastAwareAttention(nn.Module):
    """Channel attention on the sum of mean and standard deviation (IMDN, ACM MM 2019)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.excite = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, C, H, W)."""
        mean = x.mean((2, 3), keepdim=True)
        # The population standard deviation as a norm: several times as fast as torch.std on a CPU, and its gradient
        # is 0 where a channel is constant; that of a square root would not be finite.
        deviation = torch.linalg.vector_norm(x - mean, dim=(2, 3), keepdim=True) / (x.shape[2] * x.shape[3]) ** 0.5
        return x * self.excite(F.relu(self.squeeze(mean + deviation))).sigmoid()


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A context in which operators keep the precision of their inputs, also on devices without autocast (meta)."""
    if device.type != "meta":
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """(B, H·W, C) -> (B, C, H, W) in channels-last memory, without a copy."""
    return tokens.unflatten(1, (height, width)).permute(0, 3, 1, 2)


def to_tokens(features: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H·W, C), without a copy if the memory is channels-last."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def kept_per_shape(most: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep the `most` latest results of a function of shapes and devices, such as index tensors.

    Nothing is kept while a network is compiled or exported: tensors are fake then and useless afterwards, and the
    operators that compute them become part of the graph.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        making = cast(Callable[..., R], function)

        @lru_cache(maxsize=most)
        def keeping(*arguments: Any) -> R:
            with torch.inference_mode(False):  # kept tensors are used in training too
                return making(*arguments)

        @wraps(function)
        def kept(*arguments: Any) -> R:
            return making(*arguments) if torch.compiler.is_compiling() else keeping(*arguments)

        return cast(Callable[P, R], kept)

    return decorate


@kept_per_shape(64)
def windows(height: int, width: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pixel indices of each window, (windows, size²) long, and per pixel 1 / number of windows, (H·W).

    The last window of a row or column is moved back so that it ends at the border.
    """
    tops, down = _starts(height, size, device)
    lefts, across = _starts(width, size, device)
    span = torch.arange(size, device=device)
    index = (tops + span)[:, None, :, None] * width + (lefts + span)[:, None]  # (windows down, across, size, size)
    return index.reshape(-1, size**2), 1 / (down[:, None] * across).flatten().double()


def windows_of_a_pixel(height: int, width: int, size: int) -> int | None:
    """The largest number of windows of `windows` that a pixel lies in. None while exporting: for images of any size."""
    if torch.compiler.is_exporting():
        return None
    return _most(height, size) * _most(width, size)


def _most(length: int, size: int) -> int:
    starts = [min(start, length - size) for start in range(0, length - 2, size - 2)]
    return max(sum(start <= position < start + size for start in starts) for position in starts)


def _starts(length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where the windows along an axis begin, (windows, 1), and how many of them each position lies in, (length)."""
    starts = torch.arange(0, length - 2, size - 2, device=device).clamp(max=length - size)[:, None]
    position = torch.arange(length, device=device)
    return starts, ((starts <= position) & (position < starts + size)).sum(0)
