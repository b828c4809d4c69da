"""The three attention modules of a SPIN block (paper Sections 3.2, 3.3), one head each, on tokens (B, N, C)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from models.layers import windows, windows_of_a_pixel
from models.spin import ops
from models.spin.superpixels import Sight


class Superpixels(Protocol):
    """The interface of an association, local or global."""

    @property
    def reach(self) -> int | None:
        """How many superpixels can select a pixel; None: all of them."""

    def mean(self, tokens: Tensor) -> Tensor: ...

    def top(self, count: int) -> Tensor: ...

    def by_pixel(self) -> Iterator[Sight]: ...


class Projections(nn.Module):
    """Bias-free query and key (C -> D) and value (C -> C), which are computed together."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, width, bias=False)
        self.key = nn.Linear(channels, width, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.scale = width**-0.5

    def split(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value, which lie side by side in (..., D + D + C)."""
        layers = self.query, self.key, self.value
        query, key, value = projected.split([layer.out_features for layer in layers], dim=-1)
        return query, key, value


class SuperpixelCrossAttention(nn.Module):
    """SPCA (Section 3.2, Eq. 5 and 6), in a residual: superpixels read all pixels, then every pixel all superpixels."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pixels = Projections(channels, width)
        self.superpixels = nn.Linear(channels, width, bias=False)

    def forward(self, x: Tensor, superpixels: Superpixels) -> Tensor:
        """x (B, N, C) -> (B, N, C)."""
        query, key, value, anchor = self.projections(x, superpixels)
        updated = ops.attend(anchor, key, value, self.pixels.scale)  # (B, M, C)
        return ops.add(x, ops.attend(query, anchor, updated, self.pixels.scale))

    def projections(self, x: Tensor, superpixels: Superpixels) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Query, key and value of the pixels, (B, N, ...), and the superpixels' anchor (B, M, ...).

        The anchor is the query of the first attention and the key of the second.
        """
        projected, normal = ops.normalise_and_project(x, self.norm, self.pixels, keep=True)
        query, key, value = self.pixels.split(projected)
        mean = superpixels.mean(normal)  # (B, M, C)
        anchor = self.superpixels(mean)  # (B, M, D)
        return query, key, value, anchor


class IntraSuperpixelAttention(nn.Module):
    """ISPA (Section 3.3), in a residual: the pixels that a superpixel selects attend to each other.

    A pixel receives the mean of its own value and of the outputs for it in every superpixel that selected it.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pixels = Projections(channels, width)

    def forward(self, x: Tensor, selected: Tensor, reach: int | None) -> Tensor:
        """x (B, N, C), selected (B, M, n) pixel indices, each at most `reach` times -> (B, N, C)."""
        batch, pixels, _ = x.shape
        groups = rows_of_batch(selected.flatten(1), batch, pixels).view(-1, selected.shape[2])  # (B·M, n)
        received = x.new_ones(batch * pixels).index_add(0, groups.flatten(), x.new_ones(groups.numel()))
        return ops.attend_groups(groups, x, self.norm, self.pixels, 1 / received, own=True, most=reach)


class LocalAttention(nn.Module):
    """Attention within windows of `size` at a stride of size - 2, in a residual; overlapping outputs are averaged."""

    def __init__(self, channels: int, width: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.norm = nn.LayerNorm(channels)
        self.pixels = Projections(channels, width)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """x (B, H·W, C) -> (B, H·W, C)."""
        batch, pixels, _ = x.shape
        index, shares = windows(height, width, self.size, x.device)
        most = windows_of_a_pixel(height, width, self.size)
        groups = rows_of_batch(index.flatten(), batch, pixels).view(-1, index.shape[1])  # (B·windows, size²)
        shares = shares.to(x.dtype).repeat(batch)
        return ops.attend_groups(groups, x, self.norm, self.pixels, shares, own=False, most=most)


def rows_of_batch(index: Tensor, batch: int, pixels: int) -> Tensor:
    """Pixel indices (n) or (B, n) as rows of the flattened (B·N, C): (B·n)."""
    first = torch.arange(batch, device=index.device)[:, None] * pixels
    return (first + index).flatten()
