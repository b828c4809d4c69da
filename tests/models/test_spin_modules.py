"""SPIN's modules against the dense oracle, in float64, where both round alike; and no dense association."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models.spin import cpu, quantisation
from models.spin.configuration import Configuration
from models.spin.grid import grid
from models.spin.network import SPIN, Block
from models.spin.plain import top_pixels
from models.spin.quantisation import associate_globally
from models.spin.superpixels import associate
from tests.models.spin_features import features, shapes, spreads, to_dense, to_tokens
from tests.oracles import spin_dense as dense
from tests.oracles.spin_weights import as_published


@settings(max_examples=40)
@given(shapes, spreads, st.integers(0, 99), st.sampled_from([12, 7, 5]), st.sampled_from(["softmax", "exp"]))
def test_association_equals_the_dense_one(
    shape: tuple[int, int, int], spread: float, seed: int, size: int, form: Any
) -> None:
    x = features(*shape, spread, seed, torch.float64)
    expected, _ = dense.associate(x, size, form=form)
    cells = grid(*shape[1:], size, x.device)
    torch.testing.assert_close(to_dense(associate(to_tokens(x), cells, form)), expected, rtol=1e-7, atol=1e-10)


@settings(max_examples=20)
@given(
    shapes, spreads, st.integers(0, 99), st.sampled_from([12, 7, 5]),
    st.sampled_from(["softmax", "exp"]), st.sampled_from(["neighbours", "all"]),
)  # fmt: skip
def test_by_pixel_is_the_same_association(
    shape: tuple[int, int, int], spread: float, seed: int, size: int, form: Any, reach: str
) -> None:
    """Pixel by pixel in raster order, every superpixel that a pixel sees once, and scores in the same order."""
    x = features(*shape, spread, seed, torch.float64)
    expected, _ = dense.associate(x, size, form=form, reach=reach)
    find = associate if reach == "neighbours" else associate_globally
    sights = list(find(to_tokens(x), grid(*shape[1:], size, x.device), form).by_pixel())
    found = torch.zeros_like(expected).transpose(1, 2)
    numbers = torch.cat([sight.superpixels for sight in sights]).expand(shape[0], -1, -1)
    weights, scores = (torch.cat([getattr(sight, part) for sight in sights], 1) for part in ("weights", "scores"))
    assert (weights[numbers < 0] == 0).all() and (scores[numbers < 0] == -torch.inf).all()
    found.scatter_add_(2, numbers.clamp(min=0), weights)
    torch.testing.assert_close(found.transpose(1, 2), expected, rtol=1e-7, atol=1e-10)
    ranked = weights.gather(2, scores.argsort(2, descending=True))
    assert (ranked.diff(dim=2) <= 1e-12).all()


@settings(max_examples=30)
@given(shapes, spreads, st.integers(0, 99))
def test_association_in_single_precision(shape: tuple[int, int, int], spread: float, seed: int) -> None:
    """An error of a distance is an error of the exponent: distances here reach 80 · spread²."""
    x = features(*shape, spread, seed, torch.float64)
    expected, _ = dense.associate(x, 12)
    single = to_dense(associate(to_tokens(x.float()), grid(*shape[1:], 12, x.device))).double()
    assert (single - expected).abs().max() <= 1e-6 + 1e-4 * min(spread, 1) ** 2 * max(1, spread) ** 4


@settings(max_examples=30)
@given(shapes, spreads, st.integers(0, 99), st.sampled_from(["softmax", "exp"]))
def test_global_association_equals_the_dense_one(
    shape: tuple[int, int, int], spread: float, seed: int, form: Any
) -> None:
    x = features(*shape, spread, seed, torch.float64)
    tokens = to_tokens(x)
    expected, _ = dense.associate(x, 7, form=form, reach="all")
    found = associate_globally(tokens, grid(*shape[1:], 7, x.device), form)
    torch.testing.assert_close(found.mean(tokens), dense.aggregate(tokens, expected), rtol=1e-7, atol=1e-9)


@settings(max_examples=40)
@given(
    shapes, spreads, st.integers(0, 99), st.sampled_from([12, 5]),
    st.sampled_from(["softmax", "exp"]), st.sampled_from(["neighbours", "all"]),
)  # fmt: skip
def test_selected_pixels_have_the_highest_rank(
    shape: tuple[int, int, int], spread: float, seed: int, size: int, form: Any, reach: str
) -> None:
    """Also where associations underflow to 0 or saturate at 1. Ranks are compared as float32: near-ties may differ."""
    x = features(*shape, spread, seed, torch.float64)
    _, rank = dense.associate(x, size, form=form, reach=reach)
    find = associate if reach == "neighbours" else associate_globally
    selected = find(to_tokens(x), grid(*shape[1:], size, x.device), form).top(size**2)
    assert (selected.diff(dim=-1) > 0).all()
    least_taken = rank.gather(2, selected).amin(2)
    best_left = rank.scatter(2, selected, -torch.inf).amax(2)
    slack = 1e-6 * (1 + best_left.abs().nan_to_num(posinf=0, neginf=0))
    assert (least_taken >= best_left - slack).all()


@settings(max_examples=60)
@given(st.data(), st.integers(1, 30), st.integers(1, 3))
def test_equal_scores_go_to_the_lower_index(data: st.DataObject, count: int, rows: int) -> None:
    values = st.sampled_from([-np.inf, -3.0, -0.0, 0.0, 1e-30, 2.0, np.inf])
    scores = np.array(data.draw(st.lists(values, min_size=30 * rows, max_size=30 * rows))).reshape(rows, 30)
    pixels = np.stack([np.random.RandomState(row).permutation(100)[:30] for row in range(rows)])
    found = top_pixels(torch.tensor(scores)[None], torch.tensor(pixels), count)[0].numpy()
    for row in range(rows):
        order = np.lexsort((pixels[row], -(scores[row] + 0.0)))
        assert found[row].tolist() == sorted(pixels[row][order[:count]])


@pytest.mark.parametrize("find", [associate, associate_globally])
def test_a_single_superpixel_takes_the_first_pixels(find: Any) -> None:
    x = torch.randn(2, 30 * 40, 40)
    selected = find(x, grid(30, 40, 24, x.device)).top(24**2)
    assert torch.equal(selected, torch.arange(24**2).expand(2, 1, -1))


def test_home_cells_are_exact_integers() -> None:
    """74 rows of 12 pixels: float32 nearest-neighbour interpolation is one off there (ledger `home`)."""
    cells = grid(74, 12, 12, torch.device("cpu"))
    for row in range(cells.rows):
        inside = cells.pixels[row] if cells.inside is None else cells.pixels[row][cells.inside[row]]
        assert sorted(inside.tolist()) == [p for p in range(74 * 12) if (p // 12) * cells.rows // 74 == row]


@settings(max_examples=25)
@given(shapes, spreads, st.integers(0, 99))
def test_modules_equal_the_dense_ones(shape: tuple[int, int, int], spread: float, seed: int) -> None:
    torch.manual_seed(seed)
    size, (batch, height, width) = 12, shape
    block = Block(Configuration(), size).double()
    state = published_state(block)
    x = features(batch, height, width, spread, seed, torch.float64)
    tokens = to_tokens(x)
    association, rank = dense.associate(x, size)
    selection = dense.select(rank, size**2)

    def close(ours: Tensor, theirs: Tensor) -> None:
        torch.testing.assert_close(ours, to_tokens(theirs), rtol=1e-7, atol=1e-9)

    cells = grid(height, width, size, x.device)
    of_spca = dense.spca(x, association, dense.inside(state, "inter_layer.0"))
    close(block.spca(tokens, associate(tokens, cells)), x + of_spca)
    close(block.ispa(tokens, selection, None), x + dense.ispa(x, selection, dense.inside(state, "intra_layer.0")))
    close(block.local(tokens, height, width), x + dense.local(x, size, dense.inside(state, "local_layer.0")))
    close(block.spca_ffn(tokens), x + dense.ffn(x, dense.inside(state, "inter_layer.1")))


def published_state(block: Block) -> dict[str, Tensor]:
    """A block's parameters by their published names, without the leading `blocks.0.`."""
    model = SPIN(2, replace(block.config, blocks=1))
    model.blocks[0] = block
    return dense.inside(as_published(model), "blocks.0")


