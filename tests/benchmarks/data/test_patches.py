"""Training patches: aligned, uniform over the symmetries, and a function of seed and index alone."""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import pickle
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.data import datasets, decoded, patches, sources
from benchmarks.data.images import DataError
from benchmarks.data.pairs import SCALES
from benchmarks.data.patches import PatchBatches, loader
from foundation import cache_folder, sealed

SIZES = {"a": (37, 50), "b": (61, 43), "c": (40, 40)}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> datasets.Dataset:
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for name, size in SIZES.items():
        pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    return datasets.get(str(tmp_path / "photos"))


def symmetries(patch: np.ndarray) -> list[np.ndarray]:
    """The 8 images of a (3, n, n) patch under the symmetries of the square."""
    turned = [np.rot90(patch, quarter, axes=(1, 2)) for quarter in range(4)]
    return turned + [each[:, :, ::-1] for each in turned]


def found(patch: torch.Tensor, images: dict[str, np.ndarray]) -> list[tuple[str, int, int, int]]:
    """Everywhere (image, y, x, symmetry) that a patch occurs in images (H, W, 3)."""
    size = patch.shape[1]
    hits = []
    for name, image in images.items():
        windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))  # (Y, X, 3, n, n)
        for k, turned in enumerate(symmetries(patch.numpy())):
            for y, x in zip(*np.nonzero((windows == turned).all(axis=(2, 3, 4))), strict=True):
                hits.append((name, int(y), int(x), k))
    return hits


@pytest.mark.parametrize("on_device", [False, True])
def test_parts_are_those_of_the_whole_batch(photos: datasets.Dataset, on_device: bool) -> None:
    """As several processes that train together cut them, each its own."""
    batches = [
        next(loader(PatchBatches(photos, 2, 5, 6, seed=3, part=part), 4, 5, on_device=on_device))
        for part in (slice(None), slice(0, 3), slice(3, 6))
    ]
    whole, *parts = batches
    for number in range(2):  # LR, HR
        assert len(parts[0][number]) == 3
        assert torch.equal(torch.cat([part[number] for part in parts]), whole[number])


@pytest.mark.parametrize("scale", SCALES)
def test_hr_and_lr_patches_are_crops_of_the_pairs_at_one_place(photos: datasets.Dataset, scale: int) -> None:
    lr, hr = PatchBatches(photos, scale, lr_patch=5, batch_size=12, seed=3).batch(0)
    assert lr.shape == (12, 3, 5, 5)
    assert hr.shape == (12, 3, 5 * scale, 5 * scale)
    assert lr.dtype == hr.dtype == torch.uint8
    pairs = list(photos.pairs(scale))
    for lr_patch, hr_patch in zip(lr, hr, strict=True):
        (name, y, x, k), *others = found(hr_patch, {pair.name: pair.hr for pair in pairs})
        assert others == []
        assert (name, y // scale, x // scale, k) in found(lr_patch, {pair.name: pair.lr for pair in pairs})
        assert y % scale == x % scale == 0


def test_images_and_symmetries_are_drawn_uniformly_and_reach_every_edge(photos: datasets.Dataset) -> None:
    sampler = PatchBatches(photos, 2, lr_patch=16, batch_size=400, seed=0)
    images = {pair.name: pair.lr for pair in photos.pairs(2)}
    hits = [found(patch, images)[0] for patch in sampler.batch(0)[0]]
    for drawn, outcomes in [([hit[0] for hit in hits], len(SIZES)), ([hit[3] for hit in hits], 8)]:
        counts = np.unique_counts(drawn).counts
        expected = len(hits) / outcomes
        assert len(counts) == outcomes
        # chi-square with at most 7 degrees of freedom exceeds 29 once in 7000; the seed is fixed
        assert ((counts - expected) ** 2 / expected).sum() < 29
    for name, image in images.items():
        for axis in (0, 1):
            places = {hit[1 + axis] for hit in hits if hit[0] == name}
            assert places == set(range(image.shape[axis] - 16 + 1))


def test_without_augmentation_nothing_is_turned(photos: datasets.Dataset) -> None:
    sampler = PatchBatches(photos, 2, lr_patch=8, batch_size=30, seed=0, augment=False)
    images = {pair.name: pair.lr for pair in photos.pairs(2)}
    assert {found(patch, images)[0][3] for patch in sampler.batch(0)[0]} == {0}


def test_a_batch_depends_on_seed_and_index_alone(photos: datasets.Dataset) -> None:
    sampler = PatchBatches(photos, 2, 6, 4, seed=1)
    later = sampler.batch(7)
    torch.manual_seed(99)
    sampler.batch(0)
    again = PatchBatches(photos, 2, 6, 4, seed=1).batch(7)
    assert all(torch.equal(a, b) for a, b in zip(later, again, strict=True))
    assert not torch.equal(later[0], sampler.batch(8)[0])
    assert not torch.equal(later[0], PatchBatches(photos, 2, 6, 4, seed=2).batch(7)[0])


def test_draws_do_not_change_between_releases(photos: datasets.Dataset) -> None:
    """Places of the first patches of seed 0, as they were when the sampler was written."""
    lr, _ = PatchBatches(photos, 2, 16, 3, seed=0).batch(0)
    images = {pair.name: pair.lr for pair in photos.pairs(2)}
    assert [found(patch, images) for patch in lr] == [[("b", 10, 4, 5)], [("c", 3, 2, 1)], [("b", 3, 0, 3)]]


def test_workers_and_resumption_change_nothing(photos: datasets.Dataset) -> None:
    sampler = PatchBatches(photos, 3, 5, 4, seed=5)
    state = torch.get_rng_state()
    whole = list(loader(sampler, 0, 6))
    with_workers = list(loader(sampler, 0, 6, workers=2))
    resumed = list(loader(sampler, 0, 2)) + list(loader(sampler, 2, 6))
    assert torch.equal(torch.get_rng_state(), state)  # training draws from it
    assert len(whole) == 6
    for index, batches in enumerate(zip(whole, with_workers, resumed, strict=True)):
        expected = sampler.batch(index)
        for batch in batches:
            assert all(torch.equal(a, b) for a, b in zip(batch, expected, strict=True))


class Hanging(PatchBatches):
    """Workers draw no batch from the second on, as if a disk did not answer."""

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...] | DataError:
        while index and multiprocessing.parent_process():
            time.sleep(60)
        return super().__getitem__(index)


