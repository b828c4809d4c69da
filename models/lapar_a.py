"""LAPAR-A: Linearly-Assembled Pixel-Adaptive Regression.

Li, Zhou, Qi, Jiang, Lu, Jia: LAPAR: Linearly-Assembled Pixel-Adaptive Regression Network for Single Image
Super-resolution and Beyond, NeurIPS 2020. 547,866 / 594,266 / 659,226 parameters at x2 / x3 / x4.

The interpolated image is filtered at every pixel by its own mixture of 72 fixed 5x5 filters, the dictionary. It is
a published data file and no part of this project: `read_dictionary` reads the copy in the mirror or the cache.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from foundation import cache_folder
from models.awsrn_m import Block, WeightedSum, conv
from models.info import Fixed, ModelInfo
from models.layers import MEAN, require_size
from models.weights import WeightsError

WIDTH = 32
FILTERS = 72  # of the dictionary
TAPS = 5  # per side of a filter
DICTIONARY = "dvlab-research/Simple-SR/08c71e9e46ba781df50893f0476ecd0fc004aa45/kernel/kernel_72_k5.pkl"
_ORIGIN = f"https://raw.githubusercontent.com/{DICTIONARY}"
DICTIONARY_SHA256 = "d5522aec24943b07f2bf37b12c0fe31ca321ab7e120ebd73ba1ed0286b991b5b"


def read_dictionary() -> NDArray[np.float64]:
    """The 72 filters (72, 1, 5, 5), each with sum 1, from `DICTIONARY` in the mirror folder or else the cache folder.

    The folders are SPINBENCH_MIRROR and SPINBENCH_DATA. Raises WeightsError where the file is missing or differs from
    the published one.
    """
    mirror = Path(os.environ.get("SPINBENCH_MIRROR") or "").expanduser()
    stored = mirror if os.environ.get("SPINBENCH_MIRROR") and mirror.is_dir() else cache_folder()
    return _read(stored / DICTIONARY)


@cache
def _read(file: Path) -> NDArray[np.float64]:
    if not file.is_file():
        raise WeightsError(f"{file}: LAPAR-A's dictionary is missing; this path must hold {_ORIGIN}")
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != DICTIONARY_SHA256:
        raise WeightsError(
            f"{file}: not LAPAR-A's dictionary: SHA-256 is {found}, expected {DICTIONARY_SHA256}; "
            f"this path must hold {_ORIGIN}"
        )
    return np.asarray(ArrayUnpickler(io.BytesIO(content)).load()).reshape(FILTERS, 1, TAPS, TAPS)


_RECONSTRUCT = np.empty(0).__reduce__()[0]  # NumPy 1 and 2 keep it in modules of different names
_PARTS_OF_AN_ARRAY = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArrayUnpickler(pickle.Unpickler):
    """Reads a pickled NumPy array. Raises pickle.UnpicklingError for any other content."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _PARTS_OF_AN_ARRAY:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a NumPy array")
        return _PARTS_OF_AN_ARRAY[module, name]


class Unit(nn.Module):
    """AWSRN's residual unit, without its wide middle."""

    def __init__(self) -> None:
        super().__init__()
        self.first = conv(WIDTH, WIDTH)
        self.second = conv(WIDTH, WIDTH)
        self.sum = WeightedSum()

    def forward(self, x: Tensor) -> Tensor:
        return self.sum(self.second(F.relu(self.first(x), inplace=True)), x)


