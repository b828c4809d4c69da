"""The suite from Python and notebooks: `import spinbench`. Everything is imported when it is first used.

- `load`: a network, of a run, a file of weights, the registry or your own file; `upscale` and `cost` are its methods
- `imresize`: MATLAB's bicubic interpolation, uint8 (H, W) or (H, W, C)
- `psnr`, `ssim`: of two uint8 images, (H, W, 3) or (H, W), by the RCAN protocol
- `results`: quality of every image of an experiment's runs, as a DataFrame, of one convention unless asked
- `table`: an experiment's table, published beside measured values, which a notebook shows
- `figures`: an experiment's figures by name, which a notebook shows as SVG
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.data.resize import imresize
    from benchmarks.measure.quality import psnr, ssim
    from benchmarks.networks import Network, load
    from reports.notebook import figures, table
    from results import load as results

__all__ = ["Network", "figures", "imresize", "load", "psnr", "results", "ssim", "table"]

_PLACES = {
    "Network": ("benchmarks.networks", "Network"),
    "figures": ("reports.notebook", "figures"),
    "imresize": ("benchmarks.data.resize", "imresize"),
    "load": ("benchmarks.networks", "load"),
    "psnr": ("benchmarks.measure.quality", "psnr"),
    "results": ("results", "load"),
    "ssim": ("benchmarks.measure.quality", "ssim"),
    "table": ("reports.notebook", "table"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return globals().setdefault(name, getattr(importlib.import_module(module), attribute))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
