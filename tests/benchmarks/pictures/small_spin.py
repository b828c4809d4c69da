"""A small SPIN, and images of noise to look at it with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import models
from models.spin.network import SPIN

CPU = torch.device("cpu")
SIZES = (5, 7)
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "only-ispa": {"spca": False},
    "only-spca": {"ispa": False},
    "parallel": {"arrangement": "parallel"},
    "svq": {"reach": "all"},
    "exp": {"association": "exp"},
}


def network(variant: str, loudness: float = 3.0, **config: Any) -> SPIN:
    """A small SPIN. Loud features differ, so that associations do; in float64, as the oracle."""
    torch.manual_seed(1)
    config = {"blocks": 2, "superpixel_sizes": SIZES, **VARIANTS[variant], **config}
    model = models.build("spin", 2, **config).double()
    assert isinstance(model, SPIN)
    with torch.no_grad():
        model.first_conv.weight *= loudness
    return model


def picture(height: int = 23, width: int = 31, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
