"""Reading images: every kind is read exactly or refused in one line that names the file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.data.images import DataError, read_image

RGB = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_image(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def png_16_bit(path: Path, colour_type: int, channels: int) -> Path:
    """A PNG of 16 bit per channel, built by hand: Pillow writes none with colours."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 4, 4, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(range(4 * channels * 2)) for _ in range(4))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_rgb_is_read_exactly(tmp_path: Path, suffix: str) -> None:
    path = saved(Image.fromarray(RGB), tmp_path / f"a{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
    np.testing.assert_array_equal(read_image(path), RGB)


def test_grey_and_one_bit_become_three_equal_channels(tmp_path: Path) -> None:
    grey = read_image(saved(Image.fromarray(GREY), tmp_path / "grey.png"))
    np.testing.assert_array_equal(grey, np.stack([GREY] * 3, axis=2))
    bits = GREY > 127
    one_bit = read_image(saved(Image.fromarray(bits), tmp_path / "bits.png"))
    np.testing.assert_array_equal(one_bit, np.stack([bits * np.uint8(255)] * 3, axis=2))


def test_palette_becomes_its_colours(tmp_path: Path) -> None:
    palette = Image.fromarray(RGB).quantize(8)
    path = saved(palette, tmp_path / "palette.png")
    np.testing.assert_array_equal(read_image(path), np.array(palette.convert("RGB")))


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", RGB), ("LA", np.stack([GREY] * 3, axis=2))])
def test_alpha_is_read_when_opaque_and_refused_when_not(tmp_path: Path, mode: str, colour: np.ndarray) -> None:
    image = Image.fromarray(colour).convert(mode)
    np.testing.assert_array_equal(read_image(saved(image, tmp_path / "opaque.png")), colour)
    image.putpixel((2, 3), (0, 0, 0, 254)[-len(mode) :])
    assert "transparent" in refusal(saved(image, tmp_path / "holes.png"))


def test_transparent_palette_entry_and_colour_key_are_refused(tmp_path: Path) -> None:
    palette = Image.fromarray(RGB).quantize(8)
    assert "transparent" in refusal(saved(palette, tmp_path / "palette.png", transparency=palette.getpixel((0, 0))))
    key = tuple(int(value) for value in RGB[0, 0])
    assert "transparent" in refusal(saved(Image.fromarray(RGB), tmp_path / "key.png", transparency=key))


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bit_png_is_refused(tmp_path: Path, colour_type: int, channels: int) -> None:
    assert "more than 8 bit" in refusal(png_16_bit(tmp_path / "deep.png", colour_type, channels))


def test_float_and_cmyk_and_several_frames_are_refused(tmp_path: Path) -> None:
    float_tiff = saved(Image.fromarray(GREY.astype(np.float32)), tmp_path / "float.tif")
    assert "floating-point values, expected 8 bit" in refusal(float_tiff)
    assert "CMYK" in refusal(saved(Image.fromarray(RGB).convert("CMYK"), tmp_path / "print.jpg"))
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1])]
    assert "2 frames" in refusal(saved(frames[0], tmp_path / "pages.tif", save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = saved(image, tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    for part in (0.02, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * part)])
        refusal(path)


def test_no_flipped_bit_of_a_png_gives_other_pixels(tmp_path: Path) -> None:
    path = saved(Image.fromarray(RGB // 64), tmp_path / "flipped.png")
    pixels, whole = read_image(path), path.read_bytes()
    refused = 0
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            np.testing.assert_array_equal(read_image(path), pixels)
        except DataError:
            refused += 1
    assert refused > 7 * len(whole)


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    assert "not an image" in refusal(text)
    postscript = tmp_path / "script.png"  # Pillow would hand it to an interpreter
    postscript.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 5\n")
    assert "not an image" in refusal(postscript)
    assert "no such file" in refusal(tmp_path / "absent.png")
    refusal(tmp_path)  # a folder


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert "too large" in refusal(saved(Image.fromarray(RGB), tmp_path / "bomb.png"))
