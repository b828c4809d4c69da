"""Definitions: those that ship are valid and consistent, wrong ones are explained."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

import ablations
import models
import results
from ablations.schema import BASELINE


@pytest.fixture
def definition() -> dict[str, Any]:
    return yaml.safe_load((ablations.PROTOCOLS / "quick.yaml").read_text(encoding="utf-8"))


def reload(content: Any, folder: Path) -> ablations.Protocol:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return ablations.load_protocol(str(path))


def test_what_ships_is_valid() -> None:
    assert {"table1", "table2", "fig7"} <= set(ablations.experiment_names())
    assert {"quick", "cpu", "paper"} <= set(ablations.protocol_names())
    for name in ablations.protocol_names():
        ablations.load_protocol(name)
    for name in ablations.experiment_names():
        for variant in ablations.load_experiment(name).variants.values():
            if variant.model is not None:
                models.configuration(variant.model, **variant.config)


def test_an_id_means_the_same_network_everywhere() -> None:
    seen: dict[str, tuple[str, dict[str, Any]]] = {}
    for name in ablations.experiment_names():
        for id_, variant in ablations.load_experiment(name).variants.items():
            if variant.model is None:
                continue
            resolved = (variant.model, models.configuration(variant.model, **variant.config))
            assert seen.setdefault(id_, resolved) == resolved, (name, id_)


def test_every_file_says_first_what_it_costs() -> None:
    for path in [*ablations.FOLDER.glob("*.yaml"), *ablations.PROTOCOLS.glob("*.yaml")]:
        assert path.read_text(encoding="utf-8").startswith("# "), path


def test_the_ledger_decides_every_point_once() -> None:
    ids = [decision.id for decision in ablations.ledger()]
    assert len(ids) == len(set(ids))
    assert {"lr", "assoc", "grad", "ties", "home", "tokens", "metric-q", "select"} <= set(ids)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trainig": {}}, r"mine.yaml: unknown key 'trainig'; did you mean 'training'"),
        ({"seeds": []}, r"seeds: .*at least 1 item"),
        ({"seeds": [-1]}, r"seeds.0: .*greater than or equal to 0 \(found -1\)"),
        ({"title": None}, r"title: .*valid string \(found None\)"),
    ],
)
def test_mistakes_at_the_top_are_explained(
    definition: dict[str, Any], tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ablations.AblationError, match=words):
        reload({**definition, **change}, tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("bach_size", 4, r"unknown key 'training.bach_size'; did you mean 'batch_size'"),
        ("batch_size", 0, r"training.batch_size: .*greater than 0 \(found 0\)"),
        ("learning_rate", float("nan"), r"training.learning_rate: .*finite"),
        ("schedule", {"kind": "milestones"}, r"training.schedule: `milestones`"),
        ("schedule", {"kind": "milestones", "milestones": [9, 3]}, r"milestones must rise: \[9, 3\]"),
        ("schedule", {"kind": "cosine"}, r"training.schedule.kind: .*'one-cycle'.*\(found 'cosine'\)"),
        ("validation", {"data": "Set5", "evry": 3}, r"'training.validation.evry'; did you mean 'every'"),
        ("precision", "fp8", r"training.precision: .*'bfloat16'"),
        ("warm_start", 5, r"training.warm_start"),
    ],
)
def test_mistakes_inside_are_explained(
    definition: dict[str, Any], tmp_path: Path, key: str, value: Any, words: str
) -> None:
    definition["training"][key] = value
    with pytest.raises(ablations.AblationError, match=words):
        reload(definition, tmp_path)


NUMBERS = [True, "8", "eight", 8.5, None, [8]]


@pytest.mark.parametrize("place", [("seeds", 0), ("training", "batch_size"), ("costing", "latency_lr", 1)])
@pytest.mark.parametrize("value", [*NUMBERS, 8.0, 1.0e3])
def test_only_whole_numbers_are_whole_numbers(
    definition: dict[str, Any], tmp_path: Path, place: tuple[str | int, ...], value: object
) -> None:
    *parents, key = place
    at: Any = definition
    for parent in parents:
        at = at[parent]
    at[key] = value
    with pytest.raises(ablations.AblationError, match=rf"{place[-1]}: .*valid integer \(found ") as caught:
        reload(definition, tmp_path)
    assert "\n" not in str(caught.value)
    at[key] = 8
    reload(definition, tmp_path)


@pytest.mark.parametrize("value", [value for value in NUMBERS if value != 8.5 and value is not None])
def test_only_numbers_are_numbers_and_a_whole_one_will_do(
    definition: dict[str, Any], tmp_path: Path, value: object
) -> None:
    for place in ("learning_rate", "gradient_clip", "betas.0"):
        key, *index = place.split(".")
        definition["training"][key] = [value, 0.9] if index else value
        with pytest.raises(ablations.AblationError, match=rf"training.{place}: .*valid number \(found "):
            reload(definition, tmp_path)
        definition["training"][key] = [0, 0.9] if index else 1
        assert reload(definition, tmp_path).training is not None


def test_a_number_is_no_truth(definition: dict[str, Any], tmp_path: Path) -> None:
    for value in (1, "yes", "true"):
        definition["training"]["augment"] = value
        with pytest.raises(ablations.AblationError, match=r"training.augment: .*valid boolean"):
            reload(definition, tmp_path)


@pytest.mark.parametrize(("text", "value"), [("1e-3", 1e-3), ("1e3", 1e3), ("2.5E2", 250.0), (".5e+1", 5.0)])
def test_a_number_with_an_exponent_needs_no_point(tmp_path: Path, text: str, value: float) -> None:
    path = tmp_path / "mine.yaml"
    content = (ablations.PROTOCOLS / "quick.yaml").read_text(encoding="utf-8")
    path.write_text(content.replace("learning_rate: 1.0e-3", f"learning_rate: {text}"), encoding="utf-8")
    training = ablations.load_protocol(str(path)).training
    assert training is not None
    assert training.learning_rate == value


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("seeds", [0, 1, 0], r"seeds: duplicate 0 \(found \[0, 1, 0\]\)"),
        ("evaluation.datasets", ["Set5", "Set14", "Set5"], "evaluation.datasets: duplicate 'Set5'"),
        (
            "evaluation.datasets",
            ["mine/photos", "mine/photos/"],
            "duplicate 'mine/photos', expected each set once",
        ),
        (
            "evaluation.datasets",
            ["a=mine/photos", "a=yours/photos"],
            "'a=mine/photos': another set is called 'a' too",
        ),
        ("evaluation.conventions", ["rcan", "y8", "rcan"], "evaluation.conventions: duplicate 'rcan'"),
    ],
)
def test_what_counts_once_is_named_once(
    definition: dict[str, Any], tmp_path: Path, key: str, value: list[Any], words: str
) -> None:
    parent, _, last = key.rpartition(".")
    (definition[parent] if parent else definition)[last] = value
    with pytest.raises(ablations.AblationError, match=words) as caught:
        reload(definition, tmp_path)
    assert "\n" not in str(caught.value)


# What may stand before `.yaml`: it names folders of runs/ and report/
PLAIN = ["a", "9", "mine", "My-2.protocol_b", "a..b", "x" * 64]
NOT_PLAIN = ["..", "", ".hidden", "-x", "_x", "my protocol", "a\\b", "a:b", "ü", "a\n", "x" * 65, "~", "$HOME", "*"]


@pytest.mark.parametrize(
    ("noun", "stem"), list(itertools.product(["protocol", "experiment"], [*PLAIN, *NOT_PLAIN])), ids=repr
)
def test_a_files_name_may_name_a_folder(tmp_path: Path, noun: str, stem: str) -> None:
    source = {"protocol": ablations.PROTOCOLS / "quick.yaml", "experiment": ablations.FOLDER / "table2.yaml"}[noun]
    load = {"protocol": ablations.load_protocol, "experiment": ablations.load_experiment}[noun]
    path = tmp_path / f"{stem}.yaml"
    path.write_bytes(source.read_bytes())
    if stem in PLAIN:
        load(str(path))
        return
    with pytest.raises(ablations.AblationError, match=r"its name .* is used for folders, expected at most 64 letters"):
        load(str(path))


def test_files_that_are_no_definitions(tmp_path: Path) -> None:
    for content, words in [
        ("a: [1", "not valid YAML"),
        ("title: x\ntitle: y\n", "duplicate key 'title'"),
        ("!!python/object/apply:os.system ['touch executed']", "not valid YAML"),
        ("- 1\n", "valid dictionary"),
        ("\x00", "not valid YAML"),
        ("title: 2024-13-45\n", "not valid YAML"),
        ("title: " + 5000 * "[", "not valid YAML"),
    ]:
        path = tmp_path / "mine.yaml"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ablations.AblationError, match=words):
            ablations.load_protocol(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ablations.AblationError, match="cannot be read"):
        ablations.load_protocol(str(path))
    with pytest.raises(ablations.AblationError, match="no such protocol file"):
        ablations.load_protocol(str(tmp_path / "absent.yaml"))
    with pytest.raises(ablations.AblationError, match="unknown protocol 'quik'; did you mean 'quick'"):
        ablations.load_protocol("quik")


def test_experiments_must_be_consistent(tmp_path: Path) -> None:
    content = yaml.safe_load((ablations.FOLDER / "fig7.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "mine.yaml"
    for change, words in [
        ({"reference": "absent"}, "reference 'absent' is not one of the variants"),
        ({"x": None}, "a curve needs `x`"),
        ({"x": "channels"}, "variant 'depth-10' gives no number for 'channels'"),
        ({"variants": {**content["variants"], "../../etc": {"label": "x", "model": "spin"}}}, "pattern"),
        ({"scales": [5]}, "scales.0"),
        ({"scales": [4, 2, 4]}, r"scales: duplicate 4 \(found \[4, 2, 4\]\)"),
        ({"datasets": ["Set5", "Set5"]}, "datasets: duplicate 'Set5'"),
        (
            {"variants": {**content["variants"], "bicubic": content["variants"]["full"]}},
            "variant 'bicubic': this is the id",
        ),
        ({"variants": {"full": {"label": "x"}}}, "needs `status`"),
        ({"breakdown": ["ful"]}, r"breakdown: unknown variant 'ful'; did you mean 'full'\?"),
        ({"tradeoff": {"dataset": "Set5", "scale": 4}}, "tradeoff: belongs to a table; this experiment is a curve"),
        ({"kind": "table", "tradeoff": {"dataset": "Set5", "scale": 2}}, "tradeoff: Set5 at x2 is not in the exper"),
        (
            {"variants": {"full": {"label": "x", "model": "spin", "weights": "published", "config": {"blocks": 8}}}},
            "empty",
        ),
    ]:
        path.write_text(yaml.safe_dump({**content, **change}), encoding="utf-8")
        with pytest.raises(ablations.AblationError, match=words):
            ablations.load_experiment(str(path))


def test_a_variant_may_be_called_like_one_of_its_keys(tmp_path: Path) -> None:
    content = yaml.safe_load((ablations.FOLDER / "table2.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "mine.yaml"
    content["variants"]["label"] = {"label": "x", "model": "spin", "wieghts": "trained"}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ablations.AblationError, match=r"unknown key 'variants.label.wieghts'; did you mean 'weights'"):
        ablations.load_experiment(str(path))


def test_the_baselines_name_is_that_of_its_runs() -> None:
    assert results.BASELINE == BASELINE


def test_the_training_set_of_a_published_network_is_a_field() -> None:
    """What is not confirmed stays open."""
    table1 = ablations.load_experiment("table1").variants
    assert {name for name, one in table1.items() if one.trained_on is None} == {
        "madnet", "rfdn", "gladsr", "drsan", "latticenet-cl"
    }  # fmt: skip
    assert {name for name, one in table1.items() if one.trained_on == "DF2K"} == {"lapar-a", "bsrn"}
