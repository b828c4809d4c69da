"""SwinIR-light: image restoration with a shifted-window transformer, light configuration.

Liang, Cao, Sun, Zhang, Van Gool, Timofte: SwinIR: Image Restoration Using Swin Transformer, ICCV Workshops (AIM) 2021.
910,152 / 918,267 / 929,628 parameters at x2 / x3 / x4, of which the published figures omit 32,400, the tables of
relative positions. The published results come from images that were first mirrored to a multiple of 8 plus 8 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import untiled
from models.info import Fixed, ModelInfo
from models.layers import MEAN, kept_per_shape, mirrored_to, require_size, to_map, to_tokens

CHANNELS, HIDDEN, HEADS = 60, 120, 6
STAGES, BLOCKS = 4, 6  # blocks of a stage
WINDOW, SHIFT = 8, 4
REACH = 2 * WINDOW - 1  # relative positions in one direction
SMALLEST_INPUT = 5  # reflection needs more pixels than it adds
DROP_PATH = 0.1  # of the last block; that of the first is 0


@dataclass(frozen=True)
class Windows:
    """Orders of an image's pixels: raster, window by window, and window by window after a shift.

    Everything except attention treats each token alone, so tokens stay in windows from one block to the next. Shifted
    windows come in four runs: whole ones, those cut by the right border, by the lower border, and by both.
    """

    runs: tuple[int, ...]  # shifted windows in each run
    split: Tensor  # (N) long: places in the raster of tokens in windows
    shift: Tensor  # from windows to shifted windows
    unshift: Tensor  # and back
    join: Tensor  # from shifted windows to the raster


@kept_per_shape(64)
def windows(height: int, width: int, device: torch.device) -> Windows:
    """The orders for an image whose height and width are multiples of the window's."""

    down, across = height // WINDOW, width // WINDOW

    def tiles(raster: Tensor) -> Tensor:  # (H, W) -> (rows, columns, 64)
        return raster.view(down, WINDOW, across, WINDOW).transpose(1, 2).flatten(2)

    raster = torch.arange(height * width, device=device).view(height, width)
    split = tiles(raster).flatten()
    moved = tiles(raster.roll((-SHIFT, -SHIFT), (0, 1)))
    runs = [moved[:-1, :-1], moved[:-1, -1:], moved[-1:, :-1], moved[-1:, -1:]]
    shifted = torch.cat([run.flatten() for run in runs])
    shift = inverse(split)[shifted]
    whole, right, low = (down - 1) * (across - 1), down - 1, across - 1
    return Windows((whole, right, low, 1), split, shift, inverse(shift), inverse(shifted))


def inverse(order: Tensor) -> Tensor:
    """The permutation that undoes `order` (N)."""
    return torch.empty_like(order).scatter_(0, order, torch.arange(order.shape[0], device=order.device))


@kept_per_shape(8)
def relations(device: torch.device) -> tuple[Tensor, Tensor]:
    """For any two tokens of a window: entry of the table, (64, 64) long, and mask for each run, (4, 1, 64, 64)."""
    row, column = np.divmod(np.arange(WINDOW**2), WINDOW)
    index = (row[:, None] - row + WINDOW - 1) * REACH + (column[:, None] - column + WINDOW - 1)
    # Beyond the border follows the opposite side of the image.
    low, right = row >= WINDOW - SHIFT, column >= WINDOW - SHIFT
    beyond_right, beyond_low = right[:, None] != right, low[:, None] != low
    apart = np.stack([np.zeros_like(beyond_low), beyond_right, beyond_low, beyond_low | beyond_right])
    masks = torch.from_numpy(np.where(apart, -100.0, 0.0))[:, None]  # as published; not minus infinity
    return torch.from_numpy(index).to(device), masks.to(device)


