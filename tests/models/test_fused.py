"""What a GPU is given: attention that its fused kernels take, and no addition in an order that varies.

No GPU is needed: networks run on PyTorch's meta device, where `scaled_dot_product_attention` is replaced by the fused
kernel's own operator where the kernel would take its arguments, by the rules of PyTorch's dispatcher for float32.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import models
from benchmarks.measure.memory import FusedAttention, step_bytes
from models import attention
from models.spin.grid import grid

META = torch.device("meta")


class Operators(TorchDispatchMode):
    """Names of the operators that run, and the largest square that one of them makes by its last two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()
        self.square = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.names[func.name().removeprefix("aten::").partition(".")[0]] += 1
        for part in tree_leaves(result):
            if (
                isinstance(part, Tensor)
                and part.dim() >= 2
                and part.shape[-1] == part.shape[-2]
                and part.is_floating_point()
            ):
                self.square = max(self.square, part.shape[-1])
        return result


def step(name: str, batch: int, size: tuple[int, int], **config: Any) -> Operators:
    """Operators of a training step on the meta device."""
    model = models.build(name, 4, **config).to(META)
    image = torch.empty(batch, 3, *size, device=META)
    with FusedAttention(), Operators() as operators:
        model(image).abs().mean().backward()
    return operators


VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "parallel": {"arrangement": "parallel"},
    "patch": {"spca": False, "ispa": False},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_weights_of_attention_are_stored(variant: str) -> None:
    operators = step("spin", 2, (60, 64), blocks=4, **VARIANTS[variant])
    assert operators.names["_scaled_dot_product_efficient_attention"] >= 4
    assert operators.square < 144  # pixels of the smallest windows and selections


@pytest.mark.parametrize("name", ["hpinet_m", "swinir_light", "esrt"])
def test_other_networks_with_attention_are_fused(name: str) -> None:
    with torch.no_grad(), FusedAttention(), Operators() as operators:
        models.build(name, 4).to(META).eval()(torch.empty(1, 3, 48, 48, device=META))
    assert operators.names["_scaled_dot_product_efficient_attention"]
    assert not operators.names["_softmax"]


def test_the_papers_batch_fits_a_card_of_24_gb() -> None:
    """Batch 64 of LR 64x64: at most 16 GiB of live tensors."""
    most = step_bytes(models.build("spin", 4), 64, 64)
    assert most is not None
    assert 10 * 2**30 < most <= 16 * 2**30


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_added_by_index(variant: str) -> None:
    """A float `index_add` adds atomically, in an order that varies.

    What is left: counts of ones, exact in any order, and in the backward pass of the association's mean the gradients
    of two gathers, in which every target occurs once (see the next test).
    """
    operators = step("spin", 2, (60, 64), blocks=4, **VARIANTS[variant])
    left = 0 if variant == "patch" else 3 * 4
    assert operators.names["index_add"] + operators.names["index_add_"] <= left


@pytest.mark.parametrize("size", [12, 16, 20, 24])
def test_gathers_of_the_association_have_each_source_once(size: int) -> None:
    """Padding and missing neighbours add exact zeros to others."""
    cells = grid(60, 74, size, torch.device("cpu"))
    inside = cells.pixels.flatten() if cells.inside is None else cells.pixels[cells.inside]
    assert len(inside) == len(inside.unique()) == 60 * 74
    entries = torch.arange(cells.cells * 9).view(1, -1, 9)
    seen = cells.seen(entries)[0][cells.exists]
    assert len(seen) == len(seen.unique())


def test_a_grid_of_blocks_is_never_exceeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "BLOCKS", 7)
    query, key, value = (torch.empty(10, 2, 5, 8, device=META) for _ in range(3))
    with Operators() as operators, FusedAttention():
        assert attention.fused(query, key, value, scale=1.0).shape == query.shape
    assert operators.names["_scaled_dot_product_efficient_attention"] == 4  # 3, 3, 3 and 1 groups of 2 heads
    bias = torch.empty(1, 2, 5, 5, device=META)
    with FusedAttention(), Operators() as operators:
        assert attention.fused(query, key, value, bias, 1.0).shape == query.shape
    assert operators.names["_scaled_dot_product_efficient_attention"] == 4
