"""Transfers over the network that end: none takes more bytes or more time than its file may need."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from benchmarks.data.images import DataError

LARGEST = 16 << 30  # bytes of a file whose size is not registered
PATIENCE_S = 60.0  # for a file of no bytes
SLOWEST = 10_000  # bytes per second
_SILENCE_S = 30.0
_PART = 2**16
Downloader = Callable[[str, str, Any], None]


def bounded(size: int, progress: bool = False) -> Downloader:
    """A downloader of pooch for a file of so many bytes (0: unknown).

    It raises DataError for a transfer that is larger, or that takes longer than at `SLOWEST` bytes per second (of an
    unknown size, that is slower at any time after `PATIENCE_S`), and OSError, as `requests` does, for one that fails.
    """
    most = size or LARGEST

    def download(url: str, path: str, _: Any) -> None:
        done, began = 0, time.monotonic()

        def until() -> float:
            return began + PATIENCE_S + (size or done) / SLOWEST

        bar = tqdm(total=size or None, ncols=79, unit="B", unit_scale=True, disable=not progress)
        with bar, Path(path).open("wb") as file:
            for part in _parts(url, until):
                done += len(part)
                if done > most:
                    raise DataError(f"{url}: sends more than the {most} bytes that are expected, not kept")
                file.write(part)
                bar.update(len(part))

    return download


def _parts(url: str, until: Callable[[], float]) -> Iterator[bytes]:
    """The content behind a URL, until a time of the monotonic clock, which may move.

    It is read in a thread, since a server that sends a byte now and then, be it of a header, keeps every reader for as
    long as it likes. Such a thread ends with the process, or when what it reads does.
    """
    parts: queue.Queue[bytes | Exception | None] = queue.Queue(maxsize=64)
    given_up = threading.Event()

    def read() -> None:
        import requests

        try:
            with requests.get(url, stream=True, timeout=_SILENCE_S, headers={"Accept-Encoding": "identity"}) as answer:
                answer.raise_for_status()
                for part in answer.iter_content(_PART):
                    parts.put(part)
                    if given_up.is_set():
                        return
            parts.put(None)
        except Exception as error:  # is raised where the parts are taken
            parts.put(error)

    threading.Thread(target=read, daemon=True, name="transfer").start()
    try:
        while True:
            part = parts.get(timeout=max(until() - time.monotonic(), 0.01))
            if part is None:
                return
            if isinstance(part, Exception):
                raise part
            yield part
            if time.monotonic() > until():
                raise queue.Empty
    except queue.Empty:
        raise DataError(f"{url}: takes too long, given up; try again, or set SPINBENCH_MIRROR to a folder") from None
    finally:
        given_up.set()
        with suppress(queue.Empty):
            while True:  # it may wait for room
                parts.get_nowait()
