"""SPIN written out plainly: the reference that the package's fast SPIN is measured against.

Dense association matrices, expanded gathers, a Python loop over windows, unfused attention. Parameters come from a
mapping of published names to tensors, and every function follows the dtype of its input (float32 or float64).
Source: Zhang et al., "Lightweight Image Super-Resolution with Superpixel Token Interaction", ICCV 2023; the numbers in
the comments are those of its sections and equations.

Shapes: B images, C = 40 channels, D = 24 channels of a query or key, N = H·W pixels in raster order, M superpixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from math import inf, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

CHANNELS, WIDTH, HIDDEN, SQUEEZED = 40, 24, 72, 5
TINY = 1e-16  # keeps an empty superpixel from dividing by zero

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Config:
    """What the ablations change. The defaults are the published network."""

    blocks: int = 8
    spca: bool = True
    ispa: bool = True
    arrangement: str = "sequential"  # or "parallel"
    reach: str = "neighbours"  # which superpixels a pixel sees: the 3x3 around its home cell, or "all"
    form: str = "softmax"  # of the association, or "exp" (Eq. 3)
    gradient: bool = False  # through the association

    @property
    def sizes(self) -> list[int]:
        """Superpixel size of each block, in pixels."""
        return list(islice(cycle((12, 16, 20, 24)), self.blocks))


VARIANTS = {  # Table 2
    "full": Config(),
    "only-ispa": Config(spca=False, blocks=12),
    "only-spca": Config(ispa=False, blocks=12),
    "parallel": Config(arrangement="parallel"),
    "svq": Config(reach="all"),
    "patch": Config(spca=False, ispa=False, blocks=16),
}


def forward(x: Tensor, state: Parameters, scale: int, config: Config) -> Tensor:
    """The network: x (B, 3, H, W) in [0, 1] to (B, 3, scale·H, scale·W), not clamped. Section 3.

    Raises ValueError if H or W is less than the largest superpixel size.
    """
    height, width = x.shape[-2:]
    if min(height, width) < max(config.sizes):
        raise ValueError(f"SPIN takes images of at least {max(config.sizes)} pixels a side, not {height}x{width}")
    features = conv(x, inside(state, "first_conv"))
    for i, size in enumerate(config.sizes):
        mixed = block(features, inside(state, f"blocks.{i}"), size, config)
        features = features + conv(mixed, inside(state, f"mid_convs.{i}"))
    for name, factor in upsamplers(scale).items():
        features = F.leaky_relu(F.pixel_shuffle(conv(features, inside(state, name)), factor), 0.1)
    base = F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
    return conv(features, inside(state, "last_conv")) + base


def block(x: Tensor, params: Parameters, size: int, config: Config) -> Tensor:
    """One superpixel interaction block, (B, C, H, W) to the same shape."""
    inter, intra, near = (inside(params, f"{name}_layer") for name in ("inter", "intra", "local"))
    if config.spca or config.ispa:
        with torch.set_grad_enabled(config.gradient and torch.is_grad_enabled()):
            association, rank = associate(x, size, form=config.form, reach=config.reach)

    if config.spca and config.ispa and config.arrangement == "parallel":
        a = spca(x, association, inside(inter, "0"))
        b = ispa(x, select(rank, size * size), inside(intra, "0"))
        x = x + a + ffn(x + a, inside(inter, "1")) + b + ffn(x + b, inside(intra, "1"))
    else:
        if config.spca:
            x = x + spca(x, association, inside(inter, "0"))
            x = x + ffn(x, inside(inter, "1"))
        if config.ispa:
            x = x + ispa(x, select(rank, size * size), inside(intra, "0"))
            x = x + ffn(x, inside(intra, "1"))
    x = x + local(x, size, inside(near, "0"))
    return x + ffn(x, inside(near, "1"))


# Superpixel aggregation (section 3.1)


def associate(
    x: Tensor, size: int, *, form: str = "softmax", reach: str = "neighbours", iterations: int = 3
) -> tuple[Tensor, Tensor]:
    """Soft k-means of the pixels of x (B, C, H, W), as in superpixel sampling networks (Jampani et al., ECCV 2018).

    Returns the last association (B, M, N), zero for superpixels out of a pixel's reach, and the rank (B, M, N) by which
    `select` takes pixels, -inf out of reach: the log-odds of the association, or -d² for the form "exp".
    """
    height, width = x.shape[-2:]
    rows, columns = height // size, width // size
    seen = visible(height, width, rows, columns, reach).to(x.device)
    pixels = tokens(x)
    centroids = tokens(F.adaptive_avg_pool2d(x, (rows, columns)))
    for _ in range(iterations - 1):
        logits = -distances(pixels, centroids, seen)
        centroids = aggregate(pixels, dense(weights(logits, form), seen, rows * columns, 0.0))
    logits = -distances(pixels, centroids, seen)
    association = dense(weights(logits, form), seen, rows * columns, 0.0)
    rank = logits.detach() if form == "exp" else log_odds(logits.detach())
    return association, dense(rank, seen, rows * columns, -inf)


def visible(height: int, width: int, rows: int, columns: int, reach: str) -> Tensor:
    """The superpixels that each pixel sees, (9, N) or (M, N); M = rows·columns stands for one outside the grid."""
    if reach == "all":
        return torch.arange(rows * columns)[:, None].expand(-1, height * width)
    home_row = torch.arange(height) * rows // height  # exact integers
    home_column = torch.arange(width) * columns // width
    around = []
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row = (home_row + down)[:, None].expand(height, width)
            column = (home_column + right)[None, :].expand(height, width)
            exists = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            around.append(torch.where(exists, row * columns + column, rows * columns).flatten())
    return torch.stack(around)


def distances(pixels: Tensor, centroids: Tensor, seen: Tensor) -> Tensor:
    """Squared distances (B, K, N) of pixels (B, N, C) to the centroids (B, M, C) they see; inf outside the grid."""
    count = centroids.shape[1]
    padded = F.pad(centroids, (0, 0, 0, 1))  # any value: the distance to it is masked
    squared = torch.stack([(pixels - padded[:, cells]).square().sum(2) for cells in seen], 1)
    return squared.masked_fill(seen == count, inf)


def weights(logits: Tensor, form: str) -> Tensor:
    """The association from -d², both (B, K, N): a softmax over what a pixel sees, or the bare exponential of Eq. 3."""
    return logits.exp() if form == "exp" else logits.softmax(1)


def log_odds(logits: Tensor) -> Tensor:
    """log A - log(1 - A) of A = softmax(logits) over dimension 1, without ever forming A; +inf where A is exactly 1.

    A/(1 - A) is the exponential of one logit over the sum of the others, so nothing underflows or saturates.
    """
    odds = []
    for k in range(logits.shape[1]):
        others = logits.clone()
        others[:, k] = -inf
        odds.append(logits[:, k] - others.logsumexp(1))
    return torch.stack(odds, 1)


def dense(values: Tensor, seen: Tensor, count: int, empty: float) -> Tensor:
    """Values (B, K, N) of the superpixels seen, laid out over all: (B, count, N), `empty` elsewhere."""
    images, _, pixels = values.shape
    table = values.new_full((images, count + 1, pixels), empty)  # the last row takes what is outside the grid
    return table.scatter_(1, seen.expand_as(values), values)[:, :count]


def aggregate(pixels: Tensor, association: Tensor) -> Tensor:
    """Superpixel tokens (B, M, C): means of the pixels (B, N, C), weighted by the association. Eq. 4."""
    return association / (association.sum(2, keepdim=True) + TINY) @ pixels


def select(rank: Tensor, n: int) -> Tensor:
    """The n pixels of highest rank of each superpixel, (B, M, N) to (B, M, n); equals go to the lower pixel index."""
    chosen = []
    for row in rank.unbind(1):
        candidates = (row > -inf).any(0).nonzero().flatten()  # ascending, so a stable sort keeps the lower first
        order = row[:, candidates].argsort(dim=1, descending=True, stable=True)
        chosen.append(candidates[order[:, :n]])
    return torch.stack(chosen, 1)


# Attention (sections 3, 3.2 and 3.3)


def spca(x: Tensor, association: Tensor, params: Parameters) -> Tensor:
    """Superpixel cross attention: pixels to superpixels (Eq. 5 and 6), and back with the same superpixel queries."""
    pixels = tokens(layer_norm(x, inside(params, "norm.norm"), 1e-6))
    queries, keys, values = (project(pixels, params[f"{name}.weight"]) for name in "qkv")
    superpixels = project(aggregate(pixels, association), params["sp.weight"])
    updated = attend(superpixels, keys, values)
    return feature_map(attend(queries, superpixels, updated), x)


def ispa(x: Tensor, selection: Tensor, params: Parameters) -> Tensor:
    """Attention among the pixels selected (B, M, n) for each superpixel.

    A pixel receives the mean of its own value and of all the outputs made for it, so an ignored pixel keeps its value.
    """
    pixels = tokens(layer_norm(x, inside(params, "norm.norm"), 1e-6))
    queries, keys, values = (project(pixels, params[f"{name}.weight"]) for name in "qkv")
    mixed = attend(gather(queries, selection), gather(keys, selection), gather(values, selection))
    where = selection.flatten(1)[:, :, None]
    total = values.scatter_add(1, where.expand(-1, -1, CHANNELS), mixed.flatten(1, 2))
    received = values.new_ones(values.shape[0], values.shape[1], 1)
    received = received.scatter_add(1, where, torch.ones_like(where, dtype=values.dtype))
    return feature_map(total / received, x)


def gather(features: Tensor, selection: Tensor) -> Tensor:
    """Features (B, N, E) of the selected pixels (B, M, n), copied out as (B, M, n, E)."""
    where = selection.flatten(1)[:, :, None].expand(-1, -1, features.shape[2])
    return features.gather(1, where).unflatten(1, selection.shape[1:])


def local(x: Tensor, size: int, params: Parameters) -> Tensor:
    """Attention within windows of size x size pixels that overlap by 2; where they overlap, outputs are averaged."""
    height, width = x.shape[-2:]
    normal = layer_norm(x, inside(params, "norm"), 1e-5)
    total, count = torch.zeros_like(x), torch.zeros_like(x)
    for top in window_starts(height, size):
        for left in window_starts(width, size):
            place = (..., slice(top, top + size), slice(left, left + size))
            window = normal[place]
            pixels = tokens(window)
            queries, keys, values = (project(pixels, params[f"attn.to_{name}.weight"]) for name in "qkv")
            total[place] += feature_map(attend(queries, keys, values), window)
            count[place] += 1
    return total / count


def window_starts(length: int, size: int) -> list[int]:
    """First pixels of the windows along a side of `length` pixels: every size - 2, the last one at the border."""
    return [*range(0, length - size, size - 2), length - size]


def ffn(x: Tensor, params: Parameters) -> Tensor:
    """Feed-forward network with a channel gate and a pixel gate, (B, C, H, W) to the same shape."""
    normal = layer_norm(x, inside(params, "norm.norm"), 1e-6)
    channel = F.gelu(conv(normal.mean((2, 3), keepdim=True), inside(params, "ca.1")))
    pixel = F.gelu(conv(normal, inside(params, "pa.0")))
    channel_gate = conv(channel, inside(params, "ca.3")).sigmoid()
    pixel_gate = conv(pixel, inside(params, "pa.2")).sigmoid()
    gated = torch.cat((channel_gate * normal, pixel_gate * normal), 1)
    return conv(F.gelu(conv(gated, inside(params, "fc1"))), inside(params, "fc2"))


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(Q Kᵀ / √D) V over the last two dimensions."""
    return (queries @ keys.transpose(-1, -2) / sqrt(queries.shape[-1])).softmax(-1) @ values


