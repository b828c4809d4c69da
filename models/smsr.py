"""SMSR: Sparse Mask Super-Resolution network.

Wang, Dong, Wang, Ying, Lin, An, Guo: Exploring Sparsity in Image Super-Resolution for Efficient Inference, CVPR 2021.
987,330 / 995,985 / 1,008,102 parameters at x2 / x3 / x4, of which 24 are frozen mean shifts and 2,560 are the logits
of the channel masks.

Masks determine where and in which channels a convolution may be skipped. Here everything is computed and then masked,
which gives the published result at the cost of the full network; MACs and latency are those of the full network.
"""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.info import Fixed, ModelInfo
from models.layers import MeanShift, require_size

WIDTH = 64
BLOCKS = 5
LAYERS = 4  # masked convolutions in a block


class SpatialMask(nn.Module):
    """The pixels at which a block computes its sparse channels: hard in evaluation; soft and random in training."""

    def __init__(self) -> None:
        super().__init__()
        inner = WIDTH // 4
        self.logits = nn.Sequential(
            nn.Conv2d(WIDTH, inner, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.AvgPool2d(2),
            nn.Conv2d(inner, inner, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(inner, 2, 3, stride=2, padding=1, output_padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, 1, H, W) in [0, 1]. The last row or column of an odd size is masked out."""
        height, width = x.shape[-2:]
        logits = self.logits(x)  # (N, 2, H, W), or one row or column less
        # The published temperature schedule is never applied: the temperature stays 1.
        mask = F.gumbel_softmax(logits, dim=1)[:, 1:] if self.training else hard(logits[:, 1:] - logits[:, :1])
        return F.pad(mask, (0, width - mask.shape[3], 0, height - mask.shape[2]))


def hard(logit: Tensor) -> Tensor:
    """1 where a logit is above 0, 0 elsewhere, and NaN where it is NaN."""
    return (logit > 0).to(logit.dtype).masked_fill(logit != logit, torch.nan)


class MaskedConvolutions(nn.Module):
    """Four convolutions (SMB). Dense channels are computed everywhere, sparse ones only inside the spatial mask.

    With weights D + S = 1 (dense, sparse) of an output channel, mask M, and convolutions d and s of the dense and the
    sparse inputs, a layer is ReLU(d (D + S M) + s M).
    """

    def __init__(self) -> None:
        super().__init__()
        self.channel_logits = nn.Parameter(torch.rand(1, WIDTH, LAYERS, 2))  # last: dense, sparse
        self.layers = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False) for _ in range(LAYERS))
        self.collect = nn.Conv2d(LAYERS * WIDTH, WIDTH, 1)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, C, H, W), mask (N, 1, H, W) -> features (N, C, H, W), and the share that is not masked out (N)."""
        logits = self.channel_logits[0]
        if self.training:
            dense = F.gumbel_softmax(logits, dim=-1)[..., 0]  # (C, layers)
            features = self._soft(x, mask, dense)
        else:
            dense = hard(logits[..., 0] - logits[..., 1])
            features = self._hard(x, mask, dense)
        return features, mask.mean((1, 2, 3)) * (1 - dense).mean() + dense.mean()

    def _soft(self, x: Tensor, mask: Tensor, dense: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        for index, weight in enumerate(self._weights()):
            of_output = dense[:, index, None, None]  # (C, 1, 1)
            everywhere = of_output + (1 - of_output) * mask  # (N, C, H, W)
            if index == 0:
                y = F.conv2d(x, weight, padding=1) * everywhere
            else:
                of_input = dense[:, index - 1, None, None]
                both = torch.cat([weight * of_input, weight * (1 - of_input)])  # (2C, C, 3, 3)
                of_dense, of_sparse = F.conv2d(outputs[-1], both, padding=1).chunk(2, dim=1)
                y = of_dense * everywhere + of_sparse * mask
            outputs.append(F.relu(y))
        return self.collect(torch.cat(outputs, dim=1))

    def _hard(self, x: Tensor, mask: Tensor, dense: Tensor) -> Tensor:
        """The same for masks of 0 and 1: every channel is convolved once, in an order with the dense ones first."""
        order = (dense != 1).int().argsort(dim=0, stable=True)  # (C, layers)
        # The number of dense channels does not change the MACs and is unavailable on the meta device.
        counts = [WIDTH] * LAYERS if dense.is_meta else (dense == 1).sum(0).tolist()
        outputs: list[Tensor] = []
        for index, weight in enumerate(self._weights()):
            weight = weight[order[:, index]]
            if index == 0:
                y = F.conv2d(x, weight, padding=1)
            else:
                y = _masked(outputs[-1], weight[:, order[:, index - 1]], counts[index - 1], mask)
            y[:, counts[index] :] *= mask  # the sparse outputs
            outputs.append(F.relu_(y))
        columns = (order + WIDTH * torch.arange(LAYERS, device=order.device)).t().flatten()
        weight = self.collect.weight[:, columns] + 0 * dense.sum()  # NaN if a choice was NaN
        return F.conv2d(torch.cat(outputs, dim=1), weight, self.collect.bias)

    def _weights(self) -> list[Tensor]:
        return [layer.get_parameter("weight") for layer in self.layers]


def _masked(x: Tensor, weight: Tensor, dense: int, mask: Tensor) -> Tensor:
    """Convolution of the first `dense` channels, plus that of the others where the mask is 1."""
    if dense == x.shape[1]:
        return F.conv2d(x, weight, padding=1)
    of_sparse = F.conv2d(x[:, dense:], weight[:, dense:], padding=1)
    if dense == 0:
        return of_sparse * mask
    return torch.addcmul(F.conv2d(x[:, :dense], weight[:, :dense], padding=1), of_sparse, mask)


class ChannelAttention(nn.Module):
    """Gate of every channel, from its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(WIDTH, WIDTH // 16, 1)
        self.excite = nn.Conv2d(WIDTH // 16, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))).sigmoid()


class SparseMaskModule(nn.Module):
    """SMM: mask, masked convolutions, channel attention and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = SpatialMask()
        self.convolutions = MaskedConvolutions()
        self.attention = ChannelAttention()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, C, H, W) -> the same shape, and the share of its convolutions that is not masked out (N)."""
        features, share = self.convolutions(x, self.mask(x))
        return self.attention(features) + x, share


class SMSR(nn.Module):
    """RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W), not clamped.

    Masks are random in training. Raises ValueError for a side of one pixel, which has no mask.
    """

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__()
        self.scale = scale
        self.sub_mean = MeanShift(-1, 255, frozen=True)
        self.head = nn.Sequential(
            nn.Conv2d(3, WIDTH, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        )
        self.blocks = nn.ModuleList(SparseMaskModule() for _ in range(BLOCKS))
        self.collect = nn.Sequential(
            nn.Conv2d(BLOCKS * WIDTH, WIDTH, 1), nn.ReLU(inplace=True), nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        )
        self.upsampler = nn.Sequential(nn.Conv2d(WIDTH, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))
        self.add_mean = MeanShift(1, 255, frozen=True)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self.with_share(x)[0]
        # A hard mask turns rounding differences into visible ones, and rounding depends on the batch size.
        return torch.cat([self.with_share(image)[0] for image in x.split(1)])

    def with_share(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and the share of each block's convolutions that is not masked out (N, 5).

        The publication trains with L1 plus up to 0.1 times the mean of these shares.
        """
        require_size(x, INFO.smallest_input, INFO.title)
        x = self.sub_mean(255 * x)
        head = features = self.head(x)  # (N, 64, H, W)
        outputs, shares = [], []
        for block in self.blocks:
            features, share = block(features)
            outputs.append(features)
            shares.append(share)
        residual = self.upsampler(self.collect(torch.cat(outputs, dim=1)) + head)
        upscaled = F.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=False)
        return self.add_mean(residual + upscaled) / 255, torch.stack(shares, dim=1)


_RULES = {
    r"mask\.logits": "spa_mask",
    r"convolutions\.channel_logits": "body.ch_mask",
    r"convolutions\.layers": "body.body",
    r"convolutions\.collect": "body.collect",
    r"attention\.squeeze": "ca.conv_du.0",
    r"attention\.excite": "ca.conv_du.2",
    r"blocks": "body",
    r"upsampler": "tail",
}


def published_names(model: SMSR) -> dict[str, str]:
    """Published name of every parameter, by our name."""
    return {name: _published(name) for name, _ in model.named_parameters()}


def _published(name: str) -> str:
    for rule, replacement in _RULES.items():
        name = re.sub(rule, replacement, name)
    return name


INFO = ModelInfo(
    name="smsr",
    title="SMSR",
    paper="Exploring Sparsity in Image Super-Resolution for Efficient Inference",
    venue="CVPR",
    year=2021,
    repository="https://github.com/The-Learning-And-Vision-Atelier-LAVA/SMSR",
    licence="none stated",
    published_parameters={2: 985_000, 3: 993_000, 4: 1_006_000},
    counted_parameters={2: 987_330, 3: 995_985, 4: 1_008_102},
    smallest_input=2,
    training="DIV2K 1-800, HR patches of 96 at x2, batch 16, 1000 epochs of 1000 iterations, L1 plus up to 0.1 times "
    "the share that is computed, Adam at 2e-4 halved every 200 epochs",
    network=SMSR,
    published_names=published_names,
    parameters_note="the published figures leave the 2,560 logits of the channel masks out",
    # an alias of each block's 1x1 bias, in states that were saved after the published split of the kernels
    published_buffers=(r"body\.\d\.body\.bias",),
)
