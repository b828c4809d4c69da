"""Images of a user's as the tests make them: smooth colours, and LR images of their own, which are not MATLAB's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def photograph(height: int = 48, width: int = 64, phase: float = 0) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width].astype(float)
    red, green = 127 + 100 * np.sin(x / 5 + phase) * np.cos(y / 9), 127 + 90 * np.cos(x / 7 + y / 4 + phase)
    planes = np.stack([red, green, 127 + 80 * np.sin((x + y) / 6 + phase)], 2)
    return Image.fromarray(planes.clip(0, 255).astype(np.uint8))


def save(image: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def reduced(image: Image.Image, scale: int = 4) -> Image.Image:
    return image.resize((image.width // scale, image.height // scale), Image.Resampling.BOX)
