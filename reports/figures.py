"""Figures that can be told apart without colours, byte for byte the same from the same numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import matplotlib
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.study import Curve
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
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
        figure.legend(loc="outside right upper")
        return figure


def save(figure: Figure, file_format: str, transparent: bool = False) -> bytes:
    """The figure as a file: pdf, png or svg."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=file_format, dpi=200, transparent=transparent, metadata=METADATA[file_format])
    return buffer.getvalue()


def inline(figure: Figure, name: str, description: str) -> Markup:
    """The figure as SVG for a page: on its background, with its text colour, and with names of its own."""
    text = save(figure, "svg", transparent=True).decode()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    return Markup('<svg role="img" aria-label="{}"').format(description) + Markup(text.removeprefix("<svg"))


def _plain(text: str) -> str:
    """Without this, matplotlib reads what stands between two dollar signs as mathematics."""
    return text.replace("$", r"\$")
