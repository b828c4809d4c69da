"""Synthetic stored pictures of every kind, a picture each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results import pictures

BOX = {"x": 8, "y": 4, "width": 24, "height": 20}


def store_pictures(root: Path) -> None:
    """A comparison of three networks, the superpixels of two blocks, and the attribution maps of two networks."""
    for kind, facts in (("comparison", comparison()), ("superpixels", superpixels()), ("attribution", attribution())):
        files = dict.fromkeys(text for text in _texts(facts) if text.endswith(".png"))
        pictures.store_picture(f"{kind}-1", kind, facts, {file: _pixels(seed) for seed, file in enumerate(files)}, root)


def comparison() -> dict[str, Any]:
    panels = []
    for name, label, psnr in (("bicubic", "Bicubic", 28.4), ("imdn", "IMDN", 32.2), ("full", "SPIN", 32.5)):
        quality = {"psnr": psnr, "ssim": psnr / 40}
        files = {"view": f"{name}-view.png", "crop": f"{name}.png", "error": f"{name}-error.png"}
        panels.append({"name": name, "label": label, "source": "synthetic", **files, "whole": quality, "part": quality})
    return {
        "image": "Set5/butterfly", "image_rule": "named", "scale": 4, "lr_origin": "stored", "size": [256, 256],
        "box": BOX, "box_rule": "named", "shown": {"x": 0, "y": 0, "width": 256, "height": 256},
        "overview": "overview.png", "view": "hr-view.png", "crop": "hr.png", "lr_crop": "lr.png",
        "legend": "legend.png", "largest_error": 40, "panels": panels,
    }  # fmt: skip


def superpixels() -> dict[str, Any]:
    marked = {
        "row": 1, "column": 2, "pixels": 30, "most_associated": 0.9, "associated_elsewhere": 0.1,
        "selected_elsewhere": 3, "read_elsewhere": 0.2, "most_read": 0.3, "attended_elsewhere": 0.4,
        "most_attended": 0.5,
    }  # fmt: skip
    views = ("superpixels", "association", "selected", "ignored", "reads", "attention")
    blocks = [
        {
            "number": number, "size": 12, "rows": 4, "columns": 5, "empty": 1, "top_n": 16, "ignored": 0.25,
            "entropy": 1.5, "underflow": 0.01, "saturated": 0.02, "marked": marked,
            "files": {view: f"{view}-{number}.png" for view in views},
        }
        for number in (1, 8)
    ]  # fmt: skip
    return {
        "image": "Set5/butterfly", "scale": 4, "lr_origin": "stored", "network": "SPIN", "source": "synthetic",
        "depth": 8, "size": [64, 64], "zoom": 4, "at": [20, 30], "at_rule": "named", "legend": "legend.png",
        "marked_colour": "#ff00ff", "ignored_colour": "#00ffff", "blocks": blocks,
    }  # fmt: skip


def attribution() -> dict[str, Any]:
    panels = [
        {
            "name": name, "label": label, "source": "synthetic", "map": f"{name}-map.png",
            "overlay": f"{name}-overlay.png", "area": f"{name}-area.png", "pixels": 120, "diffusion_index": 9.5,
            "gini": 0.905, "start": 3.5, "end": 60.25, "residual": 0.5,
        }
        for name, label in (("imdn", "IMDN"), ("full", "SPIN"))
    ]  # fmt: skip
    return {
        "image": "Set5/butterfly", "scale": 4, "lr_origin": "stored", "lr": "lr.png", "box": BOX, "box_rule": "named",
        "part": BOX, "sigma": 4.0, "steps": 50, "gamma": 0.5, "share": 0.9, "panels": panels,
    }  # fmt: skip


def _texts(facts: Any) -> list[str]:
    if isinstance(facts, dict):
        return [text for value in facts.values() for text in _texts(value)]
    if isinstance(facts, list):
        return [text for value in facts for text in _texts(value)]
    return [facts] if isinstance(facts, str) else []


def _pixels(seed: int) -> NDArray[np.uint8]:
    """A smooth pattern with a grain of its own."""
    rows, columns = np.mgrid[0:40, 0:48]
    grain = np.random.default_rng(seed).integers(0, 60, (40, 48, 3))
    return (
        (96 + 60 * np.sin(rows / 5 + seed)[..., None] + 30 * np.cos(columns / 7)[..., None] + grain)
        .clip(0, 255)
        .astype(np.uint8)
    )
