"""Fig. 7: PSNR and SSIM over a setting of the network, such as its number of blocks."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from reports.figures.style import COLOURS, PAGE, FigureSize, legend, literal
from reports.statistics import CONFIDENCE
from reports.study import Curve
from reports.tables import METRICS


def depth(curve: Curve, x_label: str, size: FigureSize = PAGE) -> Figure:
    """Means over the seeds with the interval of the mean, every seed, and what is published."""
    rows, columns = (len(METRICS), 1) if size.narrow else (1, len(METRICS))
    with size.context():
        figure = Figure(figsize=(size.width, size.width * (1.05 if size.narrow else 0.42)))
        axes = figure.subplots(rows, columns, sharex=True)
        for ax, (key, metric) in zip(axes, METRICS.items(), strict=True):
            _draw(ax, curve, key, size)
            unit = f" ({metric.unit})" if metric.unit else ""
            ax.set_ylabel(literal(f"{metric.name}{unit}\non {curve.dataset}, ×{curve.scale}"))
            ax.set_xticks(curve.xs, [f"{x:g}" for x in curve.xs])
            margin = (curve.xs[-1] - curve.xs[0]) / 20 or 0.5
            ax.set_xlim(curve.xs[0] - margin, curve.xs[-1] + margin)
            ax.margins(y=0.08)
            ax.yaxis.set_major_locator(MaxNLocator(5))
            ax.ticklabel_format(axis="y", useOffset=False)
        for ax in axes[-1:] if size.narrow else axes:
            ax.set_xlabel(literal(x_label))
        legend(figure, size, *axes[0].get_legend_handles_labels())
        return figure


def interval_over_seeds(measured: pd.DataFrame, key: str) -> pd.DataFrame:
    """Mean over the seeds at every x, half of its 95% t interval (NaN for one seed), and the number of seeds.

    The interval is Student's: mean ± t(0.975, n - 1) · s / √n. Index x; columns mean, half, n.
    """
    found = measured.groupby("x")[key].agg(mean="mean", error="sem", n="size")
    return found.assign(half=found.error * stats.t.ppf((1 + CONFIDENCE) / 2, found.n - 1))[["mean", "half", "n"]]


def _draw(ax: Axes, curve: Curve, key: str, size: FigureSize) -> None:
    if len(curve.measured):
        found = interval_over_seeds(curve.measured, key)
        (fewest, most), repeated = (found.n.min(), found.n.max()), found[found.n > 1]
        seeds = "one seed" if most == 1 else f"mean of {fewest} to {most} seeds"
        seeds = f"mean of {most} seeds" if fewest == most > 1 else seeds
        style: dict[str, Any] = {"color": COLOURS[0], "markersize": 5 * size.marks, "linewidth": 1.5 * size.marks}
        ax.plot(found.index, found["mean"], "o-", label=f"measured, {seeds}", **style)
        if len(repeated):
            ax.errorbar(
                repeated.index, repeated["mean"], repeated.half, fmt="none", ecolor=COLOURS[0],
                capsize=3 * size.marks, elinewidth=size.marks, label=f"{CONFIDENCE:.0%} t interval over seeds",
            )  # fmt: skip
            each: dict[str, Any] = {"color": COLOURS[0], "alpha": 0.6, "markersize": 6 * size.marks}
            ax.plot(curve.measured.x, curve.measured[key], "x", label="each seed", **each)
    if len(curve.published):
        style = {"color": COLOURS[1], "markerfacecolor": "none", "markeredgewidth": 1.6 * size.marks}
        ax.plot(curve.published.x, curve.published[key], "D", markersize=8 * size.marks, label="published", **style)
