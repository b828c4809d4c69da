"""That both sides of a timing do the same work, or their ratio would say nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.speed.works import WORKS


@pytest.mark.parametrize("work", [work for work in WORKS if not work.step], ids=lambda work: work.name)
def test_ours_and_dense_give_the_same_image(work) -> None:  # type: ignore[no-untyped-def]
    small = replace(work, lr_size=(26, 31))
    torch.testing.assert_close(small.prepared("ours")(), small.prepared("dense")(), rtol=1e-4, atol=1e-5)


def test_both_sides_take_the_same_training_steps() -> None:
    (work,) = (replace(work, lr_size=(24, 24), batch=2) for work in WORKS if work.step)
    ours, dense = (work.prepared(side) for side in work.sides)
    losses = torch.stack([torch.stack([ours(), dense()]) for _ in range(3)])
    torch.testing.assert_close(losses[:, 0], losses[:, 1], rtol=1e-3, atol=0)
    assert (losses.diff(dim=0).abs() > 1e-2 * losses[0]).all()  # it does train
