"""MACs: by hand on a small network, what must not be skipped, and every network."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry

import models
from benchmarks.measure.macs import HANDLERS, ZERO_OPERATORS, CostError, JitModelAnalysis, lr_size_for, macs
from tests.benchmarks.measure.traced import SIZE, OnImage, torch_count
from tests.models.shallow import shorten

# By hand


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(8, 12, 1, groups=4), nn.ReLU(inplace=True))
        self.norm = nn.LayerNorm(12)
        self.token = nn.Linear(12, 12, bias=False)
        self.tail = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.head(x))
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        tokens = self.token(tokens) + tokens @ (tokens.transpose(1, 2) @ tokens)
        return self.tail(tokens.transpose(1, 2).reshape(x.shape)) + F.interpolate(x[:, :3], scale_factor=2)


def test_small_network_by_hand() -> None:
    pixels = 6 * 8
    head, body = pixels * 8 * 3 * 9, pixels * 12 * 2
    linear, matmul = pixels * 12 * 12, 2 * pixels * 12 * 12
    count = macs(Small(), SIZE)
    assert count.total == head + body + linear + matmul
    assert count.lr_size == SIZE
    assert count.by_operator == {"convolution": head + body, "linear": linear, "matmul": matmul}
    assert count.by_module == {
        "": count.total, "head": head, "body": body, "body.0": body, "body.1": 0, "norm": 0, "token": linear, "tail": 0,
    }  # fmt: skip
    assert count.activations.convolutions == pixels * (8 + 12)
    assert count.activations.products == pixels * (8 + 12 + 12 + 12) + 12 * 12
    assert count.zero_operators == (
        "add", "flatten", "layer_norm", "pixel_shuffle", "relu_", "reshape", "slice", "transpose", "upsample_nearest2d",
    )  # fmt: skip
    assert count.total == torch_count(Small())


class Attending(nn.Module):
    """Attention over all pixels, by one operator or by two products."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.fused = fused

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)[:, None]
        if self.fused:
            return F.scaled_dot_product_attention(tokens, tokens, tokens)
        return (tokens @ tokens.transpose(-1, -2)).softmax(-1) @ tokens


def test_maps_of_attention_count_whichever_operator_computes_them() -> None:
    fused, plain = (macs(Attending(fused), SIZE) for fused in (True, False))
    pixels = SIZE[0] * SIZE[1]
    assert fused.activations == plain.activations == (0, pixels * pixels + pixels * 3)
    assert fused.total == plain.total


def test_a_shared_module_counts_at_every_call() -> None:
    conv = nn.Conv2d(3, 3, 3, padding=1)
    once, thrice = macs(conv, SIZE).total, macs(nn.Sequential(conv, conv, conv), SIZE).total
    assert once == 48 * 9 * 9
    assert thrice == 3 * once


def test_weights_of_modules_that_never_run_are_counted() -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = nn.Conv2d(3, 3, 1)
            self.by_weight = nn.Conv2d(3, 3, 1)
            self.unused = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(self.used(x), self.by_weight.weight)

    count = macs(Partly(), SIZE)
    assert count.total == 2 * count.by_module["used"]


def test_what_never_reaches_the_output_is_not_counted() -> None:
    def wasteful(x: Tensor) -> Tensor:
        x @ x.transpose(2, 3)
        return x + 1

    assert macs(OnImage(wasteful), SIZE).total == 0


# Nothing is skipped


