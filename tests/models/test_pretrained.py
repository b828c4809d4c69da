"""The weights that come with the suite are those of a committed run, and their card tells what its files give."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import models
import results
from benchmarks import networks
from results.quality import read_quality
from tests.spinbench.commands import spinbench

RUN = results.MEASURED / "cpu-short" / "full-x4-s0"
CARD = Path(models.__file__).parent / "pretrained" / "README.md"


def test_they_are_the_weights_of_the_committed_run() -> None:
    recorded = results.Run.at(RUN).provenance()["train"]["products"]["weights.safetensors"]
    assert results.sha256(models.pretrained_file("spin", 4)) == recorded
    assert models.pretrained_file("SPIN", 4) == models.pretrained_file("spin", 4)


def test_a_network_with_them_is_ready() -> None:
    network = models.load_pretrained("spin", 4)
    assert not network.training
    lr = torch.full((1, 3, 24, 28), 0.5)
    with torch.no_grad():
        sr = network(lr)
    assert sr.shape == (1, 3, 96, 112) and (sr - 0.5).abs().max() < 0.1  # a random network is nowhere near


def test_where_there_are_none_those_at_hand_are_named() -> None:
    with pytest.raises(ValueError, match="spin x2: no weights come with the suite, only those of spin x4"):
        models.load_pretrained("spin", 2)
    with pytest.raises(networks.NetworkError, match="imdn x4: no weights come with the suite"):
        networks.load("imdn", "pretrained")
    with pytest.raises(networks.NetworkError, match="requested blocks 4"):
        networks.load("spin", "pretrained", config={"blocks": 4})


def test_messages_say_that_they_are_far_from_converged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 28, 3), dtype=np.uint8)).save("photo.png")
    done = spinbench("upscale", "photo.png")
    assert done.returncode == 0, done.stderr
    assert "spin x4, trained with this suite (750 steps, far from converged)" in done.stdout
    with Image.open("upscaled/photo.png") as sr:
        assert sr.size == (112, 96)


def test_another_choice_of_weights_without_a_network_is_refused_in_its_own_words(tmp_path: Path) -> None:
    done = spinbench("upscale", tmp_path / "photo.png", "--untrained")
    assert done.returncode != 0 and "--weights and" not in done.stderr and "no --model" in done.stderr


def test_the_card_tells_what_the_files_give() -> None:
    card = CARD.read_text(encoding="utf-8")
    rows = re.findall(r"\| (\w+) \| (\d+)[^|]* \| ([\d.]+), ([\d.]+) \| ([\d.]+), ([\d.]+) \| ([\d.]+), ([\d.]+)", card)
    printed = results.published("table2.csv").query("method == 'Full'").set_index("dataset")
    folders = RUN, RUN.with_name("bicubic-x4-s0")
    stored = [frame[frame.convention == "rcan"] for frame in (read_quality(one / "quality.csv") for one in folders)]
    assert {row[0] for row in rows} == set(stored[0].dataset)
    for name, images, *told in rows:
        own, bicubic = (frame[frame.dataset == name] for frame in stored)
        assert int(images) == len(own)
        pairs = [(frame.psnr.mean(), frame.ssim.mean()) for frame in (own, bicubic)]
        pairs.append((printed.psnr[name], printed.ssim[name]))
        assert told == [text for psnr, ssim in pairs for text in (f"{psnr:.2f}", f"{ssim:.4f}")]
        assert own.psnr.mean() > bicubic.psnr.mean()
    parameters = sum(one.numel() for one in models.load_pretrained("spin", 4).parameters())
    assert f"{parameters:,} parameters" in card
