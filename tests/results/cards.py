"""Measurements on a synthetic GPU, as `python -m tests.gpu` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results.gpu import folder_of

CARD = "Synthetic GPU 80 GB"
ABOUT = {"card": CARD, "torch": "2.11.0+cu130", "rehearsal": False, "failed": None, "seconds": 1.0}
LATENCY: dict[str, Any] = ABOUT | {
    "check": "latency",
    "networks": {
        "x4": {
            "spin": {"title": "SPIN", "median_s": 0.016, "back_to_back_s": 0.008, "graph_s": 0.004},
            "smsr": {"title": "SMSR", "median_s": 0.002, "back_to_back_s": 0.001, "graph_s": None},
        },
        "x2": {"spin": {"title": "SPIN", "median_s": 0.064}},
    },
}
STEPS: dict[str, Any] = ABOUT | {
    "check": "steps",
    "batch": 64,
    "lr_patch": 64,
    "steps": {
        "float32": {"ms": 180.0, "per_s": 5.5, "hours_per_million": 50.0, "peak_bytes": 15 * 2**30},
        "bfloat16": {"ms": 45.0, "per_s": 22.25, "hours_per_million": 12.5},
    },
}
COMPILED: dict[str, Any] = STEPS | {"check": "compiled", "failed": "stopped after 180 s"}


def store_card(root: Path, files: Mapping[str, Mapping[str, Any]] | None = None, card: str = CARD) -> None:
    """Write these files, or all three, of a card."""
    for name, content in (files or {"latency": LATENCY, "steps": STEPS, "compiled": COMPILED}).items():
        file = folder_of(card, root) / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**content, "card": card} if card != CARD else content))
