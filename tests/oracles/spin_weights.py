"""The weights of the package's SPIN as the dense reference takes them."""

from __future__ import annotations

from torch import Tensor

import models
from models.spin import SPIN, Configuration
from tests.oracles import spin_dense as dense


def as_published(model: SPIN) -> dict[str, Tensor]:
    """A network's parameters by their published names, in their published shapes."""
    names = models.describe("spin").published_names(model)
    shapes = dense.published_shapes(model.scale, oracle_config(model.config))
    assert sorted(shapes) == sorted(names.values())
    return {names[key]: value.reshape(shapes[names[key]]) for key, value in model.named_parameters()}


def oracle_config(config: Configuration) -> dense.Config:
    return dense.Config(
        config.blocks, config.spca, config.ispa, config.arrangement, config.reach,
        config.association, config.association_gradient,
    )  # fmt: skip
