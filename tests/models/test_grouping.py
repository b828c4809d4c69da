"""Sums by gathering through a table: equal to sums by index, forward and backward."""

from __future__ import annotations

import pytest
import torch

from models.grouping import Occurrences, _Gathered, _Summed, inverse
from models.layers import windows, windows_of_a_pixel

ROWS, GROUPS, SIZE, CHANNELS = 30, 12, 7, 5


@pytest.fixture
def groups() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.stack([torch.randperm(ROWS, generator=generator)[:SIZE] for _ in range(GROUPS)])


def test_both_forms_agree_with_their_gradients(groups: torch.Tensor) -> None:
    most = int(groups.flatten().bincount(minlength=ROWS).max())
    found = []
    for occurrences in (Occurrences.of(groups, ROWS, None), Occurrences(groups, inverse(groups, ROWS, most))):
        torch.manual_seed(1)
        rows = torch.randn(ROWS, CHANNELS, dtype=torch.float64, requires_grad=True)
        onto = torch.randn(ROWS, CHANNELS, dtype=torch.float64, requires_grad=True)
        total = occurrences.sums(occurrences.gather(rows).sin(), onto)
        total.cos().sum().backward()
        found.append((total.detach(), rows.grad, onto.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_the_table_is_the_inverse(groups: torch.Tensor) -> None:
    """Every element of the groups stands once, under its own row; elsewhere the table says that there is none."""
    places = inverse(groups, ROWS, GROUPS)
    flat = groups.flatten()
    assert sorted(places[places < len(flat)].tolist()) == list(range(len(flat)))
    for row in range(ROWS):
        found = places[:, row][places[:, row] < len(flat)]
        assert (flat[found] == row).all()


def test_gradients_against_differences(groups: torch.Tensor) -> None:
    occurrences = Occurrences(groups, inverse(groups, ROWS, GROUPS))
    rows = torch.randn(ROWS, 2, dtype=torch.float64, requires_grad=True)
    grouped = torch.randn(GROUPS, SIZE, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: _Gathered.apply(x, *occurrences), rows)
    assert torch.autograd.gradcheck(lambda x: _Summed.apply(x, *occurrences), grouped)


@pytest.mark.parametrize("size", [12, 16, 20, 24])
@pytest.mark.parametrize(("height", "width"), [(24, 24), (25, 47), (64, 64), (33, 74)])
def test_windows_of_a_pixel_is_the_largest_count(height: int, width: int, size: int) -> None:
    index, _ = windows(height, width, size, torch.device("cpu"))
    most = windows_of_a_pixel(height, width, size)
    assert int(index.flatten().bincount().max()) == most


def test_the_table_is_made_on_other_devices(groups: torch.Tensor) -> None:
    """On the meta device, which stands for a GPU here: a table and no index_add."""
    assert Occurrences.of(groups, ROWS, 9).places is None
    assert Occurrences.of(groups.to("meta"), ROWS, None).places is None
    occurrences = Occurrences.of(groups.to("meta"), ROWS, 9)
    assert occurrences.places is not None
    assert occurrences.places.shape == (9, ROWS)
    assert occurrences.gather(torch.empty(ROWS, 3, device="meta")).shape == (GROUPS, SIZE, 3)
