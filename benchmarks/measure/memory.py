"""The memory of forward passes and training steps, estimated before they run, and the memory that is available."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.measure.latency import evaluating
from benchmarks.measure.macs import example
from models.attention import BLOCKS, WIDTHS

# The growth of a process relative to its live tensors, due to workspaces of libraries and gaps of the allocator.
# Measured over all networks of the registry: 1.2 to 2.3.
MARGIN = 3.0
PROBE = 64  # edge of the small image, in LR pixels

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIPS = Path("/proc/self/cgroup")


def bytes_per_pixel(model: nn.Module, device: torch.device, least: int = 1) -> float:
    """An upper estimate of the memory of a forward pass, in bytes per LR pixel.

    It is measured from the live tensors of a pass over a small image of PROBE, or at least `least`, pixels a side. In
    every network of the registry they grow at most in proportion to the pixels; tiles of attention are bounded.
    """
    side = max(PROBE, least)
    return MARGIN * live_bytes(model, (side, side), device) / side**2


def live_bytes(model: nn.Module, lr_size: tuple[int, int], device: torch.device) -> int:
    """Peak memory of the tensors of a pass over an image of `lr_size` (H, W), in bytes, without weights and image.

    The growth of a process (`peak.peak_memory`) is the memory that a user needs, but it varies by a third between runs,
    with the threads and the state of the allocator. This number is the same on every machine. The internal memory of
    operators is not counted.
    """
    with evaluating(model, device), torch.inference_mode():
        image = example(model, lr_size, device)
        with _Living() as living:
            model(image)
    return living.most


def step_bytes(model: nn.Module, batch: int, lr_patch: int) -> int | None:
    """Memory of a training step on a GPU in float32, in bytes: live tensors, weights, gradients and Adam's moments.

    Found on the meta device within seconds, without a GPU and without memory. The workspaces of libraries and gaps of
    the allocator come on top. None for a network that depends on the values of the image.
    """
    weights = sum(parameter.nbytes for parameter in model.parameters())
    twin = copy.deepcopy(model).to("meta").train()
    image = torch.empty(batch, 3, lr_patch, lr_patch, device="meta")
    try:
        with FusedAttention(), _Living() as living:
            twin(image).abs().mean().backward()
    except (RuntimeError, NotImplementedError):
        return None
    return living.most + 3 * weights  # the gradients are among the live tensors


class FusedAttention(TorchFunctionMode):
    """Attention on the meta device as PyTorch would run it on a GPU.

    For float32 it takes the memory-efficient kernel where that serves the arguments, else it stores all weights.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.nn.functional.scaled_dot_product_attention:
            query, key, value, bias, scale = *args[:3], kwargs.get("attn_mask"), kwargs.get("scale")
            aligned = all(part.shape[-1] % WIDTHS == 0 for part in (query, key, value))
            aligned &= bias is None or bias.stride(-1) == 1
            if query.dim() == 4 and aligned and query.shape[0] * query.shape[1] <= BLOCKS:
                if bias is not None:
                    bias = bias.expand(*query.shape[:3], key.shape[2])
                return torch.ops.aten._scaled_dot_product_efficient_attention(
                    query, key, value, bias, query.requires_grad, scale=scale
                )[0]
        return func(*args, **kwargs)


class _Living(TorchDispatchMode):
    """Counts the bytes of storages from their creation by an operator until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, operator: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor):
                self._known.add(value.untyped_storage())  # created before, such as weights
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


def available(device: torch.device) -> int:
    """Available memory in bytes: of a GPU, or of this machine within the limits of its control group."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min([int(psutil.virtual_memory().available), *_allowed(_CGROUPS, _MEMBERSHIPS)])


def _allowed(root: Path, memberships: Path) -> list[int]:
    """The bytes left under each memory limit that Linux sets for this process (cgroups version 2 and 1).

    A container sees its own group as the root, or under the path outside of the container, so both are tried.
    """
    left = []
    for line in _text(memberships).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, names = root, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = top / path.lstrip("/")
        for folder in [group, *group.parents][: len(group.parts) - len(top.parts) + 1]:
            limit, used = _text(folder / names[0]).strip(), _text(folder / names[1]).strip()
            if limit.isdecimal() and used.isdecimal():
                counts = dict(entry.split(" ", 1) for entry in _text(folder / "memory.stat").splitlines())
                cached = int(counts.get(names[2], 0))  # the file cache, which the system can drop
                left.append(max(0, int(limit) - int(used) + cached))
    return left


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
