"""Fig. 1: the networks in the picture of quality over cost, with their Pareto fronts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from reports.figures.style import COLOURS, GREY, PAGE, FigureSize, legend, literal
from reports.labels import XY, Rectangle, place_labels
from reports.numbers import shown
from reports.tables import METRICS
from reports.tradeoff import POINT_KINDS, QUANTITIES, Point, TradeOff

# A ring around a dot stays visible where a published and a measured point coincide.
POINT_MARKS: dict[str, dict[str, Any]] = {
    "published": {"marker": "o", "markersize": 9.5, "markerfacecolor": "none", "color": COLOURS[1]},
    "counted": {"marker": "D", "markersize": 8, "markerfacecolor": "none", "color": COLOURS[4]},
    "measured": {"marker": "o", "markersize": 4.5, "color": COLOURS[0]},
    "trained": {"marker": "^", "markersize": 6, "color": COLOURS[2]},
    "kernels": {"marker": "s", "markersize": 4.5, "markerfacecolor": "none", "color": COLOURS[3]},
}
FRONTS: dict[str, Any] = {
    "published": "--",
    "counted": (0, (6, 1.5, 1, 1.5, 1, 1.5)),
    "measured": "-",
    "trained": ":",
    "kernels": "-.",
}


def trade_off(picture: TradeOff, size: FigureSize = PAGE) -> Figure:
    """Quality over cost. Every point has its name in its title; a network's points share one beside them."""
    quantity, metric = QUANTITIES[picture.x], METRICS[picture.y]
    with size.context():
        figure = Figure(figsize=(size.width, size.width * (0.95 if size.narrow else 0.66)))
        FigureCanvasAgg(figure)  # names are placed by their sizes
        ax = figure.subplots()
        ax.set_xlabel(f"{quantity.name} ({quantity.unit})")
        unit = f" ({metric.unit})" if metric.unit else ""
        ax.set_ylabel(literal(f"{metric.name}{unit} on {picture.dataset}, ×{picture.scale}"))
        ax.ticklabel_format(axis="y", useOffset=False)
        handles = []
        for kind in (kind for kind in POINT_KINDS if any(point.kind == kind for point in picture.points)):
            marks = POINT_MARKS[kind] | {"markersize": POINT_MARKS[kind]["markersize"] * size.marks}
            front = {"linestyle": FRONTS[kind], "color": POINT_MARKS[kind]["color"], "linewidth": 1.4 * size.marks}
            ax.step(*_columns(picture, picture.line(kind)), where="post", alpha=0.75, zorder=1.5, **front)
            several = len(picture.line(kind)) > 1
            name = f"{picture.named(kind)}, with Pareto front" if several else picture.named(kind)
            handles.append(Line2D([], [], label=name, **marks | (front if several else {"linestyle": "none"})))
            for index, point in enumerate(picture.points):
                if point.kind == kind:
                    own = {"marker": "*", "markersize": 13 * size.marks} if point.label in picture.ours else {}
                    (mark,) = ax.plot(*_at(picture, point), linestyle="none", zorder=3, **marks | own)
                    mark.set_label(literal(_title(picture, point)))
                    mark.set_gid(f"point-{index}")
        legend(figure, size, handles, [str(handle.get_label()) for handle in handles])
        networks: dict[str, list[Point]] = {}
        for point in picture.points:
            networks.setdefault(point.label, []).append(point)
        for same in networks.values():
            ax.plot(*_columns(picture, same), color=GREY, linewidth=0.8 * size.marks, zorder=2)
        if _spread(picture) > 10:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_formatter(NullFormatter())
        ax.margins(0.07, 0.09)
        _name(figure, ax, picture, {label: same[0] for label, same in networks.items()}, size)
        return figure


def _title(picture: TradeOff, point: Point) -> str:
    quantity, metric = QUANTITIES[picture.x], METRICS[picture.y]
    kind = picture.named(point.kind)
    quality = f"{shown(point.y, metric.decimals)} {metric.unit or metric.name}"
    if picture.x == "params":
        return f"{point.label}, {kind}: {quality}, {point.x:,.0f} parameters"
    cost = f"{shown(point.x / quantity.si, quantity.decimals)} {quantity.unit}"
    return f"{point.label}, {kind}: {quality}, {quantity.name} {cost}"


def _at(picture: TradeOff, point: Point) -> XY:
    return point.x / QUANTITIES[picture.x].si, point.y


def _columns(picture: TradeOff, points: Sequence[Point]) -> tuple[list[float], list[float]]:
    places = [_at(picture, point) for point in points]
    return [x for x, _ in places], [y for _, y in places]


def _spread(picture: TradeOff) -> float:
    costs = [point.x for point in picture.points]
    return max(costs) / min(costs) if costs and min(costs) > 0 else 1


def _name(figure: Figure, ax: Axes, picture: TradeOff, names: Mapping[str, Point], size: FigureSize) -> None:
    """Write names beside their points, with a line to those that are farther away."""
    letters = 8 if size is PAGE else size.letters["xtick.labelsize"]
    longest = int(0.6 * size.width * 72 / (letters * size.letter_width))  # in letters, so that it fits beside a point
    styles: dict[str, dict[str, Any]] = {
        name: {
            "text": literal("\n".join(textwrap.wrap(name, longest))),
            "fontsize": letters,
            "weight": "bold" if name in picture.ours else "normal",
        }
        for name in names
    }
    texts = [figure.text(0, 0, s=style.pop("text"), in_layout=False, **style) for style in map(dict, styles.values())]
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # from here on axes stay where they are
    to_points = 72 / figure.dpi / size.marks  # distances shrink with the marks
    sizes = [(box.width * to_points, box.height * to_points) for box in (t.get_window_extent() for t in texts)]
    for text in texts:
        text.remove()

    def on_paper(point: Point) -> XY:
        x, y = ax.transData.transform(_at(picture, point)) * to_points
        return float(x), float(y)

    left, bottom, right, top = (value * to_points for value in ax.get_window_extent().extents)
    anchors = [on_paper(point) for point in names.values()]
    fronts = [box for kind in POINT_KINDS for box in _steps([on_paper(point) for point in picture.line(kind)])]
    area = (left + 2, bottom + 2, right, top)
    found = place_labels(anchors, sizes, [on_paper(point) for point in picture.points], 5, area, fronts)
    for (name, point), where in zip(names.items(), found, strict=True):
        far = max(abs(where.dx), abs(where.dy)) > 12
        ax.annotate(
            xy=_at(picture, point), xytext=(where.dx * size.marks, where.dy * size.marks), textcoords="offset points",
            ha=where.horizontal, va=where.vertical, zorder=4, **styles[name],
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkB": 5 * size.marks} if far else None,
        )  # fmt: skip


def _steps(points: Sequence[XY]) -> Iterator[Rectangle]:
    """What the steps from point to point cover."""
    for (x, y), (next_x, next_y) in pairwise(points):
        yield x, y - 0.7, next_x, y + 0.7
        yield next_x - 0.7, y, next_x + 0.7, next_y
