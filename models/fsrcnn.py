"""FSRCNN: Fast Super-Resolution Convolutional Neural Network, d = 56, s = 12, m = 4.

Dong, Loy, Tang: Accelerating the Super-Resolution Convolutional Neural Network, ECCV 2016.
12,809 parameters at every scale.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.info import Fixed, ModelInfo, same_names
from models.luma import bicubic, luma, with_luma

WIDTH = 56
SHRUNK = 12
MAPPINGS = 4


def layer(before: int, after: int, size: int) -> list[nn.Module]:
    """Convolution and PReLU with a slope per channel."""
    return [nn.Conv2d(before, after, size, padding=size // 2), nn.PReLU(after)]


class FSRCNN(nn.Module):
    """RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W), not clamped. Works on luma in the size of the input."""

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__()
        self.scale = scale
        self.feature = nn.Sequential(*layer(1, WIDTH, 5))
        self.shrink = nn.Sequential(*layer(WIDTH, SHRUNK, 1))
        self.map = nn.Sequential(*(part for _ in range(MAPPINGS) for part in layer(SHRUNK, SHRUNK, 3)))
        self.expand = nn.Sequential(*layer(SHRUNK, WIDTH, 1))
        # This padding gives exactly scale·H x scale·W; the published code crops to that size, perhaps at another phase.
        self.deconv = nn.ConvTranspose2d(WIDTH, 1, 9, stride=scale, padding=4, output_padding=scale - 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.expand(self.map(self.shrink(self.feature(luma(x)))))  # (N, 56, H, W)
        return with_luma(bicubic(x, self.scale), self.deconv(features))


INFO = ModelInfo(
    name="fsrcnn",
    title="FSRCNN",
    paper="Accelerating the Super-Resolution Convolutional Neural Network",
    venue="ECCV",
    year=2016,
    repository="http://mmlab.ie.cuhk.edu.hk/projects/FSRCNN.html",
    licence="none stated",
    published_parameters={2: 12_000, 3: 12_000, 4: 12_000},
    counted_parameters={2: 12_809, 3: 12_809, 4: 12_809},
    parameters_note="12K counts the 12,464 weights of the convolutions without 173 biases and 172 slopes",
    smallest_input=1,
    training="91 images, then 91 and General-100, scaled by 0.6 to 0.9 and rotated, LR patches of 10 / 7 / 6 at "
    "x2 / x3 / x4, MSE, SGD at 1e-3 (deconvolution 1e-4), halved in the second part",
    network=FSRCNN,
    published_names=same_names,
)
