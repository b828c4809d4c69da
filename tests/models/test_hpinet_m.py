"""HPINet-M: how overlapping patches are merged, and how patches are matched in training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.hpinet_m import CHANNELS, Block, shares


def halved(length: int, size: int) -> np.ndarray:
    """The publication's loop over one axis: every overlap halves its band."""
    share = np.ones(length)
    for start in range(size - 2, length - 2, size - 2):
        share[min(start, length - size) : start + 2] /= 2
    return share


@pytest.mark.parametrize("size", [12, 16, 20, 24])
def test_every_overlap_halves(size: int) -> None:
    triple = 3 * (size - 2) + 3  # the last patch meets two others in one line
    for height, width in [(size, size + 1), (triple, 2 * size), (2 * size - 2, triple)]:
        expected = np.outer(halved(height, size), halved(width, size))
        np.testing.assert_array_equal(shares(height, width, size, torch.device("cpu")).view(height, width), expected)
    assert halved(triple, size).min() == 0.25


def test_matches_in_training_are_drawn_by_similarity_within_an_image() -> None:
    torch.manual_seed(0)
    block = Block(12).train()
    likely, unlikely = torch.randn(2, CHANNELS)
    means = torch.stack([torch.stack([likely, likely, unlikely]), torch.randn(3, CHANNELS)])
    patches = (means[:, :, None] + 0.1 * torch.randn(2, 3, 4, CHANNELS)).requires_grad_()
    drawn = []
    for _ in range(20):
        matched = block.match(patches)
        distance = (matched[:, :, None] - patches[:, None]).detach().abs().amax((3, 4))  # (image, patch, candidate)
        assert (distance.amin(2) < 1e-5).all()  # a whole patch of the same image
        drawn.append(distance.argmin(2))
    choices = torch.stack(drawn)  # (draw, image, patch)
    assert (choices != torch.arange(3)).all()  # never itself
    assert (choices[:, 0, :2] == torch.tensor([1, 0])).all()  # by far the most similar one
    assert (choices[:, 0, 2] != choices[0, 0, 2]).any()  # two that are equally far: by chance
    matched.square().sum().backward()
    assert block.match_norm.weight.grad is not None and block.match_norm.weight.grad.any()
