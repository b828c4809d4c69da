"""Measured minus published PSNR of networks whose published weights were evaluated."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.deviations import Deviations
from reports.figures.style import COLOURS, GREY, INK, MARKERS, PAGE, FigureSize, legend, literal
from reports.reasons import TOLERANCE


def deviations(found: Deviations, size: FigureSize = PAGE) -> Figure:
    """A line per network and a panel per scale; a mark per set, and a band as wide as published values are rounded."""
    labels, datasets = found.labels, found.datasets
    with size.context():
        rows, columns = (len(found.scales), 1) if size.narrow else (1, len(found.scales))
        height = 0.24 * max(2, len(labels)) * max(size.marks, 0.8)
        figure = Figure(figsize=(size.width, 0.6 + rows * (0.35 + height)))
        axes = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
        band = None
        for ax, scale in zip(axes, found.scales, strict=True):
            band = ax.axvspan(-TOLERANCE, TOLERANCE, color=GREY, alpha=0.3, linewidth=0)
            ax.axvline(0, color=INK, linewidth=0.8)
            for index, dataset in enumerate(datasets):
                marked = [one for one in found.values if (one.scale, one.dataset) == (scale, dataset)]
                ax.plot(
                    [one.difference for one in marked], [labels.index(one.label) for one in marked], linestyle="",
                    marker=MARKERS[index % len(MARKERS)], color=COLOURS[index % len(COLOURS)],
                    markersize=5 * size.marks, alpha=0.85, label=dataset,
                )  # fmt: skip
            widest = max([2 * TOLERANCE, *(1.15 * abs(one.difference) for one in found.values if one.scale == scale)])
            ax.set_xlim(-widest, widest)
            ax.xaxis.set_major_locator(MaxNLocator(6 if columns == 1 else 3, steps=[1, 2, 5, 10], symmetric=True))
            ax.grid(False, axis="y")
            ax.set_title(f"×{scale}")
            ax.set_yticks(range(len(labels)), [literal(label) for label in labels])
        axes[0].set_ylim(len(labels) - 0.5, -0.5)
        figure.supxlabel("measured minus published PSNR (dB)", fontsize=size.letters["axes.labelsize"])
        handles, names = axes[0].get_legend_handles_labels()
        legend(figure, size, [*handles, band], [*map(literal, names), f"within {TOLERANCE} dB"])
        return figure
