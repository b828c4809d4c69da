"""Shared layers: attention of unequal widths, and a gradient where the standard deviation has none."""

from __future__ import annotations

import pytest
import torch

import models
from models.layers import ContrastAwareAttention, attention, project


@pytest.mark.parametrize(("width", "depth"), [(24, 40), (40, 24), (16, 16)])
def test_attention_is_a_softmax_of_products(width: int, depth: int) -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 3, 7, width), torch.randn(2, 3, 9, width)
    value = torch.randn(2, 3, 9, depth)
    expected = (0.3 * query @ key.transpose(-1, -2)).softmax(-1) @ value
    torch.testing.assert_close(attention(query, key, value, 0.3), expected, rtol=1e-5, atol=1e-6)


def test_projections_are_padded_with_zeros_on_a_cpu_and_nowhere_else() -> None:
    x, narrow, wide = torch.randn(2, 5, 8), torch.randn(3, 8), torch.randn(6, 8)
    first, second = project(x, narrow, wide)
    torch.testing.assert_close(first[..., :3], x @ narrow.T)
    torch.testing.assert_close(second, x @ wide.T)
    assert first.shape == second.shape and not first[..., 3:].any()
    assert project(x.to("meta"), narrow.to("meta"), wide.to("meta"))[0].shape == (2, 5, 3)


def test_gradients_are_finite_on_a_constant_channel() -> None:
    torch.manual_seed(0)
    x = torch.full((1, 64, 3, 4), 0.5, requires_grad=True)
    ContrastAwareAttention(64, reduction=16)(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()

    model = models.build("imdn", 2)  # one pixel: every channel is constant
    model(torch.rand(1, 3, 1, 1)).sum().backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in model.parameters())
