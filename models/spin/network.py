"""SPIN: Super-Pixel token Interaction Network.

Zhang, Ren, Liu, Cao: Lightweight Image Super-Resolution with Superpixel Token Interaction, ICCV 2023.
497,275 / 569,475 / 555,035 parameters at x2 / x3 / x4. Where the paper and the official code differ, the
ledger (ablations/ledger.yaml) says which is followed; its switches are fields of `Configuration`.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import require_size, to_map, to_tokens
from models.spin import ops
from models.spin.attention import (
    IntraSuperpixelAttention,
    LocalAttention,
    SuperpixelCrossAttention,
    Superpixels,
)
from models.spin.configuration import COLOURS, Configuration, squeezed
from models.spin.grid import grid
from models.spin.quantisation import associate_globally
from models.spin.superpixels import associate
from models.upsampling import Upsampler


class FeedForward(nn.Module):
    """LayerNorm, channel attention beside pixel attention, and two linear layers (Section 3.2), in a residual."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        narrow = squeezed(channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.channel_squeeze = nn.Linear(channels, narrow)
        self.channel_excite = nn.Linear(narrow, channels)
        self.pixel_squeeze = nn.Linear(channels, narrow)
        self.pixel_excite = nn.Linear(narrow, 1)
        self.expand = nn.Linear(2 * channels, hidden)
        self.reduce = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, N, C) -> (B, N, C)."""
        return ops.feed_forward(x, self)


class Aggregation(nn.Module):
    """SPA (Section 3.1): superpixels of a block's input. It has no parameters; as a module it can have hooks."""

    def __init__(self, config: Configuration, size: int) -> None:
        super().__init__()
        self.config, self.size = config, size

    def forward(self, x: Tensor, height: int, width: int) -> Superpixels:
        """x (B, H·W, C) -> its association, without gradient unless the configuration asks for it."""
        cells = grid(height, width, self.size, x.device)
        find = associate if self.config.reach == "neighbours" else associate_globally
        with nullcontext() if self.config.association_gradient else torch.no_grad():
            return find(x, cells, self.config.association)


class Block(nn.Module):
    """Superpixel interaction block (Eq. 2; ledger `residual`: a residual around every part)."""

    def __init__(self, config: Configuration, size: int) -> None:
        super().__init__()
        self.config, self.size = config, size
        channels, width = config.channels, config.attention_width
        if config.spca or config.ispa:
            self.associate = Aggregation(config, size)
        if config.spca:
            self.spca = SuperpixelCrossAttention(channels, width)
            self.spca_ffn = FeedForward(channels, config.hidden)
        if config.ispa:
            self.ispa = IntraSuperpixelAttention(channels, width)
            self.ispa_ffn = FeedForward(channels, config.hidden)
        self.local = LocalAttention(channels, width, size)
        self.local_ffn = FeedForward(channels, config.hidden)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """x (B, H·W, C) -> (B, H·W, C)."""
        config = self.config
        if config.spca or config.ispa:
            superpixels = self.associate(x, height, width)
        of_spca = self.spca_ffn(self.spca(x, superpixels)) if config.spca else x
        if not config.ispa:
            x = of_spca
        else:
            source = x if config.arrangement == "parallel" else of_spca
            of_ispa = self.ispa_ffn(self.ispa(source, superpixels.top(self.size**2), superpixels.reach))
            x = of_ispa if source is of_spca else of_spca + of_ispa - x
        return self.local_ffn(self.local(x, height, width))


class SPIN(nn.Module):
    """RGB in [0, 1], (B, 3, H, W) -> (B, 3, scale·H, scale·W), not clamped (Section 3, Fig. 2).

    Raises ValueError where H or W is smaller than the largest superpixel (24 in the published network).
    """

    def __init__(self, scale: int, config: Configuration) -> None:
        super().__init__()
        self.scale, self.config = scale, config
        channels = config.channels
        self.first_conv = nn.Conv2d(COLOURS, channels, 3, padding=1)
        self.blocks = nn.ModuleList(Block(config, config.size(i)) for i in range(config.blocks))
        self.mid_convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(config.blocks))
        self.upsampler = Upsampler(channels, scale)
        self.last_conv = nn.Conv2d(channels, COLOURS, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = require_size(x, self.config.smallest_input, "SPIN")
        tokens = to_tokens(self.first_conv(x)).contiguous()  # (B, N, C)
        with ops.reused_memory(tokens):
            for block, mid_conv in zip(self.blocks, self.mid_convs, strict=True):
                mixed = to_map(block(tokens, height, width), height, width)
                tokens = ops.add(tokens, to_tokens(ops.convolution(mixed, cast(nn.Conv2d, mid_conv))))
        features = to_map(tokens, height, width)
        residual = ops.upsample(features, self.upsampler, self.last_conv)
        return residual + F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
