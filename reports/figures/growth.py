"""How time and memory grow with the size of the image: straight lines on logarithmic axes, with their exponents."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import LogLocator, NullFormatter

from reports.figures.style import PAGE, FigureSize, line, literal
from reports.labels import label_column
from reports.speed import Speed, exponent

DRAWN = {"median_s": ("time", "ms", 1e-3), "memory_bytes": ("peak memory", "MiB", 2**20)}


def growth(measured: Speed, size: FigureSize = PAGE) -> Figure:
    """Median time, and peak memory where it was measured at several sizes, over the pixels of the LR image.

    Each line is labelled with the network's name and p in time ~ pixels^p.
    """
    networks = {str(name): rows for name, rows in measured.rows.groupby("network", sort=False)}
    shown = [key for key in DRAWN if key == "median_s" or _sizes(networks, key) > 1]
    rows, columns = (len(shown), 1) if size.narrow else (1, len(shown))
    with size.context():
        tall = max(3.4, len(networks) * 0.16) * max(size.marks, 0.75)
        figure = Figure(figsize=(size.width, tall * rows))
        axes = list(figure.subplots(rows, columns, sharex=True, squeeze=False).flat)
        names = [_draw(ax, networks, key, size) for ax, key in zip(axes, shown, strict=True)]
        for ax in axes[-1:] if size.narrow else axes:
            ax.set_xlabel("LR pixels")
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # from here on axes stay where they are
        for ax, texts in zip(axes, names, strict=True):
            _part(ax, texts, size)
        return figure


def _sizes(networks: dict[str, pd.DataFrame], key: str) -> int:
    return max((rows.pixels[rows[key].notna()].nunique() for rows in networks.values()), default=0)


def _draw(ax: Axes, networks: dict[str, pd.DataFrame], key: str, size: FigureSize) -> list[Annotation]:
    """The lines; returns the names beside their ends, in colours of the lines they belong to."""
    name, unit, si = DRAWN[key]
    ax.set(xscale="log", yscale="log", ylabel=f"{name} ({unit})")
    names = []
    for index, (label, rows) in enumerate(networks.items()):
        known = rows.dropna(subset=key)
        if known.empty:
            continue
        style = line(index) | {"linewidth": 1.2 * size.marks, "markersize": 4.5 * size.marks}
        ax.plot(known.pixels, known[key] / si, **style)
        grows = exponent(rows, key)
        text = label if math.isnan(grows) else f"{label} {grows:.2f}"
        end = known.pixels.iloc[-1], known[key].iloc[-1] / si
        names.append(
            ax.annotate(
                literal(text), end, (24 * size.marks, 0), textcoords="offset points", va="center",
                fontsize=8 if size is PAGE else size.letters["xtick.labelsize"],
            )
        )  # fmt: skip
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_major_formatter("{x:g}")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_formatter(NullFormatter())
    return names


def _part(ax: Axes, names: list[Annotation], size: FigureSize) -> None:
    """Move names up and down until none covers another, and lead a line from each to its own."""
    figure = ax.figure
    ends = [ax.transData.transform(text.xy) / figure.dpi for text in names]  # in inches, as all below
    box = ax.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
    gap = 1.15 * max((float(text.get_fontsize()) for text in names), default=0) / 72
    heights = label_column([y for _, y in ends], gap, box.y0 + gap / 2, box.y1 - gap / 2)
    for (x, y), height, text, own in zip(ends, heights, names, ax.lines[: len(names)], strict=True):
        text.set_position((24 * size.marks, 72 * (height - y)))
        near, far = (x + points * size.marks / 72 for points in (4, 22))
        leader: dict[str, Any] = {"color": own.get_color(), "linewidth": 0.6, "clip_on": False, "in_layout": False}
        ax.add_line(Line2D([near, far], [y, height], transform=figure.dpi_scale_trans, **leader))
