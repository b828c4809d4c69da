"""Tiles against the whole image, how far networks see, and what is done when memory is short."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

import models
from benchmarks.measure.evaluation import Upscale, bicubic_upscale, network_upscale, self_ensemble
from benchmarks.measure.memory import bytes_per_pixel
from benchmarks.measure.tiling import RESULT_BYTES, Fitted, TooLarge, difference, reach, tiled

CPU = torch.device("cpu")
SCALE = 2


def local(*extents: int) -> nn.Module:
    """A network that sees as far as its convolutions, of which those wider than 3 pixels leave out what is between."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    channels = 3
    for extent in extents:
        radius = extent // 2
        layers += [nn.Conv2d(channels, 12, min(extent, 3), padding=radius, dilation=max(radius, 1)), nn.ReLU()]
        channels = 12
    return nn.Sequential(*layers, nn.Conv2d(channels, 3 * SCALE**2, 1), nn.PixelShuffle(SCALE))


class Everywhere(nn.Module):
    """Adds to every pixel a little of something of the whole image."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        big = x.repeat_interleave(SCALE, 2).repeat_interleave(SCALE, 3)
        if self.kind == "mean":
            return big + x.mean((2, 3), keepdim=True)
        if self.kind == "coarse":  # a grid that begins at the image's corner
            low = nn.functional.avg_pool2d(x, 2, ceil_mode=True)
            return nn.functional.interpolate(low, scale_factor=2 * SCALE)[..., : big.shape[2], : big.shape[3]]
        rows = torch.arange(big.shape[2])[:, None] * 0.001  # a place
        return big + rows


def image(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


WHOLE = network_upscale(local(3, 3), CPU)

# Tiles


@given(st.integers(1, 50), st.integers(1, 50), st.integers(5, 30), st.integers(0, 3))
@example(height=30, width=30, tile=10, surplus=0)
@example(height=5, width=50, tile=5, surplus=0)
def test_tiles_with_enough_halo_give_the_whole(height: int, width: int, tile: int, surplus: int) -> None:
    halo = min(2 + surplus, (tile - 1) // 2)
    lr = image(height, width)
    np.testing.assert_allclose(tiled(WHOLE, tile, halo, SCALE)(lr), WHOLE(lr), rtol=0, atol=1e-5)


def test_a_halo_too_small_shows() -> None:
    lr = image(30, 30)
    change = np.abs(tiled(WHOLE, 12, 1, SCALE)(lr) - WHOLE(lr))
    assert change.max() > 1e-3
    assert change[: SCALE * 9, : SCALE * 9].max() < 1e-5  # one pixel of halo short: away from the seams all is well


@given(st.integers(1, 90), st.integers(1, 40), st.integers(0, 12))
def test_tiles_are_no_larger_than_asked_and_none_is_all_halo(length: int, core: int, halo: int) -> None:
    tile, seen = core + 2 * halo, []

    def upscale(lr: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(lr.shape[0])
        return lr.astype(np.float32)

    told: list[tuple[int, int]] = []
    lr = image(length, 3)
    result = tiled(upscale, tile, halo, 1, lambda done, total: told.append((done, total)))(lr)
    assert np.array_equal(result, lr)
    assert max(seen) <= tile
    assert len(seen) == 1 or min(seen) > 2 * halo
    assert told == [(done, len(seen)) for done in range(1, len(seen) + 1)]


def test_an_image_that_fits_is_not_cut() -> None:
    seen = []

    def upscale(lr: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(lr.shape)
        return bicubic_upscale(3)(lr)

    lr = image(20, 16)
    assert np.array_equal(tiled(upscale, 20, 4, 3)(lr), bicubic_upscale(3)(lr))
    assert seen == [(20, 16, 3)]


@pytest.mark.parametrize(("tile", "halo"), [(8, 4), (7, 4), (0, 0), (8, -1)])
def test_a_tile_must_be_more_than_halo(tile: int, halo: int) -> None:
    with pytest.raises(ValueError, match=f"tile {tile}: expected more than {2 * halo}"):
        tiled(WHOLE, tile, halo, SCALE)


def test_a_self_ensemble_of_tiles_is_that_of_whole_images() -> None:
    lr = image(31, 22)
    expected = self_ensemble(WHOLE)(lr)
    np.testing.assert_allclose(self_ensemble(tiled(WHOLE, 13, 2, SCALE))(lr), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(tiled(self_ensemble(WHOLE), 13, 2, SCALE)(lr), expected, rtol=0, atol=1e-5)


# How far a network sees


@pytest.mark.parametrize(
    ("extents", "expected"), [((), 0), ((3,), 1), ((1, 5), 2), ((3, 3, 7), 5), ((31, 31), 30), ((43, 43, 41), 62)]
)
def test_reach_of_convolutions(extents: tuple[int, ...], expected: int) -> None:
    assert reach(local(*extents), SCALE) == expected


@pytest.mark.parametrize("network", [*map(Everywhere, ["mean", "coarse", "place"]), local(43, 43, 43)])
def test_no_halo_is_enough(network: nn.Module) -> None:
    assert reach(network, SCALE) is None


# The sums of the halves of all kernels; upsampled features count by their scale.
@pytest.mark.parametrize(
    ("name", "expected"),
    [("espcn", 4), ("fsrcnn", 7), ("carn_m", 21), ("awsrn_m", 32)]
    + [(name, None) for name in ("imdn", "smsr", "bsrn", "swinir_light", "spin")],
)
def test_reach_of_networks(name: str, expected: int | None) -> None:
    torch.manual_seed(0)
    network = models.build(name, 4)
    assert reach(network, 4, models.describe(name).smallest_input) == expected
    assert network.training


def test_the_difference_of_tiles() -> None:
    lr = image(40, 26)
    assert difference(WHOLE, lr, 2, SCALE)[0] < 1e-5
    most, typical = difference(network_upscale(Everywhere("mean"), CPU), lr, 2, SCALE)
    means = np.float32(lr / 255).mean((0, 1))
    halves = [np.float32(lr[rows] / 255).mean((0, 1)) for rows in (np.s_[:22, :22], np.s_[18:, :22])]
    assert most >= max(np.abs(half - means).max() for half in halves) - 1e-5
    assert 0 < typical <= most


# By the memory that there is


class Memory:
    """So much memory; and what was said."""

    def __init__(self, count: float) -> None:
        self.count = count
        self.said: list[str] = []

    def __call__(self, device: torch.device) -> int:
        return int(self.count)


NETWORK = local(3, 3)
PIXEL = bytes_per_pixel(NETWORK, CPU)
RESULT = SCALE**2 * RESULT_BYTES  # per LR pixel


def fitted(memory: Memory, network: nn.Module = NETWORK, tile: object = "auto", least: int = 1) -> Upscale:
    return Fitted(network, SCALE, CPU, least=least, tile=tile, say=memory.said.append, memory=memory)  # type: ignore[arg-type]


def test_whole_images_while_there_is_memory() -> None:
    memory = Memory(50 * 40 * (PIXEL + RESULT) + 1)
    upscale = fitted(memory)
    for lr in (image(50, 40), image(30, 20), image(40, 50)):
        assert np.array_equal(upscale(lr), WHOLE(lr))
    assert len(memory.said) == 1  # once, as nothing changed
    assert "whole (50x40" in memory.said[0]


def test_tiles_where_memory_is_short() -> None:
    memory = Memory(100 * 90 * RESULT + 40**2 * PIXEL)
    network, seen = local(3, 3), []
    upscale = fitted(memory, network)
    upscale(image(40, 40))
    network.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape[2:])))
    lr = image(100, 90)
    np.testing.assert_allclose(upscale(lr), WHOLE(lr), rtol=0, atol=1e-5)
    assert max(seen) == (32, 32)
    assert len(memory.said) == 2
    assert "tiles of 32x32, halo 2" in memory.said[1]
    assert "the result is that of the whole image" in memory.said[1]


def test_a_global_network_in_tiles_says_what_they_change() -> None:
    network = Everywhere("mean")
    per_pixel = bytes_per_pixel(network, CPU)
    memory = Memory(200 * 150 * RESULT + 100**2 * per_pixel + 1)
    lr = image(200, 150)
    fitted(memory, network)(lr)
    assert "tiles of 96x96, halo 32" in memory.said[0]
    assert "in the central 100x100" in memory.said[0]
    expected, _ = difference(network_upscale(network, CPU), lr[50:150, 25:125], 32, SCALE)
    assert f"by up to {255 * expected:.2f}/255" in memory.said[0]


def test_the_last_tile_is_not_too_small_for_the_network() -> None:
    class Picky(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if min(x.shape[-2:]) < 24:
                raise ValueError("too small")
            return x.repeat_interleave(SCALE, 2).repeat_interleave(SCALE, 3)

    for height in range(49, 75):
        lr = image(height, 24)
        expected = lr.repeat(SCALE, 0).repeat(SCALE, 1) / np.float32(255)
        np.testing.assert_allclose(fitted(Memory(1e12), Picky(), 48, least=24)(lr), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("memory", "tile", "words"),
    [
        (100 * 100 * RESULT - 1, "auto", "100x100 at x2: the result takes"),
        (100 * 100 * RESULT + 19**2 * PIXEL, "auto", "100x100: even 20x20 takes up to"),
        (100 * 100 * (RESULT + PIXEL) - 1000, "off", "100x100 takes up to"),
        (100 * 100 * (RESULT + PIXEL) - 1000, 100, "100x100 takes up to"),
        (100 * 100 * RESULT + 49**2 * PIXEL, 50, "100x100: even 50x50 takes up to"),
    ],
)
def test_what_cannot_fit_is_refused(memory: float, tile: object, words: str) -> None:
    calls: list[object] = []
    network = local(3, 3)
    upscale = fitted(Memory(memory), network, tile)
    upscale(image(10, 10))
    network.register_forward_pre_hook(lambda module, inputs: calls.append(inputs[0].shape))
    with pytest.raises(TooLarge, match=words) as error:
        upscale(image(100, 100))
    assert "\n" not in str(error.value)
    assert not any(shape[-1] > 64 for shape in calls)  # type: ignore[index]


def test_memory_that_is_gone_after_all_is_an_error_of_the_same_kind() -> None:
    class Greedy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[-1] == 100:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return x.repeat_interleave(SCALE, 2).repeat_interleave(SCALE, 3)

    with pytest.raises(TooLarge, match="100x100 takes up to"):
        fitted(Memory(1e12), Greedy())(image(100, 100))


def test_a_tile_that_is_all_halo_is_refused() -> None:
    with pytest.raises(ValueError, match="tile 4: expected more than 4, twice the halo"):
        fitted(Memory(1e12), tile=4)(image(30, 30))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_room_is_the_gpus() -> None:
    said: list[str] = []
    free = {"cpu": 1e12, "cuda": 40**2 * bytes_per_pixel(NETWORK, torch.device("cuda"))}
    upscale = Fitted(
        local(3, 3), SCALE, torch.device("cuda"), say=said.append, memory=lambda device: int(free[device.type])
    )
    lr = image(100, 90)
    np.testing.assert_allclose(upscale(lr), network_upscale(local(3, 3), CPU)(lr), rtol=0, atol=1e-4)
    assert "tiles of 32x32" in said[0]
