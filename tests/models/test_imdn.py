"""IMDN: the standard deviation's gradient where it has no derivative."""

from __future__ import annotations

import torch

import models
from models.imdn import ContrastAwareChannelAttention


def test_gradients_are_finite_on_a_constant_channel() -> None:
    torch.manual_seed(0)
    x = torch.full((1, 64, 3, 4), 0.5, requires_grad=True)
    ContrastAwareChannelAttention()(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()

    model = models.build("imdn", 2)  # one pixel: every channel is constant
    model(torch.rand(1, 3, 1, 1)).sum().backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in model.parameters())
