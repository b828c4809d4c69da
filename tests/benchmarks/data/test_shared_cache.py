"""A cache folder that a lab shares and that cannot be written: what it holds is used in place, the rest made beside."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.data import datasets
from benchmarks.data.decoded import decoded


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_read_only_cache_is_completed_in_a_folder_of_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, own, images = tmp_path / "lab", tmp_path / "home" / "spin-bench", tmp_path / "images"
    monkeypatch.setenv("SPINBENCH_DATA", str(shared))
    monkeypatch.setenv("XDG_CACHE_HOME", str(own.parent))
    images.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(noise).save(images / "a.png")
    decoded(datasets.get(str(images)), 2)
    access, before = os.access, files(shared)
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: access(path, mode) and not (mode & os.W_OK and Path(path).is_relative_to(shared)),
    )
    (in_place,) = decoded(datasets.get(str(images)), 2)
    assert not own.exists() and all(one.file.is_relative_to(shared) for one in in_place)
    Image.fromarray(255 - noise).save(images / "b.png")
    first, second = decoded(datasets.get(str(images)), 2)
    assert first == in_place and all(one.file.parent == own / "decoded" for one in second)
    assert np.array_equal(second[0].rows(0, 24), 255 - noise)
    assert files(shared) == before


def test_what_a_killed_process_left_is_swept_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path))
    (tmp_path / "images").mkdir()
    Image.new("RGB", (24, 24)).save(tmp_path / "images" / "a.png")
    (tmp_path / "decoded").mkdir()
    (tmp_path / "decoded" / f".{64 * 'a'}.npy.ab1_cd2x").write_bytes(b"a part")
    ((hr, lr),) = decoded(datasets.get(str(tmp_path / "images")), 2)
    assert set((tmp_path / "decoded").iterdir()) - {tmp_path / "decoded" / ".lock"} == {hr.file, lr.file}
