"""CARN: what golden cases overwrite or leave out: the mean shifts' values, what is frozen, the shared unit."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch

import models


@torch.no_grad()
def test_mean_shifts_are_the_published_ones() -> None:
    model, x = models.build("carn", 2), torch.rand(1, 3, 4, 5)
    mean = torch.tensor([0.4488, 0.4371, 0.4040]).view(3, 1, 1)
    torch.testing.assert_close(model.sub_mean(x), x - mean)
    torch.testing.assert_close(model.add_mean(x), x + mean)


@pytest.mark.parametrize("scale", models.SCALES)
@pytest.mark.parametrize("name", ["carn", "carn_m", "carn_single"])
def test_frozen_is_what_this_scale_does_not_train(name: str, scale: int) -> None:
    model = models.build(name, scale)
    model(torch.rand(1, 3, 6, 7)).square().mean().backward()
    for key, value in model.named_parameters():
        unused = key.startswith("upsamplers.") and not key.startswith(f"upsamplers.{scale}.")
        frozen = unused or key.startswith(("sub_mean.", "add_mean."))
        assert value.requires_grad != frozen, key
        assert (value.grad is None) == frozen, key


def test_the_shared_unit_is_stored_once() -> None:
    state = models.build("carn_m", 4).state_dict()
    assert sum(value.numel() for value in state.values()) == 414_811
    safetensors.torch.save(state)  # refuses tensors that share memory
