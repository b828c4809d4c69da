"""README's pictures, drawn by `nox -s pictures`: they show the committed results, are small, and have white grounds."""

from __future__ import annotations

import re
from typing import Any

import pytest
from PIL import Image

from benchmarks import networks
from benchmarks.data import datasets
from benchmarks.measure.quality import psnr, ssim
from tests.docs.scripts import DOCS, load

NAMES = ("trade-off.png", "comparison.png", "table.png")


@pytest.fixture(scope="module")
def pictures() -> Any:
    return load("pictures")


def facts(pictures: Any, name: str) -> str:
    with Image.open(DOCS / "pictures" / name) as image:
        return str(image.info[pictures.FACTS])


@pytest.mark.parametrize("name", NAMES)
def test_they_are_small_and_legible_on_dark_pages(pictures: Any, name: str) -> None:
    path = DOCS / "pictures" / name
    assert path.stat().st_size <= pictures.MOST
    assert f"(docs/pictures/{name})" in (DOCS.parent / "README.md").read_text("utf-8")
    with Image.open(path) as image:
        pixels = image.convert("RGBA")
        corners = [(x, y) for x in (0, image.width - 1) for y in (0, image.height - 1)]
        assert [pixels.getpixel(corner) for corner in corners] == 4 * [(255, 255, 255, 255)]


def test_there_is_no_other_picture() -> None:
    assert {path.name for path in (DOCS / "pictures").iterdir()} == {*NAMES}


def test_the_points_are_those_of_the_results(pictures: Any) -> None:
    picture = pictures.trade_off()
    assert facts(pictures, "trade-off.png") == pictures.trade_off_facts(picture), "run nox -s pictures"
    assert picture.ours == (pictures.STARRED,)
    assert "SPIN, published: 555,000, 32.48 dB" in facts(pictures, "trade-off.png").splitlines()


def test_the_table_is_that_of_the_results(pictures: Any) -> None:
    assert facts(pictures, "table.png") == pictures.table_facts(), "run nox -s pictures"


@pytest.mark.parametrize("name", ["Bicubic", pytest.param("SPIN, trained briefly", marks=pytest.mark.slow)])
def test_the_crops_are_what_the_networks_give(pictures: Any, name: str) -> None:
    told = facts(pictures, "comparison.png")
    assert told.startswith(f"embedded-test/{pictures.IMAGE} x4\n")
    pair = datasets.get("embedded-test").pair(pictures.IMAGE, 4)
    network = networks.bicubic(4) if name == "Bicubic" else networks.pretrained("spin", 4)
    sr = network.upscale(pair.lr, "cpu")
    ((decibels, similar),) = re.findall(rf"^{name}: ([\d.]+) dB, ([\d.]+)$", told, re.MULTILINE)
    assert psnr(sr, pair.hr, 4) == pytest.approx(float(decibels), abs=0.006)
    assert ssim(sr, pair.hr, 4) == pytest.approx(float(similar), abs=1e-4)


def test_a_picture_that_is_too_large_is_refused(pictures: Any) -> None:
    with pytest.raises(ValueError, match="expected at most 150000"):
        pictures.encoded(Image.effect_noise((512, 512), 90), "noise")
