"""Weights that come with the suite, which trained them; README.md is their card."""

from __future__ import annotations

import re
from pathlib import Path

from foundation import registered

_NAME = re.compile(r"(?P<model>.+)-x(?P<scale>\d)")


def pretrained_file(name: str, scale: int) -> Path:
    """The file with the weights of a network at a scale. Raises ValueError, which names those that there are."""
    found = {(match["model"], int(match["scale"])): path for path in _files() if (match := _NAME.fullmatch(path.stem))}
    if file := found.get((registered(name), scale)):
        return file
    there = ", ".join(f"{model} x{own}" for model, own in sorted(found))
    raise ValueError(f"{name} x{scale}: no weights come with the suite, only those of {there}")


def _files() -> list[Path]:
    return sorted(Path(__file__).parent.glob("*.safetensors"))
