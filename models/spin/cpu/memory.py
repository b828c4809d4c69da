"""Memory that a forward pass uses again and again: fresh memory takes several times as long as filling it."""

from __future__ import annotations

import math
import weakref
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_free: ContextVar[dict[int, list[Tensor]] | None] = ContextVar("free", default=None)  # by the number of elements


@contextmanager
def reused() -> Iterator[None]:
    """A context in which `empty` returns memory that is no longer needed."""
    before = _free.set(defaultdict(list))
    try:
        yield
    finally:
        _free.reset(before)


def in_use() -> bool:
    """Whether this is such a context."""
    return _free.get() is not None


def empty(like: Tensor, *shape: int) -> Tensor:
    """`like.new_empty(shape)`, float32 on a CPU; its memory is free again as soon as no view of it is left."""
    free = _free.get()
    if free is None:
        return like.new_empty(shape)
    of_size = free[math.prod(shape)]
    memory = of_size.pop() if of_size else like.new_empty(math.prod(shape))
    array = memory.numpy()  # lives as long as the tensor made of it and every view of that tensor
    weakref.finalize(array, of_size.append, memory).atexit = False
    return torch.from_numpy(array).view(shape)
