"""Training curves: loss, and PSNR on the validation images where it was taken."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from reports.figures.style import PAGE, FigureSize, legend, line, literal

POINTS = 60  # of a line at most: a long training has tens of thousands of rows, which nobody sees and a page carries


def validated(curves: Mapping[str, list[pd.DataFrame]]) -> bool:
    """Whether PSNR on validation images was taken in any of the trainings, which has a panel of its own then."""
    return any("psnr" in curve and curve.psnr.notna().any() for seeds in curves.values() for curve in seeds)


def training(curves: Mapping[str, list[pd.DataFrame]], size: FigureSize = PAGE) -> Figure:
    """Loss and validation over the iterations: for each network a list of its seeds' training.csv."""
    with_validation = validated(curves)
    panels = 1 + with_validation
    rows, columns = (panels, 1) if size.narrow else (1, panels)
    with size.context():
        figure = Figure(figsize=(size.width, size.width * (0.75 * rows if size.narrow else 0.5)))
        axes = list(figure.subplots(rows, columns, sharex=True, squeeze=False).flat)
        for index, (label, seeds) in enumerate(curves.items()):
            for position, curve in enumerate(seeds):
                style = line(index) | {"linewidth": 1.3 * size.marks, "markersize": 4.5 * size.marks}
                name = literal(label) if position == 0 else "_"
                # marks at different positions, since lines may coincide
                axes[0].plot(*_loss(curve), label=name, markevery=(index % 8 / 80, 0.1), **style)
                if with_validation and "psnr" in curve:
                    known = curve.dropna(subset="psnr")
                    axes[1].plot(known.iteration, known.psnr, **style)
        axes[0].set_ylabel("training loss")
        axes[0].set_yscale("log")
        axes[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes[0].yaxis.set_major_formatter("{x:g}")
        axes[0].yaxis.set_minor_formatter(NullFormatter())
        if with_validation:
            axes[1].set_ylabel("validation PSNR (dB)")
            axes[1].ticklabel_format(axis="y", useOffset=False)
        for ax in axes[-1:] if size.narrow else axes:
            ax.set_xlabel("iteration")
            ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
        legend(figure, size, *axes[0].get_legend_handles_labels())
        return figure


def _loss(curve: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Iterations, and the mean of the loss since the previous of them."""
    curve = curve[curve.loss.notna()].reset_index(drop=True)
    steps = curve.iteration.diff().fillna(curve.iteration)
    stretch = np.arange(len(curve)) * min(POINTS, len(curve)) // len(curve)
    means = (curve.loss * steps).groupby(stretch).sum() / steps.groupby(stretch).sum()
    return curve.iteration.groupby(stretch).last(), means
