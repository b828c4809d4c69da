"""The gaps between an ablation's reference and its variants, beside those that the paper prints."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from reports.figures.style import COLOURS, INK, MARKERS, PAGE, FigureSize, legend, literal
from reports.gaps import Gaps


def gaps(found: Gaps, size: FigureSize = PAGE) -> Figure:
    """A line per variant: its gap after every budget with the interval, and the published one as a hollow mark."""
    labels, budgets = found.labels, found.budgets
    with size.context():
        figure = Figure(
            figsize=(size.width, (1.25 if size.narrow else 0.9) + 0.34 * len(labels) * max(1, len(budgets) * 0.7))
        )
        ax = figure.subplots()
        ax.axvline(0, color=INK, linewidth=0.8)
        offsets = np.linspace(-0.2, 0.2, len(budgets)) if len(budgets) > 1 else [0.0]
        for index, (budget, offset) in enumerate(zip(budgets, offsets, strict=True)):
            rows = [gap for gap in found.gaps if gap.iterations == budget]
            heights = [labels.index(gap.label) + offset for gap in rows]
            seeds = sorted({gap.seeds for gap in rows})
            told = (
                f"{seeds[0]} to {seeds[-1]} seeds"
                if len(seeds) > 1
                else f"{seeds[0]} seeds".replace("1 seeds", "1 seed")
            )
            middle = [gap.difference for gap in rows]
            ends = np.array([[gap.difference - gap.low, gap.high - gap.difference] for gap in rows]).T
            ax.errorbar(
                middle, heights, xerr=None if np.isnan(ends).all() else ends, fmt=MARKERS[index], color=COLOURS[index],
                markersize=5.5 * size.marks, linewidth=1.4 * size.marks, capsize=2.5 * size.marks,
                label=f"{budget:,} steps, {told}",
            )  # fmt: skip
        paper = {gap.label: gap.published for gap in found.gaps if gap.published == gap.published}
        if paper:
            ax.plot(
                list(paper.values()), [labels.index(label) for label in paper], linestyle="", marker="D", color=INK,
                markerfacecolor="none", markersize=6 * size.marks, label="the paper's, after its full training",
            )  # fmt: skip
        ax.set_yticks(range(len(labels)), [literal(label) for label in labels])
        ax.set_ylim(len(labels) - 0.5, -0.5)
        ax.grid(False, axis="y")
        place = f"dB on {found.dataset}, ×{found.scale}"
        better = f"← variant better | {found.reference} better →"
        break_ = chr(10) if size.narrow else ", "
        ax.set_xlabel(literal(f"PSNR of {found.reference} minus the variant's{break_}{place}\n{better}"))
        legend(figure, size, *ax.get_legend_handles_labels())
        return figure
