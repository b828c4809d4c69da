"""Drawing of the local attribution maps of several networks side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.data.pairs import Pair
from benchmarks.networks import Network
from benchmarks.pictures.attribution import (
    SHARE,
    Attribution,
    attribute,
    check_detector_box,
    gini,
    part_around,
    strongest_box,
)
from benchmarks.pictures.named import PictureError, picture_name
from results import BASELINE
from results.attribution import AttributionMaps, AttributionPanel
from results.comparison import Box

GAMMA = 0.3  # of the brightness of a map, whose values span several orders of magnitude
COLOURS = matplotlib.colormaps["inferno"]  # its lightness is monotonic, so that it is readable in grey; 0 is black
ZOOM = 4  # drawn pixels of an LR pixel

Pixels = NDArray[np.uint8]  # (h, w, 3) RGB


def detector_box(box: Box | None, pair: Pair, scale: int) -> tuple[Box, str]:
    """The box of the detector, in HR pixels, and the rule of its choice. Raises PictureError for an invalid box."""
    height, width = pair.hr.shape[:2]
    try:
        if box is None:
            return strongest_box(pair.hr, scale), "where the gradient of HR is largest"
        check_detector_box(box, width, height)
    except ValueError as error:
        raise PictureError(f"{pair.name}: {error}") from error
    return box, "chosen by hand"


def draw_maps(
    image: str,
    pair: Pair,
    scale: int,
    box: Box,
    box_rule: str,
    networks: Sequence[Network],
    *,
    sigma: float,
    steps: int,
    device: torch.device,
    progress: Callable[[Network], Callable[[int, int, str], None]],
) -> tuple[AttributionMaps, dict[str, Pixels]]:
    """The facts of the attribution maps of networks, and their images by file name.

    The input of every network is only `part_around` the box. Raises PictureError, which names the network, if an
    attribution fails, and the errors of `Network.module`.
    """
    part = part_around(box, pair.lr.shape[1], pair.lr.shape[0], scale)
    lr = np.ascontiguousarray(pair.lr[part.place])
    inside = box.model_copy(update={"x": box.x - scale * part.x, "y": box.y - scale * part.y})
    images = {"lr.png": _enlarged(lr, inside, scale)}
    panels = []
    for number, one in enumerate(networks, start=1):
        if one.model == BASELINE:
            raise PictureError(f"{one.name}: expected a network, interpolation uses the same pixels everywhere")
        if one.ensemble:
            raise PictureError(f"{one.name}: a self-ensemble has eight passes, expected a network with one")
        try:
            found = attribute(one.module(), lr, inside, sigma=sigma, steps=steps, device=device, progress=progress(one))
        except ValueError as error:
            raise PictureError(f"{one.name}: {error}") from error
        files = {}
        for kind, drawn in _drawn(found, lr).items():
            files[kind] = f"{picture_name(f'{number:02}', one.name)}-{kind}.png"
            images[files[kind]] = _enlarged(drawn, inside, scale)
        panels.append(
            AttributionPanel(
                name=one.name,
                label=one.label,
                source=one.source,
                **files,
                pixels=int(found.area().sum()),
                diffusion_index=found.diffusion_index,
                gini=gini(found.amounts),
                start=found.start,
                end=found.end,
                residual=found.residual,
            )
        )
    maps = AttributionMaps(
        image=image,
        scale=scale,
        lr_origin=pair.lr_origin,
        lr="lr.png",
        box=box,
        box_rule=box_rule,
        part=part,
        sigma=sigma,
        steps=steps,
        gamma=GAMMA,
        share=SHARE,
        panels=panels,
    )
    return maps, images


def _drawn(found: Attribution, lr: Pixels) -> dict[str, Pixels]:
    """The map, the map over the grey image, and the area of contribution in the colours of the image."""
    level = (found.amounts / found.amounts.max()) ** GAMMA
    heat = np.asarray(COLOURS(level)[..., :3])
    colour = lr / 255
    grey = np.repeat(colour.mean(-1, keepdims=True), 3, axis=-1)
    drawn = {
        "map": heat,
        "overlay": 1 - (1 - 0.5 * grey) * (1 - heat),
        "area": np.where(found.area()[..., None], colour, 0.25 * grey),
    }
    return {kind: np.rint(255 * values).astype(np.uint8) for kind, values in drawn.items()}


def _enlarged(image: Pixels, box: Box, scale: int) -> Pixels:
    """Every LR pixel as ZOOM x ZOOM pixels, and the box as a white line within a black one, for any background."""
    enlarged = Image.fromarray(image.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1))
    left, top = round(box.x * ZOOM / scale), round(box.y * ZOOM / scale)
    right, bottom = round((box.x + box.width) * ZOOM / scale) - 1, round((box.y + box.height) * ZOOM / scale) - 1
    lines = ImageDraw.Draw(enlarged)
    for grow, colour in ((2, "black"), (1, "white")):
        lines.rectangle((left - grow, top - grow, right + grow, bottom + grow), outline=colour)
    return np.array(enlarged)
