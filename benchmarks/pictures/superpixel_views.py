"""Drawing of the superpixels and the attention of SPIN's blocks: the images of a stored picture and its facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion

from ablations.fields import Scale
from benchmarks.data.pairs import Pair
from benchmarks.pictures.named import PictureError
from benchmarks.pictures.superpixels import (
    Observed,
    Superpixel,
    assignment,
    ignored,
    most_undecided,
    observe,
    superpixel,
)
from models.spin.network import SPIN
from results.superpixels import BlockFacts, BlockFiles, MarkedSuperpixel, SuperpixelFacts

HEAT = matplotlib.colormaps["viridis"]  # its lightness is monotonic, so that it is readable in grey
MARKED, IGNORED = (255, 45, 85), (255, 140, 0)
EDGE = 480  # preferred upper bound of the longer side of a drawing, in drawn pixels
ZOOMS = (4, 8)  # bounds of the drawn pixels per LR pixel; below, lines would hide a pixel

Pixels = NDArray[np.uint8]  # (h, w, 3) RGB
Mask = NDArray[np.bool_]


def draw_superpixels(
    title: str,
    pair: Pair,
    scale: int,
    network: SPIN,
    *,
    label: str,
    source: str,
    blocks: Sequence[int] = (),
    at: tuple[int, int] | None = None,
    device: torch.device,
) -> tuple[SuperpixelFacts, dict[str, Pixels]]:
    """The facts of the superpixels of some blocks (numbers from 1; default: all), and the images by file name.

    `at` is the LR pixel (x, y) whose superpixels are marked; by default it is `most_undecided` in the first block.
    Raises PictureError for an image that is too small, a block or pixel that does not exist, and a network without
    superpixels.
    """
    height, width = pair.lr.shape[:2]
    if at is not None and (at[0] >= width or at[1] >= height):
        raise PictureError(f"pixel {at[0]},{at[1]}: expected a pixel of the LR image, which is {width}x{height}")
    try:
        observed = observe(network, pair.lr, device)
    except ValueError as error:
        raise PictureError(f"{title}: {error}") from error
    if not observed:
        raise PictureError(f"{label}: has no superpixels, expected a SPIN with SPCA or ISPA")
    for number in blocks:
        if number not in range(1, len(observed) + 1):
            raise PictureError(f"block {number}: expected 1 to {len(observed)}")
    shown = [block for block in observed if not blocks or block.number in blocks]
    rule = "chosen by hand"
    if at is None:
        y, x = most_undecided(assignment(shown[0]))
        at = x, y
        rule = (
            f"in the centre of the superpixel of block {shown[0].number} with the largest total entropy of its pixels"
        )
    zoom = min(max(EDGE // max(height, width), ZOOMS[0]), ZOOMS[1])
    images = {"legend.png": _heat(np.linspace(0, 1, 256)[None].repeat(12, axis=0))}
    described = []
    for block in shown:
        of_block, drawn = _block(block, pair.lr, at, zoom)
        described.append(of_block)
        images |= drawn
    facts = SuperpixelFacts(
        image=title,
        scale=cast(Scale, scale),
        lr_origin=pair.lr_origin,
        network=label,
        source=source,
        depth=len(network.blocks),
        size=(width, height),
        zoom=zoom,
        at=at,
        at_rule=rule,
        legend="legend.png",
        marked_colour=_hex(MARKED),
        ignored_colour=_hex(IGNORED),
        blocks=described,
    )
    return facts, images


def _block(block: Observed, lr: Pixels, at: tuple[int, int], zoom: int) -> tuple[BlockFacts, dict[str, Pixels]]:
    belonging = assignment(block)
    one = superpixel(block, belonging, int(belonging.superpixel[at[1], at[0]]))
    left = ignored(block)
    images = _views(lr, belonging.superpixel, one, left, zoom)
    files = {view: f"block-{block.number}-{view}.png" for view in images}
    facts = BlockFacts(
        number=block.number,
        size=block.size,
        rows=block.rows,
        columns=block.columns,
        empty=block.rows * block.columns - len(np.unique(belonging.superpixel)),
        top_n=None if block.selected is None else block.selected.shape[1],
        ignored=None if left is None else float(left.mean()),
        entropy=float(belonging.entropy.mean(dtype=np.float64)),
        underflow=belonging.underflow,
        saturated=belonging.saturated,
        marked=_marked(one, belonging.superpixel, block.columns),
        files=BlockFiles.model_validate({view: files.get(view) for view in BlockFiles.model_fields}),
    )
    return facts, {files[view]: image for view, image in images.items()}


def _marked(one: Superpixel, superpixels: NDArray[np.int64], columns: int) -> MarkedSuperpixel:
    others = superpixels != one.number
    row, column = divmod(one.number, columns)
    whole = one.association.sum(dtype=np.float64)
    read, attended = one.reads, one.attention
    return MarkedSuperpixel(
        row=row,
        column=column,
        pixels=int((~others).sum()),
        most_associated=float(one.association.max()),
        associated_elsewhere=float(one.association[others].sum(dtype=np.float64) / whole) if whole else 0.0,
        selected_elsewhere=None if one.selected is None else int((one.selected & others).sum()),
        read_elsewhere=None if read is None else float(read[others].sum(dtype=np.float64)),
        most_read=None if read is None else float(read.max()),
        attended_elsewhere=None if attended is None else float(np.delete(attended, one.number).sum(dtype=np.float64)),
        most_attended=None if attended is None else float(attended.max()),
    )


def _views(
    lr: Pixels, superpixels: NDArray[np.int64], one: Superpixel, left: Mask | None, zoom: int
) -> dict[str, Pixels]:
    """The images of a block by view; `one` is the marked superpixel."""
    grey = np.rint(lr.mean(-1, keepdims=True) * 0.6).astype(np.uint8).repeat(3, axis=-1)
    members = superpixels == one.number

    def marked(image: Pixels, mask: Mask = members) -> Pixels:
        return _outlined(_enlarged(image, zoom), _enlarged(mask, zoom))

    views = {
        "superpixels": _outlined(_bordered(lr, superpixels, zoom), _enlarged(members, zoom)),
        "association": marked(np.where(one.in_reach[..., None], _heat(one.association), grey)),
    }
    if one.selected is not None:
        views["selected"] = marked(np.where(one.selected[..., None], lr, grey), one.selected)
    if left is not None:
        tint = (grey * 0.6 + np.multiply(IGNORED, 0.6)).astype(np.uint8)
        views["ignored"] = _enlarged(np.where(left[..., None], tint, grey), zoom)
    if one.reads is not None:
        views["reads"] = marked(_heat(one.reads))
    if one.attention is not None:
        views["attention"] = marked(_heat(one.attention)[superpixels])
    return views


def _heat(values: NDArray[np.floating[Any]]) -> Pixels:
    """Values as colours; the range is 0 to the largest value."""
    return np.asarray(HEAT(values / (values.max() or 1), bytes=True)[..., :3], np.uint8)


def _enlarged(image: NDArray[Any], zoom: int) -> NDArray[Any]:
    return image.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _bordered(image: Pixels, labels: NDArray[np.int64], zoom: int) -> Pixels:
    """The enlarged image with white and black borders between different labels, for any background."""
    canvas, labels = _enlarged(image, zoom), _enlarged(labels, zoom)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    canvas[1:][down], canvas[:, 1:][right] = 0, 0
    canvas[:-1][down], canvas[:, :-1][right] = 255, 255
    return canvas


def _outlined(canvas: Pixels, mask: Mask) -> Pixels:
    """Draw a line in the colour MARKED along the inside of a mask, and a white one around it."""
    canvas[binary_dilation(mask) & ~mask] = 255
    canvas[mask & ~binary_erosion(mask, iterations=2)] = MARKED
    return canvas


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