# Small things


def inside(params: Parameters, name: str) -> dict[str, Tensor]:
    """The parameters whose names start with `name` and a dot, named by what follows."""
    return {key.removeprefix(f"{name}."): value for key, value in params.items() if key.startswith(f"{name}.")}


def tokens(x: Tensor) -> Tensor:
    """Feature map (B, C, H, W) as pixels (B, N, C)."""
    return x.flatten(2).transpose(1, 2)


def feature_map(pixels: Tensor, like: Tensor) -> Tensor:
    """Pixels (B, N, C) as a feature map (B, C, H, W) of the height and width of `like`."""
    return pixels.transpose(1, 2).unflatten(2, like.shape[-2:])


def project(pixels: Tensor, weight: Tensor) -> Tensor:
    """Linear map of each pixel; a weight may be stored as that of a 1x1 convolution."""
    return pixels @ weight.flatten(1).T


def conv(x: Tensor, params: Parameters) -> Tensor:
    """Convolution at the size of x: 1x1, or 3x3 with zero padding."""
    return F.conv2d(x, params["weight"], params["bias"], padding=params["weight"].shape[-1] // 2)


def layer_norm(x: Tensor, params: Parameters, eps: float) -> Tensor:
    """LayerNorm over the channels of each pixel of x (B, C, H, W)."""
    centred = x - x.mean(1, keepdim=True)
    normal = centred / (centred.square().mean(1, keepdim=True) + eps).sqrt()
    return normal * params["weight"][:, None, None] + params["bias"][:, None, None]


def upsamplers(scale: int) -> dict[str, int]:
    """Convolutions of the upsampler and the factor of the pixel shuffle after each."""
    return {2: {"upconv": 2}, 3: {"upconv": 3}, 4: {"upconv1": 2, "upconv2": 2}}[scale]


def published_shapes(scale: int, config: Config) -> dict[str, tuple[int, ...]]:
    """Shapes of all parameters under their published names, in published order; absent layers have none."""

    def convolution(name: str, outputs: int, inputs: int, kernel: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)}

    def norm(name: str) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (CHANNELS,), f"{name}.bias": (CHANNELS,)}

    def feed_forward(name: str) -> dict[str, tuple[int, ...]]:
        return {
            **norm(f"{name}.norm.norm"),
            **convolution(f"{name}.ca.1", SQUEEZED, CHANNELS, 1),
            **convolution(f"{name}.ca.3", CHANNELS, SQUEEZED, 1),
            **convolution(f"{name}.pa.0", SQUEEZED, CHANNELS, 1),
            **convolution(f"{name}.pa.2", 1, SQUEEZED, 1),
            **convolution(f"{name}.fc1", HIDDEN, 2 * CHANNELS, 1),
            **convolution(f"{name}.fc2", CHANNELS, HIDDEN, 1),
        }

    widths = {"q": WIDTH, "k": WIDTH, "v": CHANNELS}
    shapes = convolution("first_conv", CHANNELS, 3, 3)
    for i in range(config.blocks):
        inter, intra, near = (f"blocks.{i}.{name}_layer" for name in ("inter", "intra", "local"))
        if config.spca:
            shapes |= {f"{inter}.0.{name}.weight": (width, CHANNELS, 1, 1) for name, width in widths.items()}
            shapes |= {f"{inter}.0.sp.weight": (WIDTH, CHANNELS)}
            shapes |= norm(f"{inter}.0.norm.norm") | feed_forward(f"{inter}.1")
        if config.ispa:
            shapes |= {f"{intra}.0.{name}.weight": (width, CHANNELS, 1, 1) for name, width in widths.items()}
            shapes |= norm(f"{intra}.0.norm.norm") | feed_forward(f"{intra}.1")
        shapes |= norm(f"{near}.0.norm")
        shapes |= {f"{near}.0.attn.to_{name}.weight": (width, CHANNELS) for name, width in widths.items()}
        shapes |= feed_forward(f"{near}.1")
    for i in range(config.blocks):
        shapes |= convolution(f"mid_convs.{i}", CHANNELS, CHANNELS, 3)
    for name, factor in upsamplers(scale).items():
        shapes |= convolution(name, CHANNELS * factor * factor, CHANNELS, 3)
    return shapes | convolution("last_conv", 3, CHANNELS, 3)
