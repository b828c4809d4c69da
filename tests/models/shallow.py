"""Networks of less depth: one block does what eight do alike, and rounding matters less behind few of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


def rcan(model: Any) -> None:
    """3 groups of 3 blocks."""
    del model.body[3:]
    for group in model.body:
        del group.blocks[3:]


def elan(model: Any) -> None:
    """The first two blocks, the second of them shifted."""
    del model.blocks[2:]


def spin(model: Any) -> None:
    """The last two blocks, of the largest superpixels."""
    del model.blocks[:-2], model.mid_convs[:-2]


def hpinet(model: Any) -> None:
    """The last two blocks, of the largest patches."""
    del model.blocks[:-2]


def swinir(model: Any) -> None:
    """One stage of two blocks, plain and shifted."""
    del model.stages[1:], model.stages[0].blocks[2:]


SHORTEN: dict[str, Callable[[nn.Module], None]] = {
    "rcan": rcan,
    "elan_light": elan,
    "spin": spin,
    "hpinet_m": hpinet,
    "swinir_light": swinir,
}


def shorten(model: nn.Module, name: str) -> nn.Module:
    """The network, without most of its blocks if it has many alike; its output has the same shape."""
    SHORTEN.get(name, lambda model: None)(model)
    return model
