"""Initial values by name: what variants share is the same, distributions are the network's, the seed decides."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import models
from models.initialisation import by_name

SPIN: Mapping[str, Mapping[str, Any]] = {
    "full": {"blocks": 2},
    "patch": {"blocks": 3, "spca": False, "ispa": False},
    "svq": {"blocks": 2, "reach": "all"},
    "parallel": {"blocks": 2, "arrangement": "parallel"},
}


def state(name: str, seed: int, **config: Any) -> dict[str, Tensor]:
    return dict(by_name(partial(models.build, name, 4, **config), seed).named_parameters())


def test_variants_share_what_they_share() -> None:
    """In PyTorch's order, Patch shares nothing with Full behind the first difference."""
    full, *others = (state("spin", 0, **config) for config in SPIN.values())
    for other in others:
        shared = [name for name in full if name in other and full[name].shape == other[name].shape]
        assert len(shared) > 20
        for name in shared:
            assert torch.equal(full[name], other[name]), name


NORMALISED = {"awsrn_m", "lapar_a"}  # weights of a norm that is computed from what is drawn


@pytest.mark.parametrize("name", sorted({*models.names()} - NORMALISED))
def test_seed_and_name_alone_decide_in_every_network(name: str) -> None:
    """Whatever state the global generator is in; and no two parameters share their draws."""
    torch.manual_seed(1)
    first = state(name, 0)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again, other = state(name, 0), state(name, 1)
    assert torch.equal(torch.get_rng_state(), before)
    plain = dict(models.build(name, 4).named_parameters())
    drawn = 0
    for key, value in first.items():
        assert torch.equal(value, again[key]), key
        if torch.equal(value, other[key]):  # a constant, in PyTorch's order too
            assert torch.equal(value, plain[key]), key
            continue
        drawn += 1
        if value.numel() > 200:  # of the same distribution, within six deviations of its estimates
            spread, count = plain[key].std().item(), value.numel()
            assert value.std().item() == pytest.approx(spread, rel=6 / count**0.5)
            assert abs(value.mean() - plain[key].mean()).item() < 6 * spread * (2 / count) ** 0.5
    assert drawn >= 3
    large = [value.flatten()[:8] for value in first.values() if value.numel() > 200 and value.std() > 0]
    assert len({tuple(value.tolist()) for value in large}) > 0.5 * len(large)


@pytest.mark.parametrize("name", sorted(NORMALISED))
def test_what_is_computed_from_draws_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"original0: is computed from what is drawn"):
        state(name, 0)
