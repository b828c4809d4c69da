"""Devices by name, on machines that a test acts: with several GPUs, with none, and with one that PyTorch cannot use."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest
import torch

from benchmarks.measure import devices
from benchmarks.measure.precision import Precision, arithmetic


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"a-{number}"))


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("auto", "cuda"),
        ("cuda", "cuda"),
        ("cuda:1", "cuda:1"),
        ("GPU-a-1", "cuda:1"),
        ("GPU-a-0", "cuda:0"),
        ("cpu", "cpu"),
    ],
)
def test_a_gpu_by_number_and_by_uuid(name: str, expected: str) -> None:
    assert devices.device(name) == torch.device(expected)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cuda:2", "device 'cuda:2' requested, but PyTorch sees 2 GPUs, from cuda:0 on"),
        ("GPU-b", "device 'GPU-b' requested, but PyTorch sees GPU-a-0, GPU-a-1"),
        ("cuda:x", "unknown device 'cuda:x', expected auto, cpu, cuda, cuda:NUMBER or a GPU's UUID"),
        ("gpu", "unknown device 'gpu'"),
    ],
)
def test_a_gpu_that_does_not_exist(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        devices.device(name)


@pytest.mark.parametrize("card", ["NVIDIA H100 80GB HBM3", None])
def test_auto_warns_of_a_gpu_that_pytorch_cannot_use(
    card: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "cards", lambda: [devices.Card(0, "GPU-0", card)] if card else [])
    with caplog.at_level(logging.WARNING):
        assert devices.device("auto") == torch.device("cpu")
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == (
        [f"{card} is present"] if card else []
    )
    caplog.clear()
    devices.device("cpu")  # asked for: no warning
    assert not caplog.records


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float16"])
def test_flags_of_the_process_are_restored(precision: Precision) -> None:
    """TF32 is on only where it is asked for, also where a library has switched it on before."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        matmul.allow_tf32 = cudnn.allow_tf32 = True
        with arithmetic(torch.device("cpu"), precision):
            assert matmul.allow_tf32 == cudnn.allow_tf32 == (precision == "tf32")
            assert torch.is_autocast_enabled("cpu") == (precision in ("bfloat16", "float16"))
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert str(product.dtype).removeprefix("torch.") == ("float32" if precision == "tf32" else precision)
        assert matmul.allow_tf32 and cudnn.allow_tf32 and not torch.is_autocast_enabled("cpu")
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "GPU-a-0"])
def test_a_gpu_where_there_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=rf"device '{name}' requested, but PyTorch .* sees no GPU"):
        devices.device(name)


def test_description_of_a_device() -> None:
    described = devices.device_facts(torch.device("cpu"))
    assert list(described) == ["kind", "name", "threads"]
    assert described["kind"] == "cpu"
    assert described["name"]
    assert described["threads"] == torch.get_num_threads()
    assert json.loads(json.dumps(described)) == described
