"""Evaluation of upscalers: self-ensemble, rows, networks, faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.data.images import DataError
from benchmarks.measure import devices
from benchmarks.measure.evaluation import (
    COLUMNS,
    EvaluationError,
    bicubic_upscale,
    evaluate,
    network_upscale,
    self_ensemble,
)
from benchmarks.measure.quality import CONVENTIONS, scores
from tests.benchmarks.measure.small_set import CPU, SCALE, Network, SmallSet, lr_image

# Self-ensemble


def test_a_self_ensemble_is_the_mean_over_the_symmetries_of_the_square() -> None:
    plain = network_upscale(Network(), CPU)
    image = lr_image()
    turned = [np.rot90(side, turns) for side in (image, image[:, ::-1]) for turns in range(4)]
    back = []
    for number, one in enumerate(turned):
        sr = np.rot90(plain(np.ascontiguousarray(one)), -(number % 4))
        back.append(sr[:, ::-1] if number >= 4 else sr)
    np.testing.assert_allclose(self_ensemble(plain)(image), np.mean(back, axis=0), atol=1e-6)


def test_a_self_ensemble_turns_with_its_image() -> None:
    ensemble, image = self_ensemble(network_upscale(Network(), CPU)), lr_image()
    for turn in (np.rot90, np.flipud, np.fliplr):
        np.testing.assert_allclose(ensemble(np.ascontiguousarray(turn(image))), turn(ensemble(image)), atol=1e-6)


# Rows


def test_images_are_cropped_to_a_multiple() -> None:
    sizes = []

    def upscale(lr: NDArray[np.uint8]) -> NDArray[np.float32]:
        sizes.append(lr.shape[:2])
        return bicubic_upscale(SCALE)(lr)

    rows = evaluate(upscale, SmallSet(lacking="c"), SCALE, multiple=2)
    assert sizes == [(6, 8), (8, 6)]
    assert len(rows) == 2


def test_only_the_first_images() -> None:
    assert evaluate(bicubic_upscale(SCALE), SmallSet(), SCALE, limit=2)["image"].tolist() == ["b", "a"]


def test_rows_are_the_measures_of_each_image_and_convention() -> None:
    small, upscale = SmallSet(), bicubic_upscale(SCALE)
    frame = evaluate(upscale, small, SCALE, tuple(CONVENTIONS))
    assert list(frame.columns) == COLUMNS
    assert frame.psnr.dtype == frame.ssim.dtype == np.float64
    expected = [
        (small.name, pair.lr_origin, convention, name, *scores(upscale(pair.lr), pair.hr, SCALE, convention))
        for name, pair in small.images.items()
        for convention in CONVENTIONS
    ]
    assert list(frame.itertuples(index=False, name=None)) == expected


def test_one_upscaling_serves_all_conventions_and_progress_is_told() -> None:
    calls: list[tuple[int, ...]] = []
    told: list[tuple[int, int, str]] = []

    def upscale(lr: NDArray[np.uint8]) -> NDArray[np.float32]:
        calls.append(lr.shape)
        return bicubic_upscale(SCALE)(lr)

    evaluate(upscale, SmallSet(), SCALE, ("rcan", "float", "rgb"), lambda *event: told.append(event))
    assert calls == [(6, 9, 3), (8, 7, 3), (5, 5, 3)]
    assert told == [(1, 3, "b"), (2, 3, "a"), (3, 3, "c")]


def test_missing_images_have_no_row() -> None:
    told: list[tuple[int, int, str]] = []
    whole = evaluate(bicubic_upscale(SCALE), SmallSet(), SCALE)
    small = SmallSet(lacking="a")
    part = evaluate(bicubic_upscale(SCALE), small, SCALE, progress=lambda *event: told.append(event))
    pd.testing.assert_frame_equal(part, whole[whole.image != "a"].reset_index(drop=True))
    assert told == [(1, 2, "b"), (2, 2, "c")]


def test_identical_images_stay_infinite() -> None:
    small = SmallSet()
    pair = small.images["b"]
    small.images = {"b": pair}
    frame = evaluate(lambda lr: pair.hr / np.float32(255), small, SCALE)
    assert frame.psnr.tolist() == [np.inf]
    assert frame.ssim.tolist() == [1.0]


# Networks


def test_network_upscale_is_the_network_in_evaluation_mode() -> None:
    network, lr = Network().eval(), lr_image()
    x = torch.tensor(lr).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        expected = network(x)[0].permute(1, 2, 0).numpy()
    network.train()
    sr = network_upscale(network, CPU)(lr)
    assert sr.dtype == np.float32
    assert sr.shape == (24, 28, 3)
    np.testing.assert_array_equal(sr, expected)
    assert sr.min() < 0  # not clamped


@pytest.mark.parametrize("fails", [False, True])
def test_network_upscale_restores_the_mode_of_every_module(fails: bool) -> None:
    network = Network()
    before = {name: module.training for name, module in network.named_modules()}
    assert set(before.values()) == {True, False}
    statistics = network.frozen.running_mean.clone()
    if fails:
        network.up = nn.PixelShuffle(5)
        with pytest.raises(RuntimeError):
            network_upscale(network, CPU)(lr_image())
    else:
        network_upscale(network, CPU)(lr_image())
    assert {name: module.training for name, module in network.named_modules()} == before
    assert torch.equal(network.frozen.running_mean, statistics)


def test_network_upscale_leaves_parameters_trainable() -> None:
    network = Network()
    network_upscale(network, CPU)(lr_image())
    network(torch.rand(1, 3, 6, 6)).sum().backward()
    assert network.body[0].weight.grad is not None


def test_network_upscale_takes_any_memory_layout() -> None:
    upscale, lr = network_upscale(Network(), CPU), lr_image()
    turned = lr[::-1, ::-1].copy()
    turned.flags.writeable = False
    np.testing.assert_array_equal(upscale(turned[::-1, ::-1]), upscale(lr))


class Flat(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(1, keepdim=True)


def test_network_faults() -> None:
    with pytest.raises(ValueError, match=r"gave shape \(1, 1, 6, 7\), expected \(1, 3, height, width\)"):
        network_upscale(Flat(), CPU)(lr_image())
    # a x4 network on a set evaluated at x2
    with pytest.raises(EvaluationError, match=r"Small x2, b: .*\(24, 36, 3\), expected \(12, 18, 3\)"):
        evaluate(network_upscale(Network(), CPU), SmallSet(), 2)


# Faults of an evaluation


def test_failing_image_is_named_with_its_set() -> None:
    def upscale(lr: NDArray[np.uint8]) -> NDArray[np.float32]:
        if lr.shape[0] == 8:
            raise RuntimeError("out of memory\nwith a long explanation")
        return bicubic_upscale(SCALE)(lr)

    with pytest.raises(EvaluationError) as caught:
        evaluate(upscale, SmallSet(), SCALE)
    assert str(caught.value) == "Small x4, a: RuntimeError: out of memory"
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_not_a_number_is_an_error() -> None:
    def upscale(lr: NDArray[np.uint8]) -> NDArray[np.float32]:
        return bicubic_upscale(SCALE)(lr) * np.float32(np.nan)

    with pytest.raises(EvaluationError, match=r"Small x4, b: .*24x36x3 has 2592 values that are NaN"):
        evaluate(upscale, SmallSet(), SCALE)


def test_too_small_an_image_is_an_error() -> None:
    small = SmallSet()
    pair = small.images["c"]
    small.images["c"] = replace(pair, hr=pair.hr[:16], lr=pair.lr[:4])
    with pytest.raises(EvaluationError, match=r"Small x4, c: .*SSIM needs 11x11 pixels, images are 8x12"):
        evaluate(bicubic_upscale(SCALE), small, SCALE)


def test_faults_before_the_first_image() -> None:
    def upscale(lr: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise AssertionError("must not be reached")

    with pytest.raises(ValueError, match="unknown convention 'Y'"):
        evaluate(upscale, SmallSet(), SCALE, ("rcan", "Y"))
    with pytest.raises(ValueError, match="no convention"):
        evaluate(upscale, SmallSet(), SCALE, ())


def test_damaged_image_keeps_the_error_that_names_its_file() -> None:
    with pytest.raises(DataError, match=r"^a\.png: damaged$"):
        evaluate(bicubic_upscale(SCALE), SmallSet(broken="a"), SCALE)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_network_upscale_on_a_gpu_agrees_with_the_cpu() -> None:
    network, lr = Network(), lr_image()
    expected = network_upscale(network, CPU)(lr)
    cuda = devices.device("cuda")
    np.testing.assert_allclose(network_upscale(network, cuda)(lr), expected, atol=5e-3)
    assert devices.device_facts(cuda)["kind"] == "cuda"
