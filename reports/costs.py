"""The costs of networks, from the cost.json of their runs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from results import Run

_COLUMNS = [
    "variant", "scale", "parameters", "macs", "macs_conditions", "counted", "zeros", "activations",
    "latency_s", "q1_s", "q3_s", "latency_conditions", "memory_bytes", "memory_conditions",
]  # fmt: skip


def cost_table(runs: Iterable[Run]) -> pd.DataFrame:
    """A row per variant and scale, from its first run with an intact cost.json: seeds do not change the costs.

    Numbers are in SI units (MACs are multiply-adds of one image) and NaN where they were not measured; the columns
    `..._conditions` describe how they were measured.
    """
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for run in runs:
        content = run.cost() if (run.variant, run.scale) not in rows and run.intact("cost.json") else None
        if content is None:
            continue
        latency, macs = content.get("latency") or {}, content.get("macs") or {}
        rows[run.variant, run.scale] = {
            "variant": run.variant,
            "scale": run.scale,
            "parameters": _number(content, "parameters"),
            "macs": _number(content, "macs", "total"),
            "macs_conditions": _macs_conditions(macs),
            "counted": tuple(macs.get("by_operator") or ()),
            "zeros": tuple(macs.get("zero_operators") or ()),
            "activations": _number(content, "activations"),
            "latency_s": _number(content, "latency", "median_s"),
            "q1_s": _number(content, "latency", "q1_s"),
            "q3_s": _number(content, "latency", "q3_s"),
            "latency_conditions": _latency_conditions(latency),
            "memory_bytes": _number(content, "memory", "bytes"),
            "memory_conditions": _memory_conditions(content.get("memory") or {}),
        }
    return pd.DataFrame(list(rows.values()), columns=_COLUMNS)


def cost_conditions(table: pd.DataFrame, quantity: str) -> list[str]:
    """How a quantity ("macs", "latency" or "memory") was measured, with the labels of the networks if these differ.

    `table` is of `cost_table`, with a column `label`.
    """
    conditions = (
        table[table[f"{quantity}_conditions"] != ""].groupby(f"{quantity}_conditions", sort=False).label.agg(list)
    )
    if len(conditions) == 1:
        return list(conditions.index)
    return [f"{text} ({', '.join(labels)})" for text, labels in conditions.items()]


def operators(table: pd.DataFrame, column: str) -> str:
    """The operators of all networks together that were "counted", or are "zeros", in words."""
    return ", ".join(sorted(set().union(*table[column])))


def _number(content: Any, *keys: str) -> float:
    value = content
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return math.nan if value is None else value


def _macs_conditions(macs: dict[str, Any]) -> str:
    return f"LR {_size(macs['lr_size'])}" if macs.get("lr_size") else ""


def _latency_conditions(latency: dict[str, Any]) -> str:
    parts = [
        _device(latency),
        f"{latency['threads']} CPU thread{'s' * (latency['threads'] != 1)}" if latency.get("threads") else "",
        latency.get("dtype"),
        f"LR {_size(latency['lr_size'])}" if latency.get("lr_size") else "",
        f"median and quartiles of {latency['repeats']}" if latency.get("repeats") else "",
    ]
    return ", ".join(str(part) for part in parts if part)


def _memory_conditions(memory: dict[str, Any]) -> str:
    parts = [_device(memory), f"LR {_size(memory['lr_size'])}" if memory.get("lr_size") else "", memory.get("method")]
    return ", ".join(str(part) for part in parts if part)


def _device(content: dict[str, Any]) -> str:
    return f"{content.get('device_name', 'unknown')} ({content['device']})" if content.get("device") else ""


def _size(size: Any) -> str:
    """Height x width, as everywhere in the suite."""
    return "×".join(map(str, size))
