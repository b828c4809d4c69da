"""Superpixel association of SPIN (paper Section 3.1, Eq. 3 and 4): soft k-means on a grid of cells.

Every pixel is associated with the 3x3 cells around its home cell only, so pixels are laid out cell by cell,
(batch, M cells, P pixels of a cell, channels), and the nine associations of a pixel are (batch, M, 9, P):
the dense pixel-by-superpixel matrix never exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers import to_map, to_tokens, without_autocast
from models.spin import ops
from models.spin.configuration import Form
from models.spin.grid import Grid


class Sight(NamedTuple):
    """The K superpixels in reach of each of n pixels in raster order, superpixels in rising order."""

    superpixels: Tensor  # (n, K) long, -1 where there is none
    weights: Tensor  # (B, n, K), the association; 0 where there is none
    scores: Tensor  # (B, n, K), in the order of the association, also where it underflows; -inf where there is none


@dataclass(frozen=True)
class Association:
    """How strongly each pixel belongs to the nine superpixels in its reach."""

    reach: ClassVar[int | None] = 9

    grid: Grid
    weights: Tensor  # (B, M, 9, P): pixel p of cell m to neighbour j of that cell; 0 where there is none
    scores: Tensor  # (B, M, 9, P): the order in which pixels are selected, without gradient; -inf where there is none

    def mean(self, tokens: Tensor) -> Tensor:
        """Weighted mean of the pixels of each superpixel (Eq. 4): (B, N, C) -> (B, M, C)."""
        return ops.superpixel_mean(tokens, self.weights, self.grid)

    def top(self, count: int) -> Tensor:
        """Pixels of highest score of each superpixel: (B, M, count) long, in rising pixel order.

        Equal scores go to the lower pixel index (ledger `ties`).
        """
        return ops.top_pixels(self.scores, self.grid, count)

    def by_pixel(self) -> Iterator[Sight]:
        """The association pixel by pixel, for inspection: all pixels at once, K = 9."""
        grid = self.grid
        inside = torch.ones_like(grid.pixels, dtype=torch.bool) if grid.inside is None else grid.inside
        order = grid.pixels[inside].argsort()  # raster order among the pixels as they lie in the cells
        seen = grid.neighbours.masked_fill(~grid.exists, -1)[:, None].expand(-1, grid.pixels.shape[1], -1)
        weights, scores = (part.transpose(2, 3)[:, inside][:, order] for part in (self.weights, self.scores))
        yield Sight(seen[inside][order], weights, scores)


def associate(tokens: Tensor, grid: Grid, form: Form = "softmax") -> Association:
    """Soft k-means over the 3x3 neighbourhood: (B, N, C) -> Association. float32 at least, also in autocast.

    `softmax` of -d² over the nine (official code) or the bare `exp` of -d² (paper, Eq. 3).
    """
    with without_autocast(tokens.device):
        tokens = tokens if tokens.dtype == torch.float64 else tokens.float()
        return Association(grid, *ops.associate(tokens, starting_centroids(tokens, grid), grid, form))


def starting_centroids(tokens: Tensor, grid: Grid) -> Tensor:
    """Adaptive average pooling to the grid: (B, N, C) -> (B, M, C)."""
    features = to_map(tokens, grid.height, grid.width)
    if torch.compiler.is_exporting():  # ONNX has no adaptive pooling to a grid whose size depends on the image
        down = _means(grid.height, grid.rows, features)
        across = _means(grid.width, grid.columns, features)
        return to_tokens(down @ features @ across.t())
    return to_tokens(F.adaptive_avg_pool2d(features, (grid.rows, grid.columns)))


def _means(length: int, cells: int, like: Tensor) -> Tensor:
    """The matrix (cells, length) whose product with a vector is its adaptive average pooling."""
    cell = torch.arange(cells, device=like.device)[:, None]
    position = torch.arange(length, device=like.device)
    first, last = cell * length // cells, ((cell + 1) * length + cells - 1) // cells  # pooled cells may overlap
    pooled = ((position >= first) & (position < last)).to(like.dtype)
    return pooled / pooled.sum(1, keepdim=True)
