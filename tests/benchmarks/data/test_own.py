"""A user's own LR images: their names, the layouts in which they lie, and what makes them no pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.data import datasets
from benchmarks.data.images import DataError
from benchmarks.data.patches import PatchBatches
from foundation.image_sets import ImageSet
from tests.benchmarks.data.own_images import photograph, reduced, save

NAMES = ["a", "b"]
SUFFIXES = ["", "x4", "_x4", "-X4", "_LR", "_SRF_4_LR", "_bicLRx4", "_LRBI_x4", "LRBI_x4"]


def given(folder: Path, hr: str, lr: str, scale: int = 4) -> None:
    """Two HR images and their LR images; `hr` and `lr` are paths with {} for the name of the image."""
    for phase, name in enumerate(NAMES):
        image = photograph(phase=phase)
        save(image, folder / hr.format(name))
        save(reduced(image, scale), folder / lr.format(name))


def check(dataset: datasets.Dataset, scale: int = 4) -> None:
    """Each pair has the LR image of its own HR image, byte for byte."""
    assert dataset.lr_origin(scale) == "given"
    pairs = list(dataset.pairs(scale))
    assert [pair.name for pair in pairs] == NAMES
    for phase, pair in enumerate(pairs):
        np.testing.assert_array_equal(pair.hr, photograph(phase=phase))
        np.testing.assert_array_equal(pair.lr, reduced(photograph(phase=phase), scale))
        assert pair.lr_origin == "given"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_lr_images_of_a_folder_are_found_by_the_usual_names(tmp_path: Path, suffix: str) -> None:
    given(tmp_path, "hr/{}.png", f"lr/{{}}{suffix}.png")
    check(datasets.get(str(ImageSet(f"{tmp_path}/hr", f"{tmp_path}/lr"))))


@pytest.mark.parametrize("suffix", SUFFIXES[1:])
def test_lr_images_beside_hr_images_are_never_hr_images(tmp_path: Path, suffix: str) -> None:
    hr = "{}_SRF_4_HR.png" if "SRF" in suffix else "{}.png"
    given(tmp_path, hr, f"{{}}{suffix}.png")
    check(datasets.get(str(tmp_path)))


def test_layout_of_edsr(tmp_path: Path) -> None:
    given(tmp_path, "Mine_HR/{}.png", "Mine_LR_bicubic/X4/{}x4.png")
    given(tmp_path, "Mine_HR/{}.png", "Mine_LR_bicubic/X2/{}x2.png", 2)
    dataset = datasets.get(str(tmp_path))
    assert dataset.name == f"folder:{tmp_path.name}"
    check(dataset, 2)
    check(dataset, 4)
    assert dataset.lr_origin(3) == "imresize-symmetric"


def test_layout_of_selfexsr(tmp_path: Path) -> None:
    for scale in (2, 4):
        given(
            tmp_path, f"image_SRF_{scale}/{{}}_SRF_{scale}_HR.png", f"image_SRF_{scale}/{{}}_SRF_{scale}_LR.png", scale
        )
        save(photograph(), tmp_path / f"image_SRF_{scale}" / f"a_SRF_{scale}_bicubic.png")
    for scale in (2, 4):
        check(datasets.get(str(tmp_path)), scale)
        check(datasets.get(str(tmp_path / f"image_SRF_{scale}")), scale)


def test_names_that_only_look_like_lr_stay_hr(tmp_path: Path) -> None:
    for name in ("0801x4", "colLR", "boy_x2"):
        save(photograph(), tmp_path / f"{name}.png")
    dataset = datasets.get(str(tmp_path))
    assert dataset.hr_names() == ["0801x4", "boy_x2", "colLR"]
    assert dataset.lr_origin(4) == "imresize-symmetric"


def test_missing_partners_on_both_sides_are_one_line(tmp_path: Path) -> None:
    given(tmp_path, "hr/{}.png", "lr/{}x4.png")
    (tmp_path / "lr" / "ax4.png").rename(tmp_path / "lr" / "cx4.png")
    dataset = datasets.get(f"{tmp_path}/hr lr={tmp_path}/lr")
    for use in (dataset.checksum, dataset.missing, lambda scale: dataset.pair("b", scale)):
        with pytest.raises(DataError, match=r"lr: .*at x4: no LR image for a, no HR image for cx4\.png$"):
            use(4)
    with pytest.raises(DataError, match="lr: no LR images of x2, expected one for each image of"):
        dataset.checksum(2)
    save(reduced(photograph()), tmp_path / "lr" / "b_LR.png")
    with pytest.raises(DataError, match=r"b_LR\.png and bx4\.png are LR images of one HR image"):
        datasets.get(f"{tmp_path}/hr lr={tmp_path}/lr").checksum(4)


def test_sizes_and_colours_of_a_pair(tmp_path: Path) -> None:
    given(tmp_path, "hr/{}.png", "lr/{}.png")
    dataset = datasets.get(f"{tmp_path}/hr lr={tmp_path}/lr")
    with pytest.raises(DataError, match=r"lr/a\.png: 12x16, expected 24x32, 1/2 of a\.png"):
        dataset.pair("a", 2)
    save(reduced(photograph()).convert("L"), tmp_path / "lr" / "a.png")
    with pytest.raises(DataError, match=r"lr/a\.png: grey, but .*hr/a\.png has colours"):
        dataset.pair("a", 4)
    save(photograph().convert("L"), tmp_path / "hr" / "a.png")
    assert dataset.pair("a", 4).lr_origin == "given"


def test_given_lr_images_are_part_of_the_identity_and_of_training(tmp_path: Path) -> None:
    given(tmp_path, "hr/{}.png", "lr/{}x4.png")
    made, own = datasets.get(f"{tmp_path}/hr"), datasets.get(f"{tmp_path}/hr lr={tmp_path}/lr")
    before = own.checksum(4)
    assert before != made.checksum(4)
    lr, _ = PatchBatches(own, 4, 12, 1, seed=0, augment=False).batch(0)
    rows = [np.asarray(reduced(photograph(phase=phase))).transpose(2, 0, 1) for phase in range(2)]
    assert any((lr[0].numpy() == each[:, :, x : x + 12]).all() for each in rows for x in range(5))
    save(reduced(photograph(phase=9)), tmp_path / "lr" / "ax4.png")
    assert datasets.get(f"{tmp_path}/hr lr={tmp_path}/lr").checksum(4) != before


@pytest.mark.parametrize(("suffix", "kind"), [("jfif", "JPEG"), ("jpe", "JPEG"), ("ppm", "PPM"), ("PGM", "PPM")])
def test_other_suffixes_of_the_same_formats(tmp_path: Path, suffix: str, kind: str) -> None:
    image = photograph().convert("L" if suffix == "PGM" else "RGB")
    image.save(tmp_path / f"a.{suffix}", format=kind)
    pixels = datasets.get(str(tmp_path)).hr("a", 4)
    if kind == "PPM":
        np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))
    assert pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("header", [b"P6 2 2 65535\n", b"P5 2 2 1023\n", b"P5 2 2 65535\n"])
def test_deep_ppm_is_refused(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "a.ppm").write_bytes(header + bytes(24))
    with pytest.raises(DataError, match=r"a\.ppm: more than 8 bit per channel"):
        datasets.get(str(tmp_path)).hr("a", 2)
