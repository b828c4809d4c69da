"""From experiment and protocol to runs: what determines a run, and what does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import ablations
from benchmarks.data import datasets
from benchmarks.data.images import DataError
from benchmarks.data.registry import entries
from benchmarks.runs import orchestrator
from benchmarks.runs.plan import Job, plan, without_stages

TINY = str(Path(__file__).parents[2] / "tiny.yaml")
CPU = torch.device("cpu")
SETS = {scale: ["embedded-test"] for scale in (2, 3, 4)}


def jobs(
    experiment: str = "table2", root: Path = Path("unused"), changes: dict[str, Any] | None = None, **options: Any
) -> list[Job]:
    protocol = ablations.load_protocol(TINY)
    training = protocol.training.model_copy(update=changes or {})
    protocol = protocol.model_copy(update={"training": training})
    definition = ablations.load_experiment(experiment)
    return plan(definition, TINY, protocol, device=CPU, sets=SETS, root=root, **options)


def names(jobs: list[Job]) -> list[str]:
    return [job.run.name for job in jobs]


def test_every_variant_once_and_bicubic_first() -> None:
    variants = list(ablations.load_experiment("table2").variants)
    assert names(jobs()) == ["bicubic-x4-s0", *(f"{variant}-x4-s0" for variant in variants)]
    narrowed = jobs(only=["svq"], scales=[2, 3, 2], seeds=[5, 6, 5])
    assert names(narrowed) == ["bicubic-x2-s0", "bicubic-x3-s0", "svq-x2-s5", "svq-x3-s5", "svq-x2-s6", "svq-x3-s6"]


def test_experiments_share_runs() -> None:
    full = {job.run.name: job for job in jobs("table2")}["full-x4-s0"]
    depth = {job.run.name: job for job in jobs("fig7")}["full-x4-s0"]
    assert (full.run, full.stages) == (depth.run, depth.stages)


def test_a_warm_start_comes_first_and_is_part_of_the_hash(tmp_path: Path) -> None:
    planned = jobs(only=["full"], root=tmp_path, changes={"warm_start": 2})
    assert names(planned) == ["bicubic-x2-s0", "bicubic-x4-s0", "full-x2-s0", "full-x4-s0"]
    assert planned[3].start == planned[2].run
    assert "start" not in planned[2].stages["train"]
    assert "start" in planned[3].stages["train"]


def test_an_evaluation_depends_on_its_training_and_its_data_only() -> None:
    first, longer = (jobs(only=["full"], changes={"iterations": n})[1].stages for n in (4, 5))
    assert first["train"] != longer["train"]
    assert first["evaluate"] != longer["evaluate"]  # other weights
    assert first["cost"] == longer["cost"]


def test_the_machine_and_how_training_is_watched_decide_nothing() -> None:
    """Each of these set a finished training aside: another device or thread count, workers, checkpoints, validation."""
    base = jobs(only=["full"])[1].stages
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        protocol, definition = ablations.load_protocol(TINY), ablations.load_experiment("table2")
        gpu = plan(definition, TINY, protocol, only=["full"], device=torch.device("cuda"), card="A card", sets=SETS)[1]
    finally:
        torch.set_num_threads(threads)
    assert {**gpu.stages, "cost": base["cost"]} == base
    assert gpu.stages["cost"] == {**base["cost"], "card": "A card"}  # costs belong to a card
    watched = jobs(only=["full"], changes={"workers": 3, "checkpoint_every": 1, "validation": None})[1].stages
    assert watched == base
    assert jobs(only=["full"], changes={"augment": False})[1].stages["train"] != base["train"]


def test_a_run_is_described_alike_whichever_stage_is_at_work() -> None:
    """Measuring the costs had removed the training data from run.yaml, and the report named the paper's alone."""
    for job in jobs(only=["full"]):
        for stage in job.stages:
            assert without_stages(job, [stage]).header == job.header
    assert job.header["training_data"] == "embedded-train"


def test_seeds_of_what_is_not_trained_are_refused(mirror_folder: Path) -> None:
    with pytest.raises(ablations.AblationError, match="seeds 3: protocol published trains nothing"):
        published_jobs(seeds=[3])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"only": ["ful"]}, "unknown variant 'ful'; did you mean 'full'"),
        ({"scales": [5]}, "scale must be one of"),
    ],
)
def test_wrong_choices_are_explained(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ablations.AblationError, match=words):
        jobs(**options)


