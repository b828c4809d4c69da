"""The superpixels of SPIN's blocks in an image, and for one superpixel its selected pixels and its attention.

Hooks record the tensors of one ordinary forward pass, from which all values are computed. Pixels are LR pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.measure.evaluation import network_upscale
from models.spin.attention import SuperpixelCrossAttention, Superpixels
from models.spin.grid import grid
from models.spin.network import SPIN, Block


@dataclass(frozen=True)
class Observed:
    """The tensors of one block in a pass over one image of h x w pixels; M superpixels."""

    number: int  # of the block, from 1
    size: int  # edge of a cell; ISPA selects size² pixels
    shape: tuple[int, int]  # h, w
    rows: int  # of superpixels; M = rows · columns
    columns: int
    superpixels: Superpixels  # the association
    selected: Tensor | None = None  # (M, size²), the pixels that ISPA selects; None without ISPA
    spca: SuperpixelCrossAttention | None = None
    tokens: Tensor | None = None  # (1, h·w, C), the input of SPCA


@dataclass(frozen=True)
class Assignment:
    """The assignment of the pixels of an image to the superpixels of a block."""

    superpixel: NDArray[
        np.int64
    ]  # (h, w), the superpixel with the highest association; of equal ones the lowest number
    entropy: NDArray[np.float32]  # (h, w), in bits, of a pixel's association with the superpixels in its neighbourhood
    underflow: float  # share of all associations that are exactly 0
    saturated: float  # share of the pixels with an association of exactly 1


@dataclass(frozen=True)
class Superpixel:
    """One superpixel of a block: its association with pixels, its selected pixels, and its attention."""

    number: int
    association: NDArray[np.float32]  # (h, w), of each pixel with this superpixel
    in_reach: NDArray[np.bool_]  # (h, w), the pixels with this superpixel in their neighbourhood
    selected: NDArray[np.bool_] | None  # (h, w), its top-N pixels; None without ISPA
    reads: NDArray[np.float32] | None  # (h, w), sum 1: SPCA's first attention, of this superpixel over all pixels
    attention: NDArray[np.float32] | None  # (M,), sum 1: SPCA's second, over superpixels, mean over its pixels


def observe(network: SPIN, lr: NDArray[np.uint8], device: torch.device) -> list[Observed]:
    """Run a network on an LR image, uint8 (h, w, 3), as in the evaluation, and record the tensors of its blocks.

    The hooks do not change the pass. The list is empty for a network without superpixels. Raises ValueError for an
    image that is too small.
    """
    kept: dict[Block, dict[str, Any]] = {
        block: {} for block in network.blocks if isinstance(block, Block) and (block.config.spca or block.config.ispa)
    }
    hooks = []
    for block, own in kept.items():
        hooks.append(block.associate.register_forward_hook(lambda _, given, out, own=own: own.update(superpixels=out)))
        if block.config.spca:
            hooks.append(
                block.spca.register_forward_pre_hook(
                    lambda module, given, own=own: own.update(spca=module, tokens=given[0])
                )
            )
        if block.config.ispa:
            hooks.append(
                block.ispa.register_forward_pre_hook(lambda _, given, own=own: own.update(selected=given[1][0]))
            )
    try:
        network_upscale(network, device)(lr)
    finally:
        for hook in hooks:
            hook.remove()
    height, width = lr.shape[:2]
    observed = []
    for number, (block, own) in enumerate(kept.items(), start=1):
        cells = grid(height, width, block.size, device)
        observed.append(Observed(number, block.size, (height, width), cells.rows, cells.columns, **own))
    return observed


@torch.inference_mode()
def assignment(block: Observed) -> Assignment:
    """The assignment of the pixels to the superpixels of a block."""
    superpixel, entropy = [], []
    underflow = associations = saturated = 0
    for sight in block.superpixels.by_pixel():
        weights, scores, exists = sight.weights[0], sight.scores[0], sight.superpixels >= 0
        superpixel.append(sight.superpixels.gather(1, scores.argmax(1, keepdim=True)).squeeze(1))
        total = weights.sum(1, keepdim=True)  # 1, except for the form `exp`
        shares = weights / torch.where(total > 0, total, 1)
        entropy.append(torch.special.entr(shares).sum(1) / math.log(2))
        underflow += int(((weights == 0) & exists).sum())
        associations += int(exists.sum())
        saturated += int((weights == 1).any(1).sum())
    return Assignment(
        _map(torch.cat(superpixel), block.shape),
        _map(torch.cat(entropy), block.shape),
        underflow / associations,
        saturated / math.prod(block.shape),
    )


@torch.inference_mode()
def superpixel(block: Observed, belonging: Assignment, number: int) -> Superpixel:
    """One superpixel of a block by its number; it must not be empty. `belonging` is the assignment of the block."""
    association, in_reach = [], []
    for sight in block.superpixels.by_pixel():
        own = sight.superpixels == number
        association.append((sight.weights[0] * own).sum(1))
        in_reach.append(own.any(1))
    selected = reads = attention = None
    if block.selected is not None:
        selected = _marked(block.selected[number], block.shape)
    if block.spca is not None and block.tokens is not None:
        query, key, _, anchor = block.spca.projections(block.tokens, block.superpixels)
        scale = block.spca.pixels.scale
        members = torch.from_numpy(np.flatnonzero(belonging.superpixel == number)).to(query.device)
        reads = _map((scale * key[0] @ anchor[0, number]).softmax(0), block.shape)
        attention = (scale * query[0, members] @ anchor[0].T).softmax(1).mean(0).cpu().numpy()
    return Superpixel(
        number,
        _map(torch.cat(association), block.shape),
        _map(torch.cat(in_reach), block.shape),
        selected,
        reads,
        attention,
    )


def ignored(block: Observed) -> NDArray[np.bool_] | None:
    """The pixels in no superpixel's top-N, (h, w), which ISPA does not change. None without ISPA."""
    return None if block.selected is None else ~_marked(block.selected, block.shape)


def most_undecided(belonging: Assignment) -> tuple[int, int]:
    """The pixel (y, x) nearest to the centroid of the superpixel with the largest entropy, summed over its pixels.

    Of superpixels with equal entropy, the one with the most pixels is chosen; of those, the lowest number.
    """
    numbers = belonging.superpixel.ravel()
    entropy = np.bincount(numbers, belonging.entropy.ravel().astype(np.float64))
    chosen = np.lexsort((-np.bincount(numbers), -entropy))[0]
    places = np.argwhere(belonging.superpixel == chosen)
    y, x = places[np.square(places - places.mean(0)).sum(1).argmin()]
    return int(y), int(x)


def _map(values: Tensor, shape: tuple[int, int]) -> NDArray[Any]:
    return values.cpu().numpy().reshape(shape)


def _marked(pixels: Tensor, shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(math.prod(shape), bool)
    mask[pixels.cpu().numpy().ravel()] = True
    return mask.reshape(shape)
