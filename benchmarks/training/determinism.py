"""The same bits from the same training on a GPU, as far as PyTorch can.

Sums by atomic additions, and the backward pass of memory-efficient attention, add in an order that varies. PyTorch has
deterministic implementations of most, which it uses on request, and refuses the rest.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_MARK = "deterministic"  # in all of PyTorch's refusals


@contextmanager
def reproducible(model: nn.Module, lr_patch: int, device: torch.device) -> Iterator[str | None]:
    """A context in which a GPU adds in a fixed order; it gives PyTorch's reason where the network makes it impossible.

    Whether it is possible is found by a step of a copy on an image of `lr_patch` pixels a side. In a network for which
    it is not, operators that have a deterministic implementation still use it. On a CPU nothing is changed.
    """
    if device.type != "cuda":
        yield None
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    memory.fill_uninitialized_memory = False  # for debugging, and slow
    try:
        torch.use_deterministic_algorithms(True)
        refused = _refusal(model, lr_patch, device)
        torch.use_deterministic_algorithms(True, warn_only=refused is not None)
        yield refused
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = filled


def _refusal(model: nn.Module, lr_patch: int, device: torch.device) -> str | None:
    cards = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        twin = copy.deepcopy(model).to(device).train()
        try:
            twin(torch.rand(1, 3, lr_patch, lr_patch, device=device)).abs().mean().backward()
        except RuntimeError as error:
            if _MARK not in str(error):
                raise
            return str(error).partition(". ")[0]
    return None
