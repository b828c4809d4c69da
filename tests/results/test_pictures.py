"""Stored pictures come back as they were, or say what is wrong with them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from results import ResultsError, pictures
from results.comparison import Box, Comparison

FACTS = {"title": "<&> × 中", "values": [1.5, None, True], "nested": {"a": []}}
FILES = ("overview.png", "hr.png", "legend.png", "01-a.png", "01-a-error.png", "hr-view.png", "lr.png", "01-a-view.png")


def pixels(seed: int, *shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def decoded(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        return np.array(image)


def test_pictures_survive(tmp_path: Path) -> None:
    images = {"a.png": pixels(0, 7, 9, 3), "b_2.png": pixels(1, 5, 4)}
    folder = pictures.store_picture("lam-1.x4", "attribution", FACTS, images, tmp_path)
    pictures.store_picture("b", "comparison", {}, {}, tmp_path)
    pictures.store_picture("a", "attribution", {}, {}, tmp_path)
    found = pictures.load_pictures(tmp_path)
    assert [one.name for one in found] == ["b", "a", "lam-1.x4"]  # by kind, then by name
    picture = found[-1]
    assert (picture.kind, picture.facts, picture.images, picture.folder) == (
        "attribution",
        FACTS,
        tuple(images),
        folder,
    )
    for name, expected in images.items():
        assert np.array_equal(decoded(picture.png(name)), expected)
    with pytest.raises(ResultsError, match=r"lam-1.x4: no image '../picture.json', expected one of a.png, b_2.png"):
        picture.png("../picture.json")


def test_no_pictures(tmp_path: Path) -> None:
    assert pictures.load_pictures(tmp_path) == []


def test_the_same_name_replaces_all_of_a_picture(tmp_path: Path) -> None:
    images = {"old.png": pixels(0, 3, 3), "both.png": pixels(1, 3, 3)}
    pictures.store_picture("a", "comparison", {"n": 1}, images, tmp_path)
    folder = pictures.store_picture("a", "superpixels", {"n": 2}, {"both.png": pixels(2, 3, 3)}, tmp_path)
    (picture,) = pictures.load_pictures(tmp_path)
    assert (picture.kind, picture.facts) == ("superpixels", {"n": 2})
    assert np.array_equal(decoded(picture.png("both.png")), pixels(2, 3, 3))
    assert sorted(path.name for path in folder.iterdir()) == ["both.png", "picture.json"]


@pytest.mark.parametrize(
    ("name", "facts", "images"),
    [
        ("../a", {}, {}),
        ("A", {}, {}),
        ("", {}, {}),
        ("a" * 101, {}, {}),
        ("a", {}, {"x/y.png": pixels(0, 2, 2)}),
        ("a", {}, {"x": pixels(0, 2, 2)}),
        ("a", {}, {"x.png": np.zeros((2, 2))}),
        ("a", {"psnr": float("inf")}, {}),
    ],
)
def test_what_cannot_be_stored_replaces_nothing(
    tmp_path: Path, name: str, facts: dict[str, Any], images: dict[str, NDArray[Any]]
) -> None:
    pictures.store_picture("a", "comparison", FACTS, {"x.png": pixels(3, 2, 2)}, tmp_path)
    with pytest.raises(ValueError):
        pictures.store_picture(name, "comparison", facts, images, tmp_path)
    (picture,) = pictures.load_pictures(tmp_path)
    assert picture.facts == FACTS
    assert np.array_equal(decoded(picture.png("x.png")), pixels(3, 2, 2))


def test_a_crash_leaves_no_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures.store_picture("a", "comparison", FACTS, {"x.png": pixels(0, 2, 2), "y.png": pixels(0, 2, 2)}, tmp_path)
    whole = pictures.write

    def full(path: Path, content: bytes) -> None:
        if path.name == "y.png":
            raise OSError("disk full")
        whole(path, content)

    monkeypatch.setattr(pictures, "write", full)
    with pytest.raises(OSError, match="disk full"):
        pictures.store_picture("a", "comparison", {}, {"x.png": pixels(1, 2, 2), "y.png": pixels(1, 2, 2)}, tmp_path)
    assert pictures.load_pictures(tmp_path) == []


def spoil(key: str, value: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        content[key] = value
        path.write_text(json.dumps(content), encoding="utf-8")

    return change


def cut_image(path: Path) -> None:
    image = path.parent / "x.png"
    image.write_bytes(image.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_text("{]["), "a/picture.json: not a picture's description"),
        (lambda path: path.write_text("[]"), "a/picture.json: not a picture's description"),
        (lambda path: path.write_bytes(b"\xff"), "a/picture.json: not a picture's description"),
        (lambda path: path.write_text('{"kind": "comparison"}'), "a/picture.json: not a picture's description"),
        (spoil("facts", 3), "a/picture.json: not a picture's description"),
        (spoil("kind", "<b>"), "a/picture.json: kind '<b>', expected one of comparison, superpixels, attribution"),
        (spoil("kind", []), "a/picture.json: kind"),
        (spoil("images", ["x.png", "gone.png"]), "a/picture.json: its image 'gone.png' is not there"),
        (spoil("images", ["../a/x.png"]), "a/picture.json: its image '../a/x.png' is not there"),
        (cut_image, "a/x.png: not a PNG image"),
        (lambda path: (path.parent / "x.png").write_text("no"), "a/x.png: not a PNG image"),
        (
            lambda path: path.parent.rename(path.parent.parent / "A}"),
            "its folder's name, expected lower-case letters",
        ),
    ],
)
def test_damaged_pictures_are_named(tmp_path: Path, damage: Callable[[Path], object], words: str) -> None:
    damage(pictures.store_picture("a", "comparison", FACTS, {"x.png": pixels(0, 40, 40, 3)}, tmp_path) / "picture.json")
    with pytest.raises(ResultsError) as error:
        pictures.load_pictures(tmp_path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


# comparisons


def facts() -> dict[str, Any]:
    quality = {"psnr": 30.1, "ssim": 0.9}
    panel = {"name": "a", "label": "A", "source": "s", "crop": FILES[3], "error": FILES[4], "view": FILES[7]}
    return {
        "image": "Set5/img_001", "image_rule": "by hand", "scale": 4, "lr_origin": "stored-replicate",
        "size": [40, 30], "box": {"x": 20, "y": 0, "width": 20, "height": 30}, "box_rule": "by hand",
        "shown": {"x": 0, "y": 0, "width": 40, "height": 30}, "overview": FILES[0], "view": FILES[5],
        "crop": FILES[1], "lr_crop": FILES[6], "legend": FILES[2], "largest_error": 12,
        "panels": [{**panel, "whole": quality, "part": {"psnr": None, "ssim": 1.0}}],
    }  # fmt: skip


def stored(root: Path, content: dict[str, Any], files: tuple[str, ...] = FILES) -> pictures.Picture:
    pictures.store_picture("a", "comparison", content, {file: pixels(0, 3, 3) for file in files}, root)
    return pictures.load_pictures(root)[0]


def test_comparisons_survive(tmp_path: Path) -> None:
    expected = Comparison.model_validate(facts())
    assert Comparison.of(stored(tmp_path, expected.model_dump())) == expected
    assert set(expected.files) == set(FILES)
    assert expected.panels[0].part.psnr is None


def test_a_box_indexes_an_array() -> None:
    image = np.arange(30 * 40).reshape(30, 40)
    assert np.array_equal(image[Box(x=20, y=3, width=5, height=7).place], image[3:10, 20:25])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"box": {"x": 21, "y": 0, "width": 20, "height": 30}}, "facts: Value error, box 21,0,20,30 reaches outside"),
        ({"box": {"x": -1, "y": 0, "width": 20, "height": 30}}, "box.x: Input should be greater"),
        ({"panels": []}, "panels: List should have at least 1 item"),
        ({"panels": [{}]}, "panels.0.name: Field required"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"legend": "other.png"}, "its image 'other.png' is not listed"),
    ],
)
def test_facts_that_are_not_those_of_a_comparison_are_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ResultsError) as error:
        Comparison.of(stored(tmp_path, {**facts(), **change}))
    assert str(tmp_path / "pictures" / "a" / "picture.json") in str(error.value)
    assert words in str(error.value)
