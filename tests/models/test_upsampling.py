"""The upsampler: the published layers, in one go and in strips."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models import upsampling
from models.upsampling import Upsampler, upsample


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("strip", [1, 2**14, 2**21])
@pytest.mark.parametrize("size", [(1, 1), (3, 20), (31, 9), (40, 33)])
def test_strips_are_the_layers_one_after_another(
    scale: int, strip: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upsampling, "STRIP", strip)
    torch.manual_seed(0)
    upsampler, last = Upsampler(8, scale), nn.Conv2d(8, 3, 3, padding=1)
    x = torch.randn(2, 8, *size).to(memory_format=torch.channels_last)
    expected = last(nn.Sequential(*upsampler)(x))  # convolution, pixel shuffle and LeakyReLU
    torch.testing.assert_close(upsample(x, upsampler, last), expected)
    with torch.no_grad():
        torch.testing.assert_close(upsample(x, upsampler, last), expected)
        torch.testing.assert_close(upsample(x.contiguous(), upsampler, last), expected)
