"""Costs as cost.json holds them: counts, an entry per implementation, and one size for all of an entry."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import models
from benchmarks.measure.cost import Subject, costs, parameters
from benchmarks.measure.macs import lr_size_for, macs
from models.spin import cpu
from results.cost import misshapen

CPU = torch.device("cpu")
needs_kernels = pytest.mark.skipif(cpu.kernels() is None, reason="needs a C++ compiler")


def test_parameters_count_shared_ones_once_and_buffers_never() -> None:
    conv = nn.Conv2d(3, 8, 3)
    conv.weight.requires_grad_(False)
    assert parameters(nn.Sequential(conv, conv, nn.BatchNorm2d(8))) == 3 * 8 * 9 + 8 + 16


@needs_kernels
def test_what_cost_json_holds() -> None:
    spin, espcn = costs(
        [Subject("spin", 4, {"blocks": 2}), Subject("espcn", 4, {})], CPU, lr_size=(24, 32), repeats=2, warmup_s=0
    )
    model = models.build("spin", 4, blocks=2)
    counted, here = macs(model, lr_size_for(4)), macs(model, (24, 32))
    written = json.loads(json.dumps(spin))
    assert misshapen(written) is None
    assert written["macs"]["output_size"] == [720, 1280]
    assert spin["parameters"] == parameters(model)
    assert sum(spin["parameters_by_module"].values()) == parameters(model)
    assert spin["parameters_by_module"]["blocks.1.spca.superpixels"] == model.blocks[1].spca.superpixels.weight.numel()
    assert spin["macs"]["total"] == counted.total == sum(spin["macs"]["by_operator"].values())
    parts = spin["macs"]["by_module"]
    assert set(parts) == {name for name in counted.by_module if name and name.count(".") < 3}
    assert sum(n for name, n in parts.items() if "." not in name) == counted.total
    assert spin["activations"] == counted.activations._asdict()
    # SPIN is measured in PyTorch, as all others are, and with its kernels; everything at the same size
    assert [entry["implementation"] for entry in spin["measured"]] == ["PyTorch", "C++ kernels"]
    assert [entry["implementation"] for entry in espcn["measured"]] == ["PyTorch"]
    for entry in spin["measured"]:
        assert entry["lr_size"] == entry["latency"]["lr_size"] == (24, 32)
        assert entry["macs"] == here.total
        assert entry["activations"] == here.activations._asdict()
        assert sum(map(len, entry["latency"]["rounds_s"])) == 2
        assert entry["memory"] is None
    assert spin["machine"]["kind"] == "cpu"
    assert spin["machine"]["threads"] == torch.get_num_threads()


def test_without_kernels_there_is_one_implementation() -> None:
    with cpu.off():
        (measured,) = costs([Subject("spin", 4, {"blocks": 1})], CPU, lr_size=(24, 32), repeats=1, warmup_s=0)
    assert [entry["implementation"] for entry in measured["measured"]] == ["PyTorch"]


def test_memory_at_the_size_of_the_latency() -> None:
    (measured,) = costs([Subject("espcn", 2, {})], CPU, lr_size=(24, 32), repeats=1, warmup_s=0, memory=True)
    (entry,) = measured["measured"]
    assert entry["memory"]["bytes"] > 0
    assert entry["memory"]["lr_size"] == (24, 32)
