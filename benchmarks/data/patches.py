"""Reproducible batches of training patches.

A batch is a pure function of the data set, the arguments and the batch's index. It has no state, so neither the number
of workers nor a resumption changes it. Patches are read from the decoded images in the cache folder, which all workers
share and which need not fit into memory.
"""

from __future__ import annotations

import signal
from collections.abc import Generator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from benchmarks.data.datasets import Dataset
from benchmarks.data.decoded import decoded
from benchmarks.data.images import DataError

Batch = tuple[torch.Tensor, torch.Tensor]


class PatchBatches:
    """Batches of `batch_size` random LR patches of lr_patch x lr_patch pixels, with their HR patches.

    Image, position and, with `augment`, one of the 8 symmetries of the square (rotations by 90 degrees, horizontal
    flip) are drawn uniformly and depend on `seed` and the batch's index alone. The decoded images are verified once,
    on construction. DataError if images are missing, damaged or smaller than a patch.
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
        self.images = decoded(dataset, scale)
        for image, (_, lr) in zip(dataset.hr_names(), self.images, strict=True):
            if min(lr.height, lr.width) < lr_patch:
                raise DataError(
                    f"{dataset.name} {image}: LR image of {lr.height}x{lr.width} at x{scale}, "
                    f"expected at least the patch of {lr_patch}x{lr_patch}"
                )

    def batch(self, index: int) -> Batch:
        """LR (B, 3, p, p) and HR (B, 3, s·p, s·p), uint8, of batch `index` from 0."""
        p, s = self.lr_patch, self.scale
        lr = np.empty((self.batch_size, 3, p, p), np.uint8)
        hr = np.empty((self.batch_size, 3, s * p, s * p), np.uint8)
        # raw draws: their stream is fixed, while that of Generator's methods may change between versions of NumPy
        draws = np.random.Philox(np.random.SeedSequence((self.seed, index))).random_raw(4 * self.batch_size)
        for i, (image, row, column, symmetry) in enumerate(draws.reshape(-1, 4)):
            hr_image, lr_image = self.images[int(image) % len(self.images)]
            y = int(row) % (lr_image.height - p + 1)
            x = int(column) % (lr_image.width - p + 1)
            turn = int(symmetry) % 8 if self.augment else 0
            lr[i] = _turned(lr_image.rows(y, y + p)[:, x : x + p], turn)
            hr[i] = _turned(hr_image.rows(s * y, s * (y + p))[:, s * x : s * (x + p)], turn)
        return torch.from_numpy(lr), torch.from_numpy(hr)

    def __getitem__(self, index: int) -> Batch | DataError:
        """A batch, or the error: if a worker raised it, the message would contain the worker's traceback."""
        try:
            return self.batch(index)
        except DataError as error:
            return error


def loader(patches: PatchBatches, start: int, stop: int, workers: int = 0) -> Generator[Batch, None, None]:
    """The batches start, ..., stop - 1 in order, drawn by this process or by spawned workers.

    Raises DataError for a decoded image that was truncated or removed after `patches` was constructed.
    """
    batches: DataLoader[Batch | DataError] = DataLoader(
        patches,  # type: ignore[arg-type]  # the loader only indexes it
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_leave_signals_to_the_parent,
        generator=torch.Generator(),  # by default it would advance the global generator, on which the training depends
    )
    for batch in batches:
        if isinstance(batch, DataError):
            raise batch
        yield batch


def _leave_signals_to_the_parent(_worker: int) -> None:
    """Ctrl-C and Slurm signal the whole process group; a worker that died would interrupt the current step."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _turned(patch: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """(H, W, 3) as (3, H, W), rotated by turn % 4 quarters and, from 4 on, flipped."""
    turned = np.rot90(patch, turn % 4)
    return (turned[:, ::-1] if turn >= 4 else turned).transpose(2, 0, 1)
