"""MACs by part: they add up to the whole, as deep as they are stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

import results
from reports.breakdown import macs_by_part


def cost(run: results.Run, modules: Mapping[str, object], total: int) -> results.Run:
    results.write(run.path("cost.json"), json.dumps({"parameters": 1, "macs": {"total": total, "by_module": modules}}))
    return run


MODULES = {
    "first_conv": 10, "blocks": 100, "blocks.0": 60, "blocks.1": 40, "mid_convs": 6, "mid_convs.0": 3,
    "mid_convs.1": 3, "upsampler": 20, "upsampler.0": 20,
}  # fmt: skip
DEEP = {
    "blocks.0.spca": 30, "blocks.0.spca_ffn": 10, "blocks.0.local": 15, "blocks.1.spca": 20, "blocks.1.local": 20,
}  # fmt: skip


def test_parts_add_up_to_the_whole(tmp_path: Path) -> None:
    run = results.Run("quick", "full", 4, 0, tmp_path)
    assert macs_by_part(cost(run, MODULES, 137)) == {"convolutions": 16, "blocks": 100, "upsampler": 20, "other": 1}
    assert macs_by_part(cost(run, MODULES | DEEP, 136)) == {
        "convolutions": 16, "association": 5, "SPCA": 50, "local attention": 35, "FFNs": 10, "upsampler": 20
    }  # fmt: skip
    assert macs_by_part(cost(run, {}, 137)) == {}
    assert macs_by_part(results.Run("quick", "svq", 4, 0, tmp_path)) == {}


@pytest.mark.parametrize(("modules", "total"), [({"blocks": "many"}, 1), ({"blocks": -1}, 1), ({"blocks": 1}, None)])
def test_counts_that_are_none_are_refused(tmp_path: Path, modules: dict[str, object], total: int) -> None:
    run = cost(results.Run("quick", "full", 4, 0, tmp_path), modules, total)
    with pytest.raises(results.ResultsError, match=r"cost.json: macs\..*found"):
        run.cost()
    assert macs_by_part(run) == {}
