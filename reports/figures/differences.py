"""Per-image differences of variants against a reference, sorted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from reports.differences import ImageDifferences, VariantDifferences
from reports.figures.style import COLOURS, INK, PAGE, FigureSize, legend, literal
from reports.numbers import shown, signed
from reports.tables import METRICS

APART = 150  # images that have a mark each; more are an area through as many of them
_MEAN: dict[str, Any] = {"color": COLOURS[1], "linestyle": "--", "linewidth": 1.1}
_BAND: dict[str, Any] = {"color": COLOURS[1], "alpha": 0.3, "linewidth": 0}


def differences(found: ImageDifferences, size: FigureSize = PAGE) -> Figure:
    """A panel per variant: its images from the worst difference to the best, their mean, and its interval as a band."""
    panels, metric = found.panels, METRICS[found.metric]
    columns = min(len(panels), 2 if size.narrow else 3)
    rows = math.ceil(len(panels) / columns)
    with size.context():
        height = (1 + 1.45 * rows) * (size.width / PAGE.width) ** 0.5
        figure = Figure(figsize=(size.width, height))
        axes = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
        for ax, (label, panel) in zip(axes, panels.items(), strict=False):
            _draw(ax, panel, size)
            ax.set_title(
                literal(_title(label, panel, metric.fine)), loc="left", fontsize=size.letters["legend.fontsize"]
            )
        for ax in axes[len(panels) :]:
            ax.remove()
        handles: list[Artist] = [Line2D([], [], **_MEAN)]
        if any(panel.interval for panel in panels.values()):
            handles.append(Patch(**_BAND))
        legend(figure, size, handles, ["mean", "95% interval of the mean"][: len(handles)])
        unit = f" ({metric.unit})" if metric.unit else ""
        letters = size.letters["axes.labelsize"]
        figure.supylabel(literal(f"{metric.name}{unit} minus that of {found.reference}"), fontsize=letters)
        figure.supxlabel(literal(f"images of {found.dataset}, ×{found.scale}, sorted"), fontsize=letters)
        return figure


def _draw(ax: Axes, panel: VariantDifferences, size: FigureSize) -> None:
    values = sorted(panel.values)
    positions = range(1, len(values) + 1)
    if panel.interval:
        ax.axhspan(*panel.interval, **_BAND)
    ax.axhline(sum(values) / len(values), **_MEAN)
    ax.axhline(0, color=INK, linewidth=0.8)
    if len(values) > APART:
        some = np.linspace(0, len(values) - 1, APART).round().astype(int)
        heights = [values[index] for index in some]
        ax.fill_between(some + 1, 0, heights, color=COLOURS[0], alpha=0.6, linewidth=0)
        ax.plot(some + 1, heights, color=COLOURS[0], linewidth=1.2 * size.marks)
    else:
        stems = min(2.0, 90 * size.width / PAGE.width / len(values)) * size.marks
        ax.vlines(positions, 0, values, color=COLOURS[0], linewidth=stems, alpha=0.6)
        ax.plot(positions, values, "o", color=COLOURS[0], markersize=min(4.0, 1.5 + 20 / len(values)) * size.marks)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlim(0.2, len(values) + 0.8)
    ax.set_xticks([1, len(values)] if len(values) > 1 else [1])
    ax.grid(False, axis="x")


def _title(label: str, panel: VariantDifferences, decimals: int) -> str:
    mean = sum(panel.values) / len(panel.values)
    better = sum(value > 0 for value in panel.values)
    text = f"{label}: {better} of {len(panel.values)} better\nmean {signed(mean, decimals)}"
    if panel.interval is None:
        return text
    low, high = (shown(value, decimals).replace("-", "−") for value in panel.interval)
    return f"{text} [{low}, {high}]"
