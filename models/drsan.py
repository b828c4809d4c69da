"""DRSAN: Dynamic Residual Self-Attention Network, the variant DRSAN-32m (32 channels, 8 groups).

Park, Soh, Cho: A Dynamic Residual Self-Attention Network for Lightweight Single Image Super-Resolution, IEEE
Transactions on Multimedia 2021. 688,851 / 735,091 / 725,843 parameters at x2 / x3 / x4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.info import Fixed, ModelInfo
from models.layers import FACTORS

WIDTH = 32
SQUEEZED = 16
GROUPS = 8
BLOCKS = 4  # of a group
SHORTCUTS = BLOCKS * (BLOCKS + 1) // 2  # one from every earlier output of the group into every block


class DepthToSpace(nn.Module):
    """TensorFlow's pixel shuffle: (N, step²·C, H, W) -> (N, C, step·H, step·W).

    The position within the step x step square precedes the channel; in PyTorch's pixel shuffle it follows.
    """

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(1, (self.step, self.step, -1))  # (N, dy, dx, C, H, W)
        return x.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)


class Group(nn.Module):
    """Dynamic residual attention group: residual blocks whose shortcuts have weights that depend on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.shortcuts = nn.Sequential(
            nn.Conv2d(WIDTH, SQUEEZED, 1), nn.PReLU(SQUEEZED, init=0), nn.Conv2d(SQUEEZED, SHORTCUTS, 1)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.PReLU(WIDTH, init=0),
                nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
                nn.PReLU(WIDTH, init=0),
                nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            )
            for _ in range(BLOCKS)
        )
        self.fuse = nn.Conv2d((BLOCKS + 1) * WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 32, H, W) -> the same shape."""
        weights = iter(self.shortcuts(x).mean((2, 3))[..., None, None, None].unbind(1))  # each (N, 1, 1, 1)
        outputs = [x]
        for block in self.blocks:
            residual = block(outputs[-1])
            mixed = residual
            for output in outputs:
                mixed = mixed + next(weights) * output
            # The attention is computed from the residual alone and is applied to the shortcuts too.
            outputs.append(mixed * residual.sigmoid())
        return self.fuse(torch.cat(outputs, dim=1))


class DRSAN(nn.Module):
    """RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W), not clamped."""

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__()
        self.first_conv = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.groups = nn.Sequential(*(Group() for _ in range(GROUPS)))
        self.mid_conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.upsampler = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(WIDTH, WIDTH * step**2, 3, padding=1), DepthToSpace(step))
                for step in FACTORS[scale]
            )
        )
        self.last_conv = nn.Conv2d(WIDTH, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first_conv(x)
        return self.last_conv(self.upsampler(self.mid_conv(self.groups(first)) + first))


def published_names(model: DRSAN) -> dict[str, str]:
    """TensorFlow's name of every parameter, by ours. Kernels have PyTorch's layout, (out, in, kh, kw).

    TensorFlow numbers convolutions, and the slopes of a group, in order of creation, which is ours.
    """
    names: dict[str, str] = {}
    convolutions = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    for number, name in enumerate(convolutions):
        scope = f"DRAN/conv2d_{number}" if number else "DRAN/conv2d"
        names |= {f"{name}.weight": f"{scope}/kernel", f"{name}.bias": f"{scope}/bias"}
    for group in range(GROUPS):
        scope = f"DRAN/conv_block{group + 1}"
        names[f"groups.{group}.shortcuts.1.weight"] = f"{scope}prelualpha"
        for block in range(BLOCKS):
            for place in (0, 1):
                alpha = f"{scope}_pReLU_{2 * block + place + 1}alpha"
                names[f"groups.{group}.blocks.{block}.{2 * place}.weight"] = alpha
    return names


INFO = ModelInfo(
    name="drsan",
    title="DRSAN",
    paper="A Dynamic Residual Self-Attention Network for Lightweight Single Image Super-Resolution",
    venue="TMM",
    year=2021,
    repository="https://github.com/saturnian77/DRSAN",
    licence="none stated",
    published_parameters={2: 690_000, 3: 740_000, 4: 730_000},
    counted_parameters={2: 688_851, 3: 735_091, 4: 725_843},
    smallest_input=1,
    training="no training code is published; the checkpoints show Adam",
    network=DRSAN,
    published_names=published_names,
    parameters_note="published in steps of 10K",
    published_buffers=(r"DRAN/.+/Adam(_1)?", r"beta[12]_power", "Variable"),  # the optimiser's
)
