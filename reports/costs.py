"""The costs of networks, from the cost.json of their runs: what was counted, and what was measured.

Networks are compared in PyTorch. A network that has kernels of its own is measured with them too, and such a
measurement stands apart: it says what the network can do here, not how it compares.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from ablations import Experiment
from results import Run
from results.cost import PYTORCH
from results.gpu import Card

PASSES = 8  # of a self-ensemble
_WRITTEN = ("convolutions", "products")

_NUMBERS = {
    "parameters", "macs", "convolutions", "products", "latency_s", "low_s", "high_s", "back_to_back_s", "graph_s",
    "images_per_s", "memory_bytes",
}  # fmt: skip
_COUNTED = [
    "variant", "scale", "passes", "parameters", "macs", "macs_conditions", "lr_size", "convolutions", "products",
    "counted", "zeros",
]  # fmt: skip
_MEASURED = [
    "variant", "scale", "passes", "implementation", "place", "lr_size", "parameters", "macs", "convolutions",
    "products", "latency_s", "low_s", "high_s", "back_to_back_s", "graph_s", "images_per_s", "latency_conditions",
    "memory_bytes", "memory_conditions",
]  # fmt: skip


def counted_costs(runs: Iterable[Run]) -> pd.DataFrame:
    """A row per variant and scale: what is counted for an image of 1280x720, the same on every machine.

    `parameters`; `macs` (multiply-adds) and the elements written by `convolutions` and by all `products`, of all
    `passes`: a self-ensemble takes eight. NaN where a file of an earlier format does not hold them.
    """
    rows = []
    for run, passes, content in _contents(runs):
        macs = content.get("macs") or {}
        rows.append(
            {
                "variant": run.variant,
                "scale": run.scale,
                "passes": passes,
                "parameters": _number(content, "parameters"),
                "macs": passes * _number(macs, "total"),
                "macs_conditions": f"LR {size(macs['lr_size'])}" if macs.get("lr_size") else "",
                "lr_size": size(macs.get("lr_size") or ()),
                **_activations(content, passes),
                "counted": tuple(macs.get("by_operator") or ()),
                "zeros": tuple(macs.get("zero_operators") or ()),
            }
        )
    return _table(rows, _COUNTED)


def measured_costs(runs: Iterable[Run]) -> pd.DataFrame:
    """A row per variant, scale and implementation: everything for an image of the same size, `lr_size`, on a machine.

    `place` is the implementation, the machine and its threads in words. Numbers are in SI units, of all `passes`, and
    NaN where they were not measured; the columns `..._conditions` describe how they were measured.
    """
    rows = []
    for run, passes, content in _contents(runs):
        machine = content.get("machine") or {}
        for entry in content.get("measured") or []:
            latency, memory, many = (entry.get(key) or {} for key in ("latency", "memory", "throughput"))
            times = ("low_s", "high_s", "back_to_back_s", "graph_s")
            rows.append(
                {
                    "variant": run.variant,
                    "scale": run.scale,
                    "passes": passes,
                    "implementation": entry["implementation"],
                    "place": ", ".join(str(part) for part in _where(entry, machine) if part),
                    "lr_size": size(entry["lr_size"]),
                    "parameters": _number(content, "parameters"),
                    "macs": passes * entry["macs"],
                    **_activations(entry, passes),
                    "latency_s": passes * _number(latency, "median_s"),
                    **{name: passes * _number(latency, name) for name in times},
                    "images_per_s": _number(many, "images_per_s") / passes,
                    "latency_conditions": _latency_conditions(entry, latency, machine),
                    "memory_bytes": _number(memory, "bytes"),
                    "memory_conditions": _memory_conditions(entry, memory, machine),
                }
            )
    return _table(rows, _MEASURED)


def on_cards(experiment: Experiment, counted: pd.DataFrame, cards: Iterable[Card]) -> pd.DataFrame:
    """Rows as those of `measured_costs` for the networks of an experiment that were timed on GPUs (`results.gpu`).

    They hold for a network's own configuration, and for the size that `counted` (of `counted_costs`) refers to.
    """
    known = counted.set_index(["variant", "scale"])
    rows = []
    for card in cards:
        for (variant, scale), costs in known.iterrows():
            definition = experiment.variants.get(variant)
            measured = card.latency.networks.get(f"x{scale}", {}) if card.latency else {}
            if definition is None or definition.config or definition.model not in measured:
                continue
            one, passes = measured[definition.model], costs.passes
            rows.append(
                {
                    "variant": variant,
                    "scale": scale,
                    "implementation": f"{PYTORCH} on {card.name}",
                    "place": f"{PYTORCH}, {card.name}",
                    **{name: costs[name] for name in ("passes", "lr_size", "parameters", "macs", *_WRITTEN)},
                    "latency_s": passes * one.median_s,
                    **{
                        name: passes * (getattr(one, name) or math.nan)
                        for name in ("low_s", "high_s", "back_to_back_s", "graph_s")
                    },
                    "latency_conditions": f"{PYTORCH}, {card.name}, batch 1, LR {costs.lr_size}",
                    "memory_conditions": "",
                }
            )
    return _table(rows, _MEASURED)


def in_pytorch(measured: pd.DataFrame) -> pd.DataFrame:
    """The rows of `measured_costs` that are compared with each other."""
    return measured[measured.implementation == PYTORCH]


def conditions(table: pd.DataFrame, quantity: str) -> list[str]:
    """How a quantity ("macs", "latency" or "memory") was measured, with the labels of the networks if these differ.

    `table` is of `counted_costs` or `measured_costs`, with a column `label`.
    """
    column = f"{quantity}_conditions"
    found = table[table[column] != ""].groupby(column, sort=False).label.agg(lambda labels: list(dict.fromkeys(labels)))
    if len(found) == 1:
        return list(found.index)
    return [f"{text} ({', '.join(labels)})" for text, labels in found.items()]


def operators(table: pd.DataFrame, column: str) -> str:
    """The operators of all networks together that were "counted", or are "zeros", in words."""
    return ", ".join(sorted(set().union(*table[column])))


def size(edges: Iterable[int]) -> str:
    """Height x width, as everywhere in the suite."""
    return "×".join(map(str, edges))


def _table(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Numbers are numbers in a table without rows too, and where none was measured."""
    table = pd.DataFrame(rows, columns=list(columns))
    return table.astype({name: float for name in columns if name in _NUMBERS})


