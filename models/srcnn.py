"""SRCNN: Super-Resolution Convolutional Neural Network, the variant 9-5-5.

Dong, Loy, He, Tang: Learning a Deep Convolutional Network for Image Super-Resolution, ECCV 2014; and
Image Super-Resolution Using Deep Convolutional Networks, TPAMI 2016. 57,281 parameters at every scale.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.info import Fixed, ModelInfo, same_names
from models.luma import bicubic, luma, with_luma


class SRCNN(nn.Module):
    """RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W), not clamped. Works on luma enlarged beforehand."""

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__()
        self.scale = scale
        # Published training has no padding. The published test code repeats the border in every layer.
        self.conv1 = nn.Conv2d(1, 64, 9, padding=4, padding_mode="replicate")
        self.conv2 = nn.Conv2d(64, 32, 5, padding=2, padding_mode="replicate")
        self.conv3 = nn.Conv2d(32, 1, 5, padding=2, padding_mode="replicate")
        for name, parameter in self.named_parameters():  # the published initialisation
            nn.init.normal_(parameter, std=0.001 if name.endswith("weight") else 0)

    def forward(self, x: Tensor) -> Tensor:
        enlarged = bicubic(x, self.scale)
        features = F.relu(self.conv1(luma(enlarged)), inplace=True)  # (N, 64, scale·H, scale·W)
        features = F.relu(self.conv2(features), inplace=True)
        return with_luma(enlarged, self.conv3(features))


INFO = ModelInfo(
    name="srcnn",
    title="SRCNN",
    paper="Image Super-Resolution Using Deep Convolutional Networks",
    venue="ECCV 2014, TPAMI",
    year=2016,
    repository="http://mmlab.ie.cuhk.edu.hk/projects/SRCNN.html",
    licence="none stated",
    published_parameters={2: 57_000, 3: 57_000, 4: 57_000},
    counted_parameters={2: 57_281, 3: 57_281, 4: 57_281},
    smallest_input=1,
    training="395,909 images of ImageNet (or 91 images), HR patches of 33 at a stride of 14, MSE on the centre, SGD "
    "with momentum 0.9 at 1e-4 (last layer 1e-5), 8e8 backpropagations",
    network=SRCNN,
    published_names=same_names,
)