@pytest.mark.slow
def test_workers_that_hang_are_told_and_done_without(
    photos: datasets.Dataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patches, "_PATIENCE_S", 4.0)  # the first batch comes from a worker, which imports PyTorch
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2)
    whole, children = PatchBatches(photos, 3, 5, 4, seed=5), multiprocessing.active_children()
    batches = list(loader(Hanging(photos, 3, 5, 4, seed=5), 0, 3, workers=1))
    for index, batch in enumerate(batches):
        assert all(torch.equal(a, b) for a, b in zip(batch, whole.batch(index), strict=True))
    assert len(batches) == 3 and multiprocessing.active_children() == children
    (record,) = caplog.records
    assert "no worker has delivered it within 4 s" in record.getMessage()


def test_images_are_decoded_once(photos: datasets.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    before = PatchBatches(photos, 2, 6, 4, seed=0).batch(0)
    monkeypatch.setattr(sources, "read_image", lambda path: pytest.fail(f"decoded {path} again"))
    after = PatchBatches(photos, 2, 6, 4, seed=0).batch(0)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_scales_share_one_cache(photos: datasets.Dataset) -> None:
    for scale in SCALES:
        for pair, (hr, lr) in zip(photos.pairs(scale), PatchBatches(photos, scale, 6, 4, seed=0).images, strict=True):
            np.testing.assert_array_equal(np.load(lr.file), pair.lr)
            np.testing.assert_array_equal(np.load(hr.file)[: len(pair.hr), : pair.hr.shape[1]], pair.hr)
    assert len(list((cache_folder() / "decoded").glob("*.npy"))) == len(SIZES) * (1 + len(SCALES))


def test_a_changed_image_is_decoded_again(photos: datasets.Dataset, tmp_path: Path) -> None:
    before = PatchBatches(photos, 2, 6, 4, seed=0).batch(0)
    for name, size in SIZES.items():
        Image.fromarray(np.full((*size, 3), 7, np.uint8)).save(tmp_path / "photos" / f"{name}.png")
    after = PatchBatches(photos, 2, 6, 4, seed=0).batch(0)
    assert not torch.equal(before[0], after[0])
    assert (after[0] == 7).all()


def test_an_image_smaller_than_the_patch_is_named(photos: datasets.Dataset) -> None:
    with pytest.raises(DataError, match="photos a: LR image of 12x16 at x3, expected at least the patch of 13x13"):
        PatchBatches(photos, 3, 13, 1, seed=0)
    PatchBatches(photos, 3, 12, 1, seed=0).batch(0)


def of_shape(*shape: int, dtype: type = np.uint8) -> bytes:
    content = io.BytesIO()
    np.save(content, np.zeros(shape, dtype))
    return sealed(content.getvalue())


def flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    **{f"flip {at}": lambda content, at=at: flipped(content, at) for at in (0, 9, 60, 200, 1000, -33, -32, -1)},
    **{f"cut to {size}": lambda content, size=size: content[:size] for size in (0, 1, 31, 32, 100, 128, 500, -33, -1)},
    "of an older version, without checksum": lambda content: content[:-32],
    "longer": lambda content: content + b"x",
    "text": lambda content: sealed(b"text"),
    "another shape": lambda content: of_shape(5, 5, 3),
    "grey": lambda content: of_shape(37, 50),
    "four channels": lambda content: of_shape(37, 50, 4),
    "other numbers": lambda content: of_shape(37, 50, 3, dtype=np.float32),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_decoded_images_are_healed(
    photos: datasets.Dataset, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """A flipped bit in each of them trained other weights, and a missing end killed the process."""
    before = PatchBatches(photos, 2, 6, 40, seed=0).batch(0)
    files = sorted((cache_folder() / "decoded").glob("*.npy"))
    whole = [file.read_bytes() for file in files]
    for chosen in (files[:1], files[1:2], files):
        for file in chosen:
            file.write_bytes(DAMAGE[name](file.read_bytes()))
        caplog.clear()
        after = PatchBatches(photos, 2, 6, 40, seed=0).batch(0)
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert [file.read_bytes() for file in files] == whole
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert re.search(r"decoded: [123] of folder:photos \([abc, ]+\) damaged, decoded again$", record.getMessage())
    caplog.clear()
    PatchBatches(photos, 2, 6, 40, seed=0)
    assert caplog.records == []


def test_a_decoded_image_is_verified_once_while_it_is_unchanged(
    photos: datasets.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[Path] = []
    is_sealed = decoded.is_sealed
    monkeypatch.setattr(decoded, "is_sealed", lambda file: verified.append(file) or is_sealed(file))
    sampler = PatchBatches(photos, 2, 6, 4, seed=0)
    assert len(verified) == len(set(verified)) == 2 * len(SIZES)
    PatchBatches(photos, 2, 8, 4, seed=1)
    pickle.loads(pickle.dumps(sampler)).batch(0)  # as in a worker
    assert len(verified) == 2 * len(SIZES)
    changed = sampler.images[0][0].file
    changed.write_bytes(changed.read_bytes())
    PatchBatches(photos, 2, 6, 4, seed=0)
    assert verified[2 * len(SIZES) :] == [changed]


def test_a_cache_that_cannot_be_written_will_do_when_all_is_there(
    photos: datasets.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = PatchBatches(photos, 2, 6, 4, seed=0).batch(0)

    def refuse(path: object, *_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system", str(path))

    for name in ("write", "locked"):
        monkeypatch.setattr(decoded, name, refuse)
    after = PatchBatches(photos, 2, 6, 4, seed=0).batch(0)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    with pytest.raises(OSError, match="decoded"):
        PatchBatches(photos, 3, 6, 4, seed=0)


def test_another_format_of_the_reader_decodes_anew(
    photos: datasets.Dataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = {pair[0].file for pair in PatchBatches(photos, 2, 6, 4, seed=0).images}
    monkeypatch.setattr(decoded, "READER", decoded.READER + 1)
    after = {pair[0].file for pair in PatchBatches(photos, 2, 6, 4, seed=0).images}
    assert before.isdisjoint(after)
    assert all(file.exists() for file in before)
    assert caplog.records == []


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("change", [lambda file: os.truncate(file, 200), Path.unlink], ids=["cut", "removed"])
def test_a_decoded_image_that_goes_while_in_use_is_one_line(
    photos: datasets.Dataset, workers: int, change: Callable[[Path], None]
) -> None:
    """Under a memory map the process would die of SIGBUS."""
    sampler = PatchBatches(photos, 2, 6, 4, seed=0)
    for pair in sampler.images:
        for image in pair:
            change(image.file)
    with pytest.raises(DataError, match=r"\.npy: decoded image .*run again") as caught:
        list(loader(sampler, 0, 2, workers))
    assert "\n" not in str(caught.value)


def test_missing_images_stop_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))
    with pytest.raises(DataError, match="not in the mirror"):
        PatchBatches(datasets.get("Sun-Hays80"), 4, 16, 1, seed=0)


@pytest.mark.parametrize("arguments", [(0, 1, 0), (4, 0, 0), (4, 1, -1)])
def test_bad_arguments_are_named(photos: datasets.Dataset, arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=f"lr_patch {arguments[0]}, batch_size {arguments[1]}, seed {arguments[2]}"):
        PatchBatches(photos, 2, *arguments)


def test_patches_cut_on_the_device_have_the_same_bytes(photos: datasets.Dataset) -> None:
    patches = PatchBatches(photos, 2, 6, 5, seed=1)
    read, cut = (list(loader(patches, 3, 9, device=torch.device("cpu"), on_device=each)) for each in (False, True))
    assert len(read) == len(cut) == 6
    for one, other in zip(read, cut, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_workers_send_no_tensors(photos: datasets.Dataset) -> None:
    """A tensor travels through shared memory, which is small in containers."""
    patches = PatchBatches(photos, 2, 6, 5, seed=1)
    assert all(isinstance(part, np.ndarray) for part in patches[0])
