"""Checkpoints of other trainers on the command line: what was taken is said once, what is none ends in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from PIL import Image
from torch import Tensor

import ablations
import models
from benchmarks.data import datasets
from models.loading import namings, overlapping
from models.weights import read_checkpoint
from results import Run, sha256
from tests.spinbench.commands import spinbench

TINY = Path(__file__).parents[1] / "tiny.yaml"
OWN = {
    "title": "Mine", "source": "me", "kind": "table", "caption": "Mine.", "label": "tab:mine", "scales": [4],
    "datasets": ["embedded-test"], "reference": "mine", "variants": {"mine": {"label": "Mine", "model": "espcn"}},
}  # fmt: skip


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A checkpoint with raw weights, all zero, and their average."""
    torch.manual_seed(0)
    state = models.build("espcn", 4).state_dict()
    torch.save({"params": {name: 0 * value for name, value in state.items()}, "params_ema": state}, tmp_path / "a.pth")
    return tmp_path / "a.pth"


def test_what_was_taken_is_said_once(tmp_path: Path, two: Path) -> None:
    line = f"{two}: taken: params_ema; also there: params"
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(tmp_path / "p.png")
    more = ["--weights", two, "--device", "cpu", "--threads", 1]
    for command in (
        ["upscale", tmp_path / "p.png", "--model", "espcn", "--output", tmp_path / "out", *more],
        ["identify", two],
    ):
        done = spinbench(*command)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines().count(line) == 1, done.stdout
    assert f"{two}: fits espcn x4" in done.stdout
    pixel = np.asarray(Image.open(tmp_path / "out" / "p.png"))
    assert pixel.any()  # not the weights that are all zero


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "espcn", "--data", "embedded-test", "--weights"),
        ("identify",),
        ("export", "--onnx", "out.onnx"),
        ("export-published", "--model", "espcn"),
    ],
    ids=lambda command: str(command[0]),
)
def test_a_web_page_ends_in_one_line(tmp_path: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("page.pth").write_text("<!doctype html><title>Sign in</title>")
    if command[0] == "export-published":
        done = spinbench(command[0], "page.pth", "out.pth", *command[1:])
    elif command[0] == "export":
        done = spinbench("export", "espcn", "--weights", "page.pth", *command[1:])
    else:
        done = spinbench(*command, "page.pth")
    assert done.returncode == 1
    assert done.stderr == "error: page.pth: a web page; download the checkpoint itself, maybe by a browser\n"


def protocol(folder: Path, start: Any) -> Path:
    """The tiny protocol with a warm start."""
    content = yaml.safe_load(TINY.read_text())
    content["training"]["warm_start"] = start
    content["training"]["learning_rate"] = 1e-12  # the weights stay those of the start
    (folder / "warm.yaml").write_text(yaml.safe_dump(content))
    return folder / "warm.yaml"


def test_a_training_begins_from_a_file(tmp_path: Path, two: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(OWN))
    warm = protocol(tmp_path, "a.pth")  # beside the protocol
    command = ["run", tmp_path / "mine.yaml", "--protocol", warm, "--only", "mine", "--threads", 1]
    command += ["--device", "cpu", "--results", tmp_path / "results"]
    done = spinbench(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("taken: params_ema; also there: params") == 1
    run = Run("warm", "mine", 4, 0, tmp_path / "results")
    stored = safetensors.torch.load_file(run.path("weights.safetensors"))
    expected: dict[str, Tensor] = torch.load(two)["params_ema"]
    for name, value in expected.items():
        torch.testing.assert_close(stored[name], value, rtol=0, atol=1e-9)
    description = run.description()
    assert description is not None
    assert description["warm_start_file"] == str(two)
    assert description["stages"]["train"]["start"] == sha256(two)
    assert str(two) not in yaml.safe_dump(description["stages"])  # the path decides nothing
    report = (tmp_path / "results" / "report" / "warm" / "mine.md").read_text()
    assert f"Warm start: trained from a.pth, SHA-256 {sha256(two)[:12]}." in report

    two.rename(tmp_path / "b.pth")  # another name, the same content
    protocol(tmp_path, "b.pth")
    assert "mine-x4-s0 already finished" in spinbench(*command).stdout
    torch.save(models.build("espcn", 4).state_dict(), tmp_path / "b.pth")
    assert "train: start: " in (done := spinbench(*command)).stdout, done.stdout
    assert done.returncode == 1  # never trained again unasked


def test_a_warm_start_that_cannot_be(tmp_path: Path, two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(datasets.Dataset, "fetch_all", lambda self, scale: fetched.append(self.name))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(OWN))
    command = ["run", tmp_path / "mine.yaml", "--protocol", tmp_path / "warm.yaml", "--device", "cpu", "--threads", 1]
    command += ["--only", "mine", "--results", tmp_path / "results"]
    protocol(tmp_path, "none.pth")
    assert spinbench(*command).stderr == "error: none.pth: no such file\n"
    torch.save({"other.weight": torch.ones(3)}, tmp_path / "other.pth")
    protocol(tmp_path, "other.pth")
    done = spinbench(*command)
    assert done.returncode == 1
    assert "warm start: nothing in" in done.stdout and "the shape of a tensor of espcn x4" in done.stdout
    protocol(tmp_path, 5)
    assert "training.warm_start: expected a scale (2, 3 or 4) or a file" in spinbench(*command).stderr


def test_a_warm_start_takes_what_fits_of_another_scale(tmp_path: Path) -> None:
    """Under published names, with the prefix of a wrapper, in half precision."""
    two, four = models.build("spin", 2, blocks=1), models.build("spin", 4, blocks=1)
    state = {f"module.{name}": value.half() for name, value in models.published_state("spin", two).items()}
    torch.save({"model": state, "scale": torch.tensor(2)}, tmp_path / "x2.pth")
    found, _ = overlapping(four, namings(four, models.describe("spin")), read_checkpoint(tmp_path / "x2.pth"))
    own = two.state_dict()
    expected = {name for name, _ in four.named_parameters() if not name.startswith("upsampler.")}
    assert set(found) == expected  # the upsampler is published under other names at each scale
    assert all(torch.equal(value, own[name].half()) for name, value in found.items())


def test_the_schema_knows_a_scale_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "n.pth").write_bytes(b"")
    for start, scale, file in ((2, 2, None), ("n.pth", None, tmp_path / "n.pth"), (None, None, None)):
        training = ablations.load_protocol(str(protocol(tmp_path, start))).training
        assert training is not None
        assert (training.start_scale, training.start_file) == (scale, file)
        assert training.deciding()["warm_start"] == ("file" if file else start)
