"""A report of an experiment that is being executed, or was interrupted, says of each missing run why it is missing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pandas as pd
import pytest

from reports import study
from reports.incomplete import lines
from reports.render import render
from results import LeftOut, Run, definitions
from results.activity import Activity, activity_file, tell
from tests.reports.conftest import Store, storing
from tests.reports.pages import Page

HERE = "node7"  # another machine: its process is taken to be alive for half an hour


def begin(root: Path, variant: str, seed: int, step: int | None = None, like: str = "full-x4-s0") -> Run:
    """A run whose training has begun, described as a stored one of the same protocol."""
    run = Run("quick", variant, 4, seed, root)
    content = Run.at(root / "runs" / "quick" / like).description() or {}
    train = {**content["stages"]["train"], "seed": seed}
    header = {key: value for key, value in content.items() if key not in ("format", "hash", "stages")}
    run.describe({**header, "variant": variant, "seed": seed}, {**content["stages"], "train": train})
    if step is not None:
        run.write("training.csv", f"iteration,loss,learning_rate,seconds\n{step},9.5,0.001,70\n")
    return run


def ask(root: Path, *wanted: tuple[str, int]) -> None:
    definitions.remember("quick", "table2", root)
    definitions.ask("quick", [Run("quick", variant, 4, seed, root) for variant, seed in wanted], root)


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """Full and bicubic are there; of the others that were asked for, each is missing for another reason."""
    store = storing(tmp_path)
    store("bicubic", psnr=24.0)
    store("full")
    store("only-ispa", training={"iterations": 7})
    names = ["patch", "only-spca", "parallel", "only-ispa"]
    ask(tmp_path, ("bicubic", 0), *(("full", seed) for seed in range(5)), *((name, 0) for name in names))
    tell(begin(tmp_path, "patch", 0, 20), Activity(HERE, 1, 0.0, "train", 20, 60, "loss 9.50"))
    begin(tmp_path, "parallel", 0).write("failure.txt", "Traceback ...\nOSError: No space left on device\n\n")
    begin(tmp_path, "only-spca", 0, 30)
    return tmp_path


def test_each_missing_run_is_named_with_its_state_and_the_reason(interrupted: Path) -> None:
    page = Page(render(["table2"], "quick", interrupted))
    at = pd.Timestamp(activity_file(Run("quick", "patch", 4, 0, interrupted)).stat().st_mtime, unit="s")
    told = [
        f"Running: Patch seed 0: step 20 of 60 on {HERE}, last sign of life {at:%Y-%m-%d %H:%M}",
        "Failed: Parallel seed 0: OSError: No space left on device.",
        "Stale: Only ISPA seed 0: of another definition (training.iterations: 7 -> 60).",
        "Pending: Only SPCA seed 0: stopped after step 30 of 60; Full seeds 1–4: nothing yet.",
        "* Some runs of this row are missing.",
    ]
    folder = interrupted / "report" / "quick"
    markdown = (folder / "table2.md").read_text().replace("&gt;", ">").replace("\\*", "*")
    latex = (folder / "table2.tex").read_text().replace("\\ensuremath{>}", ">").replace("--", "–")
    for text in (page.text, markdown, latex):
        assert [line for line in told if line not in text] == []
    words = {"Patch": "running", "Only SPCA": "pending", "Parallel": "failed", "Only ISPA": "stale"}
    assert {label: page.row(label)[-1] for label in words} == words
    assert page.row("Full *")[-1].startswith("25.00")
    assert "SVQ" not in "".join(told) and page.row("SVQ")[-1] == "–"  # it was never asked for
    assert r"Parallel} & meas. &  &  &  & – \\" not in latex and "failed" not in latex.lower().replace("failed:", "")
    table = pd.read_csv(folder / "table2.csv").query("dataset == 'embedded-test' and metric == 'psnr'")
    assert dict(zip(table.label, table.status, strict=True)).items() >= words.items()


def test_a_page_before_the_first_result_says_what_runs(tmp_path: Path, store: Store) -> None:
    """A table or curve without any value had no place for it."""
    definitions.remember("quick", "switches", tmp_path)
    definitions.ask("quick", [Run("quick", "exp", 4, seed, tmp_path) for seed in (0, 1)], tmp_path)
    definitions.ask("quick", [Run("quick", "depth-4", 4, 0, tmp_path)], tmp_path)
    page = Page(render(["fig7", "switches"], "quick", tmp_path))
    label = study.load_study("switches", "quick", tmp_path).experiment.variants["exp"].label
    assert f"Pending: {label} seeds 0–1: nothing yet." in page.text
    assert page.text.count("seed 0: nothing yet.") == 1


def test_thirty_missing_runs_are_a_line_and_many_reasons_are_cut() -> None:
    runs = [Run("quick", variant, 4, seed) for variant in "abcdef" for seed in (0, 1, 2, 4, 5)]
    assert lines([LeftOut(run, "nothing yet", "pending") for run in runs], {}) == [
        f"Pending: {', '.join(f'{name} seeds 0–2, 4–5' for name in 'abcdef')}: nothing yet."
    ]
    (told,) = lines([LeftOut(run, f"step {index}", "running") for index, run in enumerate(runs)], {"a": "Full"})
    assert told.startswith("Running: Full seed 0: step 0; Full seed 1: step 1; ")
    assert told.endswith("b seed 0: step 5; and 24 more runs.")


def test_a_run_that_ends_leaves_the_list(interrupted: Path) -> None:
    """Silent for half an hour, going on after a failure, and finished."""
    patch, parallel = (Run("quick", name, 4, 0, interrupted) for name in ("patch", "parallel"))
    old = time.time() - 3600
    content = activity_file(patch).read_text()
    told = content.partition('"told": ')[2].rstrip("}")
    activity_file(patch).write_text(content.replace(told, str(old)))
    os.utime(parallel.path("failure.txt"), (old, old))
    parallel.write("checkpoint.pt", b"")
    storing(interrupted)("only-spca")
    found = study.load_study("table2", "quick", interrupted).incomplete
    assert found[-1] == (
        "Pending: Parallel seed 0, Full seeds 1–4: nothing yet; Patch seed 0: stopped after step 20 of 60."
    )
    assert not any(line.startswith(("Running", "Failed")) or "Only SPCA" in line for line in found)
