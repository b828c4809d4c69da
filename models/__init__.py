"""The networks: built by name, described, and loaded from published weights.

A network takes RGB in [0, 1], (N, 3, H, W), and gives (N, 3, scale·H, scale·W), not clamped. It never changes its
input. A new network is registered by one line in `_REGISTRY`.

A network propagates NaN: where an input pixel is NaN, its scale x scale pixels of the output are NaN, and if a weight
that is used is NaN, part of the output is NaN. This holds on every CPU, with and without kernels, in any precision, in
training and in evaluation, compiled or not. A layer that selects (a mask, the best match, PyTorch's attention with few
keys) must not treat NaN as "not selected". The contract tests check every network.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from foundation import nearest, registered
from models import (
    awsrn_m,
    bsrn,
    carn,
    drsan,
    edsr_baseline,
    elan_light,
    espcn,
    esrt,
    files,
    fsrcnn,
    hpinet_m,
    imdn,
    lapar_a,
    latticenet,
    rcan,
    rfdn,
    smsr,
    spin,
    srcnn,
    swinir_light,
    vdsr,
)
from models.info import ModelInfo
from models.loading import Misfit, fitting, likeness, namings, under_published_names, with_published_names
from models.pretrained import pretrained_file
from models.weights import Checkpoint, WeightsError, read_checkpoint

__all__ = [
    "SCALES",
    "ModelInfo",
    "WeightsError",
    "build",
    "code",
    "configuration",
    "describe",
    "fill",
    "load_pretrained",
    "load_published",
    "names",
    "pretrained_file",
    "published_state",
]

SCALES = (2, 3, 4)
_REGISTRY: dict[str, ModelInfo] = {
    info.name: info
    for info in [
        carn.INFO,
        imdn.INFO,
        awsrn_m.INFO,
        lapar_a.INFO,
        rfdn.INFO,
        latticenet.INFO,
        smsr.INFO,
        drsan.INFO,
        swinir_light.INFO,
        esrt.INFO,
        elan_light.INFO,
        spin.INFO,
        bsrn.INFO,
        hpinet_m.INFO,
        carn.CARN_M,
        srcnn.INFO,
        fsrcnn.INFO,
        espcn.INFO,
        vdsr.INFO,
        edsr_baseline.INFO,
        rcan.INFO,
    ]
}
# Networks that can be built and loaded, but appear in no table.
_RELATIVES: dict[str, ModelInfo] = {info.name: info for info in [carn.CARN_SINGLE, rfdn.RFDN_AIM]}


def names() -> list[str]:
    """Names of all networks."""
    return list(_REGISTRY)


def describe(name: str) -> ModelInfo:
    """Paper, venue, repository, published parameter counts, smallest input. Raises ValueError for an unknown name.

    Every function that takes a name takes it in any spelling, and a class in a file, `path/net.py:Net` (see
    `models.files`).
    """
    if files.is_file(name):
        return files.describe(name)
    known = _REGISTRY | _RELATIVES
    if registered(name) not in known:
        raise ValueError(f"unknown network {name!r}; {nearest(name, known)}")
    return known[registered(name)]


def configuration(name: str, **config: Any) -> dict[str, Any]:
    """A network's full configuration: its defaults and what is overridden.

    Raises ValueError naming a key that the network does not have, or whose value it does not accept.
    """
    if files.is_file(name):
        return files.configuration(name, config)
    return dataclasses.asdict(_configure(name, config))


def build(name: str, scale: int, **config: Any) -> nn.Module:
    """A network with PyTorch's default initialisation, on the CPU, in training mode.

    `config` overrides fields of its configuration. Raises ValueError for an unknown name, scale or key.
    """
    info = describe(name)
    if scale not in info.scales:
        raise ValueError(f"{name}: scale must be one of {', '.join(map(str, info.scales))}, not {scale!r}")
    return info.network(scale, configuration(name, **config) if files.is_file(name) else _configure(name, config))


def code(name: str) -> str | None:
    """SHA-256 of the code of a network in a file, which belongs to the identity of its results; None for others."""
    return files.code(name) if files.is_file(name) else None


def load_published(name: str, scale: int, source: str | Path | Mapping[str, Any]) -> nn.Module:
    """A network with published weights, in evaluation mode.

    `source` is a checkpoint's path, or a mapping of published names to tensors or arrays. It must hold every parameter
    and no others; buffers may be missing. Raises WeightsError naming what differs. Nothing in a file is executed.
    """
    model = build(name, scale)
    info = describe(name)
    if isinstance(source, str | Path):
        fill(model, name, scale, {}, read_checkpoint(source), published=True)
    else:
        names = info.published_names(model)
        model.load_state_dict(with_published_names(model, names, source, "the given state", info.published_buffers))
    return model.eval()


def load_pretrained(name: str, scale: int) -> nn.Module:
    """A network with the weights that come with the suite, in evaluation mode; `models/pretrained` has their card.

    Raises ValueError for an unknown name, and where there are none at that scale.
    """
    model = build(name, scale)
    fill(model, name, scale, {}, read_checkpoint(pretrained_file(name, scale)))
    return model.eval()


def fill(
    model: nn.Module,
    name: str,
    scale: int,
    config: Mapping[str, Any],
    checkpoint: Checkpoint,
    *,
    published: bool = False,
) -> str:
    """Give a network, as `build(name, scale, **config)` makes it, the weights of the first state that fits.

    Every parameter must be there and no others, under the network's own names or the `published` ones, or these only.
    Returns the remark on what was taken, empty where there was no choice. Raises WeightsError naming what differs, and
    the scale or depth of which the weights are instead.
    """
    info = describe(name)
    both = namings(model, info)
    try:
        values, state = fitting(model, both[1:] if published else both, checkpoint)
    except Misfit as error:
        full = configuration(name, **config)
        other = likeness(lambda scale, config: build(name, scale, **config), info, scale, full, checkpoint)
        raise WeightsError(f"{error}; {other}" if other else str(error)) from None
    model.load_state_dict(values)
    return checkpoint.remark(state)


def published_state(name: str, model: nn.Module) -> dict[str, Tensor]:
    """A network's parameters under their published names and in their published shapes: the inverse of loading.

    The values are copies on the CPU. Buffers that the published code computes itself are left out. Raises ValueError
    for an unknown name.
    """
    info = describe(name)
    return under_published_names(model, info.published_names(model), info.published_convolutions)


@cache
def _adapter(schema: type) -> TypeAdapter[Any]:
    return TypeAdapter(schema)  # takes milliseconds, which thousands of runs would add up


def _configure(name: str, config: Mapping[str, Any]) -> Any:
    schema = describe(name).configuration
    known = [field.name for field in dataclasses.fields(schema)]
    for key in config:
        if key not in known:
            raise ValueError(f"{name} has no configuration {key!r}; {nearest(key, known)}")
    try:
        # as JSON: strict, so that `true` is no 1 and "8" no 8, and yet a list may stand for a tuple
        return _adapter(schema).validate_json(json.dumps(dict(config)), strict=True)
    except TypeError as error:
        raise ValueError(f"{name}: {error}, expected numbers, text, true or false, and lists of them") from None
    except ValidationError as error:
        mistakes = (
            f"{'.'.join(map(str, detail['loc']))}: {detail['msg']} (found {detail['input']!r})"
            for detail in error.errors(include_url=False)
        )
        raise ValueError(f"{name}: {'; '.join(mistakes)}") from None
