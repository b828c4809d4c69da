"""`spinbench picture superpixels`: whose weights, and mistakes in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import typer
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import ablations
import models
from benchmarks.pictures import superpixels as seen
from benchmarks.pictures.named import image_pair
from foundation import SpinbenchError
from models.spin.network import SPIN
from results import pictures
from results import superpixels as stored
from spinbench.superpixels import superpixels as command
from tests.benchmarks.pictures.small_spin import CPU, picture
from tests.benchmarks.stored_runs import run_of


class Spinbench:
    """`spinbench picture superpixels`, with results in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.app = typer.Typer()
        self.app.command()(command)

    def __call__(self, *arguments: object) -> str:
        threads = torch.get_num_threads()
        given = [*map(str, arguments), "--threads", "1", "--results", str(self.folder)]
        result = CliRunner().invoke(self.app, given)
        torch.set_num_threads(threads)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output


@pytest.fixture
def spinbench(tmp_path: Path) -> Spinbench:
    return Spinbench(tmp_path / "results")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "An image.png"
    Image.fromarray(picture(104, 120)).save(path)
    return path


def read(spinbench: Spinbench) -> stored.SuperpixelFacts:
    (found,) = pictures.load_pictures(spinbench.folder)
    return stored.SuperpixelFacts.of(found)


def test_untrained_is_said(spinbench: Spinbench, image: Path) -> None:
    output = spinbench(image, "--untrained", "--network", "svq", "--blocks", "1,4", "--at", "3,25")
    facts = read(spinbench)
    assert facts.source == "untrained, seed 0"
    assert (facts.network, facts.at, facts.size) == ("SVQ (untrained)", (3, 25), (30, 26))
    assert [block.number for block in facts.blocks] == [1, 4]
    assert "block 4: 1x1 superpixels, entropy 0.00 bits" in output


def test_weights_of_a_file_and_of_a_run(spinbench: Spinbench, image: Path) -> None:
    """The same network: named as a file of ours, as one under published names, and found as the variant's run."""
    torch.manual_seed(5)
    config = ablations.load_experiment("table2").variants["full"].config
    model = models.build("spin", 4, **config)
    run = spinbench.folder / "runs" / "quick" / "full-x4-s0"
    run_of(run, "spin", 4, dict(config), variant="full")
    published = spinbench.folder / "published.pth"
    torch.save(models.published_state("spin", model), published)
    save(model, run / "weights.safetensors")
    found = []
    for arguments in ([], ["--weights", run], ["--weights", published]):
        spinbench(image, "--blocks", "2", *arguments, "--name", f"n{len(found)}")
        found = [stored.SuperpixelFacts.of(one) for one in pictures.load_pictures(spinbench.folder)]
    assert [one.source for one in found] == ["run quick/full-x4-s0", str(run), str(published)]
    assert found[0].blocks == found[1].blocks == found[2].blocks
    assert np.isclose(found[0].blocks[0].entropy, expected_entropy(model, image))


def test_a_run_is_looked_at_as_what_it_is(spinbench: Spinbench, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(picture(60, 60)).save(path)
    run = run_of(tmp_path / "run", "spin", 2, {"blocks": 1, "arrangement": "parallel"})
    spinbench(path, "--weights", run)
    facts = read(spinbench)
    assert (facts.network, facts.source, facts.scale, facts.depth) == ("Mine (run)", str(run), 2, 1)
    for arguments, words in (
        (["--network", "full"], "requested blocks 8, arrangement sequential, but .* says blocks 1, arrangement par"),
        (["--network", "spin", "--scale", 4], "requested x4, but .* says x2"),
    ):
        with pytest.raises(SpinbenchError, match=words):
            spinbench(path, "--weights", run, *arguments, "--name", "other")


def save(model: nn.Module, path: Path) -> None:
    safetensors.torch.save_file(model.state_dict(), path)


def expected_entropy(model: nn.Module, image: Path) -> float:
    assert isinstance(model, SPIN)
    _, pair = image_pair(str(image), 4)
    return float(seen.assignment(seen.observe(model, pair.lr, CPU)[1]).entropy.mean(dtype=np.float64))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--untrained", "--weights", "w"], "expected one of them"),
        (["--untrained", "--protocol", "cpu"], "--protocol cpu: does not apply to --untrained"),
        (["--untrained", "--at", "3"], "expected x,y"),
        (["--untrained", "--at", "3,y"], "expected whole numbers"),
        (["--untrained", "--network", "patch"], "has no superpixels"),
        (["--untrained", "--network", "imdn"], "imdn: has no superpixels"),
        (["--network", "full"], "no trained weights"),
        (["--untrained", "--scale", "8"], "scale must be one of"),
        (["--untrained", "--name", "A/b"], "--name 'A/b'"),
    ],
)
def test_mistakes_are_told(spinbench: Spinbench, image: Path, arguments: list[str], words: str) -> None:
    with pytest.raises(SpinbenchError, match=words):
        spinbench(image, *arguments)
    assert pictures.load_pictures(spinbench.folder) == []


def test_a_small_image_is_told(spinbench: Spinbench, tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    Image.fromarray(picture(80, 120)).save(path)
    with pytest.raises(SpinbenchError, match=r"small.png: SPIN needs an input of at least 24.*not 20x30"):
        spinbench(path, "--untrained")
