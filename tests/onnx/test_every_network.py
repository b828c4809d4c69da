"""Every network of the registry as ONNX, `nox -s onnx`: up to minutes each, which symbolic sizes take."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

import models
from benchmarks import networks
from benchmarks.export import TOLERANCE, ExportError, to_onnx
from models import elan_light

DEPENDS_ON_THE_IMAGE = {"smsr"}  # which pixels it computes


@pytest.mark.parametrize("name", models.names())
def test_it_equals_pytorch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Random weights make all of ELAN chaotic: already float32 and float64 differ by up to 0.8 in PyTorch.
    monkeypatch.setattr(elan_light, "BLOCKS", 2)
    network = networks.untrained(name, 4)
    if name in DEPENDS_ON_THE_IMAGE:
        with pytest.raises(ExportError, match="depends on the values of its input"):
            to_onnx(network)
        return
    _, found = to_onnx(network)
    assert len(found) == 2
    assert all(one.difference <= TOLERANCE for one in found)


def test_spin_of_any_size() -> None:
    """Sizes that its cells divide, larger ones than the exported one, and a constant image: all scores are equal."""
    network = networks.untrained("spin", 2, {"blocks": 1})
    content, _ = to_onnx(network)
    session, module = onnxruntime.InferenceSession(content), network.module().eval()
    assert [(one.name, one.shape[:2], one.type) for one in session.get_inputs()] == [("lr", [1, 3], "tensor(float)")]
    noise = [torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)) for size in ((48, 96), (61, 33))]
    for lr in (*noise, torch.full((1, 3, 37, 50), 0.25)):
        (sr,) = session.run(None, {"lr": lr.numpy()})
        with torch.inference_mode():
            np.testing.assert_allclose(sr, module(lr).numpy(), rtol=0, atol=TOLERANCE)
