"""MACs by part: they add up to the whole, as deep as they are stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

import ablations
import results
from reports.breakdown import macs_by_part
from reports.render import render
from tests.reports.conftest import Store, replace


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


@pytest.mark.drawn
def test_the_report_draws_the_variants_that_the_experiment_names(store: Store, tmp_path: Path) -> None:
    table2 = yaml.safe_load((ablations.FOLDER / "table2.yaml").read_text(encoding="utf-8"))
    for variant in ("full", "svq"):
        content = json.dumps({"parameters": 1, "macs": {"total": 137 * 10**9, "by_module": {"first_conv": 10**9}}})
        replace(store(variant), "cost.json", content)
    for named in (["svq"], []):
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(table2 | {"breakdown": named}), encoding="utf-8")
        source = render([str(tmp_path / "mine.yaml")], "quick", tmp_path).read_text(encoding="utf-8")
        assert ("SVQ, convolutions: 1.00 G" in source) is bool(named)
        assert "Full, convolutions" not in source


@pytest.mark.parametrize(("modules", "total"), [({"blocks": "many"}, 1), ({"blocks": -1}, 1), ({"blocks": 1}, None)])
def test_counts_that_are_none_are_refused(tmp_path: Path, modules: dict[str, object], total: int) -> None:
    run = cost(results.Run("quick", "full", 4, 0, tmp_path), modules, total)
    with pytest.raises(results.ResultsError, match=r"cost.json: macs\..*found"):
        run.cost()
    assert macs_by_part(run) == {}
