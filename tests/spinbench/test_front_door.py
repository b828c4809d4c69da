"""`import spinbench`: fast, lazy and complete; the lines of README run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import models
import spinbench
from benchmarks import networks
from benchmarks.networks import NetworkError
from results import ROOT

CHECKOUT = Path(__file__).resolve().parents[2]


def test_importing_it_imports_nothing_else() -> None:
    ask = "import sys, typing, importlib; before = set(sys.modules); import spinbench; print(set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert done.stdout == "{'spinbench'}\n"


def test_its_names() -> None:
    """No name is that of a submodule, which would replace it once that is imported."""
    assert sorted(spinbench._PLACES) == spinbench.__all__
    assert set(spinbench.__all__) <= set(dir(spinbench))
    assert all(callable(getattr(spinbench, name)) for name in spinbench.__all__)
    assert not {path.stem for path in (CHECKOUT / "spinbench").iterdir()} & set(spinbench.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        spinbench.lode  # noqa: B018


def test_the_lines_of_readme(mirror_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = re.search(r"\n    import spinbench\n((?:    .+\n)+)", (CHECKOUT / "README.md").read_text("utf-8"))
    assert block
    lines = [line.strip() for line in block[0].splitlines() if line]
    assert len(lines) == 8
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)).save("photo.png")
    found: dict[str, Any] = {}
    exec("\n".join(lines[:-1]), found)
    assert found["sr"].shape == (64, 80, 3)
    assert found["sr"].dtype == np.uint8
    assert 10 < found["psnr"] < 60
    assert found["macs"] > 1e9
    assert set(found["frame"].convention) <= {"rcan"}
    shown = eval(lines[-1].partition("#")[0], found)
    assert "<table>" in shown._repr_html_()
    assert shown.frame.published.notna().any()


def test_a_figure_shows_itself() -> None:
    figures = spinbench.figures("table1", "published", root=ROOT / "absent")
    assert figures["tradeoff-table1"]._repr_html_().startswith("<svg")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder of results with the weights of ESPCN x2 as a run."""
    torch.manual_seed(0)
    folder = tmp_path / "runs" / "mine" / "espcn-x2-s0"
    folder.mkdir(parents=True)
    safetensors.torch.save_file(models.build("espcn", 2).state_dict(), folder / "weights.safetensors")
    return tmp_path


def test_a_network_by_every_name(stored: Path) -> None:
    lr = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    folder = stored / "runs" / "mine" / "espcn-x2-s0"
    for weights in (folder, str(folder / "weights.safetensors"), "mine/espcn-x2-s0"):
        network = spinbench.load("espcn", weights, scale=2, root=stored)
        by_hand = networks.of_weights(folder, model="espcn", scale=2).upscaler(torch.device("cpu"))(lr)
        assert np.abs(network.upscale(lr, "cpu") / 255 - by_hand.clip(0, 1)).max() <= 0.5 / 255 + 1e-6
    assert spinbench.load("bicubic", scale=2).upscale(lr).tolist() == spinbench.imresize(lr, 2).tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("espcm", "untrained"), "did you mean 'espcn'"),
        (("espcn",), "espcn: expected weights"),
        (("bicubic", "published"), "bicubic: interpolation"),
        (("espcn", "nowhere.pth"), "nowhere.pth: no such file"),
        (("mine/espcn-x2-s0",), "does not name its network"),
        (("mine/espcn-x2-s0", "published"), "has its own weights"),
    ],
)
def test_what_is_refused(stored: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        spinbench.load(*arguments, root=stored)


def test_another_array_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"an image of float64 \(4, 5, 3\), expected uint8 \(H, W, 3\)"):
        spinbench.load("bicubic").upscale(np.zeros((4, 5, 3)))
