"""Claims in definitions: wrong ones are explained in one line, and whom a claim is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import ablations

CLAIM = {"text": "Full is better.", "source": "Table 2", "check": "better", "variants": ["full"], "others": ["svq"]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"variants": ["ful"]}, r"mine.yaml: claim 'mine': unknown variant 'ful'; did you mean 'full'\? known: full"),
        ({"others": ["svg"]}, r"claim 'mine': unknown variant 'svg'; did you mean 'svq'\?"),
        ({"others": ["svq", "full"]}, r"claim 'mine': 'full' is listed both in variants and in others"),
        ({"datasets": ["BSD100"]}, r"claim 'mine': unknown dataset 'BSD100'; did you mean 'BSDS100'\?"),
        ({"scales": [2]}, r"claim 'mine': unknown scale '2'; known: 4"),
        ({"scales": [5]}, r"mine.yaml: claims.mine.scales.0: .*2, 3 or 4 \(found 5\)"),
        ({"metrics": ["pnsr"]}, r"mine.yaml: claims.mine.metrics.0: .*'psnr' or 'ssim' \(found 'pnsr'\)"),
        ({"places": 0}, r"claims.mine.places: .*greater than 0 \(found 0\)"),
        ({"places": 2}, r"claim 'mine': places: 2 always holds with 1 others"),
        ({"check": "beter"}, r"claims.mine.check: unknown check 'beter'; did you mean 'better'\? known: better"),
        ({"check": None}, r"claims.mine.check: unknown check 'None'; known: better, smaller"),
        ({"check": "smaller"}, r"the key 'claims.mine.cost' is missing"),
        ({"check": "smaller", "cost": "weight"}, r"claims.mine.cost: .*'macs' or 'memory' \(found 'weight'\)"),
        ({"others": ["svq", "svq"]}, r"claims.mine.others: duplicate 'svq'"),
        ({"metrics": ["psnr", "psnr"]}, r"claims.mine.metrics: duplicate 'psnr'"),
        ({"rivals": ["svq"]}, r"unknown key 'claims.mine.rivals'; .*known: .*others"),
        ({"other": ["svq"]}, r"unknown key 'claims.mine.other'; did you mean 'others'\?"),
        ({"text": ...}, r"the key 'claims.mine.text' is missing"),
        ({"check": ...}, r"the key 'claims.mine.check' is missing; known: better, smaller, undominated, peak"),
        ({"check": "peak", "at": "full", "variants": ..., "others": ...}, r"a peak needs a curve"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["mine", "peak"])  # a claim may be called like a check
def test_mistakes_in_claims_are_explained_in_one_line(
    tmp_path: Path, name: str, change: dict[str, Any], words: str
) -> None:
    content = yaml.safe_load((ablations.FOLDER / "table2.yaml").read_text(encoding="utf-8"))
    claim = {key: value for key, value in (CLAIM | change).items() if value is not ...}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**content, "claims": {name: claim}}), encoding="utf-8")
    expected = words.replace("claim 'mine'", f"claim '{name}'").replace("claims.mine", f"claims.{name}")
    with pytest.raises(ablations.AblationError, match=expected) as caught:
        ablations.load_experiment(str(path))
    assert "\n" not in str(caught.value)


def test_a_claim_needs_another_variant_to_compare_with(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for name, claim, words in (
        (
            "table2",
            {"check": "smaller", "cost": "parameters", "variants": ["full"]},
            "no other variants to compare",
        ),
        ("fig7", {"check": "peak", "at": "full"}, "more than one variant"),
    ):
        content = yaml.safe_load((ablations.FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
        content |= {"variants": {"full": content["variants"]["full"]}, "breakdown": []}
        content["claims"] = {"mine": {"text": "Full is best.", "source": "Table 2", **claim}}
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        with pytest.raises(ablations.AblationError, match=f"claim 'mine': .*{words}"):
            ablations.load_experiment(str(path))


def test_a_claim_is_compared_with_the_rows_of_the_papers_table() -> None:
    experiment = ablations.load_experiment("table1")
    rivals = experiment.rivals(experiment.claims["best-or-second"])
    assert rivals == [name for name, one in experiment.variants.items() if one.published and name != "full"]
    assert "bsrn" not in rivals
    assert experiment.rivals(experiment.claims["smallest-transformer"]) == ["swinir-light", "esrt", "elan-light"]


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (
            {"check": "at_least", "lead": 0, "variants": ["full"], "others": ["svq"]},
            r"claims.mine.lead: .*greater than 0",
        ),
        (
            {"check": "at_least", "lead": 0.1, "variants": ["full"], "others": ["svq"], "metrics": ["ssim"]},
            r"claim 'mine': metrics: the margin is one of PSNR",
        ),
        ({"check": "equals", "variants": ["full"], "others": ["svq"]}, r"the key 'claims.mine.within' is missing"),
        ({"check": "equals", "within": 0.1, "variants": ["full"], "others": ["svg"]}, r"unknown variant 'svg'"),
        ({"check": "printed", "of": "colours"}, r"claims.mine.of: .*'parameters' or 'marks' \(found 'colours'\)"),
        ({"check": "printed", "of": "marks", "datasets": ["Set6"]}, r"unknown dataset 'Set6'; did you mean 'Set5'"),
        ({"check": "part", "variants": ["ful"], "module": "spca"}, r"claim 'mine': unknown variant 'ful'"),
        ({"check": "images", "picture": "crop", "variants": ["full"]}, r"claims.mine.picture: .*'comparison'"),
        ({"check": "images", "picture": "comparison", "variants": ["full"], "scales": [4]}, r"unknown key .*scales"),
        ({"check": "unmeasured"}, r"the key 'claims.mine.missing' is missing"),
    ],
)
def test_mistakes_in_other_kinds_of_claims_are_explained(tmp_path: Path, claim: dict[str, Any], words: str) -> None:
    content = yaml.safe_load((ablations.FOLDER / "table2.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**content, "claims": {"mine": {"text": "x", "source": "y", **claim}}}))
    with pytest.raises(ablations.AblationError, match=words) as caught:
        ablations.load_experiment(str(path))
    assert "\n" not in str(caught.value)


def test_printed_numbers_need_a_published_table(tmp_path: Path) -> None:
    content = yaml.safe_load((ablations.FOLDER / "switches.yaml").read_text(encoding="utf-8"))
    content["claims"] = {"mine": {"text": "x", "source": "y", "check": "printed", "of": "marks"}}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ablations.AblationError, match="claim 'mine': the experiment has no published table"):
        ablations.load_experiment(str(path))
