"""What is known of a network beside its code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class ModelInfo:
    """Descriptor of a network: where it comes from, what was published of it, how it is built.

    `published_parameters` are by scale, as printed (rounded). `smallest_input` is the least LR height and width.
    `network(scale, configuration)` builds it; `published_names(model)` gives the published name of every
    parameter by ours.
    """

    name: str
    title: str
    paper: str
    venue: str
    year: int
    repository: str
    licence: str
    published_parameters: Mapping[int, int]
    smallest_input: int
    training: str
    network: Callable[[int, Any], nn.Module]
    configuration: type
    published_names: Callable[[Any], dict[str, str]]