class LAPAR(nn.Module):
    """RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W), not clamped.

    Without the dictionary's file the network can be built, counted and loaded. Running it then raises WeightsError,
    unless its state dict contained the dictionary. Raises ValueError for a side of one pixel.
    """

    dictionary: Tensor
    mean: Tensor

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.head = conv(3, WIDTH)
        self.blocks = nn.Sequential(*(Block(Unit) for _ in range(4)))
        self.up = conv(WIDTH, WIDTH * scale**2)
        self.tail_k3 = conv(WIDTH, WIDTH)
        self.tail_k5 = conv(WIDTH, WIDTH, kernel=5)
        self.scale_k3 = nn.Parameter(torch.tensor([0.5]))
        self.scale_k5 = nn.Parameter(torch.tensor([0.5]))
        self.fuse = conv(WIDTH, WIDTH)
        self.coefficients = conv(WIDTH, FILTERS)
        self.register_buffer("dictionary", torch.full((FILTERS, 1, TAPS, TAPS), torch.nan))
        self.no_dictionary = ""  # or why its file cannot be used
        try:
            self.dictionary.copy_(torch.from_numpy(read_dictionary()))
        except WeightsError as error:
            self.no_dictionary = str(error)

    def forward(self, x: Tensor) -> Tensor:
        require_size(x, INFO.smallest_input, INFO.title)
        if self.no_dictionary and not (x.is_meta or torch.compiler.is_exporting()) and self.dictionary.isnan().any():
            raise WeightsError(self.no_dictionary)
        features = self.blocks(F.relu(self.head(x - self.mean), inplace=True))  # (N, 32, H, W)
        features = F.pixel_shuffle(F.relu(self.up(features), inplace=True), self.scale)  # (N, 32, sH, sW)
        features = self.scale_k3 * self.tail_k3(features) + self.scale_k5 * self.tail_k5(features)
        coefficients = self.coefficients(F.relu(self.fuse(features), inplace=True))  # (N, 72, sH, sW)
        upscaled = F.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=False)
        return self.assemble(upscaled, coefficients)

    def assemble(self, image: Tensor, coefficients: Tensor) -> Tensor:
        """Filter image (N, 3, H, W) by the dictionary mixed at every pixel with coefficients (N, 72, H, W).

        The filters are mixed first and applied tap by tap: the published order, 72 filtered images and then their
        mixture, needs 216 values per pixel instead of 25 and takes many times as long.
        """
        height, width = image.shape[-2:]
        filters = F.conv2d(coefficients, self.dictionary.flatten(1).t()[..., None, None])  # (N, 25, H, W)
        padded = F.pad(image, (TAPS // 2,) * 4, mode="reflect")
        result = torch.zeros_like(image)
        for tap in range(TAPS**2):
            y, x = divmod(tap, TAPS)
            shifted = padded[..., y : y + height, x : x + width]
            result = torch.addcmul(result, filters[:, tap, None], shifted)
        return result


_RULES = {
    r"parametrizations\.weight\.original0": "weight_g",
    r"parametrizations\.weight\.original1": "weight_v",
    r"sum\.branch_weight": "res_scale.scale",
    r"sum\.input_weight": "x_scale.scale",
    r"(head|up)\.": r"\1.0.",
    r"blocks\.": "body.",
    r"units\.(\d)": r"b\1",
    r"first\.": "body.0.",
    r"second\.": "body.2.",
    r"(fuse|tail_k\d)\.": r"tail.\1.",
    r"scale_k(\d)": r"tail.scale_k\1.scale",
    r"coefficients\.": "tail.w_conv.",
}


def published_names(model: LAPAR) -> dict[str, str]:
    """Published name of every parameter, and of the dictionary, by our name."""
    names = {name: f"w_conv.{_published(name)}" for name, _ in model.named_parameters()}
    return names | {"dictionary": "decom_conv.weight"}


def _published(name: str) -> str:
    for rule, replacement in _RULES.items():
        name = re.sub(rule, replacement, name)
    return name


INFO = ModelInfo(
    name="lapar_a",
    title="LAPAR-A",
    paper="LAPAR: Linearly-Assembled Pixel-Adaptive Regression Network for Single Image Super-resolution and Beyond",
    venue="NeurIPS",
    year=2020,
    repository="https://github.com/dvlab-research/Simple-SR",
    licence="MIT",
    published_parameters={2: 548_000, 3: 594_000, 4: 659_000},
    counted_parameters={2: 547_866, 3: 594_266, 4: 659_226},
    smallest_input=2,
    training="DIV2K and Flickr2K, LR patches of 64, batch 32 per GPU, 600k iterations, L1, Adam at 4e-4 in three "
    "cosine cycles of 200k iterations with 2k of warm-up; published weights are an external download",
    network=LAPAR,
    published_names=published_names,
    published_buffers=(r"w_conv\.rgb_mean",),
)
