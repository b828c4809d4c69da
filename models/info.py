"""The descriptor of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Fixed:
    """The configuration of a network without options."""


@dataclass(frozen=True)
class ModelInfo:
    """A network's origin, published figures and construction.

    `published_parameters` are as printed (rounded), `counted_parameters` exact, both by scale;
    `parameters_note` explains a difference. `smallest_input` is the least LR height and width.
    `network(scale, configuration)` builds it. `published_names(model)` gives the published name of every
    parameter, and of the buffers to load, by ours. `published_buffers` are regular expressions of published names
    that a checkpoint may hold and that are rebuilt instead of loaded; `published_convolutions` are regular expressions
    of the weights that are published for 1x1 convolutions and are matrices here.
    """

    name: str
    title: str
    paper: str
    venue: str
    year: int
    repository: str
    licence: str
    published_parameters: Mapping[int, int]
    counted_parameters: Mapping[int, int]
    smallest_input: int
    training: str
    network: Callable[[int, Any], nn.Module]
    published_names: Callable[[Any], dict[str, str]]
    configuration: type = Fixed
    parameters_note: str = ""
    published_buffers: tuple[str, ...] = ()
    published_convolutions: tuple[str, ...] = ()
    scales: tuple[int, ...] = field(default=(2, 3, 4))


def same_names(model: nn.Module) -> dict[str, str]:
    """`published_names` of a network whose parameters have their published names."""
    return {name: name for name, _ in model.named_parameters()}