class Rectified(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x @ x.transpose(2, 3)


@pytest.mark.parametrize(
    ("function", "operator"),
    [
        (lambda x: torch.fft.rfft2(x).abs(), "aten::fft_rfft2"),
        (lambda x: torch.linalg.inv(x @ x.transpose(2, 3)), "aten::linalg_inv"),
        (lambda x: torch.cdist(x, x), "aten::cdist"),
        (lambda x: torch.tensordot(x, x, ([3], [3])), "aten::tensordot"),
        (lambda x: x[0, 0].mv(x[0, 0, 0]), "aten::mv"),
        (Rectified.apply, "prim::PythonOp.Rectified"),
    ],
)
def test_an_unknown_operator_fails_with_its_name_and_module(function: Callable[..., Tensor], operator: str) -> None:
    model = nn.Sequential(nn.Identity(), nn.Sequential(nn.ReLU(), OnImage(function)))
    with pytest.raises(CostError, match=rf"Sequential.*{operator}\b.*'1\.1'"):
        macs(model, SIZE)


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.size(0) > 1:
            x = x @ x
        return x


def branch(x: Tensor) -> Tensor:
    if x.size(0) > 1:
        x = x @ x
    return x


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_scripted_code_fails() -> None:
    scripted = torch.jit.script(branch)
    with pytest.raises(CostError, match=r"prim::CallFunction"):
        macs(OnImage(lambda x: scripted(x)), SIZE)
    with pytest.raises(CostError, match="ScriptModules"):
        macs(nn.Sequential(torch.jit.script(Branch())), SIZE)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 2 if x.mean() > 0 else x,
        lambda x: x * x.max().item(),
        lambda x: x[x > 0],
        lambda x: x + torch.ones(3, 1, 1),
    ],
)
def test_a_network_that_asks_for_values_fails(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(CostError, match="OnImage cannot be traced on the meta device: "):
        macs(OnImage(function), SIZE)


def test_the_tables_leave_nothing_to_fvcore() -> None:
    """What fvcore would skip without a word is either counted here or named as zero, and nothing is both."""
    ours = {f"aten::{name}" for name in ZERO_OPERATORS} | HANDLERS.keys()
    assert ours >= JitModelAnalysis(nn.ReLU(), ())._ignored_ops
    assert not {f"aten::{name}" for name in ZERO_OPERATORS} & HANDLERS.keys()


def test_zero_operators_exist_and_count_zero_in_torch_too() -> None:
    schemas = {schema.name for schema in torch._C._jit_get_all_schemas()}
    assert {f"aten::{name}" for name in ZERO_OPERATORS} <= schemas
    assert not ZERO_OPERATORS & {packet.__name__ for packet in flop_registry}


# What the tracer would not follow by itself


def test_sizes_are_plain_numbers() -> None:
    def function(x: Tensor) -> Tensor:
        rows = np.arange(x.shape[2]) * x.size(3) // x.size()[-1]
        return x[:, :, torch.from_numpy(rows).to(x.device)] * math.isqrt(x.numel())

    assert "floor_divide" not in macs(OnImage(function), SIZE).zero_operators


def test_bits_read_as_integers() -> None:
    assert macs(OnImage(lambda x: (x.view(torch.int32) ^ 1).float() @ x.transpose(2, 3)), SIZE).total == 3 * 6 * 6 * 8


# The model and the protocol


def test_counting_leaves_the_model_as_it_is() -> None:
    model = Small()
    model.body.eval()
    model.head.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    macs(model, SIZE)
    assert [module.training for module in model.modules()] == [True, True, False, False, False, True, True, True]
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["head.weight"]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_dropout_and_batch_normalisation_are_those_of_evaluation() -> None:
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3), nn.Conv2d(3, 5, 1))
    assert macs(model, SIZE).total == 48 * 15
    assert model[1].num_batches_tracked == 0


def test_lr_sizes() -> None:
    assert [lr_size_for(scale) for scale in (2, 3, 4)] == [(360, 640), (240, 427), (180, 320)]
    with pytest.raises(ValueError, match="scale is 0"):
        lr_size_for(0)


@pytest.mark.parametrize("scale", models.SCALES)
@pytest.mark.parametrize("name", models.names())
def test_every_network_agrees_with_torch(name: str, scale: int) -> None:
    """At x4 as a whole; at other scales only the end is another."""
    model, size = models.build(name, scale), lr_size_for(scale)
    if scale != 4:
        shorten(model, name)
    count = macs(model, size)
    assert count.total == torch_count(model, size) > 0


def test_heads_of_ten_channels_count_ten() -> None:
    """On a GPU they are padded to 16 for its kernels, which is no work of the network: 69.2 GMACs were counted so."""
    assert macs(models.build("swinir_light", 4), lr_size_for(4)).total == 62_710_732_800


def test_spin_needs_fewer_macs_than_its_dense_form() -> None:
    """The official implementation, with its dense association, counts 89.9 GMAC."""
    assert 70e9 < macs(models.build("spin", 4), lr_size_for(4)).total < 85e9
