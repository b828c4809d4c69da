"""Memory that a forward pass uses again and again: fresh memory costs several times what it takes to fill it."""

from __future__ import annotations

import math
import weakref
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import torch
from torch import Tensor

from models import native

_free: ContextVar[dict[int, list[Tensor]] | None] = ContextVar("free", default=None)  # by the number of numbers


def reused(like: Tensor) -> AbstractContextManager[None]:
    """A context in which `empty` and `add` use what is no longer needed, where no gradient is wanted.

    That is where there are kernels for tensors such as `like`. A compiler has memory of its own, and no kernels.
    """
    if torch.compiler.is_compiling():
        return nullcontext()
    return _keeping(defaultdict(list) if not torch.is_grad_enabled() and native.ready(like) else None)


@contextmanager
def _keeping(free: dict[int, list[Tensor]] | None) -> Iterator[None]:
    before = _free.set(free)
    try:
        yield
    finally:
        _free.reset(before)


def empty(like: Tensor, *shape: int) -> Tensor:
    """`like.new_empty(shape)`, float32 on a CPU; its memory is free again as soon as no view of it is left."""
    free = _free.get()
    if free is None:
        return like.new_empty(shape)
    of_size = free[math.prod(shape)]
    memory = of_size.pop() if of_size else like.new_empty(math.prod(shape))
    array = memory.numpy()  # which lives as long as the tensor made of it, and every view of that
    weakref.finalize(array, of_size.append, memory).atexit = False
    return torch.from_numpy(array).view(shape)


def add(x: Tensor, y: Tensor) -> Tensor:
    """x + y, of the same shape."""
    if not native.ready(x, y) or _free.get() is None:
        return x + y
    return torch.add(x, y, out=empty(x, *x.shape))
