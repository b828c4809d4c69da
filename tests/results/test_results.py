"""How runs lie on disk: states, hashes, atomic writes, loading."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import results
from results import Run

STAGES: dict[str, dict[str, Any]] = {
    "train": {"seed": 0, "training": {"iterations": 40, "betas": (0.9, 0.999)}},
    "evaluate": {"data": {"Set5": "ab"}},
    "cost": {"repeats": 3},
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run("quick", "full", 4, 0, tmp_path)


def finish(run: Run, stages: dict[str, dict[str, Any]]) -> None:
    run.describe({"variant": run.variant}, stages)
    for stage, product in results.STAGES.items():
        results.write(run.path(product), "something")
        run.record(stage, stages[stage], {"seconds": 1})


def test_states_of_a_run(run: Run) -> None:
    assert run.state(STAGES) == results.RunState(("train", "evaluate", "cost"))
    run.describe({}, STAGES)
    assert run.state(STAGES).word == "unfinished"
    finish(run, STAGES)
    assert run.state(STAGES) == results.RunState(())
    assert run.state(STAGES).word == "finished"


def test_a_changed_run_is_stale_and_says_why(run: Run) -> None:
    finish(run, STAGES)
    changed = {**STAGES, "train": {"seed": 0, "training": {"iterations": 60, "betas": (0.9, 0.999)}, "ema": 0.9}}
    state = run.state(changed)
    assert (state.word, state.pending) == ("stale", ("train",))
    assert state.reasons == ("train: training.iterations: 40 -> 60; ema: None -> 0.9",)
    other_set = {**STAGES, "evaluate": {"data": {"Set5": "cd"}}}
    assert run.state(other_set).pending == ("evaluate",)


def test_a_further_test_set_makes_nothing_stale(run: Run) -> None:
    stage = {"conventions": ["rcan"], "data": {"Set5": "a"}, "images": {"Set5": 5}, "missing": {}}
    more = {**stage, "data": {"Set5": "a", "Set14": "b"}, "images": {"Set5": 5, "Set14": 14}}
    run.describe({}, {"evaluate": stage})
    run.record("evaluate", stage, {})
    assert run.state({"evaluate": more}) == results.RunState(("evaluate",))
    other = {**more, "data": {"Set5": "c", "Set14": "b"}}
    assert run.state({"evaluate": other}).reasons == (
        "evaluate: data.Set5: a -> c; data.Set14: None -> b; images.Set14: None -> 14",
    )
    fewer = run.state({"evaluate": {**stage, "data": {}, "images": {}}})
    assert fewer.word == "stale"


def test_a_run_changed_before_it_finished_is_stale(run: Run) -> None:
    run.describe({}, STAGES)
    state = run.state({**STAGES, "train": {"seed": 1}})
    assert state.word == "stale"
    assert "seed: 0 -> 1" in state.reasons[0]


def test_a_lost_product_is_made_again(run: Run) -> None:
    finish(run, STAGES)
    run.path("quality.csv").unlink()
    assert run.state(STAGES) == results.RunState(("evaluate",))


def test_nothing_stored_is_lost_when_a_run_is_set_aside(run: Run) -> None:
    places = []
    for number in range(3):
        finish(run, STAGES)
        run.path("quality.csv").write_text(str(number))
        places.append(run.set_aside())
    assert len(set(places)) == 3
    assert [(place / "quality.csv").read_text() for place in places] == ["0", "1", "2"]
    assert not run.folder.exists()
    assert results.runs("table2", "quick", run.root) == []


def test_a_hash_ignores_order_and_kind_of_sequence() -> None:
    assert results.digest({"a": 1, "b": (1, 2)}) == results.digest({"b": [1, 2], "a": 1})
    assert results.digest({"a": 1}) != results.digest({"a": 2})
    with pytest.raises(ValueError):
        results.digest({"a": float("nan")})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=2), values), st.dictionaries(st.text(max_size=2), values))
def test_differences_are_found_where_there_are_any(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert results.differences(old, old) == []
    assert bool(results.differences(old, new)) != _equal_but_for_none(old, new)


def _equal_but_for_none(old: Any, new: Any) -> bool:
    """A missing key and a key that is None are the same setting."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(_equal_but_for_none(old.get(key), new.get(key)) for key in {*old, *new})
    return bool(old == new)


def test_writing_replaces_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file.txt"
    results.write(path, "first")
    results.write(path, b"second")
    assert path.read_bytes() == b"second"

    def broken(_descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        results.write(path, "third")
    assert path.read_bytes() == b"second"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_loading_tidy_results(tmp_path: Path) -> None:
    assert list(results.load("table2", "quick", tmp_path).columns) == results.COLUMNS
    for variant, seed in [("full", 0), ("full", 1), ("svq", 0), ("bicubic", 0), ("foreign", 0)]:
        rows = {"dataset": "Set5", "lr_origin": "stored-replicate", "convention": "rcan", "image": ["001", "002"]}
        table = pd.DataFrame({**rows, "psnr": [30.0, float("inf")], "ssim": [0.9, 1.0]})
        run = Run("quick", variant, 4, seed, tmp_path)
        results.write(run.path("quality.csv"), table.to_csv(index=False))
        if variant == "bicubic":
            run.describe({"source": "baseline"}, {})
        if seed:
            run.describe({"source": "published weights", "ensemble": True}, {})
    loaded = results.load("table2", "quick", tmp_path)
    assert list(loaded.columns) == results.COLUMNS
    assert loaded["image"].tolist() == ["001", "002"] * 4
    assert loaded.groupby(["variant", "seed"], sort=False).ngroups == 4
    assert loaded.drop_duplicates("variant")["source"].tolist() == ["baseline", "run", "run"]
    ensembled = loaded[loaded["ensemble"]]
    assert set(ensembled["source"]) == {"published weights"} and set(ensembled["seed"]) == {1}
    assert loaded["psnr"].max() == float("inf")


@pytest.mark.parametrize("file", ["quality.csv", "provenance.json", "run.yaml"])
def test_damaged_files_are_named(run: Run, file: str) -> None:
    finish(run, STAGES)
    run.path(file).write_text("{][", encoding="utf-8")
    with pytest.raises(results.ResultsError, match=file):
        if file == "quality.csv":
            results.load("table2", "quick", run.root)
        else:
            run.state(STAGES)
