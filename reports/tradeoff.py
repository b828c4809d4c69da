"""Quality over cost: every network as a point, and the Pareto front of those that no other dominates."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from ablations import CostName, QualityName
from reports.tables import METRICS, PUBLISHED_WEIGHTS
from results import BASELINE
from results.cost import KERNELS, PYTORCH

PointKind = Literal["published", "counted", "measured", "trained", "kernels"]
POINT_KINDS: tuple[PointKind, ...] = get_args(PointKind)


class Quantity(NamedTuple):
    """A cost, lower is better: name and unit on paper, how many SI units, and its columns in tables of `costs`.

    `conditions` is the column that says how it was obtained ("" for parameters); `timed`: it was measured on a machine,
    else it was counted.
    """

    name: str
    unit: str
    si: float
    decimals: int
    column: str
    conditions: str
    timed: bool = False


QUANTITIES: dict[CostName, Quantity] = {
    "params": Quantity("parameters", "thousands", 1e3, 0, "parameters", ""),
    "macs": Quantity("MACs", "G", 1e9, 2, "macs", "macs_conditions"),
    "activations": Quantity("activations", "M", 1e6, 1, "convolutions", "macs_conditions"),
    "latency": Quantity("latency", "ms", 1e-3, 1, "latency_s", "latency_conditions", True),
    "memory": Quantity("peak memory", "MiB", 2**20, 1, "memory_bytes", "memory_conditions", True),
}


MEMORY_VARIES = 1 / 3  # the growth of a process from measurement to measurement, with the allocator's state

# How the NTIRE challenges on efficient super-resolution weigh runtime, MACs and parameters.
SCORE_WEIGHTS: dict[CostName, float] = {"latency": 0.7, "macs": 0.15, "params": 0.15}


class Point(NamedTuple):
    """A network; `kind` says where its quality comes from: published, measured (of published weights), or trained here.

    "published" is over the published cost, "counted" is published quality over the cost that was counted or measured
    here. Costs are those in PyTorch; points of the kind "kernels" are of networks that are also measured with their own
    kernels, a comparison with themselves. `x` is the cost (a number, seconds or bytes), `y` PSNR in dB or SSIM.
    Repeated measurements of the cost lie from `low` to `high`; None: they do not differ.
    """

    label: str
    kind: PointKind
    x: float
    y: float
    low: float | None = None
    high: float | None = None


class TradeOff(NamedTuple):
    """Quality over cost on a set.

    Networks that were trained here and lie `below` all others are not drawn, since the others would become
    indistinguishable. Where nothing but published values is above them, several such networks are drawn instead of
    these, which lie `above`. `conditions` describe how the cost was measured ("" for parameters); `apart` are the
    labels of networks measured under other conditions, which have no point. Labels in `ours` stand out.
    """

    dataset: str
    scale: int
    x: CostName
    y: QualityName
    points: list[Point]
    below: list[Point]
    conditions: str = ""
    apart: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    above: tuple[Point, ...] = ()

    def named(self, kind: PointKind) -> str:
        """What the points of a kind are."""
        quantity = QUANTITIES[self.x]
        how = "measured" if quantity.timed else "counted"
        return {
            "published": "published",
            "counted": f"published {METRICS[self.y].name}, {quantity.name} {how}",
            "measured": "measured",
            "trained": "trained here",
            "kernels": "with its own kernels",
        }[kind]

    def front(self, kind: PointKind) -> list[Point]:
        """The points of a kind that no other of that kind dominates, from the cheapest to the dearest."""
        return sorted(
            (point for point in self.points if point.kind == kind and not self.dominated_by(point)),
            key=lambda point: (point.x, point.label),
        )

    def line(self, kind: PointKind) -> list[Point]:
        """The points of a front that are better than all cheaper ones; others are on it as their cost is uncertain."""
        found: list[Point] = []
        for point in self.front(kind):
            if not found or point.y > found[-1].y or (point.x, point.y) == (found[-1].x, found[-1].y):
                found.append(point)
        return found

    @property
    def has_line(self) -> bool:
        """Whether a front of any kind connects networks."""
        return any(len(self.line(kind)) > 1 for kind in POINT_KINDS)

    def dominated_by(self, point: Point) -> list[Point]:
        """The points of its kind that dominate it: no worse in both, and better in one, at the precision shown.

        Where repeated measurements of the cost differ, all of the other's must be no higher than the lowest of its own.
        """
        low, high, quality = self._shown(point)
        found = []
        for other in (*self.points, *self.below, *self.above):
            its = self._shown(other)
            if other.kind == point.kind and its[1] <= low and its[2] >= quality and its != (low, high, quality):
                found.append(other)
        return found

    def _shown(self, point: Point) -> tuple[float, float, float]:
        """The lowest and the highest cost, and the quality, at the precision shown."""
        quantity = QUANTITIES[self.x]
        low, high = (
            round((point.x if cost is None else cost) / quantity.si, quantity.decimals)
            for cost in (point.low, point.high)
        )
        return low, high, round(point.y, METRICS[self.y].decimals)


def efficiency_scores(timed: pd.DataFrame, scale: int, baseline: str) -> dict[str, float]:
    """The efficiency score of the NTIRE challenges by variant, lower is better; exp(2), 7.39, is that of the baseline.

    The weighted sum of exp(2 x / that of the baseline) over latency, MACs and parameters, of `costs.measured_costs` in
    PyTorch. Only of variants whose latency was measured like the baseline's; empty if that was not measured itself.
    """
    rows = timed[timed.implementation == PYTORCH]
    rows = rows[(rows.scale == scale) & rows.latency_s.notna()].set_index("variant")
    if baseline not in rows.index:
        return {}
    base = rows.loc[baseline]
    rows = rows[rows.latency_conditions == base.latency_conditions]
    columns = {name: QUANTITIES[name].column for name in SCORE_WEIGHTS}
    parts = (SCORE_WEIGHTS[name] * np.exp(2 * rows[column] / base[column]) for name, column in columns.items())
    return sum(parts, start=0.0 * rows.latency_s).to_dict()


def quality_over_cost(
    table: pd.DataFrame,
    counted: pd.DataFrame,
    timed: pd.DataFrame,
    dataset: str,
    scale: int,
    x: CostName = "params",
    y: QualityName = "psnr",
    implementation: str = PYTORCH,
) -> TradeOff:
    """Every network's published and measured quality on a set over what it costs.

    `table` is of `study.load_study`, `counted` and `timed` are of `costs`. A measured value counts on the whole set
    only. A published one stands over the published parameters, and over other costs as counted or measured here.
    Latency and memory are those of `implementation`, and of networks with kernels of their own beside PyTorch.
    """
    quantity = QUANTITIES[x]
    spent = timed[timed.implementation == implementation] if quantity.timed else counted
    spent = spent[spent.scale == scale].set_index("variant")
    described = spent[quantity.conditions] if quantity.conditions else pd.Series("", spent.index)
    known = described[spent[quantity.column].notna()]
    conditions = known.mode().iloc[0] if len(known) else ""
    own_kernels = (
        (timed.scale == scale) & (timed.implementation == KERNELS) & quantity.timed & (implementation == PYTORCH)
    )
    kernels = timed[own_kernels].set_index("variant")
    rows = table[(table.metric == y) & (table.dataset == dataset) & (table.scale == scale)]
    points, apart = [], []
    for row in rows[rows.variant != BASELINE].itertuples():
        printed, whole = math.isfinite(row.published), row.n_images == row.of_images
        if printed and x == "params" and math.isfinite(row.params):
            points.append(Point(row.label, "published", row.params * 1000, row.published))
            printed = False
        if row.variant not in known or not (printed or whole):
            continue
        if known[row.variant] != conditions:
            apart.append(row.label)
            continue
        cost = spent.loc[row.variant]
        if printed:
            points.append(_point(row.label, "counted", cost, x, row.published))
        if not whole:
            continue
        kind: PointKind = "measured" if row.source == PUBLISHED_WEIGHTS else "trained"
        points.append(_point(row.label, kind, cost, x, row.measured))
        if row.variant in kernels.index:
            own = kernels.loc[row.variant]
            points.append(_point(f"{row.label} ({own.implementation})", "kernels", own, x, row.measured))
    points = [point for point in points if math.isfinite(point.x) and math.isfinite(point.y)]
    others = [point for point in points if point.kind in ("published", "counted", "measured")]
    floor = min((point.y for point in others), default=-math.inf)
    below = [point for point in points if point.y < floor]
    drawn = TradeOff(dataset, scale, x, y, [], [], conditions, tuple(apart))
    printed_only = all(point.kind != "measured" for point in others) and len(others) + len(below) == len(points)
    if printed_only and len({point.label for point in below if point.kind == "trained"}) > 1:
        return drawn._replace(points=below, above=tuple(others))
    return drawn._replace(points=[point for point in points if point.y >= floor], below=below)


def _point(label: str, kind: PointKind, cost: pd.Series, x: CostName, y: float) -> Point:
    """A point over a cost of a row of `costs`, with what its repeated measurements differ by."""
    value = float(cost[QUANTITIES[x].column])
    if x == "latency" and math.isfinite(cost.low_s) and math.isfinite(cost.high_s):
        return Point(label, kind, value, y, float(cost.low_s), float(cost.high_s))
    if x == "memory":
        return Point(label, kind, value, y, value, value * (1 + MEMORY_VARIES))
    return Point(label, kind, value, y)
