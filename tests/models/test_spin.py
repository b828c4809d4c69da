"""SPIN against the published network (golden cases) and against the dense oracle written from the spec."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import ablations
import models
from models.spin import quantisation
from models.spin.network import SPIN, Block, Configuration
from models.spin.quantisation import associate_globally
from models.spin.superpixels import Association, associate, grid, top_pixels
from tests.golden import cases
from tests.oracles import spin_dense as dense
from tests.oracles.spin_weights import as_published, oracle_config

VARIANTS = {
    "full": Configuration(),
    "only-ispa": Configuration(spca=False),
    "only-spca": Configuration(ispa=False),
    "parallel": Configuration(arrangement="parallel"),
    "svq": Configuration(reach="all"),
    "patch": Configuration(spca=False, ispa=False),
    "exp": Configuration(association="exp"),
    "svq-exp": Configuration(reach="all", association="exp"),
}


# Golden cases of the published network


@pytest.fixture(scope="module", params=[2, 4])
def case(request: pytest.FixtureRequest, golden_folder: Path) -> dict[str, Any]:
    meta, arrays = cases.read(golden_folder / f"spin_x{request.param}.npz")
    return {**meta, **arrays}


def deviation(ours: Tensor, golden: np.ndarray) -> float:
    return float(np.abs(ours.detach().numpy() - golden).max() / np.abs(golden).max())


def test_golden_case(case: dict[str, Any]) -> None:
    model = models.load_published("spin", case["scale"], cases.fill(case["state"], case["gain"]))
    seen: dict[str, Any] = {}
    block = model.blocks[0]
    for name, part in {"spca": block.spca, "ispa": block.ispa, "local": block.local, "out": block}.items():
        part.register_forward_hook(lambda _part, given, out, name=name: seen.update({name: out, f"into {name}": given}))
    x = torch.from_numpy(case["input"]) / case["range"]
    output = model(x) * case["range"]

    assert sum(p.numel() for p in model.parameters()) == case["params"]
    assert deviation(output, case["output"]) <= case["tolerance"]
    for name in ("spca", "ispa", "local", "out"):
        tokens = seen[name] - (0 if name == "out" else seen[f"into {name}"][0])  # golden cases have no residual there
        features = tokens.transpose(1, 2).unflatten(2, x.shape[-2:])
        assert deviation(features, case[f"block0_{name}"]) <= case["tolerance"], name
    association = to_dense(block.associate(*seen["into out"]))
    assert deviation(association, case["block0_affinity"]) <= case["tolerance"]

    (output - 127.5).abs().mean().backward()
    assert deviation(model.first_conv.weight.grad, case["grad_first_conv"]) <= 2e-4
    query = block.spca.pixels.query.weight.grad[:, :, None, None]
    assert deviation(query, case["grad_block0_spca_q"]) <= 5e-3


def test_published_names_are_all_of_them(case: dict[str, Any]) -> None:
    names = models.describe("spin").published_names(models.build("spin", case["scale"]))
    assert sorted(names.values()) == sorted(name for name, _, kind in case["state"] if kind == "param")


# Parameter counts


@pytest.mark.parametrize(("scale", "count"), [(2, 497_275), (3, 569_475), (4, 555_035)])
def test_published_parameter_counts(scale: int, count: int) -> None:
    assert parameters("spin", scale) == count


def test_parameter_counts_of_the_ablations() -> None:
    def counts(experiment: str) -> dict[str, int]:
        variants = ablations.load_experiment(experiment).variants
        return {name: parameters(variant.model, 4, **variant.config) for name, variant in variants.items()}

    assert counts("table2") == {
        "only-ispa": 605_115,
        "only-spca": 616_635,
        "parallel": 555_035,
        "svq": 555_035,
        "patch": 558_171,
        "full": 555_035,
    }
    depths = {name: 117_723 + 54_664 * blocks for blocks in (4, 5, 6, 7, 9, 10) for name in [f"depth-{blocks}"]}
    assert counts("fig7") == {**depths, "full": 555_035}
    switches = counts("switches")
    assert (switches["only-ispa-11"], switches["only-spca-11"], switches["patch-8"]) == (564_499, 575_059, 337_947)


def parameters(name: str, scale: int, **config: Any) -> int:
    return sum(p.numel() for p in models.build(name, scale, **config).parameters())


# Modules against the oracle, in float64, where both round alike

shapes = st.tuples(st.integers(1, 3), st.integers(12, 45), st.integers(12, 45))
spreads = st.floats(-3, 1).map(lambda power: 10**power)  # standard deviation of the features, 1e-3 to 10


def features(batch: int, height: int, width: int, spread: float, seed: int, dtype: torch.dtype) -> Tensor:
    """Random features with an offset, as after some blocks of a network."""
    noise = torch.randn(batch, 41, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (spread * (noise[:, :40] + noise[:, 40:])).to(dtype)


def to_tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def to_dense(association: Association) -> Tensor:
    """(B, M, 9, P) by cells as (B, M, N) by pixels."""
    cells = association.grid
    full = association.weights.new_zeros(association.weights.shape[0], cells.cells, cells.height * cells.width)
    for cell in range(cells.cells):
        inside = slice(None) if cells.inside is None else cells.inside[cell]
        for near in range(9):
            if cells.exists[cell, near]:
                where = cells.pixels[cell][inside]
                full[:, cells.neighbours[cell, near], where] = association.weights[:, cell, near][:, inside]
    return full


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
    close(block.ispa(tokens, selection), x + dense.ispa(x, selection, dense.inside(state, "intra_layer.0")))
    close(block.local(tokens, height, width), x + dense.local(x, size, dense.inside(state, "local_layer.0")))
    close(block.spca_ffn(tokens), x + dense.ffn(x, dense.inside(state, "inter_layer.1")))


def published_state(block: Block) -> dict[str, Tensor]:
    """A block's parameters by their published names, without the leading `blocks.0.`."""
    model = SPIN(2, replace(block.config, blocks=1))
    model.blocks[0] = block
    return dense.inside(as_published(model), "blocks.0")


