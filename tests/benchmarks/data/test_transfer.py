"""Downloads end: not more bytes than registered, not longer than a slow line needs, whatever a server does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from benchmarks.data import transfer
from benchmarks.data.fetch import fetch
from benchmarks.data.images import DataError

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[bytes, bytes, float], None]]:
    """Serve a beginning and then the same bytes for ever, with pauses, as the mirror."""
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path))
    ended = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        monkeypatch.setenv("SPINBENCH_MIRROR", f"http://127.0.0.1:{server.getsockname()[1]}")

        def begin(head: bytes, again: bytes, pause: float) -> None:
            def serve() -> None:
                with suppress(OSError), server.accept()[0] as line:
                    line.sendall(head)
                    while not ended.wait(pause):
                        line.sendall(again)

            threading.Thread(target=serve, daemon=True).start()

        yield begin
        ended.set()


def refusal(size: int) -> str:
    with pytest.raises(DataError) as caught:
        fetch("owner/a.png", "0" * 64, size)
    return str(caught.value)


def test_a_file_larger_than_registered_is_given_up_and_not_kept(answers: Callable[..., None], tmp_path: Path) -> None:
    answers(HEAD + b"\r\n", bytes(2**16), 0)
    assert "a.png: sends more than the 100000 bytes that are expected, not kept" in refusal(100_000)
    assert [file for file in tmp_path.rglob("*") if file.is_file() and file.name != ".lock"] == []


@pytest.mark.parametrize("head", [HEAD + b"Content-Length: 99999\r\n\r\n", HEAD + b"X: "], ids=["content", "header"])
def test_a_byte_now_and_then_is_given_up(
    head: bytes, answers: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(transfer, "PATIENCE_S", 0.3)
    answers(head, b"a", 0.02)
    began = time.monotonic()
    assert "a.png: takes too long, given up" in refusal(1)
    assert time.monotonic() - began < 5
    assert [file for file in tmp_path.rglob("*") if file.is_file() and file.name != ".lock"] == []
