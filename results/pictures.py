"""Stored pictures: images as networks upscale them, and what networks compute from them.

results/pictures/<name>/
    picture.json   its kind, facts and image files, written last
    *.png          the images
"""

from __future__ import annotations

import io
import json
import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from ablations.fields import Strict
from results import ROOT, ResultsError, plain, write

PictureKind = Literal["comparison", "superpixels", "attribution"]
_PLAIN = "lower-case letters, digits, dots, hyphens and underscores, at most 100"
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Picture:
    """A stored picture. `facts` is its description; `images` are names of PNG files in `folder`."""

    name: str
    kind: PictureKind
    facts: dict[str, Any]
    images: tuple[str, ...]
    folder: Path

    def png(self, image: str) -> bytes:
        """The content of one of its images. Raises ResultsError for a name that it does not list."""
        if image not in self.images:
            raise ResultsError(f"{self.folder}: no image {image!r}, expected one of {', '.join(self.images)}")
        return (self.folder / image).read_bytes()


def check_name(text: str) -> None:
    """Raises ValueError for what cannot name a picture or an image of one."""
    if not _PLAIN_NAME.fullmatch(text):
        raise ValueError(f"{text!r}: expected {_PLAIN}")


class Facts(Strict):
    """The facts of a picture; each kind has its own class of them."""

    @property
    @abstractmethod
    def files(self) -> list[str]:
        """All its images."""

    @classmethod
    def of(cls, picture: Picture) -> Self:
        """The facts of a stored picture. Raises ResultsError where they are not of this kind."""
        path = picture.folder / "picture.json"
        try:
            facts = cls.model_validate(picture.facts)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "facts"
            hint = "; if another version made it, make it again or remove its folder"
            raise ResultsError(f"{path}: {place}: {first['msg']}{hint}") from error
        for file in facts.files:
            if file not in picture.images:
                raise ResultsError(f"{path}: its image {file!r} is not listed")
        return facts


def store_picture(
    name: str,
    kind: PictureKind,
    facts: Mapping[str, Any],
    images: Mapping[str, NDArray[np.uint8]],
    root: Path = ROOT,
) -> Path:
    """Store a picture, in the place of one of the same name, and return its folder.

    `facts` must be plain JSON, without NaN; `images` are uint8, (h, w) or (h, w, 3), by file name, which ends in
    .png. Raises ValueError for names that `check_name` refuses and other pixels, before anything is replaced.
    """
    for text in (name, *images):
        check_name(text)
    for file in images:
        if not file.endswith(".png"):
            raise ValueError(f"{file!r}: expected a name that ends in .png")
    content = {"kind": kind, "facts": plain(dict(facts)), "images": list(images)}
    encoded = {file: _encoded(pixels) for file, pixels in images.items()}
    folder = root / "pictures" / name
    description = folder / "picture.json"
    description.unlink(missing_ok=True)  # while images are replaced there is no picture
    for file, data in encoded.items():
        write(folder / file, data)
    for left in folder.glob("*.png"):
        if left.name not in images:
            left.unlink()
    write(description, json.dumps(content, indent=1, ensure_ascii=False))
    return folder


def load_pictures(root: Path = ROOT) -> list[Picture]:
    """All stored pictures, by kind and name. Raises ResultsError for a damaged one."""
    found = []
    for path in (root / "pictures").glob("*/picture.json"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            kind, facts, images = content["kind"], dict(content["facts"]), tuple(map(str, content["images"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsError(f"{path}: not a picture's description ({error})") from error
        if kind not in get_args(PictureKind):
            raise ResultsError(f"{path}: kind {kind!r}, expected one of {', '.join(get_args(PictureKind))}")
        if not _PLAIN_NAME.fullmatch(path.parent.name):
            raise ResultsError(f"{path}: its folder's name, expected {_PLAIN}")
        for image in images:
            if not _PLAIN_NAME.fullmatch(image) or not (path.parent / image).is_file():
                raise ResultsError(f"{path}: its image {image!r} is not there")
            _check(path.parent / image)
        found.append(Picture(path.parent.name, kind, facts, images, path.parent))
    return sorted(found, key=lambda picture: (get_args(PictureKind).index(picture.kind), picture.name))


def _encoded(pixels: NDArray[np.uint8]) -> bytes:
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels are {pixels.dtype}, expected uint8")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _check(file: Path) -> None:
    try:
        with Image.open(file, formats=["PNG"]) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for what is no PNG, and for damaged ones
        raise ResultsError(f"{file}: not a PNG image ({error})") from error
