"""Sets of images: what they are, what is missing, and pairs of the right size and origin."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.data import datasets
from benchmarks.data.archives import archive_file
from benchmarks.data.datasets import SETS
from benchmarks.data.images import DataError, read_image
from benchmarks.data.pairs import SCALES, Dataset
from benchmarks.data.registry import Entry, entries
from benchmarks.data.resize import imresize

RANDOM = np.random.default_rng(0)
ALWAYS_KNOWN = [name for name in SETS if name != "Manga109"]


def image_file(path: Path, height: int = 13, width: int = 10) -> np.ndarray:
    pixels = RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.mark.parametrize("name", ALWAYS_KNOWN)
def test_every_set_is_complete_in_the_registry(name: str) -> None:
    dataset = datasets.get(name)
    assert len(dataset.hr_names()) == SETS[name].images
    assert dataset.hr_names() == sorted(dataset.hr_names())
    for sources in [*dataset.hr_sources.values(), *dataset.lr_sources.values()]:
        assert sorted(sources) == dataset.hr_names()
    for scale in SCALES:
        assert len(dataset.checksum(scale)) == 64


def test_registered_hashes_are_hashes_and_each_file_is_named_once() -> None:
    rows = [entry for name in ALWAYS_KNOWN for entry in entries(name)]
    assert len({row.path for row in rows}) == len(rows)
    digits = set("0123456789abcdef")
    for row in rows:
        algorithm, _, digest = row.hash.rpartition(":")
        assert (algorithm, len(digest)) in {("", 64), ("md5", 32)}
        assert set(digest) <= digits
    assert Counter(row.kind for row in rows) == {"image": 1014, "packaged": 7, "archive": 5}


def test_registered_sizes_are_those_of_the_mirror(mirror_folder: Path) -> None:
    rows = [entry for name in ALWAYS_KNOWN for entry in entries(name) if entry.kind == "image"]
    files = {row.path: mirror_folder / row.path for row in rows}
    sizes = {row.path: row.bytes for row in rows if files[row.path].exists()}
    assert sizes == {path: file.stat().st_size for path, file in files.items() if file.exists()}


def test_names_are_short_and_stable() -> None:
    first = {name: datasets.get(name).hr_names()[0] for name in ALWAYS_KNOWN}
    assert first["embedded-test"] == "chelsea"
    assert first["Set5"] == first["Urban100"] == "img_001"
    assert first["Set5-symmetric"] == "baby"
    assert first["DIV2K-train"] == "0001"
    assert datasets.get("DIV2K-valid").hr_names()[-1] == "0900"


def test_embedded_sets_need_nothing_and_do_not_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))
    train, test = datasets.get("embedded-train"), datasets.get("embedded-test")
    assert not set(train.hr_names()) & set(test.hr_names())
    assert {"motorcycle_left", "motorcycle_right"} <= set(train.hr_names())
    for dataset in (train, test):
        for scale in SCALES:
            assert dataset.missing(scale) == []
            assert [pair.name for pair in dataset.pairs(scale)] == dataset.hr_names()


@pytest.mark.parametrize("scale", SCALES)
def test_made_lr_is_imresize_of_the_cropped_hr(scale: int) -> None:
    for pair in datasets.get("embedded-test").pairs(scale):
        assert pair.hr.shape == (pair.lr.shape[0] * scale, pair.lr.shape[1] * scale, 3)
        assert pair.lr_origin == "imresize-symmetric"
        np.testing.assert_array_equal(pair.lr, imresize(pair.hr, 1 / scale))


def test_stored_sets_of_the_mirror(mirror_folder: Path) -> None:
    for name, origin in [("Set5", "stored-replicate"), ("Set5-symmetric", "stored-symmetric")]:
        for scale in SCALES:
            pairs = list(datasets.get(name).pairs(scale))
            assert [pair.lr_origin for pair in pairs] == [origin] * 5
            assert all(pair.hr.shape[:2] == tuple(scale * n for n in pair.lr.shape[:2]) for pair in pairs)


def test_urban100_is_stored_for_x4_only(mirror_folder: Path) -> None:
    urban = datasets.get("Urban100")
    assert [urban.lr_origin(scale) for scale in SCALES] == ["imresize-replicate"] * 2 + ["stored-replicate"]
    image = next(name for name in urban.hr_names() if name not in urban.missing(3))
    pair = urban.pair(image, 3)
    np.testing.assert_array_equal(pair.lr, imresize(pair.hr, 1 / 3, "replicate"))


def test_an_incomplete_mirror_is_told_and_the_rest_is_used(mirror_folder: Path, tmp_path, monkeypatch) -> None:
    dataset = datasets.get("Set5")
    for image in ("img_002", "img_004"):
        for role in (dataset.hr_sources, dataset.lr_sources):
            path = role[4][image].path
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes((mirror_folder / path).read_bytes())
    (tmp_path / dataset.lr_sources[4]["img_004"].path).unlink()
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))
    assert dataset.missing(4) == ["img_001", "img_003", "img_004", "img_005"]
    assert [pair.name for pair in dataset.pairs(4)] == ["img_002"]
    with pytest.raises(DataError, match=r"img_001_SRF_2_HR\.png: not in the mirror"):
        list(dataset.pairs(2))
    monkeypatch.setenv("SPINBENCH_MIRROR", "http://127.0.0.1:9")
    assert dataset.missing(4) == []


def test_checksums_tell_sets_scales_and_origins_apart() -> None:
    checksums = [datasets.get(name).checksum(scale) for name in ("Set5", "Set5-symmetric", "Set14") for scale in SCALES]
    assert len(set(checksums)) == len(checksums)
    dataset = datasets.get("Urban100")
    other_border = Dataset(dataset.name, dataset.hr_sources, dataset.lr_sources, "symmetric")
    assert dataset.checksum(2) != other_border.checksum(2)


def test_fetch_all_reports_every_file_once(mirror_folder: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    datasets.get("Set5-symmetric").fetch_all(None, lambda *call: calls.append(call))
    assert [call[:2] for call in calls] == [(done, 20) for done in range(1, 21)]
    assert {call[2] for call in calls} == {"baby", "bird", "butterfly", "head", "woman"}


def test_a_folder_of_images(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    pixels = image_file(folder / "b.png")
    image_file(folder / "a.PNG")
    image_file(folder / "deeper" / "c.png")
    (folder / "notes.txt").write_text("not an image")
    dataset = datasets.get(str(folder))
    assert dataset.name == "folder:photos"
    assert dataset.hr_names() == ["a", "b"]
    assert dataset.missing(2) == []
    pair = dataset.pair("b", 4)
    np.testing.assert_array_equal(pair.hr, pixels[:12, :8])
    assert pair.lr.shape == (3, 2, 3)
    before = dataset.checksum(4)
    image_file(folder / "b.png")
    assert datasets.get(str(folder)).checksum(4) != before


def test_bad_folders_and_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no images"):
        datasets.get(str(tmp_path / "empty"))
    image_file(tmp_path / "twice" / "a.png")
    image_file(tmp_path / "twice" / "a.bmp")
    with pytest.raises(DataError, match="distinct names"):
        datasets.get(str(tmp_path / "twice"))
    image_file(tmp_path / "small" / "a.png", 3, 9)
    small = datasets.get(str(tmp_path / "small"))
    with pytest.raises(DataError, match=r"a\.png: 3x9, expected at least 4x4"):
        small.pair("a", 4)
    with pytest.raises(DataError, match="no image 'b', expected one of a"):
        small.pair("b", 2)
    with pytest.raises(DataError, match="scale 8, expected one of 2, 3, 4"):
        small.pair("a", 8)


def test_an_unknown_name_lists_the_names_nearest_first() -> None:
    with pytest.raises(DataError, match="'st5', expected a folder or one of Set5, "):
        datasets.get("st5")
    with pytest.raises(DataError, match="one of Urban100, ") as caught:
        datasets.get("Urban-100")
    assert all(name in str(caught.value) for name in datasets.SETS)


def test_manga109_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"licence.*SPINBENCH_MANGA109"):
        datasets.get("Manga109")
    for number in range(108):
        image_file(tmp_path / "Manga109" / f"title{number}.png", 4, 4)
    with pytest.raises(DataError, match="108 images, expected the 109"):
        datasets.get("Manga109")
    image_file(tmp_path / "Manga109" / "title108.png", 4, 4)
    assert len(datasets.get("Manga109").hr_names()) == 109
    monkeypatch.setenv("SPINBENCH_MANGA109", str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match="elsewhere"):
        datasets.get("Manga109")


@pytest.fixture
def tiny_div2k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """DIV2K-train of two images, whose archives lie in the cache; the HR images by name."""
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))
    images = {name: RANDOM.integers(0, 256, (13, 18, 3), dtype=np.uint8) for name in ("0001", "0002")}
    rows: list[Entry] = []
    for row in entries("DIV2K-train"):
        file = archive_file(row.path)
        file.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(file, "w") as archive:
            for name, hr in images.items():
                member = f"DIV2K_train_HR/{name}.png"
                pixels = hr
                if row.role == "LR":
                    member = f"DIV2K_train_LR_bicubic/X{row.scale}/{name}x{row.scale}.png"
                    height, width = (n // row.scale * row.scale for n in hr.shape[:2])
                    pixels = imresize(hr[:height, :width], 1 / row.scale)
                with archive.open(member, "w") as sink:
                    Image.fromarray(pixels).save(sink, format="png")
        rows.append(row._replace(hash=f"md5:{hashlib.md5(file.read_bytes()).hexdigest()}"))
    monkeypatch.setattr(datasets, "entries", lambda name: tuple(rows))
    monkeypatch.setattr(datasets, "SETS", {"DIV2K-train": datasets.About(2, "training", "")})
    return images


def test_div2k_comes_from_its_archives(tiny_div2k: dict[str, np.ndarray]) -> None:
    dataset = datasets.get("DIV2K-train")
    for scale in SCALES:
        assert dataset.missing(scale) == []
        for pair in dataset.pairs(scale):
            assert pair.lr_origin == "stored-symmetric"
            np.testing.assert_array_equal(pair.hr, tiny_div2k[pair.name][: pair.hr.shape[0], : pair.hr.shape[1]])
    assert dataset.missing(4) == []  # now from the unpacked folders
    dataset.hr_source("0002", 4).locate().unlink()
    assert dataset.missing(4) == ["0002"]
    with pytest.raises(DataError, match=r"0002\.png: no such file.*delete .*DIV2K_train_HR and run again"):
        dataset.pair("0002", 4)
    with pytest.raises(DataError, match=r"0002\.png: missing"):
        dataset.fetch_all()


def test_a_damaged_member_of_an_archive_is_named_with_what_to_delete(tiny_div2k: dict[str, np.ndarray]) -> None:
    dataset = datasets.get("DIV2K-train")
    whole = dataset.pair("0002", 4).hr
    file = dataset.hr_source("0002", 4).locate()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"0002\.png: damaged .*delete .*DIV2K_train_HR and run again") as caught:
        dataset.pair("0002", 4)
    assert "\n" not in str(caught.value)
    shutil.rmtree(str(caught.value).partition("delete ")[2].partition(" and run")[0])
    np.testing.assert_array_equal(dataset.pair("0002", 4).hr, whole)


def test_div2k_without_its_archives_is_missing(tiny_div2k: dict[str, np.ndarray]) -> None:
    dataset = datasets.get("DIV2K-train")
    before = dataset.checksum(4)
    for archive in entries("DIV2K-train"):
        archive_file(archive.path).unlink()
    assert dataset.missing(4) == ["0001", "0002"]
    assert dataset.checksum(4) == before
    with pytest.raises(DataError, match=r"DIV2K_train_HR\.zip: missing; put http"):
        dataset.pair("0001", 4)


def test_a_stored_lr_image_of_the_wrong_size_is_named(tiny_div2k: dict[str, np.ndarray]) -> None:
    dataset = datasets.get("DIV2K-train")
    source = dataset.lr_source("0001", 2)
    assert source is not None
    image_file(source.locate(), 6, 8)
    with pytest.raises(DataError, match=r"0001x2\.png: 6x8, expected 6x9, 1/2 of 0001\.png"):
        dataset.pair("0001", 2)


def test_a_changed_packaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = datasets.get("embedded-test").hr_source("chelsea", 4)
    image_file(tmp_path / "data" / "chelsea.png")
    monkeypatch.setattr("benchmarks.data.sources.resources.files", lambda package: tmp_path)
    with pytest.raises(DataError, match=f"expected {source.content}"):
        source.locate()
    (tmp_path / "data" / "chelsea.png").unlink()
    assert not source.available()
    with pytest.raises(DataError, match=r"constraints\.txt"):
        source.locate()


def test_grey_images_of_a_set_have_three_channels(mirror_folder: Path) -> None:
    pair = datasets.get("Set14").pair("img_003", 2)
    assert pair.hr.shape[2] == pair.lr.shape[2] == 3
    assert (read_image(datasets.get("Set14").hr_source("img_003", 2).locate()) == pair.hr[:, :, :1]).all()


def test_held_out_images_are_apart_from_those_of_training() -> None:
    whole, train, held_out = (datasets.get(f"Sun-Hays80{part}") for part in ("", "-train", "-held-out"))
    assert len(train.hr_names()) == datasets.SETS[train.name].images
    assert held_out.hr_names() == whole.hr_names()[::10]
    assert not set(train.hr_names()) & set(held_out.hr_names())
    assert sorted([*train.hr_names(), *held_out.hr_names()]) == whole.hr_names()
    assert len({each.checksum(4) for each in (whole, train, held_out)}) == 3
