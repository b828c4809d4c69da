"""AWSRN-M: the initial values, which golden cases overwrite."""

from __future__ import annotations

import torch

import models


def test_learned_scalars_begin_as_published() -> None:
    model = models.build("awsrn_m", 4)
    scalars = {name: value.item() for name, value in model.named_parameters() if value.shape == (1,)}
    assert len(scalars) == 34
    assert {value for name, value in scalars.items() if ".sum." in name} == {1.0}
    assert {value for name, value in scalars.items() if name.startswith("branches.")} == {0.25}


@torch.no_grad()
def test_an_empty_network_gives_the_mean_colour() -> None:
    model = models.build("awsrn_m", 2)
    for name, value in model.named_parameters():
        if name.endswith(("original0", "bias")):
            value.zero_()
    mean = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)
    assert torch.equal(model(torch.rand(1, 3, 4, 5)), mean.expand(1, 3, 8, 10))
