"""Shared layers: a gradient where the standard deviation has none."""

from __future__ import annotations

import torch

import models
from models.layers import ContrastAwareAttention


def test_gradients_are_finite_on_a_constant_channel() -> None:
    torch.manual_seed(0)
    x = torch.full((1, 64, 3, 4), 0.5, requires_grad=True)
    ContrastAwareAttention(64, reduction=16)(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()

    model = models.build("imdn", 2)  # one pixel: every channel is constant
    model(torch.rand(1, 3, 1, 1)).sum().backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in model.parameters())
