"""The three attention modules of a SPIN block (paper Sections 3.2, 3.3), one head each, on tokens (B, N, C)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from models.attention import attention
from models.layers import kept_per_shape
from models.native import functions, memory
from models.spin.superpixels import Sight


class Superpixels(Protocol):
    """What the modules need of an association, local or global."""

    def mean(self, tokens: Tensor) -> Tensor: ...

    def top(self, count: int) -> Tensor: ...

    def by_pixel(self) -> Iterator[Sight]: ...


class Projections(nn.Module):
    """Bias-free query and key (C -> D) and value (C -> C), as one matrix product."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, width, bias=False)
        self.key = nn.Linear(channels, width, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.scale = width**-0.5

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> query, key and value side by side, (..., D + D + C)."""
        return nn.functional.linear(x, self.weight())

    def of_norm(self, x: Tensor, norm: nn.LayerNorm, keep: bool = False) -> tuple[Tensor, Tensor]:
        """`forward` of norm(x), and norm(x) itself, of use only if `keep` says so: (..., C) -> (..., P), (..., C)."""
        weight = self.weight()
        if functions.projection_fits(x, weight):
            projected, normal = functions.normalise_and_project(x.flatten(0, -2), norm, weight, keep)
            return projected.unflatten(0, x.shape[:-1]), normal.view(x.shape) if keep else normal
        x = norm(x)
        return self(x), x

    def weight(self) -> Tensor:
        return torch.cat([self.query.weight, self.key.weight, self.value.weight])

    @property
    def widths(self) -> list[int]:
        return [len(part.weight) for part in (self.query, self.key, self.value)]

    def split(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `forward` put side by side."""
        query, key, value = projected.split(self.widths, dim=-1)
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
        scale = self.pixels.scale
        updated = attention(anchor[:, None], key[:, None], value[:, None], scale)  # (B, 1, M, C)
        return memory.add(x, attention(query[:, None], anchor[:, None], updated, scale).squeeze(1))

    def projections(self, x: Tensor, superpixels: Superpixels) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Query, key and value of the pixels, (B, N, ...), and the superpixels' anchor (B, M, ...).

        The anchor is the query of the first attention and the key of the second.
        """
        projected, normal = self.pixels.of_norm(x, self.norm, keep=True)
        query, key, value = self.pixels.split(projected)
        mean = superpixels.mean(normal)  # (B, M, C)
        anchor = self.superpixels(mean)  # (B, M, D)
        return query, key, value, anchor


class IntraSuperpixelAttention(nn.Module):
    """ISPA (Section 3.3), in a residual: the pixels that a superpixel selects attend to each other.

    A pixel receives the mean of its own value and of what comes to it from every superpixel that selected it.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pixels = Projections(channels, width)

    def forward(self, x: Tensor, selected: Tensor) -> Tensor:
        """x (B, N, C), selected (B, M, n) pixel indices -> (B, N, C)."""
        batch, pixels, _ = x.shape
        groups = rows_of_batch(selected.flatten(1), batch, pixels).view(-1, selected.shape[2])  # (B·M, n)
        received = x.new_ones(batch * pixels).index_add(0, groups.flatten(), x.new_ones(groups.numel()))
        return attend_within(groups, x, self.norm, self.pixels, 1 / received, own=True)


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
        groups = rows_of_batch(index.flatten(), batch, pixels).view(-1, index.shape[1])  # (B·windows, size²)
        return attend_within(groups, x, self.norm, self.pixels, shares.to(x.dtype).repeat(batch), own=False)


def attend_within(
    groups: Tensor, x: Tensor, norm: nn.LayerNorm, pixels: Projections, shares: Tensor, own: bool
) -> Tensor:
    """x plus what every pixel receives by attention within each group that it is in, and its own value if `own`.

    groups (G, n) indices of rows of the flattened x (B, N, C), which is normalised and projected; what a row of it
    receives counts by its share (B·N).
    """
    rows = x.flatten(0, 1)
    projected, _ = pixels.of_norm(rows, norm)  # (B·N, D + D + C)
    total = functions.attend_groups(groups, rows, projected, shares, pixels.scale, own)
    if total is not None:
        return total.view(x.shape)
    received = _received(groups, pixels, projected, own)
    return x + received.mul_(shares[:, None].to(received.dtype)).view(x.shape)


def _received(groups: Tensor, pixels: Projections, projected: Tensor, own: bool) -> Tensor:
    """The same in PyTorch, without shares and residual: projected (B·N, D + D + C) -> (B·N, C)."""
    rows = groups.flatten()
    query, key, of_groups = pixels.split(projected.index_select(0, rows).unflatten(0, groups.shape))
    mixed = attention(query, key, of_groups, pixels.scale).flatten(0, 1)  # (G·n, C)
    value = pixels.split(projected)[2]
    return (value if own else torch.zeros_like(value)).index_add(0, rows, mixed.to(value.dtype))


def rows_of_batch(index: Tensor, batch: int, pixels: int) -> Tensor:
    """Pixel indices (n) or (B, n) as rows of the flattened (B·N, C): (B·n)."""
    first = torch.arange(batch, device=index.device)[:, None] * pixels
    return (first + index).flatten()


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


def _starts(length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where the windows along an axis begin, (windows, 1), and how many of them each position lies in, (length)."""
    starts = torch.arange(0, length - 2, size - 2, device=device).clamp(max=length - size)[:, None]
    position = torch.arange(length, device=device)
    return starts, ((starts <= position) & (position < starts + size)).sum(0)