# The whole network against the oracle


@pytest.mark.parametrize(("variant", "scale"), [("full", 2), ("full", 3), *((name, 4) for name in VARIANTS)])
def test_network_and_gradients_equal_the_dense_ones(variant: str, scale: int) -> None:
    config = replace(VARIANTS[variant], blocks=2)
    compare_with_oracle(config, scale, (2, 29, 38))


@pytest.mark.parametrize("reach", ["neighbours", "all"])
@pytest.mark.parametrize("form", ["softmax", "exp"])
def test_gradient_through_the_association(reach: Any, form: Any) -> None:
    config = Configuration(blocks=2, reach=reach, association=form, association_gradient=True)
    with_gradient = compare_with_oracle(config, 2, (1, 26, 33))
    without = compare_with_oracle(replace(config, association_gradient=False), 2, (1, 26, 33))
    assert (with_gradient - without).abs().max() > 1e-4 * without.abs().max()


def compare_with_oracle(config: Configuration, scale: int, shape: tuple[int, int, int]) -> Tensor:
    """Output and every gradient, in float64. Returns the gradient of the first convolution."""
    torch.manual_seed(3)
    model = models.build("spin", scale, **asdict(config)).double()
    if config.association == "softmax":  # features that differ, so that the associations do; `exp` would underflow
        model.first_conv.weight.data *= 10
    names = models.describe("spin").published_names(model)
    state = {key: value.detach().clone().requires_grad_() for key, value in as_published(model).items()}
    x = torch.rand(shape[0], 3, *shape[1:], dtype=torch.float64)
    ours, theirs = model(x), dense.forward(x, state, scale, oracle_config(config))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)
    ours.square().mean().backward()
    theirs.square().mean().backward()
    for key, value in model.named_parameters():
        expected = state[names[key]].grad.reshape(value.shape)
        assert (value.grad - expected).abs().max() <= 1e-7 * expected.abs().max() + 1e-15, key
    return model.first_conv.weight.grad


def test_gradcheck_of_a_tiny_network() -> None:
    torch.manual_seed(0)
    tiny = {"blocks": 2, "channels": 8, "attention_width": 4, "hidden": 8, "superpixel_sizes": (4, 5)}
    model = models.build("spin", 2, association_gradient=True, **tiny).double()
    x = torch.rand(1, 3, 9, 11, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, x, fast_mode=True)


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


def test_the_dense_association_never_exists() -> None:
    height = width = 240
    tokens = torch.randn(1, height * width, 8)
    cells = grid(height, width, 12, tokens.device)
    with torch.no_grad(), LargestTensor() as largest:
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


def test_bad_configurations_name_the_key() -> None:
    for config, words in [
        ({"block": 8}, "did you mean 'blocks'"),
        ({"blocks": 0}, "blocks must be at least 1, not 0"),
        ({"arrangement": "paralel"}, "arrangement.*paralel"),
        ({"blocks": "eight"}, "blocks.*eight"),
        ({"arrangement": "parallel", "spca": False}, "needs both spca and ispa"),
        ({"superpixel_sizes": []}, "superpixel_sizes"),
    ]:
        with pytest.raises(ValueError, match=words):
            models.build("spin", 4, **config)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        *(({"blocks": value}, "blocks: .*valid integer") for value in (True, "8", 8.0, 1e3, None)),
        *(({"spca": value}, "spca: .*valid boolean") for value in (1, "true", "yes", 0.0)),
        ({"superpixel_sizes": [12, True]}, r"superpixel_sizes.1: .*valid integer \(found True\)"),
        ({"superpixel_sizes": 12}, "superpixel_sizes: .*valid array"),
        ({"blocks": np.int64(8)}, "int64 is not JSON serializable, expected numbers, text"),
    ],
)
def test_values_of_another_type_are_refused(config: dict[str, Any], words: str) -> None:
    """`blocks: true` in an experiment would be a network of one block."""
    with pytest.raises(ValueError, match=f"spin: .*{words}") as caught:
        models.configuration("spin", **config)
    assert "\n" not in str(caught.value)


def test_a_list_may_stand_for_a_tuple() -> None:
    lists, tuples = ({"superpixel_sizes": kind((12, 16))} for kind in (list, tuple))
    assert models.configuration("spin", **lists) == models.configuration("spin", **tuples)
    assert models.configuration("spin", **lists)["superpixel_sizes"] == (12, 16)
