"""MACs of single operators, against torch's own counter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmarks.measure.macs import macs
from tests.benchmarks.measure.traced import SIZE, Applied, agreed

few = settings(max_examples=40, deadline=None)
small = st.integers(1, 4)


@few
@given(st.data())
def test_convolutions(data: st.DataObject) -> None:
    dims = data.draw(st.integers(1, 3))
    groups, per_group_in, per_group_out, batch = (data.draw(small) for _ in range(4))
    kernel, stride, dilation, padding = (
        tuple(data.draw(st.lists(st.integers(low, 3), min_size=dims, max_size=dims))) for low in (1, 1, 1, 0)
    )
    least = [max(d * (k - 1), 2 * p) + 1 for k, d, p in zip(kernel, dilation, padding, strict=True)]
    sizes = tuple(data.draw(st.integers(n, n + 4)) for n in least)
    bias = data.draw(st.booleans())
    transposed = data.draw(st.booleans())
    name = f"Conv{'Transpose' if transposed else ''}{dims}d"
    more = [data.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)]
    extra = {"output_padding": tuple(more)} if transposed else {}
    layer = getattr(nn, name)(
        groups * per_group_in, groups * per_group_out, kernel, stride, padding=padding, dilation=dilation,
        groups=groups, bias=bias, **extra,
    )  # fmt: skip
    shape = (batch, groups * per_group_in, *sizes)
    count = agreed(layer, shape)
    places = math.prod(sizes) if transposed else math.prod(layer(torch.empty(shape, device="meta")).shape[2:])
    assert count == batch * places * groups * per_group_in * per_group_out * math.prod(kernel)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kernel", [1, 2, 3, (2, 5)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_convolutions_with_padding_by_name(kernel: Any, padding: str) -> None:
    layer = nn.Conv2d(4, 6, kernel, padding=padding, groups=2, dilation=1)
    agreed(layer, (2, 4, 7, 9))


@few
@given(st.lists(small, max_size=3), small, small, st.booleans())
def test_linear(batch: list[int], inputs: int, outputs: int, bias: bool) -> None:
    shapes = [(*batch, 5, inputs), (outputs, inputs), *([(outputs,)] if bias else [])]
    assert agreed(F.linear, *shapes) == math.prod(batch) * 5 * inputs * outputs


@few
@given(small, small, small, small)
def test_plain_products(b: int, n: int, k: int, m: int) -> None:
    assert agreed(torch.mm, (n, k), (k, m)) == n * k * m
    assert agreed(torch.addmm, (n, m), (n, k), (k, m)) == n * k * m
    assert agreed(torch.bmm, (b, n, k), (b, k, m)) == b * n * k * m
    assert agreed(torch.baddbmm, (b, n, m), (b, n, k), (b, k, m)) == b * n * k * m


@few
@given(st.data(), st.integers(2, 4), st.integers(2, 4), st.integers(2, 4))
def test_matmul_broadcasts(data: st.DataObject, n: int, k: int, m: int) -> None:
    batch = data.draw(st.lists(small, max_size=3))
    left, right = ([data.draw(st.sampled_from([size, 1])) for size in batch] for _ in range(2))
    left, right = (sizes[data.draw(st.integers(0, len(sizes))) :] for sizes in (left, right))
    shape = np.broadcast_shapes(left, right)
    assert agreed(torch.matmul, (*left, n, k), (*right, k, m)) == math.prod(shape) * n * k * m


@pytest.mark.parametrize(
    ("left", "right", "expected"), [((4, 3), (3,), 12), ((3,), (3, 5), 15), ((2, 4, 3), (3,), 24), ((3,), (3,), 3)]
)
def test_products_with_vectors(left: tuple[int, ...], right: tuple[int, ...], expected: int) -> None:
    """Which torch's counter leaves out."""
    assert macs(Applied(torch.matmul, left, right), SIZE).total == expected


@pytest.mark.parametrize(
    ("equation", "shapes", "expected"),
    [
        ("bnc,bmc->bnm", [(2, 5, 3), (2, 7, 3)], 2 * 5 * 7 * 3),
        ("b n c , b m c -> b n m", [(2, 5, 3), (2, 7, 3)], 2 * 5 * 7 * 3),
        ("bhwc,hkc->bhwk", [(2, 3, 4, 5), (3, 6, 5)], 2 * 3 * 4 * 6 * 5),
        ("...ij,jk->...ik", [(2, 3, 4, 5), (5, 6)], 2 * 3 * 4 * 5 * 6),
        ("ij,jk->k", [(4, 5), (5, 6)], 5 * 6),  # i is summed first
        ("ij,jk,kl->il", [(2, 3), (3, 5), (5, 7)], 2 * 3 * 5 + 2 * 5 * 7),
        ("ij,ij->ij", [(4, 5), (4, 5)], 0),  # nothing is summed
        ("ij->i", [(4, 5)], 0),
    ],
)
def test_einsum(equation: str, shapes: list[tuple[int, ...]], expected: int) -> None:
    assert agreed(lambda *operands: torch.einsum(equation, *operands), *shapes) == expected


@few
@given(st.lists(small, min_size=1, max_size=1), small, *[st.integers(1, 9)] * 4)
def test_attention_at_true_widths(
    batch: list[int], heads: int, queries: int, keys: int, depth: int, width: int
) -> None:
    shapes = [(*batch, heads, n, d) for n, d in [(queries, depth), (keys, depth), (keys, width)]]
    expected = batch[0] * heads * queries * keys * (depth + width)
    assert agreed(F.scaled_dot_product_attention, *shapes) == expected


def test_padding_for_one_devices_kernel_is_not_counted() -> None:
    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if query.device.type == "cpu":
            query, key = F.pad(query, (0, 16)), F.pad(key, (0, 16))
        return F.scaled_dot_product_attention(query, key, value)

    shapes = [(1, 1, 5, 24), (1, 1, 7, 24), (1, 1, 7, 40)]
    assert macs(Applied(attend, *shapes), SIZE).total == 5 * 7 * (24 + 40)
