"""Names beside points, so that they cover neither each other nor a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pair = tuple[float, float]
Box = tuple[float, float, float, float]  # left, bottom, right, top
WEIGHT = 10  # of a unit of covered area against a unit of distance


class Place(NamedTuple):
    """Where a name stands: the offset of its anchor from its point, and which part of it the anchor is."""

    dx: float
    dy: float
    horizontal: str
    vertical: str

    def box(self, point: Pair, size: Pair) -> Box:
        """What a name of that size covers."""
        left = point[0] + self.dx - size[0] * {"left": 0.0, "center": 0.5, "right": 1.0}[self.horizontal]
        bottom = point[1] + self.dy - size[1] * {"bottom": 0.0, "center": 0.5, "top": 1.0}[self.vertical]
        return left, bottom, left + size[0], bottom + size[1]


# nearest first; at a distance first beside the point, then above and below, then across
PLACES = [
    Place(dx * distance, dy * distance, ("center", "left", "right")[dx], ("center", "bottom", "top")[dy])
    for distance in (7, 12, 18, 26, 36, 48)
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
]


def place(
    points: Sequence[Pair], sizes: Sequence[Pair], marks: Sequence[Pair], radius: float, area: Box
) -> list[Place]:
    """A place for the name of every point, as near as it can be.

    All lengths are in printer's points, with y upwards: `points` to be named, `sizes` width and height of their names,
    `marks` the centres of all that is drawn, of that `radius`; `area` is where names may stand. Where not all can be
    free, they overlap as little as the search finds. The same input gives the same places.
    """
    drawn = np.array([(x - radius, y - radius, x + radius, y + radius) for x, y in marks])
    boxes = np.array(
        [[where.box(point, size) for where in PLACES] for point, size in zip(points, sizes, strict=True)]
    )  # point, place, edge
    beyond = np.maximum(0, (np.array(area) - boxes) * (1, 1, -1, -1)).sum(-1)
    distance = np.array([math.hypot(where.dx, where.dy) for where in PLACES])
    alone = distance + 10 * WEIGHT * beyond + WEIGHT * _overlap(boxes, drawn)
    chosen = alone.argmin(1)
    for _ in range(20):  # one after the other gives way to the rest, until nobody wants to
        before = chosen.copy()
        for index in range(len(points)):
            rest = np.delete(boxes[np.arange(len(points)), chosen], index, axis=0)
            chosen[index] = (alone[index] + WEIGHT * _overlap(boxes[index], rest)).argmin()
        if (chosen == before).all():
            break
    return [PLACES[index] for index in chosen]


def _overlap(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area of each box that others cover."""
    boxes = boxes[..., None, :]
    sides = np.minimum(boxes[..., 2:], others[..., 2:]) - np.maximum(boxes[..., :2], others[..., :2])
    return np.maximum(sides, 0).prod(-1).sum(-1)
