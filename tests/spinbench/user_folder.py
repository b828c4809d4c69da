"""The folder of a user, with everything that the examples of the commands name."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import models


def furnish(folder: Path, runs: Path) -> None:
    """Put into a folder: results and those of another machine (copies of `runs`), a network, images, a checkpoint."""
    for results in (folder / "results", folder / "other" / "results"):
        shutil.copytree(runs, results / "runs")
    (folder / "net.py").write_text((resources.files("spinbench") / "starter" / "net.py").read_text())
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    (folder / "photos").mkdir()
    Image.fromarray(pixels).save(folder / "photos" / "one.png")
    Image.fromarray(pixels[:48, :48]).save(folder / "photo.png")
    torch.save(models.build("espcn", 2).state_dict(), folder / "checkpoint.pth")
