"""What SPIN sees: values against the dense oracle and the network's own tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

import models
from benchmarks.measure.evaluation import network_upscale
from benchmarks.pictures import superpixels as seen
from models.spin import quantisation
from models.spin.network import SPIN
from tests.benchmarks.pictures.small_spin import CPU, VARIANTS, network, picture
from tests.oracles import spin_dense as dense


def watched(model: SPIN, lr: NDArray[np.uint8]) -> list[seen.Observed]:
    """`watch` for a network in float64: the evaluation gives float32, so the first layer converts."""
    hook = model.register_forward_pre_hook(lambda _, given: (given[0].double(),))
    found = seen.observe(model, lr, CPU)
    hook.remove()
    return found


@pytest.fixture(params=list(VARIANTS))
def case(request: pytest.FixtureRequest) -> tuple[str, list[seen.Observed], list[dict[str, Any]]]:
    """A variant, what was watched in its blocks, and what the oracle says of them."""
    model, lr = network(request.param, 0.1 if request.param == "exp" else 3.0), picture()
    return request.param, watched(model, lr), list(oracle(model, lr))


def oracle(model: SPIN, lr: NDArray[np.uint8]) -> Iterator[dict[str, Any]]:
    """Association (M, N), selection (M, n) and SPCA's two attentions, (M, N) and (N, M), of every block."""
    config, state = model.config, models.published_state("spin", model)
    x = torch.from_numpy(lr.transpose(2, 0, 1)[None] / np.float32(255)).double()
    x = dense.conv(x, dense.inside(state, "first_conv"))
    plain = dense.Config(config.blocks, config.spca, config.ispa, config.arrangement, config.reach, config.association)
    for i in range(config.blocks):
        size = config.size(i)
        association, rank = dense.associate(x, size, form=config.association, reach=config.reach)
        found = {"association": association[0], "selected": dense.select(rank, size**2)[0]}
        if config.spca:
            params = dense.inside(state, f"blocks.{i}.inter_layer.0")
            pixels = dense.tokens(dense.layer_norm(x, dense.inside(params, "norm.norm"), 1e-6))
            query, key = (dense.project(pixels, params[f"{name}.weight"])[0] for name in "qk")
            anchor = dense.project(dense.aggregate(pixels, association), params["sp.weight"])[0]
            scale = anchor.shape[1] ** -0.5
            found |= {"reads": (scale * anchor @ key.T).softmax(1), "attends": (scale * query @ anchor.T).softmax(1)}
        yield found
        mixed = dense.block(x, dense.inside(state, f"blocks.{i}"), size, plain)
        x = x + dense.conv(mixed, dense.inside(state, f"mid_convs.{i}"))


def close(ours: NDArray[Any] | None, theirs: Tensor) -> None:
    assert ours is not None
    np.testing.assert_allclose(ours.ravel(), theirs.ravel().numpy(), rtol=1e-6, atol=1e-9)


# Against the oracle


def test_every_block_is_watched(case: Any) -> None:
    _, blocks, truth = case
    assert [(b.number, b.size, b.rows, b.columns) for b in blocks] == [(1, 5, 4, 6), (2, 7, 3, 4)]
    assert len(truth) == 2


def test_assignment(case: Any) -> None:
    variant, blocks, truth = case
    for block, own in zip(blocks, truth, strict=True):
        found, association = seen.assignment(block), own["association"]
        of_own = association.gather(0, torch.from_numpy(found.superpixel.reshape(1, -1)))[0]
        torch.testing.assert_close(of_own, association.amax(0), rtol=1e-9, atol=0)
        shares = (association / association.sum(0)).numpy()
        bits = -(shares * np.log2(shares, out=np.zeros_like(shares), where=shares > 0)).sum(0)
        close(found.entropy, torch.from_numpy(bits))
        assert found.entropy.max() <= np.log2(24 if variant == "svq" else 9) + 1e-6
        assert found.underflow == found.saturated == 0


def test_each_superpixel(case: Any) -> None:
    """Also its selected pixels, which are the set that ISPA gathered, and its attention, which fused kernels hide."""
    variant, blocks, truth = case
    for block, own in zip(blocks, truth, strict=True):
        belonging = seen.assignment(block)
        for number in np.unique(belonging.superpixel).tolist():
            found = seen.superpixel(block, belonging, number)
            close(found.association, own["association"][number])
            assert (found.in_reach.ravel() == (own["association"][number] > 0).numpy()).all()
            if variant == "only-spca":
                assert found.selected is None
            else:
                assert np.flatnonzero(found.selected).tolist() == sorted(own["selected"][number].tolist())
            if variant == "only-ispa":
                assert found.reads is None and found.attention is None
            else:
                close(found.reads, own["reads"][number])
                members = torch.from_numpy(belonging.superpixel.ravel() == number)
                close(found.attention, own["attends"][members].mean(0))


def test_ignored_pixels(case: Any) -> None:
    variant, blocks, truth = case
    for block, own in zip(blocks, truth, strict=True):
        left = seen.ignored(block)
        if variant == "only-spca":
            assert left is None
        else:
            assert set(np.flatnonzero(left)) == set(range(23 * 31)) - set(own["selected"].ravel().tolist())


