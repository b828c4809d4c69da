"""Figures that can be told apart without colours, byte for byte the same from the same numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from reports.labels import place
from reports.study import Curve, Point, TradeOff
from reports.tables import METRICS

FORMATS = ("pdf", "png", "svg")
# Okabe and Ito's colours; black and yellow are left out, which vanish on one of the page's backgrounds
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", ":", "-.")
INK = "#1c2026"
STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8.5,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8,
    "axes.grid": True, "grid.color": "#8a919c", "grid.alpha": 0.25, "grid.linewidth": 0.6,
    "legend.frameon": False, "figure.constrained_layout.use": True,
    "svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "spin-bench",
}  # fmt: skip
# without these, files would hold the time and the version
METADATA: Mapping[str, dict[str, None]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
}


def depth(curve: Curve, x_label: str) -> Figure:
    """Fig. 7: PSNR and SSIM over a setting of the network, such as its number of blocks."""
    measured, published = curve.measured, curve.published
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 2.9))
        axes = figure.subplots(1, len(METRICS))
        for ax, (key, metric) in zip(axes, METRICS.items(), strict=True):
            _curve(ax, measured, published, key)
            ax.set_xlabel(_plain(x_label))
            unit = f" ({metric.unit})" if metric.unit else ""
            ax.set_ylabel(_plain(f"{metric.name}{unit} on {curve.dataset}, ×{curve.scale}"))
            ax.set_xticks(curve.xs, [f"{x:g}" for x in curve.xs])
            margin = (curve.xs[-1] - curve.xs[0]) / 20 or 0.5
            ax.set_xlim(curve.xs[0] - margin, curve.xs[-1] + margin)
            ax.yaxis.set_major_locator(MaxNLocator(5))
            ax.ticklabel_format(axis="y", useOffset=False)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        return figure


def _curve(ax: Axes, measured: pd.DataFrame, published: pd.DataFrame, key: str) -> None:
    if len(measured):
        seeds = "one seed" if measured.seed.nunique() == 1 else f"mean of {measured.seed.nunique()} seeds"
        mean = measured.groupby("x")[key].mean()
        ax.plot(mean.index, mean, "o-", color=COLOURS[0], markersize=5, label=f"measured, {seeds}")
        if measured.seed.nunique() > 1:
            ax.plot(measured.x, measured[key], "_", color=COLOURS[0], markersize=14, label="measured, each seed")
    if len(published):
        style: dict[str, Any] = {"color": COLOURS[1], "markerfacecolor": "none", "markeredgewidth": 1.6}
        ax.plot(published.x, published[key], "D", markersize=8, label="published", **style)


# A ring around a dot stays visible where a published and a measured point coincide.
MARKERS: dict[str, dict[str, Any]] = {
    "published": {"marker": "o", "markersize": 9.5, "markerfacecolor": "none", "color": COLOURS[1]},
    "measured": {"marker": "o", "markersize": 4.5, "color": COLOURS[0]},
    "trained": {"marker": "^", "markersize": 6, "color": COLOURS[2]},
}


def trade_off(picture: TradeOff) -> Figure:
    """Fig. 1: PSNR over parameters. Every point has its name in its title; a network's points share one beside them."""
    points = picture.points
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 4.4))
        FigureCanvasAgg(figure)  # names are placed by their sizes
        ax = figure.subplots()
        ax.set_xlabel("parameters (thousands)")
        ax.set_ylabel(_plain(f"PSNR (dB) on {picture.dataset}, ×{picture.scale}"))
        kinds = [kind for kind in MARKERS if any(point.kind == kind for point in points)]
        handles = [Line2D([], [], linestyle="none", **MARKERS[kind]) for kind in kinds]
        names = [{"trained": "trained here"}.get(kind, kind) for kind in kinds]
        figure.legend(handles, names, loc="outside upper center", ncols=len(kinds))
        networks: dict[str, list[Point]] = {}
        for index, point in enumerate(points):
            networks.setdefault(point.label, []).append(point)
            title = f"{point.label}, {point.kind}: {point.psnr:.2f} dB, {point.parameters:,.0f} parameters"
            (mark,) = ax.plot(*_place(point), linestyle="none", label=_plain(title), zorder=3, **MARKERS[point.kind])
            mark.set_gid(f"point-{index}")
        for same in networks.values():
            ax.plot(*zip(*map(_place, same), strict=True), color="#8a919c", linewidth=0.8, zorder=2)
        ax.margins(0.07, 0.09)
        _name(figure, ax, {label: same[0] for label, same in networks.items()}, points)
        return figure


