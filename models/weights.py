"""The weights in a checkpoint: every mapping of names to tensors that it holds, in the order of their preference."""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.formats import WeightsError, metadata, read_content

__all__ = [
    "ENTRY", "Checkpoint", "State", "WeightsError", "metadata", "read_checkpoint", "read_weights", "tensors_digest",
]  # fmt: skip

ENTRY = "spin-bench"  # key in the metadata of our own weights: their origin, as JSON
TOP = "the top level"
# Parts of names that PyTorch's own wrappers put between others.
_WRAPPED = re.compile(r"(?<![^.])(_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.")
# Words by which trainers name what they keep.
_AVERAGED = {"ema", "averaged", "average", "avg", "swa", "shadow"}
_GENERATOR = {"g", "gen", "netg", "generator"}
_OTHERS = {"d", "disc", "netd", "discriminator", "critic", "loss", "criterion", "vgg", "lpips", "teacher"}
_NETWORK = _AVERAGED | _GENERATOR | {"model", "net", "network", "module"}


@dataclass(frozen=True)
class State:
    """A mapping of names to tensors in a checkpoint, and its place there."""

    place: str
    tensors: Mapping[str, Tensor]

    def spelled(self) -> Iterator[Mapping[str, Tensor]]:
        """The tensors as they are named, and then without the first part of their names as long as all share it.

        Counters (`n_averaged`) need not share it.
        """
        tensors = self.tensors
        yield tensors
        while prefix := _shared(tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
            yield tensors


@dataclass(frozen=True)
class Checkpoint:
    """The states of a file in the order in which they are tried: averaged weights first, those of a discriminator and
    of other parts of a training last. `unread` are classes whose objects in the file were left unread.
    """

    path: str
    states: tuple[State, ...]
    unread: tuple[str, ...] = ()

    def remark(self, taken: State) -> str:
        """One line on a file from which a state was taken, if there is more in it than that state; else empty."""
        own = {id(tensor) for tensor in taken.tensors.values()}
        others = [
            state.place for state in self.states if own.isdisjoint(id(tensor) for tensor in state.tensors.values())
        ]
        kinds = {tensor.dtype for tensor in taken.tensors.values() if tensor.is_floating_point()} - {torch.float32}
        parts = [f"also there: {_listed(others)}"] if others else []
        parts += [f"stored in {_listed(sorted(str(kind).removeprefix('torch.') for kind in kinds))}"] if kinds else []
        parts += [f"objects left unread: {_listed(self.unread)}"] if self.unread else []
        return f"{self.path}: taken: {'; '.join([taken.place, *parts])}" if parts else ""


def read_checkpoint(path: str | Path) -> Checkpoint:
    """All weights of a checkpoint, at any depth; entries that are no tensors, and those of optimisers, are left out.

    Raises WeightsError for a file that cannot be read (`formats.read_content`), or holds no weights.
    """
    path = Path(path)
    content, unread = read_content(path)
    if isinstance(content, Mapping):
        _check_tensors(path, content)
    states = _states(content)
    if not states:
        raise WeightsError(f"{path}: holds no mapping of names to tensors (found {_told(content)})")
    return Checkpoint(str(path), tuple(states), tuple(unread))


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint on the CPU, those of the first state if it holds several. Raises WeightsError."""
    return dict(read_checkpoint(path).states[0].tensors)


def _states(content: Any) -> list[State]:
    """The states in nested mappings, in the order of their preference; each mapping is looked at once."""
    found, queue, seen = list[State](), deque([("", content)]), set[int]()
    while queue:
        place, value = queue.popleft()
        if not isinstance(value, Mapping) or id(value) in seen:
            continue
        seen.add(id(value))
        named = {key: one for key, one in value.items() if isinstance(key, str)}
        tensors = {key: one for key, one in named.items() if isinstance(one, Tensor)}
        if any(one.ndim and ("." in key or one.is_floating_point()) for key, one in tensors.items()):
            found += _parts(State(place or TOP, _unwrapped(tensors)))
        for key, one in named.items():
            if not key.lower().startswith("optim"):
                queue.append((f"{place}.{key}" if place else key, one))

    def order(state: State) -> tuple[bool, ...]:
        words = _words(state.place)
        return bool(words & _OTHERS), not words & _AVERAGED, not words & _GENERATOR

    return sorted(found, key=order)


def _parts(state: State) -> list[State]:
    """The state itself, and its parts if the names of one begin as those of a network: `model.`, `net_g.`, `loss.`"""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.tensors.items():
        groups.setdefault(name.partition(".")[0], {})[name] = tensor
    parts = {first: tensors for first, tensors in groups.items() if any(one.ndim for one in tensors.values())}
    if len(parts) < 2 or not any(_words(first) & _NETWORK for first in parts):
        return [state]
    return [state, *(State(f"{state.place} ({first}.*)", tensors) for first, tensors in parts.items())]


def _unwrapped(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    plain = {_WRAPPED.sub("", name): tensor for name, tensor in tensors.items()}
    return plain if len(plain) == len(tensors) else tensors


def _shared(tensors: Mapping[str, Tensor]) -> str:
    """The first part of the names, with its dot, if those of all tensors but counters share it; else empty."""
    first = {name.partition(".")[:2] for name, tensor in tensors.items() if not is_counter(tensor)}
    return "".join(*first) if len(first) == 1 and all(dot for _, dot in first) else ""


def is_counter(tensor: Any) -> bool:
    """Whether a tensor is a whole number, such as the steps of an average."""
    return isinstance(tensor, Tensor) and tensor.numel() == 1 and tensor.dtype in (torch.int64, torch.int32)


def _words(place: str) -> set[str]:
    """The words of a name, in lower case: `netG_EMA` has net, g, ema."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", place)}


def _told(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    return f"a mapping of {_listed([str(key) for key in content])}" if content else "an empty mapping"


def _listed(names: Any, limit: int = 4) -> str:
    return ", ".join(list(names)[:limit]) + (", ..." if len(names) > limit else "")


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, types, shapes and values of tensors on the CPU; their order does not matter."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        total.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _check_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Compare the tensors of this suite's weights with the digest that their file states, to find damaged ones."""
    try:
        told = json.loads(metadata(path).get(ENTRY, "{}"))
    except ValueError:
        told = {"tensors": "unreadable"}
    if isinstance(told, dict) and "tensors" in told and told["tensors"] != tensors_digest(tensors):
        raise WeightsError(f"{path}: damaged: its tensors do not have the SHA-256 that it states")
