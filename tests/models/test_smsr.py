"""SMSR's masks: training against evaluation, and evaluation against the formulas as published."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import models
from models.smsr import SMSR, MaskedConvolutions, SpatialMask


def published(block: MaskedConvolutions, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Features and shares with hard masks, term by term (specification, Section 3.3)."""
    dense, sparse = block.channel_logits.softmax(-1).round().unbind(-1)  # (1, C, layers) each
    outputs: list[Tensor] = []
    for index, layer in enumerate(block.layers):
        d, s = dense[..., index, None, None], sparse[..., index, None, None]  # (1, C, 1, 1)
        if index == 0:
            y = layer(x) * (d + s * mask)
        else:
            d_in, s_in = dense[..., index - 1, None, None], sparse[..., index - 1, None, None]
            yd, ys = layer(outputs[-1] * d_in), layer(outputs[-1] * s_in)
            y = yd * d + yd * s * mask + ys * d * mask + ys * s * mask
        outputs.append(F.relu(y))
    computed = mask[:, None] * sparse.flatten(1)[..., None, None] + dense.flatten(1)[..., None, None]
    return block.collect(torch.cat(outputs, dim=1)), computed.flatten(1).mean(1)


@pytest.mark.parametrize("dense", [(0.5, 0.2, 0.8, 0.5), (0, 1, 0, 0), (1, 0, 1, 1), (1, 1, 1, 1)])
@torch.no_grad()
def test_hard_masks_give_the_published_result(dense: tuple[float, ...]) -> None:
    torch.manual_seed(0)
    block = MaskedConvolutions().double().eval()
    block.channel_logits[..., 1] = 1 - torch.tensor(dense)
    block.channel_logits[..., 0] = torch.rand(64, 4)
    x, mask = torch.rand(1, 64, 6, 7).double(), (torch.rand(1, 1, 6, 7) < 0.4).double()
    features, share = block(x, mask)
    expected, expected_share = published(block, x, mask)
    torch.testing.assert_close(features, expected)
    torch.testing.assert_close(share, expected_share)


@torch.no_grad()
def test_training_with_certain_masks_is_evaluation() -> None:
    torch.manual_seed(0)
    model = models.build("smsr", 2).double()
    assert isinstance(model, SMSR)
    for block in model.blocks:
        for parameter in (*block.mask.logits[-1].parameters(), block.convolutions.channel_logits):
            parameter *= 1e7  # no noise turns these logits
    x = torch.rand(2, 3, 13, 11).double()
    image, shares = model.train().with_share(x)
    expected = [model.eval().with_share(single) for single in x.split(1)]
    torch.testing.assert_close(image, torch.cat([each[0] for each in expected]))
    torch.testing.assert_close(shares, torch.cat([each[1] for each in expected]))
    assert shares.shape == (2, 5)
    assert 0.2 < shares.mean() < 0.98


def test_training_is_random_and_shares_have_a_gradient() -> None:
    torch.manual_seed(0)
    model = models.build("smsr", 2)
    assert isinstance(model, SMSR)
    x = torch.rand(1, 3, 8, 8)
    assert not torch.equal(model(x), model(x))
    model.with_share(x)[1].mean().backward()
    for block in model.blocks:
        assert block.convolutions.channel_logits.grad is not None
        assert block.mask.logits[-1].weight.grad.any()


@pytest.mark.parametrize("training", [True, False])
def test_what_an_odd_size_leaves_over_is_masked_out(training: bool) -> None:
    mask = SpatialMask().train(training)(torch.rand(2, 64, 9, 7))
    assert mask.shape == (2, 1, 9, 7)
    assert not mask[..., 8, :].any()
    assert not mask[..., 6].any()
