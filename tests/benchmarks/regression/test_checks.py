"""The regression check on the reference that is committed: planted faults are found, what is no fault stays quiet."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from benchmarks.data import datasets, pairs
from benchmarks.data.resize import imresize
from benchmarks.measure import quality
from benchmarks.regression import checks
from benchmarks.regression.references import find
from models.weights import read_weights
from reports.regression import check_network
from reports.verdicts import Check
from results import references
from results.references import Reference
from tests.benchmarks.regression.planted import CPU, NAME, After, Planted, failed, watch

# what must be found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda sr: sr[:, [2, 1, 0]], {"PSNR", "SSIM", "change of SR"}),
        (lambda sr: sr.roll(1, 3), {"PSNR", "SSIM", "change of SR"}),
        (lambda sr: (255 * sr).round().remainder(256) / 255, {"PSNR", "SSIM", "change of SR"}),
        (lambda sr: 1.01 * sr, {"PSNR", "change of SR"}),
    ],
    ids=["channels-swapped", "shifted-by-a-pixel", "wrapped-around", "brighter"],
)
def test_faults_of_the_output(
    network: nn.Module, checked: Callable[..., Check], change: Callable[[Tensor], Tensor], expected: set[str]
) -> None:
    assert failed(checked(After(network, change))) >= expected


def test_weights_with_one_per_cent_of_noise(
    reference: Reference, checked: Callable[..., Check], tmp_path: Path
) -> None:
    """After 60 steps of training the noise may as well raise the PSNR: the pixels tell."""
    assert reference.weights is not None
    random = torch.Generator().manual_seed(1)
    noisy = {
        name: value * (1 + 0.01 * torch.randn(value.shape, generator=random))
        for name, value in read_weights(reference.weights).items()
    }
    file = tmp_path / "noisy.safetensors"
    safetensors.torch.save_file(noisy, file)
    ((network, _),) = find([str(file)], reference=NAME)
    assert "change of SR" in failed(checked(network.module()))


def test_output_that_is_not_clamped(
    network: nn.Module, checked: Callable[..., Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unclamped(sr: NDArray[Any], rounded: bool) -> NDArray[np.float64]:
        return np.rint(255 * sr.astype(np.float64)).astype(np.int64).astype(np.uint8).astype(np.float64)

    monkeypatch.setattr(quality, "_from_unit_range", unclamped)
    assert failed(checked(network)) == {"PSNR", "SSIM", "change of SR"}


def test_a_changed_border_of_the_measure(
    network: nn.Module, checked: Callable[..., Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = dataclasses.replace(quality.CONVENTIONS["rcan"], cut_border=False)
    monkeypatch.setattr(quality, "CONVENTIONS", {"rcan": whole})
    found = checked(network)
    assert failed(found) == {"PSNR", "SSIM"}
    assert found.lines[0].change > 0  # a higher PSNR of the same weights is no improvement, and not worse either
    assert found.verdict == "changed"


def test_a_changed_border_of_the_network(reference: Reference, checked: Callable[..., Check]) -> None:
    ((network, _),) = find([], reference=NAME)
    model = network.module()
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.padding == (1, 1):
            module.padding_mode, module._reversed_padding_repeated_twice = "reflect", [1, 1, 1, 1]
    assert "change of SR" in failed(checked(model))


def pillow(image: NDArray[np.uint8], factor: float, border: str) -> NDArray[np.uint8]:
    size = [round(factor * side) for side in image.shape[1::-1]]
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


@pytest.mark.parametrize("wrong", [pillow, lambda *arguments: imresize(*arguments[:2], "replicate")])
@pytest.mark.parametrize("name", [NAME, "quick/bicubic-x4-s0"])
def test_wrong_lr(
    wrong: Callable[..., Any], name: str, checked: Callable[..., Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "imresize", wrong)
    stored = references.load_reference(name)
    ((network, _),) = find([], reference=name)
    measured = checks.measured(network, ["embedded-test"], CPU, watch)
    assert "change of SR" in failed(check_network("planted", stored, measured))


def crops(dataset: str, size: tuple[int, int], folder: Path) -> str:
    """A set of the upper left corners (width, height) of the HR images of another one."""
    folder.mkdir()
    for name in datasets.get(dataset).hr_names():
        crop = datasets.get(dataset).hr(name, 4)[: size[1], : size[0]]
        Image.fromarray(crop).save(folder / f"{name}.png")
    return str(folder)


@pytest.mark.usefixtures("mirror_folder")
def test_two_per_cent_of_noise_lower_the_psnr_of_a_well_trained_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As other weights, judged by quality alone: on the fourteen images of Set14, as five prove nothing."""
    monkeypatch.setattr(checks, "comparable_costs", lambda *arguments: None)
    ((network, reference),) = find(["imdn"])
    model, images = network.module(), crops("Set14", (200, 200), tmp_path / "crops")
    same = Planted.as_of(network, model)
    measured = checks.measured(same, [images], CPU, watch)
    stored = references.store_reference(reference, measured, "first", root=tmp_path)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + 0.02 * torch.randn(parameter.shape, generator=random))
    noisy = checks.measured(same, [images], CPU, watch)
    assert check_network("noisy", stored, noisy, retrained=True).verdict == "worse"
    assert check_network("same", stored, measured).verdict == "equal"


# what must stay quiet


def test_the_same_weights_again(network: nn.Module, checked: Callable[..., Check]) -> None:
    found = checked(network)
    assert found.verdict == "equal"
    assert {line.quantity.partition(",")[0] for line in found.lines} == {"PSNR", "SSIM", "change of SR"}


def test_another_number_of_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "comparable_costs", lambda *arguments: None)
    images = crops("embedded-test", (200, 160), tmp_path / "crops")
    ((network, _),) = find([], reference=NAME)
    before, measured = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            measured.append(checks.measured(network, [images], CPU, watch))
    finally:
        torch.set_num_threads(before)
    stored = references.store_reference(NAME, measured[0], "first", root=tmp_path)
    assert [check_network("now", stored, now).verdict for now in measured[1:]] == ["equal", "equal"]
