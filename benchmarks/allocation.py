"""Most bytes of tensors that a forward pass holds at once.

The growth of a process (`cost.peak_memory`) is what a user has to have, but it varies: by a third between runs of one
network on one machine, with the threads, and with what the allocator keeps. Tensors are the same everywhere, so that a
check can see a few per cent. What operators use inside themselves is not counted.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.cost import ready
from benchmarks.macs import example


def peak(model: nn.Module, lr_size: tuple[int, int], device: torch.device) -> int:
    """Bytes beyond weights and image, at most, in one pass on an image of `lr_size` (H, W), in eval mode."""
    with ready(model, device), torch.inference_mode():
        image = example(model, lr_size, device)
        with _Living() as living:
            model(image)
    return living.most


class _Living(TorchDispatchMode):
    """Counts storages from the operator that makes them until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: weakref.WeakSet[UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, operator: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor):
                self._known.add(value.untyped_storage())  # made before, such as weights
        result = operator(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and (storage := value.untyped_storage()) not in self._known:
                self._known.add(storage)
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes())
        return result

    def _add(self, size: int) -> None:
        self.now += size
        self.most = max(self.most, self.now)
