"""Downloads as networks are: tried again, as the server asks; swept after a kill; and silent about passwords."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.data import fetch as fetching
from benchmarks.data.fetch import Unavailable, fetch
from benchmarks.data.images import DataError
from foundation.locks import locked, sweep

PATH, CONTENT = "owner/repository/0123abcd/a.png", b"the content"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
Answer = tuple[int, dict[str, str]]


class Server:
    """Gives these answers in turn, then the content; the times at which it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked = 0


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    script = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script.asked += 1
            status, headers = script.answers.pop(0) if script.answers else (200, {})
            if status == 0:  # the connection breaks in the middle of the file
                self.send_response(200)
                self.send_header("Content-Length", str(len(CONTENT)))
                self.end_headers()
                self.wfile.write(CONTENT[:4])
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(CONTENT if status == 200 else b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("SPINBENCH_MIRROR", f"http://me:s3cret@127.0.0.1:{http.server_address[1]}")
        yield script
        http.shutdown()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which take no time here."""
    pauses: list[float] = []
    monkeypatch.setattr(fetching.time, "sleep", pauses.append)
    return pauses


@pytest.mark.parametrize("status", [0, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_three_times(
    status: int, server: Server, slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    server.answers = [(status, {})] * 2
    assert fetch(PATH, SHA256).read_bytes() == CONTENT
    assert server.asked == 3 and slept == [1.0, 4.0]
    assert len(caplog.messages) == 2 and all("tried again in" in line for line in caplog.messages)
    assert "s3cret" not in caplog.text


def test_after_three_tries_it_is_given_up(server: Server, slept: list[float]) -> None:
    server.answers = [(503, {})] * 9
    with pytest.raises(Unavailable, match="503"):
        fetch(PATH, SHA256)
    assert server.asked == 3 and len(slept) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_stays_is_asked_once(status: int, server: Server, slept: list[float]) -> None:
    server.answers = [(status, {})]
    with pytest.raises(Unavailable, match=str(status)) as caught:
        fetch(PATH, SHA256)
    assert server.asked == 1 and slept == []
    assert "s3cret" not in str(caught.value) and "http://127.0.0.1" in str(caught.value)


def test_a_server_says_when(server: Server, slept: list[float]) -> None:
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    server.answers = [(429, {"Retry-After": "7"}), (503, {"Retry-After": soon})]
    assert fetch(PATH, SHA256).read_bytes() == CONTENT
    assert slept[0] == 7.0 and 50 < slept[1] <= 60


FAR = "Mon, 01 Jan 9999999999999 00:00:00 GMT"  # a year that no calendar here has


@pytest.mark.parametrize(
    ("asks", "pause"), [("soon", 1.0), ("-3", 1.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), (FAR, 1.0)]
)
def test_a_server_that_asks_for_no_time(asks: str, pause: float, server: Server, slept: list[float]) -> None:
    server.answers = [(503, {"Retry-After": asks})]
    assert fetch(PATH, SHA256) and slept == [pause]


def test_a_server_that_asks_for_hours_is_not_waited_for(server: Server, slept: list[float]) -> None:
    server.answers = [(429, {"Retry-After": "86400"})]
    with pytest.raises(Unavailable, match="429"):
        fetch(PATH, SHA256)
    assert server.asked == 1 and slept == []


@pytest.mark.parametrize("password", ["s3cret", "s3cret@x", "s3:cret%2F"])
def test_no_message_holds_a_password(password: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path))
    for mirror in (f"http://me:{password}@127.0.0.1:9/m", f"HTTPS://me:{password}@host/m", f"ftp://me:{password}@host"):
        monkeypatch.setenv("SPINBENCH_MIRROR", mirror)
        monkeypatch.setattr(fetching, "_PAUSES_S", ())
        with pytest.raises(DataError) as caught:
            fetch(PATH, SHA256)
        assert "cret" not in str(caught.value)
        assert caught.value.__context__ is None or caught.value.__suppress_context__, "in a traceback"


def test_the_next_download_sweeps_what_a_killed_one_left(server: Server, tmp_path: Path) -> None:
    folder = (tmp_path / "cache" / PATH).parent
    folder.mkdir(parents=True)
    for name in ("tmpab12_x9z", "tmp.png", "b.png"):
        (folder / name).write_bytes(b"a part")
    fetch(PATH, SHA256)
    assert {path.name for path in folder.iterdir()} - {".lock"} == {"a.png", "tmp.png", "b.png"}


def test_a_folder_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match=r"a\.png: cannot be stored \(") as caught:
        fetch(PATH, SHA256)
    assert not isinstance(caught.value, Unavailable)  # nothing that another machine would mend


def test_sweeping_leaves_what_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").touch()
    (tmp_path / "folder" / "tmp1" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "tmp2").symlink_to(tmp_path / "elsewhere")
    with locked(tmp_path / "folder" / ".lock") as alone:
        assert alone
        sweep(tmp_path / "folder", "tmp*")
    assert not list((tmp_path / "folder").glob("tmp*")) and (tmp_path / "elsewhere" / "file").exists()
