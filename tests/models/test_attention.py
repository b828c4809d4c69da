"""Attention in tiles: numbers and gradients of the plain formula, whatever the tiles, however large the logits."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models import attention as module
from models.attention import attention

SHAPES = [  # lead, L, S, D, E
    ((2, 3), 7, 9, 24, 40),
    ((5,), 16, 16, 40, 24),
    ((1, 1), 600, 1300, 6, 5),
    ((2, 1), 1300, 600, 3, 4),
    ((7,), 12, 12, 8, 8),
]


def plain(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    return (scale * query @ key.transpose(-1, -2)).softmax(-1) @ value


def inputs(lead: tuple[int, ...], length: int, sources: int, width: int, depth: int) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = (length, width), (sources, width), (sources, depth)
    return [torch.randn(*lead, *shape, dtype=torch.float64) for shape in shapes]


@pytest.fixture(params=[2**20, 2**11, 300], ids=["one piece", "some", "many"])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", request.param)


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("shape", SHAPES)
def test_tiles_give_the_softmax_of_products(shape: tuple[tuple[int, ...], int, int, int, int]) -> None:
    parts = inputs(*shape)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        got = attention(*(part.to(dtype) for part in parts), 0.3)
        torch.testing.assert_close(got.double(), plain(*parts, 0.3), rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_of_tiles_are_those_of_the_formula(shape: tuple[tuple[int, ...], int, int, int, int]) -> None:
    parts = [part.requires_grad_() for part in inputs(*shape)]
    weight = torch.randn(*parts[0].shape[:-1], parts[2].shape[-1], dtype=torch.float64)
    expected = torch.autograd.grad((plain(*parts, 0.3) * weight).sum(), parts)
    got = torch.autograd.grad((attention(*parts, 0.3) * weight).sum(), parts)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_gradients_by_finite_differences() -> None:
    parts = [part.requires_grad_() for part in inputs((2,), 4, 5, 3, 2)]
    assert torch.autograd.gradcheck(lambda *three: attention(*three, 0.7), parts)


@pytest.mark.parametrize("factor", [1e2, 1e4, 1e6])
def test_logits_beyond_the_range_of_the_exponential_are_still_exact(factor: float) -> None:
    parts = [part.float() for part in inputs((2, 1), 30, 40, 24, 40)]
    parts[0] *= factor
    got = attention(*parts, 1.0)
    assert got.isfinite().all()
    torch.testing.assert_close(got, torch.nn.functional.scaled_dot_product_attention(*(
        torch.nn.functional.pad(part, (0, 40 - part.shape[-1])) for part in parts
    ), scale=1.0), rtol=1e-5, atol=1e-5)  # fmt: skip


def compiled(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    return torch.compile(attention, backend="aot_eager", fullgraph=True)(query, key, value, scale)


def half(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return attention(*(part.bfloat16() for part in (query, key, value)), scale)


def with_bias(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    bias = query.new_zeros(query.shape[-2], key.shape[-2])
    return module.fused(query, key, value, bias, scale)


def double(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    return attention(query.double(), key.double(), value.double(), scale)


KEYS = [1, 2, 3, 7, 8, 15, 16, 17, 40, 63, 64, 65, 130]  # on both sides of the width of any CPU's vectors


@pytest.mark.parametrize("path", [attention, double, module.fused, with_bias, half, compiled])
@pytest.mark.parametrize("width", [3, 40])
def test_what_is_not_a_number_stays_so(path: Callable[..., Tensor], width: int) -> None:
    """Where the plain formula gives NaN, every path does, whichever CPU; what cannot see it stays finite."""
    keys = KEYS[::4] if path is compiled else KEYS
    for sources, wrong in itertools.product(keys, (torch.nan, torch.inf, -torch.inf)):
        for place in range(3):
            parts = [part.float() for part in inputs((1, 2), 4, sources, width, width)]
            parts[place][0, 1, parts[place].shape[-2] // 2, 1] = wrong
            expected, got = plain(*parts, 1.0), path(*parts, scale=1.0)
            what = f"{wrong} in part {place}, {sources} keys"
            assert got[expected.isnan()].isnan().all(), what
            assert got[0, 0].isfinite().all(), what
            if place == 0:
                assert got[0, 1, [0, 1, 3]].isfinite().all(), what


@pytest.mark.parametrize("sources", [5, 130])
def test_gradients_ignore_what_keeps_not_a_number(sources: int) -> None:
    parts = [part.requires_grad_() for part in inputs((1, 2), 4, sources, 8, 8)]
    expected = torch.autograd.grad(plain(*parts, 1.0).sum(), parts)
    for one, other in zip(torch.autograd.grad(module.fused(*parts, scale=1.0).sum(), parts), expected, strict=True):
        torch.testing.assert_close(one, other)


def test_no_gradient_where_none_is_wanted() -> None:
    query, key, value = inputs((1,), 4, 5, 3, 2)
    value.requires_grad_()
    assert attention(query, key, value, 1.0).requires_grad
    assert not attention(query, key, value.detach(), 1.0).requires_grad
    with torch.no_grad():
        assert not attention(query, key, value, 1.0).requires_grad
