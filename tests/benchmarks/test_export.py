"""ONNX equals PyTorch for images of other sizes than the one it was made from; what cannot be exported says why."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import export, networks
from benchmarks.export import ExportError, to_onnx
from models.spin.plain import top_pixels

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def test_a_selection_is_exported() -> None:
    """The pixels of highest score of each superpixel, of equal ones the first: as on this machine."""
    torch.manual_seed(0)
    module = Selection()
    scores = torch.randint(0, 5, (1, 6, 40)).float()
    program = torch.export.export(module, (scores,), strict=False)
    made = torch.onnx.export(
        program, dynamo=True, verbose=False,
        custom_translation_table={torch.ops.aten.sort.stable: export._stable_sort},
    )  # fmt: skip
    assert made is not None
    session = onnxruntime.InferenceSession(made.model_proto.SerializeToString())
    (found,) = session.run(None, {session.get_inputs()[0].name: scores.numpy()})
    np.testing.assert_array_equal(found, module(scores).numpy())


class Selection(nn.Module):
    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        pixels = torch.arange(40).flip(0).expand(6, 40)
        return top_pixels(scores, pixels, 7)


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    import onnx

    content, _ = to_onnx(networks.untrained("espcn", 3))
    entries = {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}
    assert entries["model"] == "espcn"
    assert entries["scale"] == "3"
    assert json.loads(entries["config"]) == networks.untrained("espcn", 3).config
    assert entries["weights"] == "untrained, seed 0"


def test_other_results_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network computes something else after its export: nothing is returned."""
    network = networks.untrained("espcn", 2)
    module, exported = network.module(), export._exported

    def changed(*arguments: Any) -> bytes:
        content = exported(*arguments)
        with torch.no_grad():
            next(module.parameters()).add_(1)
        return content

    monkeypatch.setattr(networks.Network, "module", lambda self: module)
    monkeypatch.setattr(export, "_exported", changed)
    with pytest.raises(ExportError, match=r"^espcn: its ONNX differs .* for 1x2, expected at most 0.0001$"):
        to_onnx(network)


def test_what_depends_on_the_image_is_refused() -> None:
    with pytest.raises(ExportError, match=r"^smsr: cannot be exported .* depends on the values of its input\)$"):
        to_onnx(networks.untrained("smsr", 2))


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'", name=name)
        return imported(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ExportError, match=r"^onnxruntime: not installed, expected the extra onnx"):
        to_onnx(networks.untrained("espcn", 2))