def test_wrong_overrides_name_the_variant(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = (ablations.FOLDER / "table2.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("reach: all", "reech: all"), encoding="utf-8")
    with pytest.raises(ablations.AblationError, match="variant 'svq': spin has no configuration 'reech'; did you mean"):
        jobs(str(path))


def test_an_unknown_convention_is_refused_before_any_training() -> None:
    protocol = ablations.load_protocol(TINY)
    evaluation = protocol.evaluation.model_copy(update={"conventions": ["rkan"]})
    protocol = protocol.model_copy(update={"evaluation": evaluation})
    with pytest.raises(ablations.AblationError, match="rkan"):
        plan(ablations.load_experiment("table2"), TINY, protocol, device=CPU, sets=SETS)


# Published weights


def published_jobs(**options: Any) -> dict[str, Job]:
    protocol = ablations.load_protocol("published")
    definition = ablations.load_experiment("table1")
    planned = plan(definition, "published", protocol, device=CPU, sets=SETS, root=Path("unused"), **options)
    return {job.run.name: job for job in planned}


def test_published_weights_need_no_training(mirror_folder: Path) -> None:
    planned = published_jobs(scales=[4])
    assert set(planned["imdn-x4-s0"].stages) == {"evaluate", "cost"}
    assert planned["imdn-x4-s0"].header["source"] == "published weights"
    assert set(planned["full-x4-s0"].stages) == {"cost"}  # the protocol trains nothing
    assert "madnet-x4-s0" not in planned  # no network


def test_what_has_no_checkpoint_is_costed_and_says_why(mirror_folder: Path) -> None:
    planned = published_jobs()
    for name, words in [
        ("esrt-x4-s0", "no published checkpoint is registered"),
        ("carn-x4-s0", r"never verified here, and must first be fetched by name \(carn.pth\)"),
        ("latticenet-cl-x4-s0", "trained with another loss"),
        ("imdn-x3-s0", r"its checkpoint is not in the mirror \(IMDN_x3.pth\)"),
    ]:
        assert set(planned[name].stages) == {"cost"}
        assert re.fullmatch(f".*{words}.*", planned[name].header["status"])


def test_an_ensemble_is_another_evaluation_of_the_same_weights(mirror_folder: Path) -> None:
    planned = published_jobs(scales=[4])
    plain, ensemble = (planned[f"{name}-x4-s0"].stages for name in ("latticenet", "latticenet-plus"))
    assert plain["evaluate"]["weights"] == ensemble["evaluate"]["weights"]
    assert plain["evaluate"] != ensemble["evaluate"]
    assert plain["cost"] == ensemble["cost"]


def test_a_set_may_be_at_hand_at_some_scales_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))
    for entry in entries("Set14"):
        if entry.scale == 4 and "img_001" in entry.path:
            file = tmp_path / entry.path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    asked = ["Set14", "embedded-test", "Manga109"]
    assert orchestrator.available_sets(asked, 4) == ("Set14", "embedded-test")
    assert orchestrator.available_sets(asked, 2) == ("embedded-test",)
    with pytest.raises(DataError, match="Sett5"):
        orchestrator.available_sets(["Sett5"], 4)


def test_what_seeds_share_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of runs are planned in seconds: nothing but the run itself is looked up for each of them."""
    asked: list[str] = []
    get = datasets.get
    monkeypatch.setattr(datasets, "get", lambda name: asked.append(name) or get(name))
    definition, protocol = ablations.load_experiment("table2"), ablations.load_protocol(TINY)
    sets = {4: ["embedded-test"]}
    jobs = plan(
        definition, TINY, protocol, only=["full"], seeds=range(50), device=torch.device("cpu"), sets=sets, root=tmp_path
    )
    assert len(jobs) == 51 and len({job.run for job in jobs}) == 51
    assert sorted(asked) == ["embedded-test", "embedded-train"]
    jobs[1].stages["evaluate"]["sets"]["embedded-test"]["images"] = 7  # of one run alone
    assert jobs[2].stages["evaluate"]["sets"]["embedded-test"]["images"] == 2
