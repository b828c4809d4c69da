"""BSRN: Blueprint Separable Residual Network.

Li, Liu, Chen, Cai, Gu, Qiao, Dong: Blueprint Separable Residual Network for Efficient Image Super-Resolution, CVPR
Workshops (NTIRE) 2022. 331,628 / 340,283 / 352,400 parameters at x2 / x3 / x4.

RFDN's distillation, with every 3x3 convolution of the body replaced by a blueprint separable one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.info import ModelInfo
from models.layers import ContrastAwareAttention, require_size

CHANNELS, DISTILLED, BLOCKS = 64, 32, 8
SPATIAL = 16  # channels inside the spatial attention
COPIES = 4  # of the image at the input
SMALLEST_INPUT = 15  # leaves 7 pixels to the pooling window of the spatial attention


class BlueprintConv(nn.Sequential):
    """Unconstrained blueprint separable convolution: 1x1 without bias, then depthwise 3x3 with bias.

    The pointwise convolution comes first: most of a kernel's redundancy lies along its depth, so each output channel is
    one 3x3 blueprint times one weight per input channel. MobileNet's separable convolution has the opposite order.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, padding: int = 1) -> None:
        super().__init__()
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.depthwise = nn.Conv2d(outputs, outputs, 3, stride, padding, groups=outputs)


class SpatialAttention(nn.Module):
    """ESA of RFDN: a gate per pixel and channel with a large receptive field, at about a sixth of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(CHANNELS, SPATIAL, 1)
        self.shortcut = nn.Conv2d(SPATIAL, SPATIAL, 1)
        self.halve = BlueprintConv(SPATIAL, SPATIAL, stride=2, padding=0)
        self.view = nn.Sequential(
            BlueprintConv(SPATIAL, SPATIAL),
            nn.GELU(),
            BlueprintConv(SPATIAL, SPATIAL),
            nn.GELU(),
            BlueprintConv(SPATIAL, SPATIAL),
        )
        self.excite = nn.Conv2d(SPATIAL, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 64, H, W), H and W of 15 or more -> the same shape."""
        squeezed = self.squeeze(x)  # (B, 16, H, W)
        view = self.view(F.max_pool2d(self.halve(squeezed), 7, stride=3))  # (B, 16, about H/6, about W/6)
        view = F.interpolate(view, x.shape[-2:], mode="bilinear", align_corners=False)
        return x * self.excite(view + self.shortcut(squeezed)).sigmoid()


class Block(nn.Module):
    """ESDB: three steps that each distil half the channels and refine all of them, then ESA and IMDN's CCA."""

    def __init__(self) -> None:
        super().__init__()
        self.distil = nn.ModuleList(nn.Conv2d(CHANNELS, DISTILLED, 1) for _ in range(3))
        self.refine = nn.ModuleList(BlueprintConv(CHANNELS, CHANNELS) for _ in range(3))
        self.last = BlueprintConv(CHANNELS, DISTILLED)
        self.fuse = nn.Conv2d(4 * DISTILLED, CHANNELS, 1)
        self.spatial_attention = SpatialAttention()
        self.channel_attention = ContrastAwareAttention(CHANNELS, reduction=16)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 64, H, W) -> the same shape."""
        refined, distilled = x, []
        for distil, refine in zip(self.distil, self.refine, strict=True):
            distilled.append(F.gelu(distil(refined)))  # (B, 32, H, W)
            refined = F.gelu(refine(refined) + refined)
        distilled.append(F.gelu(self.last(refined)))
        return x + self.channel_attention(self.spatial_attention(self.fuse(torch.cat(distilled, 1))))


class BSRN(nn.Module):
    """RGB in [0, 1], (B, 3, H, W) -> (B, 3, scale·H, scale·W), not clamped.

    Raises ValueError where H or W is below 15.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.first = BlueprintConv(COPIES * 3, CHANNELS)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.fuse = nn.Conv2d(BLOCKS * CHANNELS, CHANNELS, 1)
        self.smooth = BlueprintConv(CHANNELS, CHANNELS)
        self.upsampler = nn.Sequential(nn.Conv2d(CHANNELS, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        require_size(x, SMALLEST_INPUT, "BSRN")
        # A depthwise kernel sees one channel only, so the paper gives the image several times.
        shallow = self.first(x.repeat(1, COPIES, 1, 1))  # (B, 64, H, W)
        outputs, features = [], shallow
        for block in self.blocks:
            features = block(features)
            outputs.append(features)
        deep = self.smooth(F.gelu(self.fuse(torch.cat(outputs, 1))))
        return self.upsampler(deep + shallow)


_PUBLISHED = {
    "first": "fea_conv",
    "fuse": "c1",
    "smooth": "c2",
    "upsampler.0": "upsampler.upsampleOneStep.0",
}
_PUBLISHED_BLOCK = {
    **{f"distil.{i}": f"c{i + 1}_d" for i in range(3)},
    **{f"refine.{i}": f"c{i + 1}_r" for i in range(3)},
    "last": "c4",
    "fuse": "c5",
    "spatial_attention.squeeze": "esa.conv1",
    "spatial_attention.shortcut": "esa.conv_f",
    "spatial_attention.halve": "esa.conv2",
    "spatial_attention.view.0": "esa.conv_max",
    "spatial_attention.view.2": "esa.conv3",
    "spatial_attention.view.4": "esa.conv3_",
    "spatial_attention.excite": "esa.conv4",
    "channel_attention.squeeze": "cca.conv_du.0",
    "channel_attention.excite": "cca.conv_du.2",
}


def published_names(model: BSRN) -> dict[str, str]:
    """Published name of every parameter, by our name."""
    modules = _PUBLISHED | {
        f"blocks.{i}.{ours}": f"B{i + 1}.{theirs}" for i in range(BLOCKS) for ours, theirs in _PUBLISHED_BLOCK.items()
    }
    for ours, theirs in [*modules.items()]:
        if isinstance(model.get_submodule(ours), BlueprintConv):
            modules |= {f"{ours}.pointwise": f"{theirs}.pw", f"{ours}.depthwise": f"{theirs}.dw"}
    names = {}
    for name, _ in model.named_parameters():
        module, _, kind = name.rpartition(".")
        names[name] = f"{modules[module]}.{kind}"
    return names


INFO = ModelInfo(
    name="bsrn",
    title="BSRN",
    paper="Blueprint Separable Residual Network for Efficient Image Super-Resolution",
    venue="CVPR Workshops",
    year=2022,
    repository="https://github.com/xiaom233/BSRN",
    licence="MIT",
    published_parameters={2: 332_000, 3: 340_000, 4: 352_000},
    counted_parameters={2: 331_628, 3: 340_283, 4: 352_400},
    smallest_input=SMALLEST_INPUT,
    training="DF2K (DIV2K and Flickr2K), LR patches of 48, batch 64, 1 000 000 iterations, L1, Adam at 1e-3 with one "
    "cosine decay to 1e-7",
    network=lambda scale, _config: BSRN(scale),
    published_names=published_names,
)
