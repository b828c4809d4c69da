"""Training patches: aligned, uniform over the symmetries, and a function of seed and index alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.data import datasets, patches
from benchmarks.data.fetch import cache_folder
from benchmarks.data.images import DataError
from benchmarks.data.patches import PatchSampler, loader

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


@pytest.mark.parametrize("scale", datasets.SCALES)
def test_hr_and_lr_patches_are_crops_of_the_pairs_at_one_place(photos: datasets.Dataset, scale: int) -> None:
    lr, hr = PatchSampler(photos, scale, lr_patch=5, batch_size=12, seed=3).batch(0)
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
    sampler = PatchSampler(photos, 2, lr_patch=16, batch_size=400, seed=0)
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
    sampler = PatchSampler(photos, 2, lr_patch=8, batch_size=30, seed=0, augment=False)
    images = {pair.name: pair.lr for pair in photos.pairs(2)}
    assert {found(patch, images)[0][3] for patch in sampler.batch(0)[0]} == {0}


def test_a_batch_depends_on_seed_and_index_alone(photos: datasets.Dataset) -> None:
    sampler = PatchSampler(photos, 2, 6, 4, seed=1)
    later = sampler.batch(7)
    torch.manual_seed(99)
    sampler.batch(0)
    again = PatchSampler(photos, 2, 6, 4, seed=1).batch(7)
    assert all(torch.equal(a, b) for a, b in zip(later, again, strict=True))
    assert not torch.equal(later[0], sampler.batch(8)[0])
    assert not torch.equal(later[0], PatchSampler(photos, 2, 6, 4, seed=2).batch(7)[0])


def test_draws_do_not_change_between_releases(photos: datasets.Dataset) -> None:
    """Places of the first patches of seed 0, as they were when the sampler was written."""
    lr, _ = PatchSampler(photos, 2, 16, 3, seed=0).batch(0)
    images = {pair.name: pair.lr for pair in photos.pairs(2)}
    assert [found(patch, images) for patch in lr] == [[("b", 10, 4, 5)], [("c", 3, 2, 1)], [("b", 3, 0, 3)]]


def test_workers_and_resumption_change_nothing(photos: datasets.Dataset) -> None:
    sampler = PatchSampler(photos, 3, 5, 4, seed=5)
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


def test_images_are_decoded_once(photos: datasets.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    before = PatchSampler(photos, 2, 6, 4, seed=0).batch(0)
    monkeypatch.setattr(patches, "read_image", lambda path: pytest.fail(f"decoded {path} again"))
    monkeypatch.setattr(datasets, "read_image", lambda path: pytest.fail(f"decoded {path} again"))
    after = PatchSampler(photos, 2, 6, 4, seed=0).batch(0)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_scales_share_one_cache(photos: datasets.Dataset) -> None:
    for scale in datasets.SCALES:
        for pair, (hr_file, lr_file) in zip(
            photos.pairs(scale), PatchSampler(photos, scale, 6, 4, seed=0).files, strict=True
        ):
            np.testing.assert_array_equal(np.load(lr_file), pair.lr)
            np.testing.assert_array_equal(np.load(hr_file)[: len(pair.hr), : pair.hr.shape[1]], pair.hr)
    assert len(list((cache_folder() / "decoded").glob("*.npy"))) == len(SIZES) * (1 + len(datasets.SCALES))


def test_a_changed_image_is_decoded_again(photos: datasets.Dataset, tmp_path: Path) -> None:
    before = PatchSampler(photos, 2, 6, 4, seed=0).batch(0)
    for name, size in SIZES.items():
        Image.fromarray(np.full((*size, 3), 7, np.uint8)).save(tmp_path / "photos" / f"{name}.png")
    after = PatchSampler(photos, 2, 6, 4, seed=0).batch(0)
    assert not torch.equal(before[0], after[0])
    assert (after[0] == 7).all()


def test_an_image_smaller_than_the_patch_is_named(photos: datasets.Dataset) -> None:
    with pytest.raises(DataError, match="photos a: LR image of 12x16 at x3, expected at least the patch of 13x13"):
        PatchSampler(photos, 3, 13, 1, seed=0)
    PatchSampler(photos, 3, 12, 1, seed=0).batch(0)


def test_a_damaged_decoded_image_is_named(photos: datasets.Dataset) -> None:
    PatchSampler(photos, 2, 6, 4, seed=0)
    for file in (cache_folder() / "decoded").glob("*.npy"):
        os.truncate(file, 200)
    patches._open.cache_clear()
    with pytest.raises(DataError, match=r"\.npy: decoded image cannot be read .*delete the file"):
        PatchSampler(photos, 2, 6, 4, seed=0)


def test_missing_images_stop_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))
    with pytest.raises(DataError, match="not in the mirror"):
        PatchSampler(datasets.get("Sun-Hays80"), 4, 16, 1, seed=0)


@pytest.mark.parametrize("arguments", [(0, 1, 0), (4, 0, 0), (4, 1, -1)])
def test_bad_arguments_are_named(photos: datasets.Dataset, arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=f"lr_patch {arguments[0]}, batch_size {arguments[1]}, seed {arguments[2]}"):
        PatchSampler(photos, 2, *arguments)
