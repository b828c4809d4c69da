"""The networks on luma, which have no golden cases, against their tables of layers and MATLAB's bicubic."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import models
from benchmarks.data.resize import imresize
from benchmarks.measure import quality
from models.luma import bicubic, luma, with_luma

# Rows: Y, Cb, Cr of ITU-R BT.601 in studio range; columns: R, G, B
YCBCR = torch.tensor(
    [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]], dtype=torch.float64
)
OFFSET = torch.tensor([16.0, 128.0, 128.0], dtype=torch.float64)[:, None, None]


def ycbcr(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 1] -> Y, Cb and Cr over 255."""
    return (torch.einsum("ij,njhw->nihw", YCBCR, rgb) + OFFSET) / 255


@pytest.mark.parametrize("scale", models.SCALES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 7), (13, 18)])
def test_bicubic_is_matlabs(scale: int, height: int, width: int) -> None:
    """imresize rounds after each pass: by 1/2, which the second pass may enlarge by 5/4, and by 1/2 again."""
    image = np.random.default_rng(scale).integers(60, 196, (height, width, 3), np.uint8)
    ours = 255 * bicubic(torch.tensor(image / 255).permute(2, 0, 1)[None], scale)[0].permute(1, 2, 0).numpy()
    deviation = np.abs(ours - imresize(image, Fraction(scale), "replicate"))
    assert deviation.max() <= 0.5 * 1.25 + 0.5
    assert deviation.mean() <= 0.4  # of two roundings


@pytest.mark.parametrize("scale", models.SCALES)
def test_bicubic_on_a_cubic_of_its_own_kernel(scale: int) -> None:
    """An impulse becomes the kernel, a = -0.5."""
    impulse = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    impulse[..., 4, 4] = 1
    t = np.abs((np.arange(9 * scale) + 0.5) / scale - 4.5)
    kernel = np.where(t <= 1, 1.5 * t**3 - 2.5 * t**2 + 1, np.where(t <= 2, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2, 0))
    np.testing.assert_allclose(bicubic(impulse, scale)[0, 0].numpy(), np.outer(kernel, kernel), atol=1e-12)


def test_luma_is_that_of_the_measurements() -> None:
    rgb = torch.rand(2, 3, 20, 30, dtype=torch.float64)
    torch.testing.assert_close(luma(rgb), ycbcr(rgb)[:, :1])
    dark, light = (rgb[:1] * 255).round() / 255, (rgb[1:] * 255).round() / 255
    as_images = [(255 * image[0].permute(1, 2, 0)).round().numpy().astype(np.uint8) for image in (dark, light)]
    error = (255 * (luma(dark) - luma(light))).square().mean().item()
    assert quality.psnr(*as_images, border=0) == pytest.approx(10 * np.log10(255**2 / error), abs=1e-9)


def test_new_luma_leaves_the_colours() -> None:
    rgb, y = torch.rand(2, 3, 8, 9, dtype=torch.float64), torch.rand(2, 1, 8, 9, dtype=torch.float64)
    expected = torch.cat([y, ycbcr(rgb)[:, 1:]], dim=1)
    torch.testing.assert_close(ycbcr(with_luma(rgb, y)), expected, rtol=0, atol=1e-5)  # Cb and Cr have three decimals


State = dict[str, Tensor]


def convolve(x: Tensor, state: State, name: str) -> Tensor:
    """A convolution that keeps the size, the border padded with zeros."""
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)


def srcnn(y: Tensor, enlarged: Tensor, state: State, scale: int) -> Tensor:
    for name in ("conv1", "conv2", "conv3"):
        size = state[f"{name}.weight"].shape[-1] // 2
        around = F.pad(enlarged, (size,) * 4, mode="replicate")
        enlarged = F.conv2d(around, state[f"{name}.weight"], state[f"{name}.bias"])
        enlarged = enlarged if name == "conv3" else enlarged.clamp(min=0)
    return enlarged


def fsrcnn(y: Tensor, enlarged: Tensor, state: State, scale: int) -> Tensor:
    for name in ["feature", "shrink", *(f"map.{2 * i}" for i in range(4)), "expand"]:
        first = name if "." in name else f"{name}.0"
        slope = state[f"{first[:-1]}{int(first[-1]) + 1}.weight"][:, None, None]
        y = convolve(y, state, first)
        y = y.clamp(min=0) + slope * y.clamp(max=0)
    # The transposed convolution as a plain one, of the features with zeros between them
    batch, channels, height, width = y.shape
    spread = y.new_zeros(batch, channels, scale * height, scale * width)
    spread[..., ::scale, ::scale] = y
    return F.conv2d(spread, state["deconv.weight"].flip(2, 3).transpose(0, 1), state["deconv.bias"], padding=4)


def espcn(y: Tensor, enlarged: Tensor, state: State, scale: int) -> Tensor:
    y = convolve(y, state, "conv1").tanh()
    y = convolve(convolve(y, state, "conv2").tanh(), state, "conv3")
    result = torch.empty_like(enlarged)
    for dy in range(scale):
        for dx in range(scale):
            result[:, 0, dy::scale, dx::scale] = y[:, scale * dy + dx]
    return result


def vdsr(y: Tensor, enlarged: Tensor, state: State, scale: int) -> Tensor:
    x = enlarged
    for layer in range(19):
        x = convolve(x, state, f"body.{layer}").clamp(min=0)
    return enlarged + convolve(x, state, "body.19")


@pytest.mark.parametrize("scale", models.SCALES)
@pytest.mark.parametrize("table", [srcnn, fsrcnn, espcn, vdsr])
@torch.no_grad()
def test_network_follows_its_table(table: Callable[..., Tensor], scale: int) -> None:
    torch.manual_seed(scale)
    model: nn.Module = models.build(table.__name__, scale).double()
    for parameter in model.parameters():
        parameter.copy_(torch.randn_like(parameter) / max(parameter[0].numel(), 20) ** 0.5)
    x = torch.rand(2, 3, 11, 14, dtype=torch.float64)
    enlarged = ycbcr(bicubic(x, scale))
    expected = torch.cat([table(ycbcr(x)[:, :1], enlarged[:, :1], model.state_dict(), scale), enlarged[:, 1:]], dim=1)
    torch.testing.assert_close(ycbcr(model(x)), expected, rtol=1e-5, atol=1e-5)
