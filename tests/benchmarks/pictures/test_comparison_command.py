"""`spinbench picture compare`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
import typer.testing
from PIL import Image

import models
from benchmarks.data import datasets
from benchmarks.data.pairs import Pair
from benchmarks.data.resize import imresize
from benchmarks.measure import evaluation
from benchmarks.measure.quality import eight_bit
from benchmarks.pictures.named import named_network
from foundation import SpinbenchError
from results import Run, pictures
from results.comparison import Box, Comparison
from results.quality import QUALITY_COLUMNS
from spinbench import pictures as cli_pictures
from tests.benchmarks.pictures.noise import CPU, RGB, SCALE, noise, trained

Picture = Callable[..., tuple[str, BaseException | None]]


@pytest.fixture
def picture() -> Picture:
    """Output of `spinbench picture` in this process, and what stopped it."""

    def run(*arguments: object) -> tuple[str, BaseException | None]:
        threads = torch.get_num_threads()
        found = typer.testing.CliRunner().invoke(cli_pictures.app, [str(each) for each in arguments])
        torch.set_num_threads(threads)
        return " ".join(found.output.split()), found.exception

    return run


@pytest.fixture
def espcn(tmp_path: Path) -> list[str]:
    """Two ESPCN x2 of random weights, as a user names them."""
    files = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        file = tmp_path / f"espcn-{seed}.safetensors"
        safetensors.torch.save_file(models.build("espcn", 2).state_dict(), file)
        files.append(f"espcn={file}")
    return files


def test_compare(picture: Picture, espcn: list[str], tmp_path: Path) -> None:
    networks = ["--networks", f"bicubic,{espcn[0]}", "--networks", espcn[1]]
    common = ["--image", "embedded-test/chelsea", "--scale", 2, "--results", tmp_path, "--device", "cpu"]
    output, error = picture("compare", *networks, *common)
    assert error is None, error
    (stored,) = pictures.load_pictures(tmp_path)
    assert stored.name == "comparison-embedded-test-chelsea-x2"
    facts = Comparison.of(stored)
    assert facts.image == "embedded-test/chelsea"
    assert [panel.name for panel in facts.panels] == ["bicubic", "espcn", "espcn"]
    assert facts.panels[1].crop != facts.panels[2].crop
    assert f"box {facts.box}: {facts.box_rule}" in output
    assert "[3/3]" in output
    # the values are those of an evaluation of the set
    upscale = evaluation.network_upscale(named_network(espcn[0], 2, "table1", "published").module(), CPU)
    for panel, upscaler in zip(facts.panels, (evaluation.bicubic_upscale(2), upscale), strict=False):
        rows = evaluation.evaluate(upscaler, datasets.get("embedded-test"), 2, limit=1)
        (row,) = rows[rows.image == "chelsea"].to_dict("records")
        assert (panel.whole.psnr, panel.whole.ssim) == (row["psnr"], row["ssim"])
    one = datasets.get("embedded-test").pair("chelsea", 2)
    with Image.open(stored.folder / facts.panels[1].crop) as image:
        assert np.array_equal(np.array(image), eight_bit(upscale(one.lr))[facts.box.place])

    output, error = picture("compare", *networks, *common, "--box", "10,20,30,40", "--name", "mine")
    assert error is None, error
    mine = next(each for each in pictures.load_pictures(tmp_path) if each.name == "mine")
    assert Comparison.of(mine).box == Box(x=10, y=20, width=30, height=40)
    assert Comparison.of(mine).box_rule == "chosen by hand"


def test_the_image_and_the_networks_are_found(
    picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything by default, where the weights of a single variant are at hand."""
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))
    trained(tmp_path, "quick")
    for variant, chelsea in {"bicubic": 28.0, "full": 27.0}.items():
        rows = pd.DataFrame({"image": ["chelsea", "coffee"], "psnr": [chelsea, 30.0]})
        rows = rows.assign(dataset="embedded-test", lr_origin="imresize-symmetric", convention="rcan", ssim=0.9)
        run = Run("quick", variant, SCALE, 0, tmp_path)
        if variant == "bicubic":
            run.describe({"source": "baseline"}, {})
        run.write("quality.csv", rows[QUALITY_COLUMNS].to_csv(index=False))
    monkeypatch.setattr(  # a small part of the set: SPIN takes its time
        datasets.Dataset, "pair", lambda self, image, scale: Pair(image, *_small(), "imresize-symmetric")
    )
    output, error = picture("compare", "table2", "--protocol", "quick", "--results", tmp_path, "--device", "cpu")
    assert error is None, error
    (stored,) = pictures.load_pictures(tmp_path)
    facts = Comparison.of(stored)
    assert facts.image == "embedded-test/chelsea"
    assert facts.image_rule.startswith("of 2 measured images, the one on which 2 methods are furthest apart (1.00 dB")
    assert [panel.name for panel in facts.panels] == ["bicubic", "full"]
    assert facts.panels[1].source == "run quick/full-x4-s0"
    assert "left out: svq x4: no trained weights" in output


def _small() -> tuple[RGB, RGB]:
    hr = noise(0, 128, 128)
    return hr, imresize(hr, 1 / SCALE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--image", "embedded-test/tea"], "has no image 'tea', expected one of chelsea, coffee"),
        (["--image", "absent.png"], "image 'absent.png': no such file"),
        (["--box", "1,2,3"], "--box 1,2,3: expected x,y,width,height, such as"),
        (["--box", "1,2,a,4"], "--box a: expected whole numbers"),
        (["--box", "1,2,0,40"], "--box 1,2,0,40: expected x,y,width,height"),
        (["--box", "440,0,20,20"], "box 440,0,20,20: reaches outside of chelsea, 448x300 pixels"),
        (["--networks", "spin"], "full x4: no trained weights, expected "),
        (["--networks", "espcn=absent.safetensors"], "absent.safetensors: no such file"),
        (["--name", "My Picture"], "--name 'My Picture': expected lower-case letters"),
        (["--scale", "5"], "scale 5, expected one of 2, 3, 4"),
    ],
)
def test_wrong_arguments_get_one_clear_line(picture: Picture, tmp_path: Path, arguments: list[str], words: str) -> None:
    defaults = {"--image": "embedded-test/chelsea", "--networks": "bicubic", "--results": str(tmp_path)}
    options = {**defaults, **dict(zip(arguments[::2], arguments[1::2], strict=True))}
    _, error = picture("compare", *(word for option in options.items() for word in option))
    assert isinstance(error, SpinbenchError), error
    assert words in str(error)
    assert "\n" not in str(error)
    assert not (tmp_path / "pictures").exists()
