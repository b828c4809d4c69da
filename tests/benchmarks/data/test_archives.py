"""Unpacking archives from outside: complete or not at all, and inside their folder."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from pathlib import Path

import pytest

from benchmarks.data import archives
from benchmarks.data.archives import archive_file, unpacked
from benchmarks.data.images import DataError

URL = "http://example.org/sets/tiny.zip"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))  # a folder: offline
    return tmp_path / "cache"


def store(*members: tuple[str | zipfile.ZipInfo, bytes]) -> str:
    """Put an archive where a download would put it; returns its known hash."""
    file = archive_file(URL)
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return md5(file)


def md5(file: Path) -> str:
    return f"md5:{hashlib.md5(file.read_bytes()).hexdigest()}"


def refusal(known_hash: str) -> str:
    with pytest.raises(DataError) as caught:
        unpacked(URL, known_hash)
    message = str(caught.value)
    assert "tiny.zip" in message
    assert "\n" not in message
    stored = [file.name for file in archive_file(URL).parent.iterdir() if file.suffix != ".lock"]
    assert stored in (["tiny.zip"], [])  # nothing half unpacked
    return message


def test_what_a_killed_process_unpacked_is_swept_by_the_next() -> None:
    known_hash = store(("set/0001.png", b"one"))
    archives_folder = archive_file(URL).parent
    for name in ("unpacking-tiny-ab1_cd2x", "unpacking-tiny-x4-ab1_cd2x", "unpacking-other-ab1_cd2x"):
        (archives_folder / name / "content").mkdir(parents=True)
    unpacked(URL, known_hash)
    left = {path.name for path in archives_folder.glob("unpacking-*")}
    assert left == {"unpacking-tiny-x4-ab1_cd2x", "unpacking-other-ab1_cd2x"}, "others may be at work"


def test_members_are_unpacked_once() -> None:
    known_hash = store(("set/0001.png", b"one"), ("set/X2/0001x2.png", b"two"))
    folder = unpacked(URL, known_hash)
    assert {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*.png")} == {
        "set/0001.png": b"one",
        "set/X2/0001x2.png": b"two",
    }
    archive_file(URL).unlink()  # is no longer needed
    assert unpacked(URL, known_hash) == folder


def test_another_archive_is_refused_and_kept() -> None:
    store(("set/0001.png", b"one"))
    assert "expected 00000000000000000000000000000000" in refusal("md5:" + "0" * 32)


def test_offline_says_where_to_put_the_archive() -> None:
    message = refusal("md5:" + "0" * 32)
    assert URL in message
    assert str(archive_file(URL)) in message


@pytest.mark.parametrize("name", ["../evil.png", "set/../../evil.png", "/evil.png", "C:/evil.png"])
def test_members_that_leave_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    known_hash = store(("set/0001.png", b"one"), (name, b"evil"))
    with pytest.raises(DataError, match=r"tiny\.zip: member .*stays inside"):
        unpacked(URL, known_hash)
    assert list(tmp_path.rglob("evil.png")) == []
    assert not archive_file(URL).with_suffix("").exists()


def test_links_are_refused() -> None:
    link = zipfile.ZipInfo("set/0001.png")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "is a link" in refusal(store((link, b"/etc/hostname")))


def test_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LIMIT", 1000)
    assert "unpacks to 1001 bytes, expected at most 1000" in refusal(
        store(("a.png", bytes(500)), ("b.png", bytes(501)))
    )


def test_damaged_archives_are_refused() -> None:
    store(("set/0001.png", b"one" * 1000))
    file = archive_file(URL)
    whole = file.read_bytes()
    file.write_bytes(whole[:40])
    assert "cannot be unpacked" in refusal(md5(file))
    flipped = bytearray(whole)
    flipped[whole.index(b"0001.png") + 12] ^= 0xFF
    file.write_bytes(flipped)
    assert "cannot be unpacked" in refusal(md5(file))
