"""Which network of the registry a checkpoint fits."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

import models
from models.weights import WeightsError, read_weights, with_published_names


class Fit(NamedTuple):
    """How well a checkpoint fits a network: `wrong` says what differs, None if nothing does; `share` of its tensors are
    the network's by name and size, 1 at most."""

    model: str
    scale: int
    wrong: str | None
    share: float


def identify(path: Path) -> list[Fit]:
    """All networks of the registry in their published configuration at all scales, those that fit best first.

    Raises WeightsError for a file that is no readable checkpoint. Nothing in the file is executed.
    """
    state = read_weights(path)
    known = [*models.names(), "carn_single", "rfdn_aim"]
    found = [_fit(path, state, name, scale) for name in known for scale in models.describe(name).scales]
    return sorted(found, key=lambda fit: (fit.wrong is not None, -fit.share))


def _fit(path: Path, state: Mapping[str, Tensor], name: str, scale: int) -> Fit:
    info, model = models.describe(name), _built(name, scale)
    values = model.state_dict()
    own = {key: key for key in values}
    best = Fit(name, scale, "", -1.0)
    for names, rebuilt in ((info.published_names(model), info.published_buffers), (own, ())):
        sizes = {published: values[key].numel() for key, published in names.items()}
        alike = sum(key in sizes and sizes[key] == tensor.numel() for key, tensor in state.items())
        share = alike / max(len(state.keys() | sizes.keys()), 1)
        try:
            with_published_names(model, names, state, str(path), rebuilt)
        except WeightsError as error:
            wrong: str | None = str(error).removeprefix(f"{path} ")
        else:
            wrong = None
        best = max(best, Fit(name, scale, wrong, share), key=lambda fit: (fit.wrong is None, fit.share))
    return best


def _built(name: str, scale: int) -> nn.Module:
    """The network without values, which are not needed, where it can be built so."""
    with contextlib.suppress(RuntimeError, NotImplementedError), torch.device("meta"):
        return models.build(name, scale)
    return models.build(name, scale)
