"""Features as SPIN has them between its blocks, and its sparse association as a dense one."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from models.spin.superpixels import Association

shapes = st.tuples(st.integers(1, 3), st.integers(12, 45), st.integers(12, 45))
spreads = st.floats(-3, 1).map(lambda power: 10**power)  # standard deviation of the features, 1e-3 to 10


def features(batch: int, height: int, width: int, spread: float, seed: int, dtype: torch.dtype) -> Tensor:
    """Random features with an offset, as after some blocks of a network."""
    noise = torch.randn(batch, 41, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (spread * (noise[:, :40] + noise[:, 40:])).to(dtype)


def to_tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def to_dense(association: Association) -> Tensor:
    """(B, M, 9, P) by cells as (B, M, N) by pixels."""
    cells = association.grid
    full = association.weights.new_zeros(association.weights.shape[0], cells.cells, cells.height * cells.width)
    for cell in range(cells.cells):
        inside = slice(None) if cells.inside is None else cells.inside[cell]
        for near in range(9):
            if cells.exists[cell, near]:
                where = cells.pixels[cell][inside]
                full[:, cells.neighbours[cell, near], where] = association.weights[:, cell, near][:, inside]
    return full
