"""SPIN against the published network (golden cases) and, as a whole, against the dense oracle written from the spec."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ablations
import models
from models.spin.configuration import Configuration
from tests.golden import cases
from tests.models.spin_features import to_dense
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
