"""`spinbench cost`: a short table, and everything as JSON."""

from __future__ import annotations

import json

import models
from results.cost import misshapen
from spinbench.costs import cost_table
from tests.spinbench.commands import spinbench

QUICK = ("--no-memory", "--repeats", 3, "--lr", "8x8")


def test_a_short_table_fits_a_terminal() -> None:
    done = spinbench("cost", "FSRCNN", *QUICK)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert f"{models.describe('fsrcnn').counted_parameters[4] / 1e3:.1f} K" in done.stdout
    assert "an output of 1280x720" in done.stdout and "PyTorch, LR 8x8 (HxW)" in done.stdout
    assert "by_module" not in done.stdout and "peak memory" not in done.stdout


def test_everything_as_json() -> None:
    done = spinbench("cost", "FSRCNN", *QUICK, "--json")
    content = json.loads(done.stdout)  # nothing else is printed
    assert misshapen(content) is None
    assert content["parameters"] == models.describe("fsrcnn").counted_parameters[4]
    assert content["macs"]["by_module"] and content["measured"][0]["latency"]["rounds_s"]


def test_memory_is_shown_where_it_is_measured() -> None:
    done = spinbench("cost", "FSRCNN", *QUICK, "--json")
    content = json.loads(done.stdout)
    content["measured"][0]["memory"] = {"bytes": 17 * 2**20}
    table = cost_table("fsrcnn x4", content)
    assert "17 MiB" in list(table.columns[1].cells)
