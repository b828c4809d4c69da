"""ESRT: Efficient Super-Resolution Transformer.

Lu, Li, Liu, Huang, Zhang, Zeng: Transformer for Single Image Super-Resolution, CVPR Workshops (NTIRE) 2022.
677,783 / 770,263 / 751,767 parameters at x2 / x3 / x4. The published results come from four overlapping
quadrants of each image; the network here takes whole images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import untiled
from models.info import Fixed, ModelInfo
from models.layers import FACTORS, require_size

WIDTH = 32
TOKEN = 9 * WIDTH  # a 3x3 patch
HEADS = 8
INNER = TOKEN // 2  # of the attention: 18 channels a head
GROUPS = 4  # of tokens, each attends within itself
SMALLEST_INPUT = 2  # the low frequencies have half the size
ROUNDS = 5  # of the low frequencies through the same weights


def factor() -> nn.Parameter:
    """A learned scalar, 1 at first."""
    return nn.Parameter(torch.ones(1))


class ChannelAttention(nn.Sequential):
    """Every channel times its own weight in (0, 1), which depends on the means of all channels."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(WIDTH, WIDTH // 16, 1), nn.ReLU(), nn.Conv2d(WIDTH // 16, WIDTH, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * super().forward(x.mean((2, 3), keepdim=True)).sigmoid()


class ResidualUnit(nn.Module):
    """Weighted sum of the input and of two convolutions with half the channels between them."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(WIDTH, WIDTH // 2, 3, padding=1)
        self.slope = nn.PReLU(WIDTH // 2)
        self.excite = nn.Conv2d(WIDTH // 2, WIDTH, 3, padding=1)
        self.skipped_by, self.mixed_by = factor(), factor()

    def forward(self, x: Tensor) -> Tensor:
        return self.skipped_by * x + self.mixed_by * self.excite(self.slope(self.squeeze(x)))


class ResidualFeatures(nn.Module):
    """ARFB, adaptive residual feature block: two residual units, fused, weighted by channel, in a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.unit1, self.unit2 = ResidualUnit(), ResidualUnit()
        self.fuse = nn.Conv2d(2 * WIDTH, WIDTH, 1, bias=False)
        self.gate = ChannelAttention()
        self.last_conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        # The publication has, and counts, a scalar that it never uses.
        self.unused = factor().requires_grad_(False)
        self.unit2_by, self.unit1_by = factor(), factor()
        self.input_by, self.fused_by = factor(), factor()

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 32, H, W) -> the same shape."""
        first = self.unit1(x)
        second = self.unit2(first)
        fused = F.relu(self.fuse(torch.cat([self.unit2_by * second, self.unit1_by * first], dim=1)), inplace=True)
        return self.input_by * x + self.fused_by * F.relu(self.last_conv(self.gate(fused)), inplace=True)


class HighPreservingBlock(nn.Module):
    """HPB: low frequencies (the mean of 2x2 pixels) and high ones (the rest) are processed separately."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.low, self.high, self.leave = (ResidualFeatures() for _ in range(4))
        self.merge = nn.Conv2d(2 * WIDTH, WIDTH, 1, bias=False)
        self.merged_gate = ChannelAttention()

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 32, H, W) -> the same shape."""
        features = self.enter(x)
        low = F.avg_pool2d(features, 2)  # (N, 32, H//2, W//2)
        high = self.high(features - enlarge(low, x))
        for _ in range(ROUNDS):
            low = self.low(low)
        merged = F.relu(self.merge(torch.cat([enlarge(low, x), high], dim=1)), inplace=True)
        return self.leave(self.merged_gate(merged)) + x


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    """x at the size of `like`."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


