"""The three attention modules of a SPIN block (paper Sections 3.2, 3.3), one head each, on tokens (B, N, C)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.layers import attention, kept_per_shape, project
from models.spin.superpixels import Sight


class Superpixels(Protocol):
    """What the modules need of an association, local or global."""

    def mean(self, tokens: Tensor) -> Tensor: ...

    def top(self, count: int) -> Tensor: ...

    def by_pixel(self) -> Iterator[Sight]: ...


class Projections(nn.Module):
    """Bias-free query and key (C -> D) and value (C -> C)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, width, bias=False)
        self.key = nn.Linear(channels, width, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.scale = width**-0.5

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return project(x, self.query.weight, self.key.weight, self.value.weight)


class SuperpixelCrossAttention(nn.Module):
    """SPCA (Section 3.2, Eq. 5 and 6): superpixels read all pixels, then every pixel reads all superpixels."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pixels = Projections(channels, width)
        self.superpixels = nn.Linear(channels, width, bias=False)

    def forward(self, x: Tensor, superpixels: Superpixels) -> Tensor:
        """x (B, N, C) -> (B, N, C)."""
        query, key, value, anchor = self.projections(x, superpixels)
        scale = self.pixels.scale
        updated = attention(anchor[:, None], key[:, None], value[:, None], scale)  # (B, 1, M, C)
        return attention(query[:, None], anchor[:, None], updated, scale).squeeze(1)

    def projections(self, x: Tensor, superpixels: Superpixels) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Query, key and value of the pixels, (B, N, ...), and the superpixels' anchor (B, M, ...).

        The anchor is the query of the first attention and the key of the second. Zeros may follow the true widths.
        """
        x = self.norm(x)
        query, key, value = self.pixels(x)
        mean = superpixels.mean(x)  # (B, M, C)
        anchor = self.superpixels(mean)  # (B, M, D)
        anchor = nn.functional.pad(anchor, (0, key.shape[-1] - anchor.shape[-1]))  # as wide as `project` made key
        return query, key, value, anchor


class IntraSuperpixelAttention(nn.Module):
    """ISPA (Section 3.3): the pixels that a superpixel selects attend to each other.

    A pixel becomes the mean of its own value and of what it receives from every superpixel that selected it.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pixels = Projections(channels, width)

    def forward(self, x: Tensor, selected: Tensor) -> Tensor:
        """x (B, N, C), selected (B, M, n) pixel indices -> (B, N, C)."""
        batch, pixels, _ = x.shape
        projected = self.pixels(self.norm(x))
        rows = rows_of_batch(selected.flatten(1), batch, pixels)  # (B·M·n), rows of (B·N, C)
        query, key, value = (
            part.flatten(0, 1).index_select(0, rows).unflatten(0, selected.shape) for part in projected
        )
        mixed = attention(query, key, value, self.pixels.scale)  # (B, M, n, C)
        own = projected[2].flatten(0, 1)  # (B·N, C)
        total = own.index_add(0, rows, mixed.flatten(0, 2).to(own.dtype))
        received = torch.ones_like(own[:, :1]).index_add(0, rows, torch.ones_like(rows, dtype=own.dtype)[:, None])
        return (total / received).unflatten(0, (batch, pixels))


class LocalAttention(nn.Module):
    """Attention within windows of `size` at a stride of size - 2; overlapping outputs are averaged."""

    def __init__(self, channels: int, width: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.norm = nn.LayerNorm(channels)
        self.pixels = Projections(channels, width)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """x (B, H·W, C) -> (B, H·W, C)."""
        index, shares = windows(height, width, self.size, x.device)
        projected = self.pixels(self.norm(x))
        query, key, value = (part.index_select(1, index.flatten()).unflatten(1, index.shape) for part in projected)
        mixed = attention(query, key, value, self.pixels.scale)  # (B, windows, size², C)
        total = torch.zeros_like(x, dtype=mixed.dtype).flatten(0, 1)  # rows of (B·N, C), which index_add is fastest on
        total = total.index_add(0, rows_of_batch(index.flatten(), *x.shape[:2]), mixed.flatten(0, 2))
        return total.view_as(x) * shares.to(total.dtype)


def rows_of_batch(index: Tensor, batch: int, pixels: int) -> Tensor:
    """Pixel indices (n) or (B, n) as rows of the flattened (B·N, C): (B·n)."""
    first = torch.arange(batch, device=index.device)[:, None] * pixels
    return (first + index).flatten()


@kept_per_shape(64)
def windows(height: int, width: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pixel indices of each window, (windows, size²) long, and per pixel 1 / number of windows, (H·W, 1).

    The last window of a row or column is moved back so that it ends at the border.
    """
    stride = size - 2
    tops = np.minimum(np.arange(0, height - 2, stride), height - size)
    lefts = np.minimum(np.arange(0, width - 2, stride), width - size)
    span = np.arange(size)
    y = (tops[:, None] + span)[:, None, :, None]
    x = (lefts[:, None] + span)[None, :, None, :]
    index = (y * width + x).reshape(len(tops) * len(lefts), size * size)
    count = np.bincount(index.ravel(), minlength=height * width)
    with torch.inference_mode(False):  # the cached tensors serve training too
        shares = torch.from_numpy(1 / count)[:, None]
        return torch.from_numpy(index).to(device), shares.to(device)