def _place(point: Point) -> tuple[float, float]:
    return point.parameters / 1000, point.psnr


def _name(figure: Figure, ax: Axes, names: Mapping[str, Point], points: Sequence[Point]) -> None:
    """Write names beside their points; a line leads to what had to stand farther off."""
    texts = [figure.text(0, 0, _plain(name), fontsize=8, in_layout=False) for name in names]
    figure.draw_without_rendering()
    to_points = 72 / figure.dpi
    sizes = [(box.width * to_points, box.height * to_points) for box in (t.get_window_extent() for t in texts)]
    for text in texts:
        text.remove()

    def on_paper(point: Point) -> tuple[float, float]:
        x, y = ax.transData.transform(_place(point)) * to_points
        return float(x), float(y)

    left, bottom, right, top = (value * to_points for value in ax.get_window_extent().extents)
    anchors = [on_paper(point) for point in names.values()]
    found = place(anchors, sizes, [on_paper(point) for point in points], 5, (left, bottom, right, top))
    for (name, point), where in zip(names.items(), found, strict=True):
        far = max(abs(where.dx), abs(where.dy)) > 12
        ax.annotate(
            _plain(name), _place(point), (where.dx, where.dy), textcoords="offset points", fontsize=8,
            ha=where.horizontal, va=where.vertical, zorder=4,
            arrowprops={"arrowstyle": "-", "color": "#8a919c", "linewidth": 0.6, "shrinkB": 5} if far else None,
        )  # fmt: skip


def training(curves: Mapping[str, list[pd.DataFrame]]) -> Figure:
    """Loss over the iterations: for each network a list of its seeds' training.csv."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.2))
        ax = figure.subplots()
        for index, (label, seeds) in enumerate(curves.items()):
            colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
            for position, curve in enumerate(seeds):
                name = _plain(label) if position == 0 else None
                ax.plot(curve.iteration, curve.loss, dash, color=colour, linewidth=1.3, label=name)
        ax.set_xlabel("iteration")
        ax.set_ylabel("training loss")
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
        figure.legend(loc="outside right upper")
        return figure


def save(figure: Figure, file_format: str, transparent: bool = False) -> bytes:
    """The figure as a file: pdf, png or svg."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=file_format, dpi=200, transparent=transparent, metadata=METADATA[file_format])
    return _titled(figure, buffer.getvalue()) if file_format == "svg" else buffer.getvalue()


def _titled(figure: Figure, svg: bytes) -> bytes:
    """The drawing with the label of everything that has an id as its title, which a pointer and a reader find."""
    text = svg.decode()
    for artist in figure.findobj(lambda artist: artist.get_gid() is not None):
        title = escape(str(artist.get_label()).replace(r"\$", "$"))
        group = f'<g id="{artist.get_gid()}"'
        named = f'{group} role="img" pointer-events="all"><title>{title}</title>'
        text = text.replace(f"{group}>", named)
    return text.encode()


def inline(figure: Figure, name: str, description: str) -> Markup:
    """The figure as SVG for a page: on its background, with its text colour, and with names of its own."""
    text = save(figure, "svg", transparent=True).decode()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    role = "group" if "<title>" in text else "img"  # what is inside an image has no names of its own
    return Markup('<svg role="{}" aria-label="{}"').format(role, description) + Markup(text.removeprefix("<svg"))


def _plain(text: str) -> str:
    """Without this, matplotlib reads what stands between two dollar signs as mathematics."""
    return text.replace("$", r"\$")
