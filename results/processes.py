"""What may affect the last bits of a training: changes between its processes, and sums in an order that varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any


def changes(processes: Sequence[Mapping[str, Any]]) -> list[str]:
    """What decides the last bits of a result and changed from one process to the next: a text for each change.

    `processes` are facts as provenance.json records them, in the order of time.
    """
    found = []
    for before, after in pairwise(map(_bits, processes)):  # a fact that one of them did not record is no change
        apart = [
            f"{name} {before[name]} -> {after[name]}"
            for name in before
            if name in after and before[name] != after[name]
        ]
        found += [", ".join(apart)] if apart else []
    return found


def remarks(record: Mapping[str, Any]) -> list[str]:
    """Remarks on a training from its record: if several processes worked on it, in turn or together, and if it cannot
    be repeated to the same bits."""
    told = []
    if earlier := record.get("earlier", []):
        found = "; ".join(changes([*earlier, record]))
        bits = f" with changes ({found}), which may affect its last bits" if found else " on the same machine"
        told.append(f"interrupted and resumed{bits}")
    if (together := max(one.get("ranks", 1) for one in (*earlier, record))) > 1:
        unlike = "; ".join(record.get("unlike") or [])
        told.append(
            f"{together} processes trained it together, each with its share of every batch"
            + (f", which is not what one would train: {unlike}" if unlike else "")
        )
    if varying := record.get("varying"):
        told.append(f"trained on a GPU with sums in an order that varies ({varying}): not the same bits twice")
    return told


def _bits(facts: Mapping[str, Any]) -> dict[str, Any]:
    versions, device = facts.get("versions", {}), facts.get("device", {})
    found = {
        "device": device.get("name"),
        "threads": facts.get("threads"),
        "ranks": facts.get("ranks"),
        "CPU capability": facts.get("capability"),
        "torch": versions.get("torch"),
        "kernels": versions.get("kernels"),
        "sources": str(facts.get("source"))[:8],
    }
    return {name: value for name, value in found.items() if value not in (None, "not used")}
