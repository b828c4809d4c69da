"""Reproducible batches of training patches.

A batch is a pure function of the data set, the arguments and the batch's index. It has no state, so neither the number
of workers nor a resumption changes it. Patches are read from the decoded images in the cache folder, which all workers
share and which need not fit into memory.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from benchmarks.data.datasets import Dataset
from benchmarks.data.decoded import Decoded, decoded
from benchmarks.data.images import DataError
from foundation.signals import end_with_parent, ignore_signals, withheld

Batch = tuple[torch.Tensor, torch.Tensor]
_CPU = torch.device("cpu")
_PATIENCE_S = 300.0  # for one batch, which takes milliseconds, or a minute where workers start from a slow disk
_GONE_S = 5.0  # a process that waits for a disk does not even end when killed
log = logging.getLogger(__name__)


class Draw(NamedTuple):
    """A patch of a batch: the image, its row and column in LR pixels, and one of the 8 symmetries of the square."""

    image: int
    row: int
    column: int
    symmetry: int


class PatchBatches:
    """Batches of `batch_size` random LR patches of lr_patch x lr_patch pixels, with their HR patches.

    Image, position and, with `augment`, one of the 8 symmetries of the square (rotations by 90 degrees, horizontal
    flip) are drawn uniformly and depend on `seed` and the batch's index alone. The decoded images are verified once,
    on construction. `part` is the slice of every batch that is wanted: the patches are those of the whole batch, and
    only these are cut. DataError if images are missing, damaged or smaller than a patch.
    """

    def __init__(
        self,
        dataset: Dataset,
        scale: int,
        lr_patch: int,
        batch_size: int,
        seed: int,
        augment: bool = True,
        part: slice = slice(None),
    ) -> None:
        if min(lr_patch, batch_size) < 1 or seed < 0:
            raise ValueError(
                f"lr_patch {lr_patch}, batch_size {batch_size}, seed {seed}: expected 1 or more, 1 or more, 0 or more"
            )
        self.scale, self.lr_patch, self.batch_size = scale, lr_patch, batch_size
        self.seed, self.augment, self.part = seed, augment, part
        self.images = decoded(dataset, scale)
        for image, (_, lr) in zip(dataset.hr_names(), self.images, strict=True):
            if min(lr.height, lr.width) < lr_patch:
                raise DataError(
                    f"{dataset.name} {image}: LR image of {lr.height}x{lr.width} at x{scale}, "
                    f"expected at least the patch of {lr_patch}x{lr_patch}"
                )

    def draws(self, index: int) -> list[Draw]:
        """The random choices of batch `index` from 0, one for each patch of the part."""
        p = self.lr_patch
        # raw draws: their stream is fixed, while that of Generator's methods may change between versions of NumPy
        raw = np.random.Philox(np.random.SeedSequence((self.seed, index))).random_raw(4 * self.batch_size)
        found = []
        for draw in raw.reshape(-1, 4)[self.part]:
            number, row, column, symmetry = map(int, draw)
            lr = self.images[number % len(self.images)][1]
            y, x = row % (lr.height - p + 1), column % (lr.width - p + 1)
            found.append(Draw(number % len(self.images), y, x, symmetry % 8 if self.augment else 0))
        return found

    def batch(self, index: int) -> Batch:
        """LR (B, 3, p, p) and HR (B, 3, s·p, s·p), uint8, of batch `index` from 0, or of its part."""
        p, s, draws = self.lr_patch, self.scale, self.draws(index)
        lr = np.empty((len(draws), 3, p, p), np.uint8)
        hr = np.empty((len(draws), 3, s * p, s * p), np.uint8)
        for i, (image, y, x, turn) in enumerate(draws):
            hr_image, lr_image = self.images[image]
            lr[i] = _turned(lr_image.rows(y, y + p)[:, x : x + p], turn)
            hr[i] = _turned(hr_image.rows(s * y, s * (y + p))[:, s * x : s * (x + p)], turn)
        return torch.from_numpy(lr), torch.from_numpy(hr)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], ...] | DataError:
        """A batch as arrays, or the error: if a worker raised it, the message would contain the worker's traceback.

        Arrays come from a worker through a pipe. Tensors would need shared memory, of which containers have little.
        """
        try:
            return tuple(part.numpy() for part in self.batch(index))
        except DataError as error:
            return error


def loader(
    patches: PatchBatches,
    start: int,
    stop: int,
    workers: int = 0,
    device: torch.device = _CPU,
    on_device: bool = False,
) -> Generator[Batch, None, None]:
    """The batches start, ..., stop - 1 in order, as tensors on `device`.

    They are drawn by this process or by spawned workers, which it does without if they hang; or, `on_device`, cut on
    the device itself from all images, which lie in its memory then. The bytes are the same. Raises DataError for a
    decoded image that was truncated or removed after `patches` was constructed.
    """
    if on_device:
        yield from _cut_on_device(patches, start, stop, device)
        return
    source = _by_workers(patches, start, stop, workers) if workers else (patches[each] for each in range(start, stop))
    with contextlib.closing(source):
        for batch in source:
            if isinstance(batch, DataError):
                raise batch
            lr, hr = (torch.from_numpy(part) for part in batch)
            if device.type == "cuda":  # a copy from pinned memory does not wait for the steps before it
                lr, hr = (part.pin_memory().to(device, non_blocking=True) for part in (lr, hr))
            yield lr, hr


def _by_workers(
    patches: PatchBatches, start: int, stop: int, workers: int
) -> Generator[tuple[NDArray[np.uint8], ...] | DataError, None, None]:
    """The items start, ..., stop - 1 of `patches`, drawn by spawned workers.

    Workers that hang are ended, and this process draws the rest itself: a training goes on, more slowly.
    """
    others = multiprocessing.active_children()
    loading: DataLoader[Any] = DataLoader(
        patches,  # type: ignore[arg-type]  # the loader only indexes it
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        collate_fn=_unchanged,
        multiprocessing_context="spawn",
        worker_init_fn=_begin_worker,
        timeout=_PATIENCE_S,
        generator=torch.Generator(),  # by default it would advance the global generator, on which the training depends
    )
    done = start
    with withheld():
        batches: Any = iter(loading)
    own = [child for child in multiprocessing.active_children() if child not in others]
    try:
        while done < stop:
            try:
                batch = next(batches)
            except RuntimeError as error:
                if "timed out" not in str(error):
                    raise
                break
            yield batch
            done += 1
    finally:
        batches._shutdown_workers()  # as when it is collected, which the frames of an exception would delay
        for worker in own:  # one that hangs: they ignore SIGTERM, and this process would wait for it forever
            if worker.is_alive():
                worker.kill()
                worker.join(_GONE_S)
    if done < stop:
        log.warning(
            "batch %d: no worker has delivered it within %.0f s, so they are ended, and this process draws the batches "
            "itself from now on; the result is the same",
            done + 1,
            _PATIENCE_S,
        )
    for index in range(done, stop):
        yield patches[index]


def _cut_on_device(patches: PatchBatches, start: int, stop: int, device: torch.device) -> Generator[Batch, None, None]:
    def whole(image: Decoded) -> torch.Tensor:
        return torch.from_numpy(image.rows(0, image.height).copy()).to(device)  # (H, W, 3)

    images = [(whole(hr), whole(lr)) for hr, lr in patches.images]
    p, s = patches.lr_patch, patches.scale
    for index in range(start, stop):
        pairs = []
        for image, y, x, turn in patches.draws(index):
            hr, lr = images[image]
            pair = lr[y : y + p, x : x + p], hr[s * y : s * (y + p), s * x : s * (x + p)]
            turned = (torch.rot90(part, turn % 4) for part in pair)
            pairs.append([(part.flip(1) if turn >= 4 else part).permute(2, 0, 1) for part in turned])
        lrs, hrs = zip(*pairs, strict=True)
        yield torch.stack(lrs), torch.stack(hrs)


def _unchanged(batch: Any) -> Any:
    return batch


def _begin_worker(_worker: int) -> None:
    """A worker that died of a signal to the whole group would interrupt the current step."""
    ignore_signals()
    end_with_parent()


def _turned(patch: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """(H, W, 3) as (3, H, W), rotated by turn % 4 quarters and, from 4 on, flipped."""
    turned = np.rot90(patch, turn % 4)
    return (turned[:, ::-1] if turn >= 4 else turned).transpose(2, 0, 1)
