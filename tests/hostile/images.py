"""Images that are none, that fill the memory, or that end in the middle, through evaluate, upscale and run."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tests.hostile.launcher import Place
from tests.hostile.tally import Attempt


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, pixels: bytes, *more: bytes) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _noise(size: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8))


def _saved(kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    _noise().save(content, kind, **options)  # type: ignore[arg-type]
    return content.getvalue()


def _bomb() -> bytes:
    """50,000 x 50,000 pixels, 7.5 GB, in some kilobytes."""
    return _png(50_000, 50_000, zlib.compress(bytes(2**20)))


def _inflating_text() -> bytes:
    """A remark that inflates to 1 GB."""
    deflate = zlib.compressobj(9)
    content = b"".join(deflate.compress(bytes(2**24)) for _ in range(64)) + deflate.flush()
    return _png(32, 32, zlib.compress(bytes(32 * 97)), _chunk(b"zTXt", b"a\0\0" + content))


def _inflating_profile() -> bytes:
    deflate = zlib.compressobj(9)
    content = b"".join(deflate.compress(bytes(2**24)) for _ in range(64)) + deflate.flush()
    return _png(32, 32, zlib.compress(bytes(32 * 97)), _chunk(b"iCCP", b"a\0\0" + content))


def _tiff_loop() -> bytes:
    """A directory that follows itself."""
    entry = struct.pack("<HHII", 0x100, 3, 1, 32) + struct.pack("<HHII", 0x101, 3, 1, 32)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 2) + entry + struct.pack("<I", 8)


def _tiff_offsets() -> bytes:
    entry = struct.pack("<HHII", 0x111, 4, 2**31 - 1, 0xFFFFFFF0)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + struct.pack("<I", 0)


def _exif(value: int = 255) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return _saved("JPEG", exif=exif)


def _bmp() -> bytes:
    return b"BM" + struct.pack("<IIIIiiHH", 99, 0, 54, 40, 2**30, 2**30, 1, 24) + bytes(99)


INPUTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "bomb.png": ("image bombs", _bomb),
    "text.png": ("image bombs", _inflating_text),
    "profile.png": ("image bombs", _inflating_profile),
    "bomb.ppm": ("image bombs", lambda: b"P6 60000 60000 255\n" + bytes(99)),
    "bomb.bmp": ("image bombs", _bmp),
    "loop.tif": ("damaged images", _tiff_loop),
    "offsets.tif": ("damaged images", _tiff_offsets),
    "cut.png": ("damaged images", lambda: _saved("PNG")[:-40]),
    "cut.jpg": ("damaged images", lambda: _saved("JPEG")[:-200]),
    "cut.webp": ("damaged images", lambda: _saved("WEBP")[:100]),
    "turned.jpg": ("damaged images", _exif),
    "script.png": ("damaged images", lambda: b"#!/bin/sh\ntouch ../executed\n"),
    "eps.png": ("damaged images", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(../executed) (w) file\n"),
}  # fmt: skip


def _made(name: str, make: Callable[[], bytes], command: str, place: Place) -> Sequence[object]:
    folder = place.inside / "set"
    folder.mkdir()
    (folder / name).write_bytes(make())
    if command == "evaluate":
        return ["evaluate", "bicubic", "--data", "set", "--scale", 2]
    return ["upscale", Path("set") / name, "--model", "bicubic", "--scale", 2, "--output", "out"]


def attempts() -> Iterator[Attempt]:
    for name, (kind, make) in INPUTS.items():
        for command in ("evaluate", "upscale"):
            yield Attempt(kind, f"{name}, {command}", partial(_made, name, make, command), "set")
