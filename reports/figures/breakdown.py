"""The cost breakdown: what the parts of each network contribute to its MACs."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from reports.breakdown import ORDER
from reports.figures.style import COLOURS, GREY, PAGE, FigureSize, legend, literal

# of straight lines: an SVG holds every curve of a hatch of dots or circles, hundreds of kilobytes
HATCHES = ("", "///", "\\\\\\", "xxx", "+++", "---", "|||", "//")
GIGA = 1e9


def breakdown(parts: Mapping[str, Mapping[str, int]], size: FigureSize = PAGE) -> Figure:
    """A bar per network, the MACs of its parts one after the other. Parts differ in hatch as well as in colour."""
    found = dict.fromkeys(kind for counts in parts.values() for kind in counts)
    kinds = [kind for kind in dict.fromkeys([*ORDER, *found]) if kind in found]
    with size.context():
        figure = Figure(figsize=(size.width, 0.9 + len(parts) * 0.38 * size.marks))
        ax = figure.subplots()
        starts = dict.fromkeys(parts, 0.0)
        groups = []
        letters = size.letters["legend.fontsize"]
        for index, kind in enumerate(kinds):
            widths = [parts[label].get(kind, 0) / GIGA for label in parts]
            bars = ax.barh(
                range(len(parts)), widths, left=list(starts.values()), height=0.68,
                color=[*COLOURS, GREY][index % 7], hatch=HATCHES[index % len(HATCHES)],
                edgecolor="white", linewidth=0.8,
            )  # fmt: skip
            groups.append(bars)
            for position, (label, bar) in enumerate(zip(parts, bars, strict=True)):
                starts[label] += widths[position]
                bar.set_label(literal(f"{label}, {kind}: {widths[position]:.2f} G"))
                if widths[position]:
                    bar.set_gid(f"part-{index}-{position}")
        for position, total in enumerate(starts.values()):
            ax.annotate(
                f"{total:.1f}", (total, position), (3, 0), textcoords="offset points", va="center", fontsize=letters
            )
        ax.set_yticks(range(len(parts)), [literal(label) for label in parts])
        ax.tick_params(axis="y", length=0)
        ax.invert_yaxis()
        ax.grid(False, axis="y")
        ax.margins(x=0.1)
        ax.set_xlabel("MACs (G)")
        legend(figure, size, groups, map(literal, kinds))
        return figure
