"""VDSR: Very Deep Super-Resolution network.

Kim, Lee, Lee: Accurate Image Super-Resolution Using Very Deep Convolutional Networks, CVPR 2016.
665,921 parameters at every scale.
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from models.info import Fixed, ModelInfo, same_names
from models.luma import bicubic, luma, with_luma

WIDTH = 64
LAYERS = 20


class VDSR(nn.Module):
    """RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W), not clamped. Works on luma enlarged beforehand.

    The published network serves x2, x3 and x4 at once; its parameters are the same for every scale.
    """

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__()
        self.scale = scale
        widths = [1] + [WIDTH] * (LAYERS - 1) + [1]
        self.body = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths))
        for (
            name,
            parameter,
        ) in self.named_parameters():  # the published initialisation; with PyTorch's the signal would vanish
            if name.endswith("weight"):
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
            else:
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        enlarged = bicubic(x, self.scale)
        features = y = luma(enlarged)
        *inner, last = self.body
        for conv in inner:
            features = F.relu(conv(features), inplace=True)  # (N, 64, scale·H, scale·W)
        return with_luma(enlarged, y + last(features))


INFO = ModelInfo(
    name="vdsr",
    title="VDSR",
    paper="Accurate Image Super-Resolution Using Very Deep Convolutional Networks",
    venue="CVPR",
    year=2016,
    repository="https://cv.snu.ac.kr/research/VDSR/",
    licence="none stated",
    published_parameters={2: 665_000, 3: 665_000, 4: 665_000},
    counted_parameters={2: 665_921, 3: 665_921, 4: 665_921},
    parameters_note="665K counts the 664,704 weights without 1,217 biases",
    smallest_input=1,
    training="291 images, flips and rotations, patches of 41 at target size, batch 64 of mixed scales, MSE, SGD with "
    "momentum 0.9 and weight decay 1e-4 at 0.1 divided by 10 every 20 of 80 epochs, gradients clipped to 0.4 / rate",
    network=VDSR,
    published_names=same_names,
)
