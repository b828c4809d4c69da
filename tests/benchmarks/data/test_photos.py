"""Pixels mean what the file says: orientation, first pictures, depth, transparency and colour profile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from benchmarks.data import datasets
from benchmarks.data.images import DataError, read_image
from benchmarks.data.photos import read_photo
from benchmarks.data.resize import imresize
from spinbench.sr_images import write_png
from tests.spinbench.commands import spinbench

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (6, 5, 3), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (6, 5, 4), dtype=np.uint16)


def turned(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if path.suffix == ".webp" else {"quality": 100} if path.suffix == ".jpg" else {}
    Image.fromarray(RGB).save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_is_turned(tmp_path: Path, suffix: str, orientation: int) -> None:
    path, plain = turned(tmp_path / f"a{suffix}", orientation), turned(tmp_path / f"plain{suffix}", 1)
    stored = read_image(plain)  # of a JPEG, not exactly those that were saved
    seen = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1], 5: stored.swapaxes(0, 1),
        6: np.rot90(stored, -1), 7: np.rot90(stored, 2).swapaxes(0, 1), 8: np.rot90(stored),
    }  # fmt: skip
    pixels = read_image(path)
    np.testing.assert_array_equal(pixels, seen[orientation])
    np.testing.assert_array_equal(read_photo(path).rgb, pixels)


def test_only_what_is_now_turned_is_another_image(tmp_path: Path) -> None:
    def content(file: Path) -> str:
        return datasets.get(str(file.parent)).hr_source(file.stem, 2).content

    folder = tmp_path / "set"
    folder.mkdir()
    assert len(content(turned(folder / "a.png", 1))) == 64
    assert content(turned(folder / "a.png", 6)).endswith(" upright")
    (folder / "a.png").unlink()
    assert len(content(turned(folder / "a.tif", 6))) == 64


def test_the_first_picture_of_a_phone(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    Image.fromarray(RGB).save(path, format="MPO", save_all=True, append_images=[Image.fromarray(RGB[:3])])
    assert read_image(path).shape == RGB.shape


def test_what_a_file_is_is_said(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.gif")
    with pytest.raises(DataError, match="a GIF, expected PNG"):
        read_photo(tmp_path / "a.gif")
    Image.fromarray(RGB[:, :, 0].astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match="floating-point values, expected 8 bit"):
        read_photo(tmp_path / "a.tif")


def test_16_bit_is_refused_for_measurements_and_upscaled_in_16_bit(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, alpha in (("opaque", None), ("clear", DEEP[:, :, 3])):
        write_png(tmp_path / f"{name}.png", DEEP[:, :, :3], alpha, profile)
        with pytest.raises(DataError, match="more than 8 bit per channel, expected 8 bit"):
            read_image(tmp_path / f"{name}.png")
    Image.fromarray(DEEP[:, :, 0]).save(tmp_path / "grey.png")
    done = spinbench("upscale", tmp_path, "--model", "bicubic", "--scale", 2, "--output", tmp_path / "out")
    assert done.returncode == 0, done
    assert "16 bit, transparency enlarged by bicubic" in done.stdout
    for name in ("opaque", "clear", "grey"):
        given, found = read_photo(tmp_path / f"{name}.png"), read_photo(tmp_path / "out" / f"{name}.png")
        np.testing.assert_array_equal(found.rgb, imresize(given.rgb, 2))
        assert found.profile == (None if name == "grey" else profile)
    np.testing.assert_array_equal(read_photo(tmp_path / "clear.png").rgb, DEEP[:, :, :3])
    alpha = read_photo(tmp_path / "out" / "clear.png").alpha
    assert alpha is not None
    np.testing.assert_array_equal(alpha, imresize(DEEP[:, :, 3], 2))


def test_a_network_takes_16_bit(tmp_path: Path) -> None:
    write_png(tmp_path / "deep.png", DEEP[:, :, :3] // 257 * 257)
    write_png(tmp_path / "plain.png", (DEEP[:, :, :3] // 257).astype(np.uint8))
    use = ["--model", "espcn", "--untrained", "--scale", 2, "--output", tmp_path / "out"]
    assert spinbench("upscale", tmp_path, *use).returncode == 0
    deep, plain = (read_photo(tmp_path / "out" / f"{name}.png").rgb for name in ("deep", "plain"))
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - plain).max() <= 0.5 + 1 / 257
    assert (deep % 257).any()


def test_transparency_and_profile_of_8_bit_are_kept(tmp_path: Path) -> None:
    values = np.dstack([RGB, RANDOM.integers(0, 256, RGB.shape[:2], dtype=np.uint8)])
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=profile)
    assert spinbench("upscale", tmp_path / "a.png", "--model", "bicubic", "--output", tmp_path / "o").returncode == 0
    with Image.open(tmp_path / "o" / "a.png") as image:
        assert (image.mode, image.info["icc_profile"]) == ("RGBA", profile)
        np.testing.assert_array_equal(np.array(image), imresize(values, 4))


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    done = spinbench("upscale", tmp_path, "--model", "bicubic", "--output", tmp_path / "out")
    assert (done.returncode, f"error: {tmp_path}: no images" in done.stderr) == (1, True)
