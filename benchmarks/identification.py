"""Which network of the registry a checkpoint fits."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

import models
from models.loading import fitting, likeness, namings
from models.weights import Checkpoint, WeightsError, read_checkpoint


class Fit(NamedTuple):
    """How well a checkpoint fits a network: `wrong` says what differs, None if nothing does; `share` of its tensors are
    the network's by name and size, 1 at most. `remark` says what was taken from a file that holds more than that."""

    model: str
    scale: int
    wrong: str | None
    share: float
    remark: str = ""


def identify(path: Path) -> list[Fit]:
    """All networks of the registry in their published configuration at all scales, those that fit best first.

    Raises WeightsError for a file that is no readable checkpoint. Nothing in the file is executed.
    """
    checkpoint = read_checkpoint(path)
    known = [*models.names(), "carn_single", "rfdn_aim"]
    found = [_fit(checkpoint, name, scale) for name in known for scale in models.describe(name).scales]
    return sorted(found, key=lambda fit: (fit.wrong is not None, -fit.share))


def depth(path: Path, nearest: Fit) -> str:
    """Of which depth of a network that nearly fits a checkpoint is, or empty. Raises the errors of `identify`."""
    info, config = models.describe(nearest.model), models.configuration(nearest.model)
    return likeness(
        lambda scale, config: models.build(nearest.model, scale, **config),
        info,
        nearest.scale,
        config,
        read_checkpoint(path),
    )


def _fit(checkpoint: Checkpoint, name: str, scale: int) -> Fit:
    model = _built(name, scale)
    allowed = namings(model, models.describe(name))
    values = model.state_dict()
    share = 0.0
    for naming in allowed:
        sizes = {published: values[key].numel() for key, published in naming.names.items()}
        for state in checkpoint.states:
            for tensors in state.spelled():
                alike = sum(key in sizes and sizes[key] == tensor.numel() for key, tensor in tensors.items())
                share = max(share, alike / max(len(tensors.keys() | sizes.keys()), 1))
    try:
        _, taken = fitting(model, allowed, checkpoint)
    except WeightsError as error:
        return Fit(name, scale, str(error).removeprefix(f"{checkpoint.path} "), share)
    return Fit(name, scale, None, share, checkpoint.remark(taken))


def _built(name: str, scale: int) -> nn.Module:
    """The network without values, which are not needed, where it can be built so."""
    with contextlib.suppress(RuntimeError, NotImplementedError), torch.device("meta"):
        return models.build(name, scale)
    return models.build(name, scale)