def _contents(runs: Iterable[Run]) -> Iterator[tuple[Run, int, dict[str, Any]]]:
    """The first run of each variant and scale with an intact cost.json: seeds do not change the costs."""
    seen = set()
    for run in runs:
        if (run.variant, run.scale) in seen or not run.intact("cost.json"):
            continue
        if content := run.cost():
            seen.add((run.variant, run.scale))
            yield run, PASSES if (run.description() or {}).get("ensemble") else 1, content


def _activations(content: dict[str, Any], passes: int) -> dict[str, float]:
    written = content.get("activations")
    return {name: passes * _number(written if isinstance(written, dict) else {}, name) for name in _WRITTEN}


def _number(content: dict[str, Any], key: str) -> float:
    value = content.get(key)
    return math.nan if value is None else value


def _latency_conditions(entry: dict[str, Any], latency: dict[str, Any], machine: dict[str, Any]) -> str:
    if not latency:
        return ""
    rounds = latency.get("rounds_s") or []
    samples = sum(map(len, rounds))
    warm = latency.get("warmup_s")
    parts = [
        *_where(entry, machine),
        latency.get("dtype"),
        f"batch 1, LR {size(entry['lr_size'])}",
        f"median of {samples} passes in {len(rounds)} round{'s' * (len(rounds) != 1)}" if samples else "",
        f"at least {warm:g} s of warm-up" if warm else "",
    ]
    return ", ".join(str(part) for part in parts if part)


def _memory_conditions(entry: dict[str, Any], memory: dict[str, Any], machine: dict[str, Any]) -> str:
    if not memory:
        return ""
    parts = [*_where(entry, machine), f"LR {size(entry['lr_size'])}", memory.get("method")]
    return ", ".join(str(part) for part in parts if part)


def _where(entry: dict[str, Any], machine: dict[str, Any]) -> list[str]:
    threads = machine.get("threads")
    on_cpu = machine.get("kind") == "cpu" and threads
    return [
        entry["implementation"],
        machine.get("name", ""),
        f"{threads} thread{'s' * (threads != 1)}" if on_cpu else "",
    ]