class WindowAttention(nn.Module):
    """Multi-head attention within windows, with a learned bias for every relative position."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(nn.init.trunc_normal_(torch.empty(REACH**2, HEADS), std=0.02))
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.proj = nn.Linear(CHANNELS, CHANNELS)

    def forward(self, x: Tensor, runs: tuple[int, ...] | None) -> Tensor:
        """x (B, windows, 64, C) -> the same shape; `runs` if the windows are shifted."""
        qkv = self.qkv(x)
        index, masks = relations(x.device)
        bias = self.positions[index].permute(2, 0, 1)[None].to(qkv.dtype)  # (1, heads, 64, 64)
        if runs is None:
            return self.proj(attend(qkv, bias))
        parts = zip(qkv.split(runs, dim=1), (bias + masks.to(qkv.dtype)).split(1), strict=True)
        return self.proj(torch.cat([attend(part, biased) for part, biased in parts], dim=1))


def attend(qkv: Tensor, bias: Tensor) -> Tensor:
    """(B, windows, 64, 3C) -> (B, windows, 64, C)."""
    heads = qkv.flatten(0, 1).unflatten(-1, (3, HEADS, -1))
    query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (B·windows, heads, 64, C / heads)
    return (
        untiled(query, key, value, query.shape[-1] ** -0.5, bias).transpose(1, 2).flatten(2).unflatten(0, qkv.shape[:2])
    )


class Block(nn.Module):
    """Swin block: window attention, then a multilayer perceptron, each in a residual that training drops at random."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.drop = drop
        self.attention_norm = nn.LayerNorm(CHANNELS)
        self.attention = WindowAttention()
        self.mlp_norm = nn.LayerNorm(CHANNELS)
        self.expand = nn.Linear(CHANNELS, HIDDEN)
        self.reduce = nn.Linear(HIDDEN, CHANNELS)

    def forward(self, x: Tensor, runs: tuple[int, ...] | None) -> Tensor:
        """x (B, windows, 64, C) -> the same shape."""
        x = x + self.sometimes(self.attention(self.attention_norm(x), runs))
        return x + self.sometimes(self.reduce(F.gelu(self.expand(self.mlp_norm(x)))))

    def sometimes(self, residual: Tensor) -> Tensor:
        """Stochastic depth: in training zero for some images of a batch, at an unchanged mean."""
        if not self.training or self.drop == 0:
            return residual
        keep = 1 - self.drop
        return residual * residual.new_empty(len(residual), 1, 1, 1).bernoulli_(keep).div_(keep)


class Stage(nn.Module):
    """Residual Swin transformer block (RSTB): blocks with plain and shifted windows alternate; then a convolution."""

    def __init__(self, drops: list[float]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(drop) for drop in drops)
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """x (B, H·W, C) -> the same shape."""
        order = windows(height, width, x.device)
        tokens = x
        for number, block in enumerate(self.blocks):
            place = order.split if number == 0 else order.shift if number % 2 else order.unshift
            tiled = tokens.index_select(1, place).unflatten(1, (-1, WINDOW**2))
            tokens = block(tiled, order.runs if number % 2 else None).flatten(1, 2)
        return x + to_tokens(self.conv(to_map(tokens.index_select(1, order.join), height, width)))


class SwinIR(nn.Module):
    """RGB in [0, 1], (B, 3, H, W) -> (B, 3, scale·H, scale·W), not clamped.

    Raises ValueError where H or W is smaller than 5.
    """

    mean: Tensor

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.first_conv = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.first_norm = nn.LayerNorm(CHANNELS)
        drops = np.linspace(0, DROP_PATH, STAGES * BLOCKS).reshape(STAGES, BLOCKS).tolist()
        self.stages = nn.ModuleList(Stage(rates) for rates in drops)
        self.last_norm = nn.LayerNorm(CHANNELS)
        self.last_conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(CHANNELS, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        height, width = require_size(x, SMALLEST_INPUT, "SwinIR-light")
        x = mirrored_to(x, WINDOW)
        padded = x.shape[-2:]
        first = self.first_conv(x - self.mean)
        tokens = self.first_norm(to_tokens(first))  # (B, N, C)
        for stage in self.stages:
            tokens = stage(tokens, *padded)
        features = first + self.last_conv(to_map(self.last_norm(tokens), *padded))
        upscaled = self.upsampler(features) + self.mean
        return upscaled[..., : self.scale * height, : self.scale * width]


_PUBLISHED = {
    "first_conv": "conv_first",
    "first_norm": "patch_embed.norm",
    "stages": "layers",
    "blocks": "residual_group.blocks",
    "attention_norm": "norm1",
    "attention": "attn",
    "positions": "relative_position_bias_table",
    "mlp_norm": "norm2",
    "expand": "mlp.fc1",
    "reduce": "mlp.fc2",
    "last_norm": "norm",
    "last_conv": "conv_after_body",
    "upsampler": "upsample",
}


def published_names(model: SwinIR) -> dict[str, str]:
    """Published name of every parameter, by our name."""
    return {name: ".".join(_PUBLISHED.get(part, part) for part in name.split(".")) for name in model.state_dict()}


INFO = ModelInfo(
    name="swinir_light",
    title="SwinIR-light",
    paper="SwinIR: Image Restoration Using Swin Transformer",
    venue="ICCVW",
    year=2021,
    repository="https://github.com/JingyunLiang/SwinIR",
    licence="Apache-2.0",
    published_parameters={2: 878_000, 3: 886_000, 4: 897_000},
    counted_parameters={2: 910_152, 3: 918_267, 4: 929_628},
    smallest_input=SMALLEST_INPUT,
    training="DIV2K 1-800, LR patches of 64, batch 64, 500,000 steps, L1, Adam at 2e-4 halved at 250,000, 400,000, "
    "450,000 and 475,000, averaged weights (0.999); x3 and x4 start from x2 with half of both",
    network=SwinIR,
    published_names=published_names,
    parameters_note="published without the 32,400 entries of the tables of relative positions",
    published_buffers=(r".+\.relative_position_index", r".+\.attn_mask"),
)
