"""The costs of a network as a short table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def cost_table(title: str, cost: Mapping[str, Any]) -> Table:
    """The content of a cost.json in a line each: parameters, MACs, activations; latency and memory as measured."""
    table = Table("cost", "value", "of", title=title)
    table.columns[1].justify = "right"
    height, width = cost["macs"]["output_size"]
    output = f"an output of {width}x{height}"
    table.add_row("parameters", f"{cost['parameters'] / 1e3:.1f} K", "")
    table.add_row("MACs", f"{cost['macs']['total'] / 1e9:.2f} G", output)
    table.add_row("activations", f"{cost['activations']['convolutions'] / 1e6:.1f} M", f"convolutions, {output}")
    for one in cost["measured"]:
        place = f"{one['implementation']}, LR {'x'.join(map(str, one['lr_size']))} (HxW)"
        latency, memory = one.get("latency"), one.get("memory")
        if latency:
            low, middle, high = (f"{1e3 * latency[key]:.2f}" for key in ("low_s", "median_s", "high_s"))
            table.add_row("latency", f"{middle} ms", f"{place}, {low} to {high} ms")
        if memory and memory.get("bytes") is not None:
            table.add_row("peak memory", f"{memory['bytes'] / 2**20:.0f} MiB", place)
    if reduced := cost.get("reduced"):
        what = f"PyTorch in {reduced['precision']}, {reduced['gain']:.2f} times as fast as in float32"
        table.add_row("latency", f"{1e3 * reduced['latency']['median_s']:.2f} ms", what)
    machine = cost.get("machine", {})
    table.caption = ", ".join(str(machine[key]) for key in ("name", "torch") if key in machine) or None
    return table