# What must not happen


class LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that any operator makes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, Tensor):
                self.elements = max(self.elements, value.untyped_storage().nbytes() // value.element_size())
        return result


@pytest.mark.slow
@pytest.mark.parametrize("how", [nullcontext, cpu.off])
def test_the_dense_association_never_exists(how: Callable[[], AbstractContextManager[None]]) -> None:
    height = width = 240
    tokens = torch.randn(1, height * width, 8)
    cells = grid(height, width, 12, tokens.device)
    with torch.no_grad(), how(), LargestTensor() as largest:
        found = associate(tokens, cells)
        found.mean(tokens)
        found.top(144)
    assert 9 * height * width <= largest.elements < 16 * height * width  # M = 400 superpixels


def test_svq_works_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = torch.randn(2, 60 * 70, 8)
    cells = grid(60, 70, 5, tokens.device)
    dense_size = 2 * 60 * 70 * cells.cells
    whole = associate_globally(tokens, cells)
    monkeypatch.setattr(quantisation, "CHUNK", 50_000)
    with torch.no_grad(), LargestTensor() as largest:
        chunked = associate_globally(tokens, cells)
        mean, top = chunked.mean(tokens), chunked.top(25)
    assert largest.elements < dense_size / 10
    torch.testing.assert_close(mean, whole.mean(tokens))
    assert torch.equal(top, whole.top(25))
