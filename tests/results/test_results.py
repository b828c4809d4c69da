"""How runs lie on disk: files, states, hashes, atomic writes, loading."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import results
from results import Run, processes
from results.state import RunState, state

SETS = {"Set5": {"data": "ab", "images": 2}}
STAGES: dict[str, dict[str, Any]] = {
    "train": {"model": "spin", "seed": 0, "training": {"iterations": 40, "betas": (0.9, 0.999)}},
    "evaluate": {"model": "spin", "weights": "w", "sets": SETS},
    "cost": {"model": "spin", "costing": {"repeats": 3}},
}
ROWS = "dataset,lr_origin,convention,image,psnr,ssim\nSet5,stored,rcan,a,30.0,0.9\nSet5,stored,rcan,b,inf,1.0\n"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run("quick", "full", 4, 0, tmp_path)


def finish(run: Run, stages: Mapping[str, Mapping[str, Any]] = STAGES) -> None:
    """Store every stage as the suite does."""
    run.describe({"variant": run.variant}, stages)
    weights = run.write("weights.safetensors", "weights")
    files = {"weights.safetensors": weights, "training.csv": run.write("training.csv", "iteration,loss\n")}
    run.record("train", results.digest(stages["train"]), {"seconds": 1}, files)
    run.path("measured").mkdir(exist_ok=True)
    entries = {}
    for name, settings in stages["evaluate"]["sets"].items():
        file = f"measured/{name}.csv"
        written = run.write(file, ROWS.replace("Set5", name))
        entries[name] = {"file": file, "sha256": written, "hash": results.digest(settings)}
    common = results.digest({key: value for key, value in stages["evaluate"].items() if key != "sets"})
    files = {"quality.csv": run.write("quality.csv", ROWS)} | {one["file"]: one["sha256"] for one in entries.values()}
    run.record("evaluate", common, {"inputs": {"weights.safetensors": weights}, "sets": entries}, files)
    files = {"cost.json": run.write("cost.json", json.dumps({"parameters": 1}))}
    run.record("cost", results.digest(stages["cost"]), {}, files)


def test_states_of_a_run(run: Run) -> None:
    assert state(run, STAGES) == RunState(("train", "evaluate", "cost"), ("Set5",))
    run.describe({}, STAGES)
    assert state(run, STAGES).word == "unfinished"
    finish(run)
    assert state(run, STAGES) == RunState(())
    assert state(run, STAGES).word == "finished"


def test_a_training_under_other_settings_is_refused_and_says_why(run: Run) -> None:
    finish(run)
    train = {**STAGES["train"], "training": {"iterations": 60, "betas": (0.9, 0.999)}, "ema": 0.9}
    found = state(run, {**STAGES, "train": train})
    assert (found.word, found.pending) == ("stale", ())
    assert found.stale == ("train: training.iterations: 40 -> 60; ema: None -> 0.9",)
    assert found.refused == "was trained under other settings (training.iterations: 40 -> 60; ema: None -> 0.9)"


def test_a_half_done_training_under_other_settings_is_refused_too(run: Run) -> None:
    run.describe({}, STAGES)
    other = {**STAGES, "train": {**STAGES["train"], "seed": 1}}
    assert state(run, other).refused is None  # nothing was done yet
    run.write("checkpoint.pt", "a hundred steps")
    assert "seed: 0 -> 1" in str(state(run, other).refused)
    assert state(run, STAGES).pending == ("train", "evaluate", "cost")


def test_a_set_is_measured_by_itself(run: Run) -> None:
    finish(run)
    evaluate = STAGES["evaluate"]
    more = {**evaluate, "sets": {**SETS, "Set14": {"data": "cd", "images": 14}}}
    assert state(run, {**STAGES, "evaluate": more}) == RunState(("evaluate",), ("Set14",))
    fewer = {**evaluate, "sets": {}}
    assert state(run, {**STAGES, "evaluate": fewer}) == RunState(())
    other = state(run, {**STAGES, "evaluate": {**evaluate, "sets": {"Set5": {"data": "ef", "images": 2}}}})
    assert (other.pending, other.sets) == (("evaluate",), ("Set5",))
    assert other.stale == ("evaluate: Set5.data: ab -> ef",)


def test_an_evaluation_is_bound_to_the_bytes_of_the_weights(run: Run) -> None:
    finish(run)
    files = {"weights.safetensors": run.write("weights.safetensors", "trained again")}
    run.record("train", results.digest(STAGES["train"]), {}, files)
    found = state(run, STAGES)
    assert (found.pending, found.sets) == (("evaluate",), ("Set5",))
    assert "other weights than were measured" in found.stale[0]


def test_what_is_cheap_is_made_again_and_a_training_never(run: Run) -> None:
    for file, stage in (("quality.csv", "evaluate"), ("measured/Set5.csv", "evaluate"), ("cost.json", "cost")):
        finish(run)
        run.path(file).write_text("{}")
        assert state(run, STAGES).pending == (stage,)
        assert state(run, STAGES).word == "damaged"
        run.path(file).unlink()
        assert state(run, STAGES).pending == (stage,)
    finish(run)
    run.path("weights.safetensors").write_text("flipped")
    assert state(run, STAGES).pending == ()
    assert "weights.safetensors: damaged or replaced" in str(state(run, STAGES).refused)
    run.path("weights.safetensors").unlink()  # to save room: what was measured with them stays true
    assert state(run, STAGES) == RunState((), gone=True)
    assert state(run, STAGES).word == "finished" and "was removed" in state(run, STAGES).remarks[0]
    more = {**STAGES["evaluate"], "sets": {"Set14": {}}}
    assert "is missing" in str(state(run, {**STAGES, "evaluate": more}).refused)


@pytest.mark.parametrize("file", ["run.yaml", "provenance.json"])
def test_every_flipped_bit_of_a_description_is_noticed(run: Run, file: str) -> None:
    finish(run)
    content = run.path(file).read_bytes()
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 4
        run.path(file).write_bytes(damaged)
        same = (yaml.safe_load(content) == _parsed(damaged)) if file == "run.yaml" else False
        assert same or file in run.damage(), position
    run.path(file).write_bytes(content[: len(content) // 2])
    assert file in run.damage()
    run.path(file).write_bytes(b"")
    assert file in run.damage()


def _parsed(content: bytes) -> Any:
    try:
        return yaml.safe_load(bytes(content))
    except (yaml.YAMLError, UnicodeDecodeError):
        return None


def test_a_description_of_another_run_is_refused(run: Run) -> None:
    run.describe({"variant": "svq", "seed": 0}, STAGES)
    with pytest.raises(results.ResultsError, match=r"run.yaml: belongs to another run \(variant svq\)"):
        run.description()


def test_runs_of_the_first_format_still_count(run: Run) -> None:
    """It had no hash of itself, no SHA-256 of files, and hashed the machine and how training was watched."""
    trained = {"device": "cpu", "dtype": "float32", "threads": 2}
    training = {"data": "x", "iterations": 40, "betas": [0.9, 0.999], "workers": 4, "checkpoint_every": 5}
    train = {**STAGES["train"], "training": {**training, "validation": None}, **trained}
    stages = {"train": train, "cost": {**STAGES["cost"], **trained}}
    results.write(run.path("run.yaml"), yaml.safe_dump({"hash": results.digest(stages), "stages": stages}))
    records = {name: {"hash": results.digest(stage)} for name, stage in stages.items()}
    results.write(run.path("provenance.json"), json.dumps(records))
    for file in ("weights.safetensors", "cost.json"):
        results.write(run.path(file), json.dumps({"parameters": 1}))
    wanted = {"train": STAGES["train"], "cost": STAGES["cost"]}
    assert state(run, wanted) == RunState(())
    other = {**STAGES["train"], "training": {"iterations": 41, "betas": (0.9, 0.999)}}
    assert "iterations: 40 -> 41" in str(state(run, {"train": other}).refused)


def test_nothing_stored_is_lost_when_a_run_is_set_aside(run: Run) -> None:
    places = []
    for number in range(3):
        finish(run)
        run.path("quality.csv").write_text(str(number))
        places.append(run.set_aside())
    assert len(set(places)) == 3
    assert [(place / "quality.csv").read_text() for place in places] == ["0", "1", "2"]
    assert not run.folder.exists()
    assert results.runs("table2", "quick", run.root) == []


def test_a_removed_folder_is_not_made_anew(run: Run) -> None:
    with pytest.raises(results.ResultsError, match="was removed while the run was at work"):
        run.write("quality.csv", ROWS)
    assert not run.folder.exists()


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
    assert results.changed_settings(old, old) == []
    assert bool(results.changed_settings(old, new)) != _equal_but_for_none(old, new)


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
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match=r"No space left on device: '.*file.txt'"):
        results.write(path, "third")
    assert path.read_bytes() == b"second"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


# Loading


def stored(root: Path, variant: str, seed: int = 0, scale: int = 4, **header: Any) -> Run:
    """A run with quality, described as a definition of Table 2 has it unless the header says otherwise."""
    run = Run("quick", variant, scale, seed, root)
    finish(run)
    run.describe({"source": "baseline" if variant == "bicubic" else "run", **header}, {})
    return run


def test_loading_tidy_results(tmp_path: Path) -> None:
    assert list(results.load("table2", "quick", root=tmp_path).columns) == results.COLUMNS
    for variant, seed in [("full", 0), ("full", 1), ("svq", 0), ("bicubic", 0), ("foreign", 0)]:
        stored(tmp_path, variant, seed)
    loaded = results.load("table2", "quick", root=tmp_path)
    assert list(loaded.columns) == results.COLUMNS
    assert loaded["image"].tolist() == ["a", "b"] * 4
    assert loaded.groupby(["variant", "seed"], sort=False).ngroups == 4
    assert loaded.drop_duplicates("variant")["source"].tolist() == ["baseline", "run", "run"]
    assert loaded["psnr"].max() == float("inf")
    assert loaded.equals(results.load("table2", "quick", None, root=tmp_path))
    assert results.load("table2", "quick", "float", root=tmp_path).empty


def test_only_current_runs_are_loaded(tmp_path: Path) -> None:
    """An experiment's row showed another experiment's network, and trained weights stood for published ones."""
    run = stored(tmp_path, "full")
    train = {"model": "spin", "config": {"blocks": 2}}
    run.describe({"source": "run", "defaults": {"blocks": 8}}, {"train": train})
    stored(tmp_path, "svq", source="published weights")
    stored(tmp_path, "patch", ensemble=True)
    stored(tmp_path, "parallel", seed=3)
    found = results.collect("table2", "quick", tmp_path)
    assert [run.name for run in found.runs] == ["parallel-x4-s3"]
    assert {each.run.variant: each.reason for each in found.left_out} == {
        "full": "of another definition (config.blocks: 2 -> 8)",
        "svq": "of another definition (weights: published weights -> run)",
        "patch": "of another definition (ensemble: True -> False)",
    }


def test_an_override_that_equals_the_default_is_the_same_network(tmp_path: Path) -> None:
    """`full` is 8 blocks in Table 2; run.yaml says what a network's defaults were."""
    run = stored(tmp_path, "full")
    config = {"blocks": 8, "reach": "neighbours"}
    run.describe({"defaults": config}, {"train": {"model": "spin", "config": config}})
    assert [run.name for run in results.runs("table2", "quick", tmp_path)] == ["full-x4-s0"]
    run.describe({"defaults": config}, {"train": {"model": "spin", "config": {**config, "reach": "all"}}})
    assert results.runs("table2", "quick", tmp_path) == []


