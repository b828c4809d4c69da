"""Names of variants and networks in an experiment's YAML, in any spelling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import ablations

CONTENT: dict[str, Any] = {
    "title": "t", "source": "s", "kind": "table", "caption": "c", "label": "l", "scales": [4], "datasets": ["Set5"],
    "reference": "SPIN", "ours": ["Full"], "breakdown": ["Swinir Light"],
    "variants": {
        "full": {"label": "SPIN", "model": "SPIN"},
        "swinir-light": {"label": "SwinIR-light", "model": "SwinIR-light"},
        "carn.m": {"label": "CARN-M", "model": "Carn M"},
    },
    "claims": {
        "best": {
            "text": "t", "source": "s", "check": "better", "variants": ["spin"], "others": ["SWINIR_LIGHT", "CARN.M"],
        }
    },
}  # fmt: skip


def load(path: Path, content: dict[str, Any]) -> ablations.Experiment:
    path.write_text(yaml.safe_dump(content))
    return ablations.load_experiment(str(path))


def test_every_spelling_means_the_same_definition(tmp_path: Path) -> None:
    found = load(tmp_path / "mine.yaml", CONTENT)
    assert {key: variant.model for key, variant in found.variants.items()} == {
        "full": "spin", "swinir-light": "swinir_light", "carn.m": "carn_m",
    }  # fmt: skip
    assert (found.reference, found.ours, found.breakdown) == ("full", ["full"], ["swinir-light"])
    claim = found.claims["best"]
    assert isinstance(claim, ablations.Better)
    assert (claim.variants, claim.others) == (["full"], ["swinir-light", "carn.m"])


def test_the_rows_of_a_table_are_spelled_freely_too(tmp_path: Path) -> None:
    rows = load(tmp_path / "mine.yaml", CONTENT | {"table": {"rows": "Carn.M, SPIN"}})
    assert rows.table.rows == ["carn.m", "full"]
    groups = load(tmp_path / "mine.yaml", CONTENT | {"table": {"groups": {"Mine": ["spin"], "Others": "SwinIR-light"}}})
    assert groups.table.variants == ["full", "swinir-light"]


@pytest.mark.parametrize("name", ["full", "Full", "spin", "SPIN"])
def test_spin_is_also_called_full(name: str) -> None:
    assert ablations.load_experiment("table1").variant_named(name) == "full"
    assert ablations.load_experiment("table2").variant_named(name) == "full"


def test_a_variant_called_full_of_another_network_is_not_spin(tmp_path: Path) -> None:
    variants = CONTENT["variants"] | {"full": {"label": "BSRN", "model": "bsrn"}}
    content = CONTENT | {"variants": variants, "reference": "full", "claims": {}}
    assert load(tmp_path / "mine.yaml", content).variant_named("spin") is None


def test_an_ambiguous_or_unknown_name_is_refused_with_the_nearest(tmp_path: Path) -> None:
    variants = {"a-b": {"label": "1", "model": "imdn"}, "a--b": {"label": "2", "model": "imdn"}}
    content = CONTENT | {"variants": variants, "ours": [], "breakdown": [], "claims": {}}
    assert load(tmp_path / "mine.yaml", content | {"reference": "a-b"}).reference == "a-b"
    with pytest.raises(ablations.AblationError, match="reference 'a_b' is not one of the variants"):
        load(tmp_path / "mine.yaml", content | {"reference": "a_b"})
    with pytest.raises(ablations.AblationError, match=r"ours: unknown variant 'a-c'; did you mean 'a--?b'"):
        load(tmp_path / "mine.yaml", content | {"reference": "a-b", "ours": ["a-c"]})
