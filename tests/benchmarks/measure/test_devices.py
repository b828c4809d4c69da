"""Devices by name, and what is told of them."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.measure import devices
from tests.benchmarks.measure.small_set import CPU


def test_device_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [devices.device(name).type for name in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [devices.device(name).type for name in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(ValueError, match=r"device 'cuda' requested, but PyTorch .* sees no GPU"):
        devices.device("cuda")
    with pytest.raises(ValueError, match="unknown device 'gpu', expected auto, cpu or cuda"):
        devices.device("gpu")


def test_description_of_a_device() -> None:
    described = devices.device_facts(CPU)
    assert list(described) == ["kind", "name", "threads"]
    assert described["kind"] == "cpu"
    assert described["name"]
    assert described["threads"] == torch.get_num_threads()
    assert json.loads(json.dumps(described)) == described