def test_scales_beyond_the_experiment_are_found(tmp_path: Path) -> None:
    stored(tmp_path, "full", scale=2)
    assert [run.name for run in results.runs("table2", "quick", tmp_path)] == ["full-x2-s0"]


def test_names_of_images_stay_as_they_are(tmp_path: Path) -> None:
    run = stored(tmp_path, "full")
    text = ROWS.replace("rcan,a", "rcan,NA").replace("rcan,b", "rcan,null")
    record = run.provenance()["evaluate"]
    run.record("evaluate", record["hash"], record, {"quality.csv": run.write("quality.csv", text)})
    assert results.load("table2", "quick", root=tmp_path).image.tolist() == ["NA", "null"]


@pytest.mark.parametrize("file", ["quality.csv", "provenance.json", "run.yaml"])
def test_damaged_files_are_named_and_left_out(tmp_path: Path, file: str) -> None:
    run = stored(tmp_path, "full")
    stored(tmp_path, "svq")
    run.path(file).write_text("{][", encoding="utf-8")
    found = results.collect("table2", "quick", tmp_path)
    assert set(found.frame.variant) == {"svq"}
    assert [str(each).startswith(f"full-x4-s0: {file} ") for each in found.left_out] == [True]


def test_remarks_on_a_training() -> None:
    first = {"device": {"name": "A"}, "threads": 2}
    assert processes.remarks(first) == []
    assert processes.remarks({**first, "earlier": [first]}) == ["interrupted and resumed on the same machine"]
    (remark,) = processes.remarks({**first, "varying": "put_ does not have a deterministic implementation"})
    assert remark.endswith("(put_ does not have a deterministic implementation): not the same bits twice")