class GroupedAttention(nn.Module):
    """Efficient multi-head attention: half the channels, and only within each quarter of the tokens in raster order.

    If the number of tokens is not a multiple of four, the last one to three form a group of their own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shrink = nn.Linear(TOKEN, INNER, bias=False)
        self.qkv = nn.Linear(INNER, 3 * INNER, bias=False)
        self.proj = nn.Linear(INNER, TOKEN)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, N, 288) -> the same shape."""
        tokens = x.shape[1]
        qkv = self.qkv(self.shrink(x))  # (B, N, 432)
        even = tokens - tokens % GROUPS
        mixed = self.attend(qkv[:, :even].reshape(-1, even // GROUPS, 3 * INNER)).reshape(-1, even, INNER)
        if torch.compiler.is_exporting():  # in one graph, whether there are tokens left or not
            place = torch.arange(tokens - GROUPS, tokens, device=x.device)
            grouped = qkv.new_zeros(1, 1, 1, GROUPS).masked_fill(place < even, -torch.inf)
            mixed = torch.cat([mixed, self.attend(qkv[:, -GROUPS:], grouped)[:, GROUPS - tokens % GROUPS :]], dim=1)
        elif even < tokens:
            mixed = torch.cat([mixed, self.attend(qkv[:, even:])], dim=1)
        return self.proj(mixed)

    def attend(self, qkv: Tensor, bias: Tensor | None = None) -> Tensor:
        """(B, N, 432) -> (B, N, 144)."""
        query, key, value = qkv.unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)  # each (B, heads, N, 18)
        # The scale is that of the 36 channels a head would have without `shrink`. Thousands of tokens of equal widths
        # are what PyTorch's fused attention does well on a CPU too.
        return untiled(query, key, value, (TOKEN // HEADS) ** -0.5, bias).transpose(1, 2).flatten(2)


class Transformer(nn.Module):
    """Attention and an MLP on tokens that are overlapping 3x3 patches; overlapping outputs are added."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(TOKEN)
        self.attention = GroupedAttention()
        self.mlp_norm = nn.LayerNorm(TOKEN)
        self.narrow = nn.Linear(TOKEN, TOKEN // 4)
        self.widen = nn.Linear(TOKEN // 4, TOKEN)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 32, H, W) -> the same shape."""
        tokens = F.unfold(x, 3, padding=1).transpose(1, 2)  # (N, H·W, 288)
        tokens = tokens + self.attention(self.attention_norm(tokens))
        tokens = tokens + self.widen(F.relu(self.narrow(self.mlp_norm(tokens)), inplace=True))
        return F.fold(tokens.transpose(1, 2), x.shape[-2:], 3, padding=1)


class Body(nn.Module):
    """Three HPBs (the lightweight CNN backbone), then the transformer on all their outputs, in a weighted residual."""

    def __init__(self) -> None:
        super().__init__()
        self.hpb1, self.hpb2, self.hpb3 = (HighPreservingBlock() for _ in range(3))
        self.reduce = nn.Conv2d(3 * WIDTH, WIDTH, 3, padding=1)
        self.transformer = Transformer()
        self.align = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.skipped_by, self.mixed_by = factor(), factor()

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 32, H, W) -> the same shape."""
        first = self.hpb1(x)
        second = self.hpb2(first)
        features = torch.cat([first, second, self.hpb3(second)], dim=1)
        mixed = self.align(self.transformer(self.reduce(features)))
        return self.skipped_by * x + self.mixed_by * mixed


def upsampler(scale: int, bias: bool) -> nn.Sequential:
    """Convolution and pixel shuffle, once at x2 and x3, twice at x4; then a convolution to RGB."""
    layers: list[nn.Module] = []
    for step in FACTORS[scale]:
        layers += [nn.Conv2d(WIDTH, WIDTH * step**2, 3, padding=1), nn.PixelShuffle(step)]
    return nn.Sequential(nn.Sequential(*layers), nn.Conv2d(WIDTH, 3, 3, padding=1, bias=bias))


class ESRT(nn.Module):
    """RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W), not clamped.

    Raises ValueError where H or W is smaller than 2.
    """

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__()
        self.first_conv = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.body = Body()
        self.reduce = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.deep = upsampler(scale, bias=True)
        self.shallow = upsampler(scale, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        require_size(x, SMALLEST_INPUT, "ESRT")
        first = self.first_conv(x)
        # The shallow branch can only add brightness.
        return self.deep(self.reduce(self.body(first))) + F.relu(self.shallow(first), inplace=True)


_PUBLISHED = {
    "first_conv": "head.0", "body": "body.0", "deep": "tail", "shallow": "up",
    "hpb1": "encoder1", "hpb2": "encoder2", "hpb3": "encoder3", "align": "alise",
    "skipped_by": "weight1.scale", "mixed_by": "weight2.scale",
    # HPB
    "enter": "encoder", "low": "decoder_low", "high": "decoder_high", "leave": "alise",
    "merge": "alise2.conv", "merged_gate": "att.conv_du",
    # ARFB
    "unit1": "layer1", "unit2": "layer2", "fuse": "alise.conv", "gate": "atten.conv_du", "last_conv": "layer4.conv",
    "unused": "weight1.scale", "unit2_by": "weight2.scale", "unit1_by": "weight3.scale",
    "input_by": "weight4.scale", "fused_by": "weight5.scale",
    # residual unit
    "squeeze": "conv", "slope": "relu", "excite": "conv1",
    # transformer
    "transformer": "attention", "attention_norm": "norm1", "attention": "atten", "shrink": "reduce",
    "mlp_norm": "norm2", "narrow": "mlp.fc1", "widen": "mlp.fc2",
}  # fmt: skip


def published_names(model: ESRT) -> dict[str, str]:
    """Published name of every parameter, by our name."""
    names = {name: ".".join(_PUBLISHED.get(part, part) for part in name.split(".")) for name in model.state_dict()}
    return names | {"shallow.1.weight": "up.1.conv.weight"}


INFO = ModelInfo(
    name="esrt",
    title="ESRT",
    paper="Transformer for Single Image Super-Resolution",
    venue="CVPRW",
    year=2022,
    repository="https://github.com/luissen/ESRT",
    licence="MIT",
    published_parameters={2: 677_000, 3: 770_000, 4: 751_000},
    counted_parameters={2: 677_783, 3: 770_263, 4: 751_767},
    smallest_input=SMALLEST_INPUT,
    training="DIV2K 1-800, LR patches of 48 (64 is said to be better), batch 16, 1000 epochs of 500 iterations, L1, "
    "Adam at 2e-4 halved every 200 epochs; no weights are published",
    network=ESRT,
    published_names=published_names,
    parameters_note="published figures are cut off, not rounded",
)
