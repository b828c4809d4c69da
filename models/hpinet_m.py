"""HPINet-M: Hierarchical Pixel Integration network, medium size.

Liu, Chen, Tang, Wu: From Coarse to Fine: Hierarchical Pixel Integration for Lightweight Image Super-Resolution, AAAI
2023. 782,539 / 923,939 / 895,659 parameters at x2 / x3 / x4 (x4 upsamples in two steps of x2).

Coarse to fine: a patch finds the most similar other patch of the image, reads it pixel by pixel, then attends to
itself. SPIN's local attention has the same patches, so the two networks share their index and upsampler.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import attention
from models.grouping import Occurrences
from models.info import ModelInfo
from models.layers import kept_per_shape, require_size, to_map, to_tokens, windows, windows_of_a_pixel, without_autocast
from models.upsampling import Upsampler, upsample

CHANNELS, WIDTH, HIDDEN = 56, 32, 100  # of the features, of query and key, of the MLP
PATCHES = (12, 16, 20, 24, 12, 16, 20, 24)  # patch size of each block; neighbours overlap by 2
SMALLEST_INPUT = max(PATCHES)


class Layer(nn.Module):
    """Attention with one head and no output projection, then an MLP, each in a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(CHANNELS)
        self.query = nn.Linear(CHANNELS, WIDTH, bias=False)
        self.key = nn.Linear(CHANNELS, WIDTH, bias=False)
        self.value = nn.Linear(CHANNELS, CHANNELS, bias=False)
        self.mlp_norm = nn.LayerNorm(CHANNELS)
        self.expand = nn.Linear(CHANNELS, HIDDEN)
        self.reduce = nn.Linear(HIDDEN, CHANNELS)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x (B, patches, P², C) attends to `context` of the same shape, as it is, or to itself, normalised."""
        normed = self.norm(x)
        if context is None:
            context = normed
        x = x + attention(self.query(normed), self.key(context), self.value(context), WIDTH**-0.5)
        return x + self.reduce(F.gelu(self.expand(self.mlp_norm(x))))


class Block(nn.Module):
    """Matching, one layer of cross-attention, two of self-attention, and a convolution over the merged patches."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.match_norm = nn.LayerNorm(CHANNELS)
        self.cross = Layer()
        self.own = nn.Sequential(Layer(), Layer())
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """x (B, H·W, C) -> (B, H·W, C)."""
        index, _ = windows(height, width, self.size, x.device)  # (patches, P²)
        batch, pixels, _ = x.shape
        rows = (index + pixels * torch.arange(batch, device=x.device)[:, None, None]).flatten(0, 1)  # of (B·H·W, C)
        most = windows_of_a_pixel(height, width, self.size)
        occurrences = Occurrences.of(rows, batch * pixels, most)
        patches = occurrences.gather(x.flatten(0, 1)).unflatten(0, (batch, -1))  # (B, patches, P², C)
        patches = self.own(self.cross(patches, self.match(patches)))
        total = occurrences.sums(patches.flatten(0, 1), patches.new_zeros(batch * pixels, CHANNELS))
        merged = total.unflatten(0, (batch, pixels)) * shares(height, width, self.size, x.device).to(total.dtype)
        return x + to_tokens(self.conv(to_map(merged, height, width)))

    def match(self, patches: Tensor) -> Tensor:
        """For each patch (B, patches, P², C) the patch of the same image with the most similar mean.

        In training mode the choice is drawn (Gumbel softmax, straight-through), so that the scores are trained.
        They are float32 at least, since a coarser rounding would decide near ties.
        """
        batch, count = patches.shape[:2]
        with without_autocast(patches.device):
            exact = patches if patches.dtype == torch.float64 else patches.float()
            mean = self.match_norm(exact.mean(2))  # (B, patches, C)
            scores = mean @ mean.transpose(1, 2) * CHANNELS**-0.5
            scores = scores - 100 * torch.eye(count, dtype=scores.dtype, device=scores.device)
            if self.training:
                choice = F.gumbel_softmax(scores, hard=True)
                return (choice @ exact.flatten(2)).unflatten(2, patches.shape[2:])
        best = scores.argmax(-1, keepdim=True)  # (B, patches, 1); the first, if equal
        rows = (best + count * torch.arange(batch, device=scores.device)[:, None, None]).flatten()
        matched = patches.flatten(0, 1).index_select(0, rows).unflatten(0, (batch, count))
        lost = 0 * scores.detach().gather(-1, best)  # 0, or NaN where the scores are NaN and nothing was chosen
        return matched.add_(lost[..., None].to(matched.dtype))


