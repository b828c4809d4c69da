"""ESPCN: Efficient Sub-Pixel Convolutional neural Network.

Shi, Caballero, Huszár, Totz, Aitken, Bishop, Rueckert, Wang: Real-Time Single Image and Video Super-Resolution Using an
Efficient Sub-Pixel Convolutional Neural Network, CVPR 2016. 21,284 / 22,729 / 24,752 parameters at x2 / x3 / x4.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.info import Fixed, ModelInfo, same_names
from models.luma import bicubic, luma, with_luma


class ESPCN(nn.Module):
    """RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W), not clamped. Works on luma in the size of the input."""

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__()
        self.scale = scale
        self.conv1 = nn.Conv2d(1, 64, 5, padding=2)
        self.conv2 = nn.Conv2d(64, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, scale**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv2(self.conv1(luma(x)).tanh()).tanh()  # (N, 32, H, W); tanh is the paper's final choice
        return with_luma(bicubic(x, self.scale), F.pixel_shuffle(self.conv3(features), self.scale))


INFO = ModelInfo(
    name="espcn",
    title="ESPCN",
    paper="Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network",
    venue="CVPR",
    year=2016,
    repository="",
    licence="no code published",
    published_parameters={},
    counted_parameters={2: 21_284, 3: 22_729, 4: 24_752},
    smallest_input=1,
    training="50,000 images of ImageNet (or 91 images), LR patches of 17, blurred and sub-sampled instead of bicubic, "
    "MSE, learning rate from 0.01 to 0.0001 (last layer a tenth), until 100 epochs bring nothing",
    network=ESPCN,
    published_names=same_names,
)
