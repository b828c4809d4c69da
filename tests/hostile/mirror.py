"""A mirror that never ends, lies or leads elsewhere; and files that someone has planted in the cache."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from benchmarks.data.published import checkpoint
from tests.hostile.launcher import Place
from tests.hostile.tally import Attempt, images
from tests.hostile.weights import payload

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
# What is sent first, what again and again, and the seconds between.
ANSWERS: dict[str, tuple[bytes, bytes, float]] = {
    "never ends": (HEAD + b"\r\n", bytes(2**16), 0),
    "lies about its length": (HEAD + b"Content-Length: 100\r\n\r\n", bytes(2**16), 0),
    "says 2 EB": (HEAD + b"Content-Length: 2305843009213693952\r\n\r\n", bytes(2**16), 0),
    "inflates": (HEAD + b"Content-Encoding: gzip\r\n\r\n", b"\x1f\x8b\x08" + bytes(7), 0),
    "headers without end": (HEAD + b"X: ", b"a" * 2**16, 0),
    "chunks without end": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 99 + b"\r\na\r\n", 0),
    "a web page": (HEAD + b"Content-Length: 6\r\n\r\n<html>", b"", 1),
    "to itself": (b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n", b"", 1),
    "to a file": (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", b"", 1),
    "no HTTP": (b"\0" * 99, b"\0", 0.1),
}


def serve() -> dict[str, str]:
    """Servers in a process of their own, which ends with this one; the address of each."""
    servers = {name: socket.create_server(("127.0.0.1", 0)) for name in ANSWERS}
    parent = os.getpid()
    if os.fork() == 0:
        for name, server in servers.items():
            threading.Thread(target=_accept, args=(server, *ANSWERS[name]), daemon=True).start()
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(0)
    return {name: f"http://127.0.0.1:{server.getsockname()[1]}" for name, server in servers.items()}


def _accept(server: socket.socket, head: bytes, again: bytes, pause: float) -> None:
    while True:
        line, _ = server.accept()
        threading.Thread(target=_answer, args=(line, head, again, pause), daemon=True).start()


def _answer(line: socket.socket, head: bytes, again: bytes, pause: float) -> None:
    with suppress(OSError), line:
        line.recv(2**16)
        line.sendall(head)
        while again:
            line.sendall(again)
            time.sleep(pause)


def _fetch(what: str, place: Place) -> Sequence[object]:
    return ["fetch", what]


def _planted(make: Callable[[Place], bytes], place: Place) -> Sequence[object]:
    """A checkpoint in the cache that is not the registered one."""
    source = checkpoint("imdn", 4)
    assert source
    file = place.inside / "cache" / source.path
    file.parent.mkdir(parents=True)
    file.write_bytes(make(place))
    return ["evaluate", "imdn", "--published", "--data", images(place.inside / "set")]


def _pickle(place: Place) -> bytes:
    import pickle

    return pickle.dumps(payload(place))


def _kernels(place: Place) -> Sequence[object]:
    """Libraries in place of every compiled kernel that the session's cache has; loading one would run it."""
    folder = place.inside / "cache" / "kernels"
    folder.mkdir(parents=True)
    os.chmod(folder, 0o777)  # noqa: PTH101
    (folder / "spin.so").write_bytes(b"\x7fELF" + bytes(99))
    return ["cost", "spin", "--no-memory", "--lr", "8x8", "--repeats", 1, "--threads", 1]


def _decoded(place: Place) -> Sequence[object]:
    """Pickled arrays in place of decoded images."""
    import numpy as np

    folder = place.inside / "cache" / "decoded"
    folder.mkdir(parents=True)
    for number in range(2):
        np.save(folder / f"{number:064x}.npy", np.array([payload(place)], dtype=object), allow_pickle=True)
    return ["clean", "--results", "results", "--yes"]


def attempts(addresses: dict[str, str]) -> Iterator[Attempt]:
    for name in ANSWERS:
        mirror = {"SPINBENCH_MIRROR": addresses[name]}
        yield Attempt("a hostile mirror", name, partial(_fetch, "Set5"), "Set5|baby", environment=lambda m=mirror: m)  # type: ignore[misc]
    endless = {"SPINBENCH_MIRROR": addresses["never ends"]}
    yield Attempt("a hostile mirror", "weights", partial(_fetch, "imdn"), "IMDN", environment=lambda: endless)
    offline = {"SPINBENCH_MIRROR": "http://127.0.0.1:9"}
    for name, make in {"a pickle": _pickle, "an empty file": lambda _: b"", "a page": lambda _: b"<html>"}.items():
        kind = "planted cache files"
        yield Attempt(kind, name, partial(_planted, make), "IMDN_x4.pth", environment=lambda: offline)
    yield Attempt("planted cache files", "kernels", _kernels, "")
    yield Attempt("planted cache files", "decoded images", _decoded, "")