@kept_per_shape(64)
def shares(height: int, width: int, size: int, device: torch.device) -> Tensor:
    """Factors by which each pixel's sum over its patches is multiplied: (H·W, 1).

    The factor is 1 / number of patches, except where the last patch, moved back to the border, overlaps two others
    along an axis: there the publication halves once per overlap, so that the sum of three patches is divided by 4.
    """
    rows, columns = (0.5 ** _overlaps(length, size, device).double() for length in (height, width))
    return (rows[:, None] * columns).reshape(-1, 1)


def _overlaps(length: int, size: int, device: torch.device) -> Tensor:
    """Number of overlaps of neighbouring patches that each position of an axis lies in: (length,)."""
    starts = torch.arange(size - 2, max(size, length) - 2, size - 2, device=device)[
        :, None
    ]  # all but the first, before the last is moved back
    position = torch.arange(length, device=device)
    return ((starts.clamp(max=length - size) <= position) & (position < starts + 2)).sum(0)


class HPINet(nn.Module):
    """RGB in [0, 1], (B, 3, H, W) -> (B, 3, scale·H, scale·W), not clamped.

    Raises ValueError where H or W is smaller than the largest patch, 24.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.first_conv = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.blocks = nn.ModuleList(Block(size) for size in PATCHES)
        self.upsampler = Upsampler(CHANNELS, scale)
        self.last_conv = nn.Conv2d(CHANNELS, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = require_size(x, SMALLEST_INPUT, "HPINet-M")
        tokens = to_tokens(self.first_conv(x))  # (B, H·W, C)
        for block in self.blocks:
            tokens = block(tokens, height, width)
        residual = upsample(to_map(tokens, height, width), self.upsampler, self.last_conv)
        return residual + F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)


_PUBLISHED_LAYER = {
    "norm": "0.norm",
    "query": "0.fn.to_q",
    "key": "0.fn.to_k",
    "value": "0.fn.to_v",
    "mlp_norm": "1.norm",
    "expand": "1.fn.fc1",
    "reduce": "1.fn.fc2",
}


def published_names(model: HPINet) -> dict[str, str]:
    """Published name of every parameter, by our name."""
    modules = {"first_conv": "first_conv", "last_conv": "last_conv"}
    modules |= {"upsampler.0": "upconv1", "upsampler.3": "upconv2"} if model.scale == 4 else {"upsampler.0": "upconv"}
    for i in range(len(PATCHES)):
        modules |= {f"blocks.{i}.match_norm": f"cross_match.{i}.norm", f"blocks.{i}.conv": f"mid_convs.{i}"}
        for number, layer in enumerate(["cross", "own.0", "own.1"]):
            for ours, theirs in _PUBLISHED_LAYER.items():
                modules[f"blocks.{i}.{layer}.{ours}"] = f"blocks.{i}.layers.{number}.{theirs}"
    names = {}
    for name, _ in model.named_parameters():
        module, _, kind = name.rpartition(".")
        names[name] = f"{modules[module]}.{kind}"
    return names


INFO = ModelInfo(
    name="hpinet_m",
    title="HPINet-M",
    paper="From Coarse to Fine: Hierarchical Pixel Integration for Lightweight Image Super-Resolution",
    venue="AAAI",
    year=2023,
    repository="https://github.com/passerer/HPINet",
    licence="none stated",
    published_parameters={4: 900_000},
    counted_parameters={2: 782_539, 3: 923_939, 4: 895_659},
    parameters_note="published as about 0.90M at x4, in a figure of the repository",
    smallest_input=SMALLEST_INPUT,
    training="DIV2K 1-800, LR patches growing from 192/scale to 720/scale, batches of 64 falling to 8, 420 epochs of "
    "about 1000 iterations, L1, Adam at 1.5e-4 halved every 60 epochs (least 1e-6), gradient norm clipped to 1",
    network=lambda scale, _config: HPINet(scale),
    published_names=published_names,
)
