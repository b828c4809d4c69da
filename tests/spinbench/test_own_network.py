"""A network of the user's own: in an experiment beside one of the registry, and wherever a name stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.spinbench.commands import spinbench
from tests.spinbench.tiny import TINY

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, scale, width=4):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 3 * scale**2, 3, padding=1),
            nn.PixelShuffle(scale),
        )

    def forward(self, x):
        return self.layers(x)
"""
EXPERIMENT = {
    "title": "Mine", "source": "my paper", "kind": "table", "caption": "Mine beside ESPCN.", "label": "tab:mine",
    "scales": [4], "datasets": ["embedded-test"], "reference": "mine",
    "variants": {
        "mine": {"label": "Mine", "model": "net.py:Net", "config": {"width": 6}},
        "espcn": {"label": "ESPCN", "model": "espcn"},
    },
}  # fmt: skip


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT))
    return path


@pytest.mark.slow
def test_it_is_trained_measured_and_reported_beside_others(experiment: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    command = ["run", experiment, "--protocol", TINY, "--threads", 1, "--results", results]
    done = spinbench(*command)
    assert done.returncode == 0, done.stdout
    text = (results / "report" / "tiny" / "mine.tex").read_text()
    assert "Mine" in text and "ESPCN" in text
    described = yaml.safe_load((results / "runs" / "tiny" / "mine-x4-s0" / "run.yaml").read_text())
    assert described["stages"]["train"]["model"] == "net.py:Net"  # wherever the file lies
    assert len(described["stages"]["train"]["code"]) == 64
    assert described["stages"]["train"]["config"] == {"width": 6}
    assert "mine-x4-s0 already finished" in spinbench(*command).stdout

    image = tmp_path / "image.png"
    Image.fromarray(np.zeros((9, 11, 3), np.uint8)).save(image)
    weights = results / "runs" / "tiny" / "mine-x4-s0"
    done = spinbench("upscale", image, "--weights", weights, "--output", tmp_path / "sr", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    with Image.open(tmp_path / "sr" / "image.png") as sr:
        assert sr.size == (44, 36)

    (tmp_path / "net.py").write_text(NET + "# changed\n")
    done = spinbench(*command)
    assert done.returncode == 1
    assert "mine-x4-s0: was trained under other settings (code: " in done.stdout


def test_wherever_a_name_stands(experiment: Path, tmp_path: Path) -> None:
    name = f"{tmp_path / 'net.py'}:Net"
    done = spinbench("cost", name, "--config", "width=8", "--lr", "16x16", "--no-memory", "--repeats", 1, "--json")
    assert done.returncode == 0 and '"parameters": 3728' in done.stdout
    done = spinbench("evaluate", name, "--untrained", "--data", "embedded-test")
    assert done.returncode == 0 and "embedded-test" in done.stdout
    done = spinbench("validate", name)
    assert done.returncode == 0 and done.stdout.count("holds") == 10
    done = spinbench("validate", f"{tmp_path / 'net.py'}:Nett")
    assert done.returncode == 1 and "did you mean 'Net'" in done.stderr
