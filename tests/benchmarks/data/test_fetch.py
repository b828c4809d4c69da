"""Fetching: from a folder in place, over HTTP into the cache, and never anything but the expected bytes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.data.fetch import cache_folder, fetch
from benchmarks.data.images import DataError

PATH = "owner/repository/0123abcd/some folder/a.png"
CONTENT = b"the content"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """A mirror folder with one file."""
    file = tmp_path / "mirror" / PATH
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "mirror"


@pytest.fixture
def server(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same file behind a URL of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(mirror))) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{http.server_address[1]}"
        monkeypatch.setenv("SPINBENCH_MIRROR", url)
        yield url
        http.shutdown()


def refusal(path: str, sha256: str = SHA256) -> str:
    with pytest.raises(DataError) as caught:
        fetch(path, sha256)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_mirror_folder_is_read_in_place(mirror: Path, cache: Path) -> None:
    assert fetch(PATH, SHA256) == mirror / PATH
    assert not cache.exists()


def test_a_missing_file_of_a_mirror_folder_is_named(mirror: Path) -> None:
    message = refusal("owner/repository/other.png")
    assert "owner/repository/other.png" in message
    assert str(mirror) in message
    assert "SPINBENCH_MIRROR" in message


def test_a_damaged_file_is_named_with_both_checksums_and_kept(mirror: Path) -> None:
    assert fetch(PATH, SHA256)
    damaged = b"the c0ntent"
    (mirror / PATH).write_bytes(damaged)  # same length, in the same process
    message = refusal(PATH)
    assert str(mirror / PATH) in message
    assert SHA256 in message
    assert hashlib.sha256(damaged).hexdigest() in message
    assert (mirror / PATH).read_bytes() == damaged


def test_a_mirror_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path / "nowhere"))
    assert "nowhere: expected an existing folder or a URL" in refusal(PATH)


def test_a_url_is_downloaded_once(server: str, cache: Path, mirror: Path) -> None:
    file = fetch(PATH, SHA256)
    assert file == cache / PATH
    assert file.read_bytes() == CONTENT
    (mirror / PATH).unlink()
    assert fetch(PATH, SHA256) == file


def test_a_wrong_download_is_not_kept(server: str, cache: Path) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    message = refusal(PATH, other)
    assert server in message
    assert other in message
    assert [file for file in cache.rglob("*") if file.is_file() and file.name != ".lock"] == []


def test_a_damaged_cached_file_is_neither_used_nor_replaced(server: str, cache: Path) -> None:
    file = fetch(PATH, SHA256)
    file.write_bytes(b"changed by hand")
    assert str(file) in refusal(PATH)
    assert file.read_bytes() == b"changed by hand"


def test_a_failed_download_names_the_url(server: str) -> None:
    message = refusal("owner/absent.png")
    assert f"{server}/owner/absent.png" in message
    assert "404" in message


def test_no_network_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINBENCH_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setattr("benchmarks.data.fetch._PAUSES_S", ())
    assert "cannot be downloaded (Connection refused)" in refusal(PATH)


@pytest.mark.parametrize(
    "path", ["../a.png", "a/../../b.png", "/etc/hostname", "C:/a.png", "..\\a.png", "\\\\host\\a", "", "a\0b"]
)
def test_a_path_that_leaves_the_folder_is_refused(mirror: Path, path: str) -> None:
    assert "stays inside" in refusal(path)


def test_the_default_cache_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPINBENCH_DATA")
    assert "spin-bench" in str(cache_folder())
