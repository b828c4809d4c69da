"""Training patches, drawn reproducibly.

A batch is a pure function of the dataset, the arguments and the batch's index: no state is carried, so neither
the number of workers nor a resumption can change it. Images are decoded once, into `.npy` files of the cache
folder that are named by content, and are read through memory maps: the same way for few images and for many, and
shared by all workers.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from benchmarks.data.datasets import Dataset
from benchmarks.data.images import DataError, read_image
from foundation import cache_folder

Batch = tuple[torch.Tensor, torch.Tensor]


class PatchSampler:
    """Draws batches of `batch_size` LR patches of lr_patch x lr_patch pixels, with their HR patches.

    Image, position and, with `augment`, one of the 8 symmetries of the square (rotations by 90 degrees, horizontal
    flip) are drawn uniformly and depend on `seed` and the batch's index alone. DataError if images are missing,
    damaged or smaller than a patch.
    """

    def __init__(
        self, dataset: Dataset, scale: int, lr_patch: int, batch_size: int, seed: int, augment: bool = True
    ) -> None:
        if min(lr_patch, batch_size) < 1 or seed < 0:
            raise ValueError(
                f"lr_patch {lr_patch}, batch_size {batch_size}, seed {seed}: expected 1 or more, 1 or more, 0 or more"
            )
        self.scale, self.lr_patch, self.batch_size = scale, lr_patch, batch_size
        self.seed, self.augment = seed, augment
        self.files = _decoded(dataset, scale)
        for image, (_, lr_file) in zip(dataset.hr_names(), self.files, strict=True):
            height, width = _open(lr_file).shape[:2]
            if min(height, width) < lr_patch:
                raise DataError(
                    f"{dataset.name} {image}: LR image of {height}x{width} at x{scale}, "
                    f"expected at least the patch of {lr_patch}x{lr_patch}"
                )

    def batch(self, index: int) -> Batch:
        """LR (B, 3, p, p) and HR (B, 3, s·p, s·p), uint8, of batch `index` from 0."""
        p, s = self.lr_patch, self.scale
        lr = np.empty((self.batch_size, 3, p, p), np.uint8)
        hr = np.empty((self.batch_size, 3, s * p, s * p), np.uint8)
        # raw draws: their stream is fixed for good, that of Generator's methods may change with NumPy
        draws = np.random.Philox(np.random.SeedSequence((self.seed, index))).random_raw(4 * self.batch_size)
        for i, (image, row, column, symmetry) in enumerate(draws.reshape(-1, 4)):
            hr_image, lr_image = map(_open, self.files[int(image) % len(self.files)])
            y = int(row) % (lr_image.shape[0] - p + 1)
            x = int(column) % (lr_image.shape[1] - p + 1)
            turn = int(symmetry) % 8 if self.augment else 0
            lr[i] = _turned(lr_image[y : y + p, x : x + p], turn)
            hr[i] = _turned(hr_image[s * y : s * (y + p), s * x : s * (x + p)], turn)
        return torch.from_numpy(lr), torch.from_numpy(hr)

    __getitem__ = batch


def loader(sampler: PatchSampler, start: int, stop: int, workers: int = 0) -> Iterable[Batch]:
    """The batches start, ..., stop - 1 in order, drawn by this process or by spawned workers."""
    return DataLoader(
        sampler,  # type: ignore[arg-type]  # it is indexed only
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_leave_signals_to_the_parent,
        generator=torch.Generator(),  # else it would draw from the global one, and disturb training
    )


def _leave_signals_to_the_parent(_worker: int) -> None:
    """Ctrl-C and Slurm signal the whole group: a worker that died of it would end the step in progress."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _turned(patch: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """(H, W, 3) as (3, H, W), rotated by turn % 4 quarters and, from 4 on, flipped."""
    turned = np.rot90(patch, turn % 4)
    return (turned[:, ::-1] if turn >= 4 else turned).transpose(2, 0, 1)


def _decoded(dataset: Dataset, scale: int) -> list[tuple[Path, Path]]:
    """The decoded HR (not cropped) and LR images, as files."""
    folder = cache_folder() / "decoded"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with FileLock(folder / ".lock"):
        for image in dataset.hr_names():
            hr_source, lr_source = dataset.hr_source(image, scale), dataset.lr_source(image, scale)
            lr_content = (
                f"{hr_source.content} {dataset.lr_origin(scale)} x{scale}" if lr_source is None else lr_source.content
            )
            hr_file, lr_file = (folder / f"{_digest(c)}.npy" for c in (hr_source.content, lr_content))
            if not hr_file.exists():
                _save(hr_file, read_image(hr_source.locate()))
            if not lr_file.exists():
                _save(lr_file, dataset.pair(image, scale).lr)
            files.append((hr_file, lr_file))
    return files


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _save(file: Path, image: NDArray[np.uint8]) -> None:
    temporary = file.with_suffix(".part")
    with temporary.open("wb") as sink:
        np.save(sink, image)
    temporary.replace(file)


@lru_cache(maxsize=256)  # bounds the open maps, each of which holds a file descriptor
def _open(file: Path) -> NDArray[np.uint8]:
    try:
        image: NDArray[np.uint8] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file}: decoded image cannot be read ({error}); delete the file and run again") from None
    return image
