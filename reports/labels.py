"""Labels beside points, which overlap neither each other nor a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

XY = tuple[float, float]
Rectangle = tuple[float, float, float, float]  # left, bottom, right, top
STARTS = 10  # of the search
WEIGHT = 10  # of a unit of covered area against a unit of distance


class LabelPlace(NamedTuple):
    """The position of a label: the offset of its anchor from its point, and which part of it the anchor is."""

    dx: float
    dy: float
    horizontal: str
    vertical: str

    def box(self, point: XY, size: XY) -> Rectangle:
        """What a name of that size covers."""
        left = point[0] + self.dx - size[0] * {"left": 0.0, "center": 0.5, "right": 1.0}[self.horizontal]
        bottom = point[1] + self.dy - size[1] * {"bottom": 0.0, "center": 0.5, "top": 1.0}[self.vertical]
        return left, bottom, left + size[0], bottom + size[1]


# nearest first; at a distance first beside the point, then above and below, then across, then between these
PLACES = [
    LabelPlace(
        dx * distance, dy * distance,
        "left" if dx == 1 else "right" if dx == -1 else "center",
        "bottom" if dy == 1 else "top" if dy == -1 else "center",
    )
    for distance in (7, 12, 18, 26, 36, 48, 64)
    for dx, dy in (
        (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1),
        (1, 0.5), (-1, 0.5), (1, -0.5), (-1, -0.5), (0.5, 1), (-0.5, 1), (0.5, -1), (-0.5, -1),
    )
]  # fmt: skip


def place_labels(
    points: Sequence[XY],
    sizes: Sequence[XY],
    marks: Sequence[XY],
    radius: float,
    area: Rectangle,
    lines: Sequence[Rectangle] = (),
) -> list[LabelPlace]:
    """A place for the label of every point, as near as it can be.

    All lengths are in printer's points, with y upwards: `points` to be named, `sizes` width and height of their names,
    `marks` the centres of all marks, of that `radius`; `area` is where names may stand; `lines` is what else they
    should not cover. Where not all can be free, they overlap as little as the search finds. The same input gives the
    same places.
    """
    drawn = np.array([*((x - radius, y - radius, x + radius, y + radius) for x, y in marks), *lines])
    boxes = np.array(
        [[where.box(point, size) for where in PLACES] for point, size in zip(points, sizes, strict=True)]
    )  # point, place, edge
    beyond = np.maximum(0, (np.array(area) - boxes) * (1, 1, -1, -1)).sum(-1)
    distance = np.array([math.hypot(where.dx, where.dy) for where in PLACES])
    alone = distance + 10 * WEIGHT * beyond + WEIGHT * _overlap(boxes, drawn)
    everyone = np.arange(len(points))
    random = np.random.default_rng(0)
    found = []
    for _ in range(STARTS):  # the result depends on the order
        chosen, placed = alone.argmin(1), np.zeros(len(points), dtype=bool)
        for order in (random.permutation(everyone) for _ in range(20)):  # until no label moves
            before = chosen.copy()
            for index in order:
                others = placed & (everyone != index)
                rest = boxes[others, chosen[others]]
                chosen[index] = (alone[index] + WEIGHT * _overlap(boxes[index], rest)).argmin()
                placed[index] = True
            if (chosen == before).all():
                break
        taken = boxes[everyone, chosen]
        shared = sum(_overlap(taken[[index]], np.delete(taken, index, axis=0)).sum() for index in everyone) / 2
        found.append((alone[everyone, chosen].sum() + WEIGHT * shared, chosen))
    best = min(found, key=lambda one: one[0])[1]
    return [PLACES[index] for index in best]


def _overlap(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area of each box that others cover."""
    boxes = boxes[..., None, :]
    sides = np.minimum(boxes[..., 2:], others[..., 2:]) - np.maximum(boxes[..., :2], others[..., :2])
    return np.maximum(sides, 0).prod(-1).sum(-1)


def label_column(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Heights of names in a column: as near to those wanted as a `gap` between neighbours and the ends allow.

    Least squares. Where the names need more room than there is, the gap gives way. The order stays.
    """
    order = np.argsort(wanted, kind="stable")
    steps = np.arange(len(order)) * min(gap, (high - low) / max(1, len(order) - 1))
    # apart by the steps is the same as rising once they are taken off
    rising = isotonic_regression(np.asarray(wanted, float)[order] - steps).x
    heights = np.empty(len(order))
    heights[order] = np.clip(rising, low, high - steps[-1:].sum()) + steps
    return heights.tolist()