# The pass itself


@pytest.mark.parametrize("variant", ["full", "svq", "only-ispa"])
def test_a_pass_that_is_watched_is_the_same(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, also afterwards; the hooks are gone; and what was watched are the tensors of that very pass."""
    model, lr = network(variant).float(), picture()
    before = network_upscale(model, CPU)(lr)
    during: list[NDArray[np.float32]] = []

    def listened(*arguments: Any) -> Any:
        upscale = network_upscale(*arguments)
        return lambda image: during.append(upscale(image))

    monkeypatch.setattr(seen, "network_upscale", listened)
    given: list[Any] = []
    for block in model.blocks:
        block.associate.register_forward_hook(lambda _, __, out: given.append(out))
    kept = seen.observe(model, lr, CPU)
    assert np.array_equal(during[0], before)
    assert np.array_equal(network_upscale(model, CPU)(lr), before)
    assert all(own.superpixels is one for own, one in zip(kept, given, strict=False))
    hooked = [each for each in model.modules() if each._forward_hooks or each._forward_pre_hooks]
    assert hooked == [block.associate for block in model.blocks]  # the test's own


def test_hooks_are_removed_after_an_error() -> None:
    model = network("full")
    with pytest.raises(ValueError, match=r"at least 7 pixels.*not 6x40"):
        seen.observe(model, picture(6, 40), CPU)
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())


def test_spca_reads_with_the_attention_shown() -> None:
    """Put together, the attentions that are shown are what the module gave."""
    model, lr = network("full"), picture()
    outputs: list[Tensor] = []
    model.blocks[0].spca.register_forward_hook(lambda _, given, out: outputs.append((out - given[0])[0]))  # no residual
    block = watched(model, lr)[0]
    belonging = seen.assignment(block)
    with torch.no_grad():
        _, _, value, _ = block.spca.projections(block.tokens, block.superpixels)
        ones = [seen.superpixel(block, belonging, number) for number in range(24) if number in belonging.superpixel]
        reads = torch.zeros(24, 23 * 31, dtype=torch.float64)
        for one in ones:
            reads[one.number] = torch.from_numpy(one.reads.ravel())
        assert len(ones) == 24
        for one in ones:
            members = torch.from_numpy(belonging.superpixel.ravel() == one.number)
            mixed = torch.from_numpy(one.attention) @ reads @ value[0]
            torch.testing.assert_close(mixed, outputs[0][members].mean(0))


def test_svq_is_looked_at_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, lr = network("svq"), picture()
    whole = watched(model, lr)[0]
    belonging = seen.assignment(whole)
    monkeypatch.setattr(quantisation, "CHUNK", 24 * 100)
    assert len(list(whole.superpixels.by_pixel())) == 8
    again = seen.assignment(whole)
    assert np.array_equal(again.superpixel, belonging.superpixel)
    np.testing.assert_allclose(again.entropy, belonging.entropy)
    close(
        seen.superpixel(whole, again, 3).association, torch.from_numpy(seen.superpixel(whole, belonging, 3).association)
    )


def test_patch_has_nothing_to_see() -> None:
    assert seen.observe(network("full", spca=False, ispa=False).float(), picture(), CPU) == []


# Associations at their limits, and the automatic choice


def test_loud_features_underflow_and_saturate() -> None:
    model, lr = network("full", 1e4).float(), picture()
    block = seen.observe(model, lr, CPU)[0]
    found = seen.assignment(block)
    (sight,) = block.superpixels.by_pixel()
    there = sight.superpixels >= 0
    assert found.underflow == pytest.approx(float((sight.weights[0][there] == 0).double().mean()))
    assert found.underflow > 0.8
    assert found.saturated == pytest.approx(float((sight.weights[0] == 1).any(1).double().mean()))
    assert found.saturated > 0.9
    assert found.entropy.mean() < 0.01


def test_a_single_superpixel() -> None:
    """An image of one cell: every association is 1, and the first pixels in raster order are selected."""
    block = seen.observe(network("full", superpixel_sizes=(12,)).float(), picture(13, 20), CPU)[0]
    found = seen.assignment(block)
    assert (found.superpixel == 0).all() and found.saturated == 1 and (found.entropy == 0).all()
    one = seen.superpixel(block, found, 0)
    assert np.flatnonzero(one.selected).tolist() == list(range(144))
    assert one.attention.tolist() == [1]
    assert seen.most_undecided(found) == (6, 9)


@settings(max_examples=40)
@given(st.integers(0, 99), st.booleans())
def test_most_undecided(seed: int, certain: bool) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 5, (6, 7))
    entropy = np.zeros((6, 7), np.float32) if certain else random.random((6, 7), np.float32)
    y, x = seen.most_undecided(seen.Assignment(labels, entropy, 0, 0))
    worth = {label: ((labels == label).sum() if certain else entropy[labels == label].sum()) for label in range(5)}
    assert worth[labels[y, x]] == pytest.approx(max(worth.values()))
