"""The costs of networks on the page: what was not measured, and what stands beside what."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import results
from reports.render import render
from tests.reports.conftest import replace
from tests.reports.pages import Page

Store = Callable[..., results.Run]


def test_a_cost_without_latency_and_memory(store: Store, tmp_path: Path) -> None:
    run = store("full")
    replace(run, "cost.json", json.dumps({"parameters": 1234, "memory": None}))
    page = Page(render(["table2"], "quick", tmp_path))
    assert ["Full", "×4", "1,234", "–", "–", "–"] in page.rows
    assert "Peak memory, MiB" not in page.text


def test_latency_stands_beside_macs_only_if_measured_at_the_same_size(store: Store, tmp_path: Path) -> None:
    run = store("full")
    content = run.cost() or {}
    entry = content["measured"][0] | {"lr_size": [64, 64], "macs": 3_000_000_000}
    kernels = entry | {"implementation": "C++ kernels", "latency": entry["latency"] | {"median_s": 0.5}}
    replace(run, "cost.json", json.dumps(content | {"measured": [entry, kernels]}))
    page = Page(render(["table2"], "quick", tmp_path))
    assert page.row("Full")[1:3] == ["555,035", "41.25"]
    assert "1,234.5" not in page.row("Full")
    assert ["Full", "×4", "64×64", "3.00", "1,234.5", "1,200.0 to 1,300.0", "700.0"] in page.rows
    assert ["Full", "×4", "64×64", "3.00", "500.0", "1,200.0 to 1,300.0", "700.0"] in page.rows
    places = [row[0] for row in page.rows if row[0].endswith("Synthetic CPU, 2 threads")]
    assert places == ["PyTorch, Synthetic CPU, 2 threads", "C++ kernels, Synthetic CPU, 2 threads"]
