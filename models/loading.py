"""Weights into a network: under its own names or the published ones, every parameter and no others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.info import ModelInfo
from models.weights import Checkpoint, State, WeightsError, is_counter

LARGEST = 64  # depth of a network that is looked for


class Misfit(WeightsError):
    """Weights of another network; `count` of their names or shapes differ."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


class Naming(NamedTuple):
    """The names of a network's values in a file by ours, and regular expressions of names that are rebuilt."""

    names: Mapping[str, str]
    rebuilt: tuple[str, ...] = ()


def namings(model: nn.Module, info: ModelInfo) -> tuple[Naming, Naming]:
    """The names under which a file may hold a network's values: ours, and the published ones."""
    own = {name: name for name in model.state_dict()}
    return Naming(own), Naming(info.published_names(model), info.published_buffers)


def fitting(model: nn.Module, allowed: Sequence[Naming], checkpoint: Checkpoint) -> tuple[dict[str, Tensor], State]:
    """A state dict for `model` from the first state of a checkpoint that fits, and that state.

    Raises the Misfit of what fits best.
    """
    best: Misfit | None = None
    for state in checkpoint.states:
        for tensors in state.spelled():
            for naming in allowed:
                try:
                    values = with_published_names(model, naming.names, tensors, checkpoint.path, naming.rebuilt)
                except Misfit as error:
                    best = min(best or error, error, key=lambda one: one.count)
                else:
                    return values, state
    assert best
    raise best


def overlapping(model: nn.Module, allowed: Sequence[Naming], checkpoint: Checkpoint) -> tuple[dict[str, Tensor], State]:
    """What of a checkpoint has the name and shape of a network's values, under the network's names; and its state.

    It is that of the state of which most fits; empty if none does.
    """
    own, best = model.state_dict(), (dict[str, Tensor](), checkpoint.states[0])
    for state in checkpoint.states:
        for tensors in state.spelled():
            for naming in allowed:
                found = {
                    name: tensors[published].detach().reshape(own[name].shape)
                    for name, published in naming.names.items()
                    if published in tensors
                    and not _other_kind(tensors[published], own[name])
                    and _without_trailing_ones(tensors[published].shape) == _without_trailing_ones(own[name].shape)
                }
                best = max(best, (found, state), key=lambda one: len(one[0]))
    return best


def likeness(
    build: Callable[[int, Mapping[str, Any]], nn.Module],
    info: ModelInfo,
    scale: int,
    config: Mapping[str, Any],
    checkpoint: Checkpoint,
) -> str:
    """Of which other scale or depth of a network these weights are, in words; empty if of none that is found.

    `build` makes the network of a scale with a configuration, of which `config` is the full one that did not fit.
    """
    counts = _counts(checkpoint)
    depths: list[tuple[str, int]] = [
        (key, count)
        for key, value in config.items()
        if isinstance(value, int) and not isinstance(value, bool)
        for count in counts
        if count != value
    ]
    scales = sorted(info.scales, key=lambda one: one != scale)
    for depth in [None, *depths]:
        for other in scales:
            changed = dict([depth]) if depth else {}
            try:
                with torch.device("meta"):
                    model = build(other, {**config, **changed})
                fitting(model, namings(model, info), checkpoint)
            except Exception:  # cannot be built so, or does not fit
                continue
            told = [f"are of x{other}, not x{scale}"] if other != scale else []
            told += [f"have {value} {key}, not {config[key]}" for key, value in changed.items()]
            return f"these weights {' and '.join(told)}" if told else ""
    return ""


def with_published_names(
    model: nn.Module,
    names: Mapping[str, str],
    state: Mapping[str, Any],
    label: str,
    rebuilt: Sequence[str] = (),
) -> dict[str, Tensor]:
    """A state dict for `model` from values under published names; `names` maps ours to the published ones.

    A 1x1 convolution's weight fits a linear layer. Buffers that the state lacks keep their values, and names that
    match one of the regular expressions `rebuilt` are left alone, as are counters of a training. Raises Misfit listing
    names that are missing, unexpected, or of another shape or kind of number.
    """
    own = model.state_dict()
    buffers = {name for name, _ in model.named_buffers()}
    names = {name: published for name, published in names.items() if name not in buffers or published in state}
    missing = [published for published in names.values() if published not in state]
    unexpected = sorted(
        name
        for name in set(state) - set(names.values())
        if not is_counter(state[name]) and not any(re.fullmatch(rule, name) for rule in rebuilt)
    )
    if missing or unexpected:
        raise Misfit(
            f"{label} does not fit {type(model).__name__}: "
            f"{_listed('missing', missing)}; {_listed('unexpected', unexpected)}",
            len(missing) + len(unexpected),
        )
    shapes, kinds = [], []
    for name, published in names.items():
        value = _tensor(state[published])
        shape = own[name].shape
        if kind := _other_kind(value, own[name]):
            kinds.append(f"{published} is {kind}")
        elif _without_trailing_ones(value.shape) != _without_trailing_ones(shape):
            shapes.append(f"{published} is {tuple(value.shape)} instead of {tuple(shape)}")
        else:
            own[name] = value.reshape(shape)
    if shapes or kinds:
        wrong = "; ".join(_listed(what, found) for what, found in (("shapes", shapes), ("kinds", kinds)) if found)
        raise Misfit(f"{label} does not fit {type(model).__name__}: {wrong}", len(shapes) + len(kinds))
    return own


def under_published_names(
    model: nn.Module, names: Mapping[str, str], convolutions: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Copies of a model's values on the CPU; `names` maps ours to the published ones.

    Matrices whose published names match one of the regular expressions `convolutions` become 1x1 convolutions.
    """
    own, state = model.state_dict(), {}
    for name, published in names.items():
        value = own[name].cpu().clone(memory_format=torch.contiguous_format)
        convolution = any(re.fullmatch(rule, published) for rule in convolutions)
        state[published] = value[..., None, None] if convolution else value
    return state


def _tensor(value: Any) -> Tensor:
    return value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))


def _other_kind(value: Tensor, own: Tensor) -> str:
    """What a tensor is that cannot be a value of a network (`own`); empty for one that can."""
    if value.layout != torch.strided or value.is_quantized or (value.is_meta and not own.is_meta):
        return "without values" if value.is_meta else f"{value.layout}, {value.dtype}".replace("torch.", "")
    if value.is_floating_point() and not own.is_floating_point() and torch.equal(value, value.round()):
        return ""  # a counter, which some conversions store as a float
    if (value.is_floating_point(), value.is_complex()) != (own.is_floating_point(), own.is_complex()):
        return f"{value.dtype} instead of {own.dtype}".replace("torch.", "")
    return ""


def _counts(checkpoint: Checkpoint) -> list[int]:
    """How many members the lists of layers in a checkpoint have, most frequent first."""
    members: dict[str, set[str]] = {}
    for state in checkpoint.states:
        for name in state.tensors:
            for found in re.finditer(r"(?:(?<=\.)|^)\d+(?=\.)", name):
                members.setdefault(f"{state.place} {name[: found.start()]}", set()).add(found[0])
    counts = Counter(len(numbers) for numbers in members.values())
    return [count for count, _ in counts.most_common() if count <= LARGEST][:8]


def _without_trailing_ones(shape: torch.Size) -> tuple[int, ...]:
    dims = list(shape)
    while dims and dims[-1] == 1:
        dims.pop()
    return tuple(dims)


def _listed(what: str, names: list[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
    return f"{len(names)} {what}" + (f" ({shown})" if names else "")
