"""Bicubic interpolation, against figures of an independent implementation and published ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks.data import datasets
from benchmarks.data.resize import imresize
from benchmarks.measure.evaluation import (
    bicubic_upscale,
    evaluate,
)
from benchmarks.measure.quality import CONVENTIONS
from tests.benchmarks.measure.small_set import SCALE, lr_image


def test_bicubic_upscale_is_imresize() -> None:
    lr = lr_image()
    sr = bicubic_upscale(3)(lr)
    assert sr.dtype == np.float32
    np.testing.assert_array_equal(np.rint(255 * sr), imresize(lr, 3))


@pytest.fixture(scope="module")
def bicubic(mirror_folder: Path) -> Callable[[str], pd.DataFrame]:
    """Bicubic x4 on the stored LR of a set of the mirror under every convention."""

    @cache
    def evaluated(name: str) -> pd.DataFrame:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SPINBENCH_MIRROR", str(mirror_folder))
            return evaluate(bicubic_upscale(SCALE), datasets.get(name), SCALE, tuple(CONVENTIONS))

    return evaluated


SETS = ["Set5", "Set14", pytest.param("BSDS100", marks=pytest.mark.slow)]


@pytest.mark.parametrize("name", SETS)
def test_bicubic_figures_of_an_independent_implementation(bicubic: Callable[[str], pd.DataFrame], name: str) -> None:
    count, psnr, ssim = {
        "Set5": (5, 28.430, 0.8111), "Set14": (14, 26.091, 0.7048), "BSDS100": (100, 25.962, 0.6681)
    }[name]  # fmt: skip
    rcan = bicubic(name).query("convention == 'rcan'")
    assert len(rcan) == count
    assert set(rcan.lr_origin) == {"stored-replicate"}
    assert rcan.psnr.mean() == pytest.approx(psnr, abs=0.002)
    assert rcan.ssim.mean() == pytest.approx(ssim, abs=0.0002)


@pytest.mark.parametrize("name", SETS)
def test_departures_on_real_images(bicubic: Callable[[str], pd.DataFrame], name: str) -> None:
    frame = bicubic(name)
    effect = frame.groupby("convention").psnr.mean() - frame.query("convention == 'rcan'").psnr.mean()
    assert effect["full-range"] == pytest.approx(20 * np.log10(219 / 255), abs=1e-9)
    assert -2.5 < effect["rgb"] < -1.32
    assert -0.09 < effect["y8"] < -1e-4
    assert 1e-3 < abs(effect["no-border"]) < 0.5
    assert abs(effect["float"]) < 1e-4  # imresize gives 8 bit


def test_published_bicubic_of_set14_has_the_grey_file_in_full_range(
    bicubic: Callable[[str], pd.DataFrame], mirror_folder: Path
) -> None:
    """One image is stored as grey; another is grey too but stored as RGB, and so converted like the rest."""
    files = mirror_folder.glob("jbhuang0604/SelfExSR/*/data/Set14/image_SRF_4/*_HR.png")
    grey = [file.name for file in files if Image.open(file).mode == "L"]
    assert len(grey) == 1
    frame = bicubic("Set14")
    is_grey = [grey[0].startswith(name) for name in frame.image]
    judged = frame[frame.convention == np.where(is_grey, "full-range", "rcan")]
    assert len(judged) == 14
    assert judged.psnr.mean() == pytest.approx(25.997, abs=0.002)  # published: 26.00
    assert judged.ssim.mean() == pytest.approx(0.7029, abs=0.0002)  # published: 0.7027
