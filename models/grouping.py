"""Rows gathered into groups, and sums of what the groups hold for each row: the same bits twice on a GPU too.

There, `index_add` adds with atomic operations, whose order varies. A table that says where each row occurs makes a sum
of gathers out of it, forward and backward. On a CPU `index_add` is sequential, and faster.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Occurrences(NamedTuple):
    """Where rows occur in groups: `groups` (G, n) long, indices of R rows; `places` (K, R) long, their inverse.

    Row r is element places[k, r] of the flattened groups; G·n stands for no further occurrence. Without `places` sums
    are those of `index_add`.
    """

    groups: Tensor
    places: Tensor | None

    @classmethod
    def of(cls, groups: Tensor, rows: int, most: int | None) -> Occurrences:
        """The occurrences of `rows` rows, each at most `most` times in all groups. None: there is no such bound."""
        if groups.device.type == "cpu" or most is None or torch.jit.is_tracing():  # a tracer counts operators only
            return cls(groups, None)
        return cls(groups, inverse(groups, rows, most))

    def gather(self, rows: Tensor) -> Tensor:
        """(R, C) -> (G, n, C)."""
        if self.places is None:
            return rows.index_select(0, self.groups.flatten()).unflatten(0, self.groups.shape)
        return _Gathered.apply(rows, self.groups, self.places)

    def sums(self, grouped: Tensor, onto: Tensor) -> Tensor:
        """`onto` (R, C) plus everything in `grouped` (G, n, C), added to its row."""
        if self.places is None:
            return onto.index_add(0, self.groups.flatten(), grouped.flatten(0, 1))
        return onto + _Summed.apply(grouped, self.groups, self.places)


def inverse(groups: Tensor, rows: int, most: int) -> Tensor:
    """The `places` (most, R) of groups (G, n) of R rows, none of which occurs more than `most` times."""
    flat = groups.flatten()
    row, element = flat.sort(stable=True)
    first = torch.searchsorted(row, torch.arange(rows, device=flat.device))
    turn = torch.arange(len(flat), device=flat.device) - first[row]  # 0 for the first occurrence of a row
    places = flat.new_full((most, rows), len(flat))
    places[turn, row] = element  # no two have the same turn and row
    return places


def _gathered(rows: Tensor, groups: Tensor) -> Tensor:
    return rows.index_select(0, groups.flatten()).unflatten(0, groups.shape)


def _summed(grouped: Tensor, places: Tensor) -> Tensor:
    flat = torch.cat([grouped.flatten(0, 1), grouped.new_zeros(1, grouped.shape[-1])])  # the last row is no occurrence
    total = flat.index_select(0, places[0])
    for place in places[1:]:
        total += flat.index_select(0, place)
    return total


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, groups: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return _gathered(rows, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _summed(gradient, *ctx.saved_tensors), None, None


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grouped: Tensor, groups: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(groups)
        return _summed(grouped, places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _gathered(gradient, *ctx.saved_tensors), None, None
