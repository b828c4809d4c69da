"""The MACs of a network by part: the MACs by module of cost.json, summed over its blocks."""

from __future__ import annotations

import re
from collections import Counter

from results import Run

# the modules of SPIN by the terms of the paper, in their order in the figure; other modules keep their names
_NAMES = {
    "first_conv": "convolutions",
    "mid_convs": "convolutions",
    "last_conv": "convolutions",
    "blocks": "association",  # what a block does itself
    "blocks.associate": "association",
    "blocks.spca": "SPCA",
    "blocks.ispa": "ISPA",
    "blocks.local": "local attention",
    "blocks.spca_ffn": "FFNs",
    "blocks.ispa_ffn": "FFNs",
    "blocks.local_ffn": "FFNs",
    "upsampler": "upsampler",
}
ORDER = list(dict.fromkeys(_NAMES.values()))


def macs_by_part(run: Run) -> dict[str, int]:
    """MACs by part of a network, those of each position of a list of blocks added up. Their sum is its total.

    Empty where cost.json does not hold them. The parts of a block are separate if cost.json goes down to them
    (three levels of names); otherwise blocks are one part.
    """
    content = (run.cost() or {}) if run.intact("cost.json") else {}
    macs = content.get("macs") or {}
    modules = macs.get("by_module") or {}
    if not modules:
        return {}
    parts = Counter(dict.fromkeys(ORDER, 0))
    deep = any(name.startswith("blocks.") and name.count(".") == 2 for name in modules)
    for name, count in modules.items():
        own = count - sum(inside for other, inside in modules.items() if other.rpartition(".")[0] == name)
        kind = re.sub(r"\.\d+", "", name)
        parts["blocks" if kind == "blocks" and not deep else _NAMES.get(kind, kind)] += own
    parts["other"] = macs["total"] - parts.total()
    return {name: count for name, count in parts.items() if count}
