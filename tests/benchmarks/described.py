"""A network that its weights describe."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.networks import Network

CPU = torch.device("cpu")
PARALLEL = {"blocks": 1, "arrangement": "parallel"}


def lr_image(height: int = 30, width: int = 27) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def same(network: Network, expected: dict[str, torch.Tensor]) -> None:
    own = network.module().state_dict()
    assert set(own) == set(expected)
    assert all(torch.equal(own[name], tensor) for name, tensor in expected.items())
