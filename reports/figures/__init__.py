"""Figures of a report: drawn for a page or for the columns of a paper, saved as PDF, PNG and SVG."""

from reports.figures.blocks import depth
from reports.figures.growth import speed
from reports.figures.images import differences
from reports.figures.losses import training
from reports.figures.modules import breakdown
from reports.figures.networks import trade_off
from reports.figures.style import COLUMN, FORMATS, LINE, PAGE, Draw, Size, files, inline, save

__all__ = [
    "COLUMN",
    "FORMATS",
    "LINE",
    "PAGE",
    "Draw",
    "Size",
    "breakdown",
    "depth",
    "differences",
    "files",
    "inline",
    "save",
    "speed",
    "trade_off",
    "training",
]
