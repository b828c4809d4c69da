"""`spinbench export`: the file, what is printed, and what is refused without leaving anything."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import safetensors.torch
import torch

import models
from spinbench.export import export
from tests.spinbench.commands import spinbench

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_of_its_help(here: Path) -> None:
    example = shlex.split(str(export.__doc__).partition("Example:")[2])
    code, out, err = spinbench(*example[1:])
    assert (code, err) == (0, "")
    found = re.findall(r"^(\d+x\d+): differs from PyTorch by at most (\S+)$", out, re.MULTILINE)
    assert [size for size, _ in found] == ["1x2", "14x22"]
    assert all(float(difference) <= 1e-4 for _, difference in found)
    assert [path.name for path in here.iterdir()] == ["espcn.onnx"]
    code, _, err = spinbench(*example[1:])
    assert (code, err) == (1, "error: espcn.onnx: exists already, expected a new file\n")


def test_a_network_in_a_file_with_weights(here: Path) -> None:
    (here / "net.py").write_text(
        "from torch import nn\n\n\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, scale, width=4):\n"
        "        super().__init__(nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3 * scale**2, 1),\n"
        "                         nn.PixelShuffle(scale))\n"
    )
    module = models.build("net.py:Net", 2, width=5)
    safetensors.torch.save_file(module.state_dict(), "w.safetensors")
    options = ["--scale", 2, "--config", "width=5", "--weights", "w.safetensors"]
    code, _, err = spinbench("export", "net.py:Net", *options, "--onnx", "new/net.onnx")
    assert (code, err) == (0, "")
    lr = torch.rand(1, 3, 9, 14)
    (sr,) = onnxruntime.InferenceSession("new/net.onnx").run(None, {"lr": lr.numpy()})
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(sr), module.eval()(lr), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["espcn", "--scale", 2], "espcn: expected --weights or --published, or --untrained for random weights"),
        (["bicubic"], "bicubic: interpolation, expected a network"),
        (["smsr", "--untrained"], "smsr: cannot be exported to ONNX"),
        (["espcm", "--untrained"], "unknown network 'espcm'; did you mean 'espcn'?"),
        (["empty", "--untrained"], "--weights and --untrained: expected one of them"),
        (["empty", "--weights", "other.pth"], "empty: a run or a file of weights, expected no --weights"),
        (["missing.pth"], "missing.pth: no such file"),
        (["empty"], "no such file, expected weights"),
    ],
)
def test_refusals(here: Path, arguments: list[object], message: str) -> None:
    (here / "empty").mkdir()
    code, _, err = spinbench("export", *arguments, "--onnx", "out.onnx")
    assert code == 1
    assert err.startswith("error: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not Path("out.onnx").exists()


def test_the_name_of_the_file(here: Path) -> None:
    code, _, err = spinbench("export", "espcn", "--untrained", "--onnx", "out.pth")
    assert (code, err) == (1, "error: out.pth: expected a name that ends in .onnx\n")
