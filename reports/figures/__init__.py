"""Figures of a report: drawn for a page or for the columns of a paper, saved as PDF, PNG and SVG."""

from reports.figures.breakdown import breakdown
from reports.figures.depth import depth
from reports.figures.deviations import deviations
from reports.figures.differences import differences
from reports.figures.gaps import gaps
from reports.figures.growth import growth
from reports.figures.style import COLUMN, FORMATS, LINE, PAGE, PHONE, WIDTHS, Draw, FigureSize, files, inline, save
from reports.figures.trade_off import trade_off
from reports.figures.training import training, validated

__all__ = [
    "COLUMN",
    "FORMATS",
    "LINE",
    "PAGE",
    "PHONE",
    "WIDTHS",
    "Draw",
    "FigureSize",
    "breakdown",
    "depth",
    "deviations",
    "differences",
    "files",
    "gaps",
    "growth",
    "inline",
    "save",
    "trade_off",
    "training",
    "validated",
]
