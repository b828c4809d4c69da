"""Images decoded once into `.npy` files of the cache folder, which are named by content and verified before use.

A file ends with the SHA-256 of the bytes before it. A truncated, altered or outdated file is decoded again, since
training on it would give other weights. Rows are read with ordinary file operations: with a memory map, the process
would be killed if another one truncated the file.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.datasets import Dataset
from benchmarks.data.images import READER, DataError
from benchmarks.data.sources import read
from foundation import cache_folder, is_sealed, own_folder, sealed, write
from foundation.locks import locked, sweep

log = logging.getLogger(__name__)
SCRATCH = "SPINBENCH_SCRATCH"  # a folder on this machine's own disk, to which decoded images are copied


@dataclass(frozen=True)
class Decoded:
    """A decoded image in the cache: uint8 RGB, height x width, from byte `offset` of its file."""

    file: Path
    offset: int
    height: int
    width: int

    def rows(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Rows start to stop - 1: (stop - start, width, 3). DataError if the file has changed since it was verified."""
        row = 3 * self.width
        try:
            with self.file.open("rb") as source:
                source.seek(self.offset + start * row)
                content = source.read((stop - start) * row)
        except OSError as error:
            raise DataError(f"{self.file}: decoded image cannot be read ({error.strerror}); run again") from None
        if len(content) < (stop - start) * row:
            raise DataError(f"{self.file}: decoded image was truncated while in use; run again to decode it anew")
        return np.frombuffer(content, np.uint8).reshape(stop - start, self.width, 3)


def decoded(dataset: Dataset, scale: int) -> list[tuple[Decoded, Decoded]]:
    """The HR (not cropped) and LR images of a set, in the order of its names; decoded unless they are in the cache.

    An unchanged file is verified once per process. Damaged files are decoded again, with a logged warning. What a
    read-only cache lacks lies in a folder of the user's (`own_folder`). DataError if an image is missing or damaged,
    OSError if nothing can be written.
    """
    names = dataset.hr_names()
    files = {name: _files(dataset, name, scale) for name in names}
    found = {name: _pair(*files[name], scale) for name in names}
    if missing := [name for name in names if found[name] is None]:
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        if damaged := [name for name in missing if _is_damaged(files[name])]:
            shown = ", ".join(damaged[:3]) + (", ..." if len(damaged) > 3 else "")
            log.warning("%s: %d of %s (%s) damaged, decoded again", folder, len(damaged), dataset.name, shown)
        with locked(folder / ".lock") as alone:
            if alone:
                sweep(folder, ".*.npy.*")
            for name in missing:
                _copy_from_cache(files[name])
                found[name] = _pair(*files[name], scale) or _decode(dataset, name, scale, *files[name])
    return [pair for name in names if (pair := found[name]) is not None]


def _folder() -> Path:
    scratch = os.environ.get(SCRATCH)
    owner = os.getuid() if hasattr(os, "getuid") else "all"
    return Path(scratch) / f"spin-bench-decoded-{owner}" if scratch else own_folder("decoded")


def _place(name: str) -> Path:
    """Where the file of this name is or belongs: a whole one of a cache that others share is used in place."""
    shared = cache_folder() / "decoded" / name
    return shared if not os.environ.get(SCRATCH) and _whole(shared) else _folder() / name


def _copy_from_cache(files: tuple[Path, Path]) -> None:
    """Into a folder of scratch; that they are whole is verified there."""
    for file in files:
        origin = cache_folder() / "decoded" / file.name
        if origin != file and not file.exists() and origin.is_file():
            write(file, origin.read_bytes())


def _files(dataset: Dataset, name: str, scale: int) -> tuple[Path, Path]:
    hr, lr = dataset.hr_source(name, scale), dataset.lr_source(name, scale)
    lr_content = f"{hr.content} {dataset.lr_origin(scale)} x{scale}" if lr is None else lr.content
    hr_file, lr_file = (
        _place(f"{hashlib.sha256(f'{READER} {content}'.encode()).hexdigest()}.npy")
        for content in (hr.content, lr_content)
    )
    return hr_file, lr_file


def _pair(hr_file: Path, lr_file: Path, scale: int) -> tuple[Decoded, Decoded] | None:
    """Both images, if both files are intact and their sizes match."""
    hr, lr = _whole(hr_file), _whole(lr_file)
    if hr is None or lr is None or (hr.height // scale, hr.width // scale) != (lr.height, lr.width):
        return None
    return hr, lr


def _is_damaged(files: tuple[Path, Path]) -> bool:
    """Whether two files that form no valid pair are damaged, rather than merely missing."""
    there = [file for file in files if file.exists()]
    return len(there) == 2 or any(_whole(file) is None for file in there)


def _decode(dataset: Dataset, name: str, scale: int, hr_file: Path, lr_file: Path) -> tuple[Decoded, Decoded]:
    pair, hr = dataset.pair(name, scale), _whole(hr_file)  # all scales share the HR image
    if hr is None or (hr.height // scale * scale, hr.width // scale * scale) != pair.hr.shape[:2]:
        hr = _store(hr_file, read(dataset.hr_source(name, scale)))
    return hr, _store(lr_file, pair.lr)


def _store(file: Path, image: NDArray[np.uint8]) -> Decoded:
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(image))
    write(file, sealed(content.getvalue()))
    if (stored := _whole(file)) is None:
        raise DataError(f"{file}: differs from what was written; check the disk and run again")
    return stored


def _whole(file: Path) -> Decoded | None:
    """A file of the cache if it exists and is intact."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return _verified(file, status.st_ino, status.st_size, status.st_mtime_ns)


@cache
def _verified(file: Path, _inode: int, _size: int, _mtime_ns: int) -> Decoded | None:
    try:
        if not is_sealed(file):
            return None
        image = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):  # np.load also raises them for files other than arrays
        return None
    if not (image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.flags.c_contiguous):
        return None
    return Decoded(file, image.offset, *image.shape[:2])
