"""Verdicts: of the paper's own numbers, and of measured ones that are made to hold, to fail and to tell nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import pytest

import results
from ablations import Experiment
from reports import study
from reports.claims import MOST, Judgement, Verdict, conditions, judge_studies, judge_study
from reports.contrasts import Contrast, compute_contrasts
from reports.page import TEMPLATES
from reports.statistics import LEVEL
from reports.study import Study
from reports.tables import PUBLISHED_WEIGHTS, side_by_side
from results import BASELINE, COLUMNS

IMAGES = 14  # of every set, if not said: enough for a test
SETS = ("Set5", "Set14")
STATED = {"text": "A claim.", "source": "Table 0"}


def experiment(claim: Mapping[str, Any], kind: str = "table", scales: tuple[int, ...] = (4,)) -> Experiment:
    """Variants a, b and c, whose labels are capitals, with one claim."""
    return Experiment.model_validate(
        {
            "title": "Synthetic", "source": "Table 0", "kind": kind, "caption": "None.", "label": "tab:none",
            "scales": list(scales), "datasets": list(SETS), "reference": "a",
            "x": "blocks" if kind == "curve" else None,
            "variants": {
                name: {"label": name.upper(), "model": "spin", "config": {"blocks": x}, "published": name.upper()}
                for x, name in enumerate("abc")
            },
            "claims": {"claim": {**STATED, **claim}},
        }
    )  # fmt: skip


Leads = Mapping[str, float | Mapping[str, float]]  # of a variant over c, in dB: everywhere, or by set


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Study]:
    """A function that makes a study of synthetic numbers."""
    empty = study.load_study("table2", "cpu", tmp_path_factory.mktemp("nothing"))

    def make(
        claimed: Experiment,
        leads: Leads | None = None,
        *,
        printed: Mapping[str, Mapping[str, float]] | None = None,
        costs: Mapping[str, float] | None = None,
        bicubic: float = 20.0,
        images: Mapping[str, int] | None = None,
        of_images: Mapping[str, int] | None = None,
        sources: Mapping[str, str] | None = None,
        seeds: int = 1,
        noise: float = 0.02,
    ) -> Study:
        """`printed`: PSNR by variant and set; SSIM is a hundredth of it. `costs`: parameters, and params as printed."""
        generator = np.random.default_rng(0)
        rows = []
        for variant, lead in {**({BASELINE: bicubic - 30} if leads else {}), **(leads or {})}.items():
            by_set = lead if isinstance(lead, Mapping) else dict.fromkeys(SETS, lead)
            for dataset, value in by_set.items():
                n = (images or {}).get(dataset, IMAGES)
                source = "baseline" if variant == BASELINE else (sources or {}).get(variant, "run")
                for seed in range(1 if variant == BASELINE else seeds):
                    for i, spread in enumerate(np.linspace(-3, 3, n) + generator.normal(0, noise, n)):
                        psnr = 30 + value + spread
                        rows.append(
                            ("table2", "cpu", variant, source, 4, seed, False, dataset, "stored", "rcan", f"{i:03}",
                             psnr, psnr / 100)
                        )  # fmt: skip
        frame = pd.DataFrame(rows, columns=COLUMNS)
        table = None
        if printed is not None:
            table = pd.DataFrame(
                [
                    (variant.upper(), 4, name, psnr, psnr / 100)
                    for variant, by_set in printed.items()
                    for name, psnr in by_set.items()
                ],
                columns=["method", "scale", "dataset", "psnr", "ssim"],
            )
        compared = side_by_side(claimed, frame, table, of_images)
        known = compared.variant.map(costs or {}).astype(float)
        compared = compared.assign(
            protocol="cpu", explanation="", params=known / 1000, parameters=known, macs=known * 1e6
        )
        return dataclasses.replace(empty, definition=claimed, experiment=claimed, frame=frame, table=compared)

    return make


Stored = Callable[..., Study]


def only(study: Study) -> Judgement:
    (judgement,) = judge_study(study)
    return judgement


BETTER = experiment({"check": "better", "variants": ["a"], "others": ["b", "c"]})
PAIR = experiment({"check": "better", "variants": ["a"], "others": ["b"], "datasets": ["Set5"], "metrics": ["psnr"]})
SECOND = experiment({"check": "better", "variants": ["a"], "places": 2})
SMALLER = experiment({"check": "smaller", "variants": ["a"], "others": ["b"], "cost": "parameters"})
FRONT = experiment({"check": "undominated", "variants": ["a"], "cost": "parameters", "metrics": ["psnr"]})
PEAK = experiment({"check": "peak", "at": "b", "metrics": ["psnr"]}, kind="curve")


def printed(**values: float | tuple[float, float]) -> dict[str, dict[str, float]]:
    pairs = {name: value if isinstance(value, tuple) else (value, value) for name, value in values.items()}
    return {name: dict(zip(SETS, pair, strict=True)) for name, pair in pairs.items()}


# published numbers: arithmetic


@pytest.mark.parametrize(
    ("claimed", "values", "word"),
    [
        (BETTER, printed(a=30.2, b=30.1, c=30.0), "supported"),
        (BETTER, printed(a=30.2, b=30.1, c=(30.0, 30.3)), "contradicted"),
        (BETTER, printed(a=30.2, b=30.2, c=30.0), "undecided"),
        (SECOND, printed(a=30.2, b=30.3, c=30.0), "supported"),
        (SECOND, printed(a=30.2, b=30.3, c=(30.0, 30.3)), "contradicted"),
        (SECOND, printed(a=30.2, b=30.2, c=30.0), "supported"),
        (SECOND, printed(a=30.2, b=30.2, c=30.2), "undecided"),
        (SECOND, printed(a=30.2, b=30.3, c=30.2), "undecided"),
        (PEAK, printed(a=30.0, b=30.2, c=30.1), "supported"),
        (PEAK, printed(a=30.0, b=30.2, c=(30.1, 30.2)), "undecided"),
        (PEAK, printed(a=30.0, b=30.1, c=30.2), "contradicted"),
        (PEAK, printed(a=30.3, b=30.2, c=30.1), "contradicted"),
    ],
)
def test_printed_numbers_are_compared_as_printed(
    stored: Stored, claimed: Experiment, values: dict[str, dict[str, float]], word: str
) -> None:
    verdict = only(stored(claimed, printed=values)).published
    assert verdict.word == word
    assert verdict.evidence


def test_the_reason_counts_and_the_evidence_is_what_decides(stored: Stored) -> None:
    verdict = only(stored(BETTER, printed=printed(a=30.2, b=(30.2, 30.1), c=(30.0, 30.3)))).published
    assert verdict.word == "contradicted"
    assert verdict.reason == "4 of 8 comparisons hold, 2 against it, 2 equal at the printed precision."
    assert set(verdict.evidence) == {"×4 Set14 PSNR: A 30.20, C 30.30", "×4 Set14 SSIM: A 0.3020, C 0.3030"}


def test_a_dash_of_a_rival_is_no_comparison_and_one_of_its_own_decides_nothing(stored: Stored) -> None:
    values = printed(a=30.2, b=30.1, c=30.0)
    del values["c"]["Set14"]
    assert only(stored(BETTER, printed=values)).published.reason == "6 of 6 comparisons hold."
    del values["a"]["Set14"]
    verdict = only(stored(BETTER, printed=values)).published
    assert (verdict.word, verdict.evidence) == ("undecided", ["A: no published value, at ×4 Set14"])


def test_without_numbers_nothing_is_decided(stored: Stored) -> None:
    assert only(stored(BETTER)).published == Verdict("undecided", "The paper tells this without numbers.", [])
    assert only(stored(PEAK, printed=printed(b=30.0))).published.word == "undecided"
    assert only(stored(PEAK, {"a": 0.0})).published.reason == "The paper tells this only as a picture."


def test_evidence_is_capped_and_says_so(stored: Stored) -> None:
    verdict = only(stored(BETTER, printed=printed(a=30.2, b=30.1, c=30.0))).published
    assert verdict.evidence[-1] == f"and {8 - MOST} more"
    assert len(verdict.evidence) == MOST + 1
    assert verdict.evidence[0].endswith("B 30.10")  # the closest first


# costs


def test_fewer_parameters_as_printed_and_as_counted(stored: Stored) -> None:
    values = printed(a=30.0, b=30.0)
    for b, words in ((500_001.0, ("supported", "supported")), (499_000.0, ("contradicted", "contradicted"))):
        found = only(stored(SMALLER, printed=values, costs={"a": 500_000.0, "b": b}))
        assert (found.published.word, found.measured.word) == words
    assert found.measured.evidence == ["×4 parameters: A 500,000, B 499,000"]
    equal = only(stored(SMALLER, printed=values, costs={"a": 500_000.0, "b": 500_000.0}))
    assert (equal.published.word, equal.measured.word) == ("undecided", "contradicted")
    unknown = only(stored(SMALLER, printed=values, costs={"a": 500_000.0}))
    assert unknown.measured.evidence == ["B: parameters not counted, at ×4"]


@pytest.mark.parametrize(
    ("lead", "size", "word"),
    [(0.5, 400.0, "supported"), (0.5, 600.0, "supported"), (-0.5, 600.0, "supported"), (-0.5, 400.0, "contradicted")],
)
def test_dominated_is_who_is_worse_and_larger(stored: Stored, lead: float, size: float, word: str) -> None:
    costs = {"a": 500_000.0, "b": size * 1000, "c": 900_000.0}
    found = only(
        stored(FRONT, {"a": lead, "b": 0.0, "c": -1.0}, printed=printed(a=30 + lead, b=30.0, c=29.0), costs=costs)
    )
    assert (found.published.word, found.measured.word) == (word, word)


# measured numbers: statistics


@pytest.mark.parametrize(
    ("claimed", "leads", "word"),
    [
        (BETTER, {"a": 0.5, "b": 0.2, "c": 0.0}, "supported"),
        (BETTER, {"a": 0.5, "b": 0.2, "c": {"Set5": 0.0, "Set14": 0.8}}, "contradicted"),
        (BETTER, {"a": 0.5, "b": 0.5, "c": 0.0}, "undecided"),
        (BETTER, {"a": 0.5, "b": 0.2}, "undecided"),
        (SECOND, {"a": 0.5, "b": 0.8, "c": 0.0}, "supported"),
        (SECOND, {"a": 0.5, "b": 0.8, "c": 0.5}, "undecided"),
        (SECOND, {"a": 0.5, "b": 0.8, "c": 0.9}, "contradicted"),
        (SECOND, {"a": 0.5, "b": 0.2}, "supported"),  # one may be missing, as one may be better
        (PEAK, {"a": 0.0, "b": 0.5, "c": 0.2}, "supported"),
        (PEAK, {"a": 0.0, "b": 0.5, "c": 0.8}, "contradicted"),
        (PEAK, {"a": 0.5, "b": 0.5, "c": 0.2}, "undecided"),
    ],
)
def test_measured_numbers_are_tested(stored: Stored, claimed: Experiment, leads: Leads, word: str) -> None:
    verdict = only(stored(claimed, leads)).measured
    assert verdict.word == word
    assert verdict.evidence


def test_the_evidence_tells_difference_interval_p_and_images(stored: Stored) -> None:
    verdict = only(stored(PEAK, {"a": 0.0, "b": 0.5, "c": 0.8})).measured
    assert verdict.reason.startswith("2 of 4 comparisons hold, 2 significantly against it. One training of each")
    assert verdict.evidence[0].startswith("×4 Set")
    for part in ("PSNR: B against C −0.3", " [−0.3", "], corrected p < 0.001, 14 images"):
        assert part in verdict.evidence[0]
    assert "One training" not in only(stored(PEAK, {"a": 0.0, "b": 0.5, "c": 0.8}, seeds=2)).measured.reason


def test_a_set_too_small_for_a_test_neither_contradicts_nor_supports_alone(stored: Stored) -> None:
    small = {"Set5": 5}
    right, wrong = {"a": 0.5, "b": 0.0, "c": 0.0}, {"a": {"Set5": -0.5, "Set14": 0.5}, "b": 0.0, "c": 0.0}
    assert only(stored(BETTER, right, images=small)).measured.word == "supported"
    verdict = only(stored(BETTER, right, images={"Set5": 5, "Set14": 5})).measured
    assert (verdict.word, verdict.reason) == (
        "undecided", "0 of 8 comparisons hold, 8 right on too few images for a test.",
    )  # fmt: skip
    verdict = only(stored(BETTER, wrong, images=small)).measured
    assert (verdict.word, verdict.reason) == ("undecided", "4 of 8 comparisons hold, 4 not significant.")
    assert all("Set5" in line and "no test, 5 images" in line for line in verdict.evidence)
    assert only(stored(BETTER, wrong)).measured.word == "contradicted"


def test_many_comparisons_are_corrected_for(stored: Stored) -> None:
    """p of a single comparison is below the level, that of the four of a claim is not."""
    leads = {"a": 0.5, "b": 0.0, "c": 0.5}
    assert only(stored(PAIR, leads, images={"Set5": 6})).measured.word == "supported"
    assert only(stored(BETTER, {**leads, "c": 0.0}, images={"Set5": 6})).measured.word == "undecided"


@pytest.mark.parametrize(
    ("differences", "word"),
    [
        ([0.1 + i / 1000 for i in range(13)] + [-0.1], "supported"),
        ([0.1 + i / 1000 for i in range(13)] + [-0.6], "undecided"),  # the interval of the mean spans zero
        ([0.01 + i / 1e5 for i in range(85)] + [-1 - i / 1e5 for i in range(15)], "undecided"),  # most are better
        ([-0.01 - i / 1e5 for i in range(85)] + [-1 - i / 1e5 for i in range(15)], "contradicted"),
    ],
)
def test_interval_and_test_must_agree(stored: Stored, differences: list[float], word: str) -> None:
    one = stored(PAIR, {"a": 0.0, "b": 0.0}, images=dict.fromkeys(SETS, len(differences)))
    frame = one.frame.copy()
    here = frame.dataset == "Set5"
    base = frame.psnr[here & (frame.variant == "b")].to_numpy()
    frame.loc[here & (frame.variant == "a"), "psnr"] = base + differences
    (row,) = compute_contrasts(frame, [Contrast(4, "Set5", "a", "b", "psnr")]).itertuples()
    assert row.p < LEVEL
    assert only(dataclasses.replace(one, frame=frame)).measured.word == word


def test_other_lr_images_are_not_compared(stored: Stored) -> None:
    one = stored(PAIR, {"a": 0.5, "b": 0.0})
    changed = (one.frame.variant == "a") & (one.frame.image == "003")
    frame = one.frame.assign(lr_origin=one.frame.lr_origin.mask(changed, "imresize-symmetric"))
    told = "A and B: not measured on the same images"
    assert only(one).measured.word == "supported"
    assert only(dataclasses.replace(one, frame=frame)).measured == Verdict(
        "undecided", f"Nothing can be compared. {told}.", [f"{told}, at ×4 Set5"]
    )


def test_networks_below_bicubic_tell_nothing(stored: Stored) -> None:
    leads = {"a": 0.5, "b": 0.2, "c": 0.0}
    verdict = only(stored(BETTER, leads, bicubic=30.3)).measured
    assert (verdict.word, verdict.reason) == (
        "undecided", "Not trained far enough to tell: networks end below bicubic.",
    )  # fmt: skip
    assert verdict.evidence[0].startswith("×4 Set5 PSNR: B 30.2")
    assert verdict.evidence[0].endswith("(protocol cpu)")
    assert {line.split(": ")[1][0] for line in verdict.evidence} == {"B", "C"}
    published = dict.fromkeys("abc", PUBLISHED_WEIGHTS)
    assert only(stored(BETTER, leads, bicubic=30.3, sources=published)).measured.word == "supported"


def test_a_part_of_a_set_and_other_sources_are_not_compared(stored: Stored) -> None:
    leads = {"a": 0.5, "b": 0.2, "c": 0.0}
    verdict = only(stored(BETTER, leads, of_images={"Set14": 100})).measured
    assert verdict.word == "undecided"
    assert verdict.evidence == ["A: only 14 of 100 images measured, at ×4 Set14"]
    verdict = only(stored(BETTER, leads, sources={"b": PUBLISHED_WEIGHTS, "c": PUBLISHED_WEIGHTS})).measured
    told = "A and B: one is trained here, and not compared with published weights"
    assert (verdict.word, verdict.reason) == ("undecided", f"Nothing can be compared. {told}.")
    assert verdict.evidence[0] == f"{told}, at ×4 Set5, ×4 Set14"


def test_runs_of_another_protocol_are_named_and_not_mixed(stored: Stored) -> None:
    one = stored(BETTER, {"b": 0.2, "c": 0.0}, sources={"b": PUBLISHED_WEIGHTS, "c": PUBLISHED_WEIGHTS})
    one = dataclasses.replace(one, others=[results.Run("quick", "a", 4, 0)])
    told = "A: measured under protocol quick only, and protocols are not mixed"
    places = "×4 Set5, ×4 Set14"
    assert only(one).measured == Verdict("undecided", f"Nothing can be compared. {told}.", [f"{told}, at {places}"])


def test_nothing_measured(stored: Stored) -> None:
    told = "A: not measured"
    verdict = only(stored(BETTER)).measured
    assert verdict == Verdict("undecided", f"Nothing can be compared. {told}.", [f"{told}, at ×4 Set5, ×4 Set14"])


def test_a_claim_may_be_about_some_sets_and_metrics(stored: Stored) -> None:
    narrow = experiment(
        {"check": "better", "variants": ["a"], "datasets": ["Set14"], "metrics": ["ssim"]}, scales=(2, 4)
    )
    found = [one for condition in conditions(narrow.claims["claim"], narrow) for one in condition.contrasts]
    assert {(one.scale, one.dataset, one.metric, one.reference) for one in found} == {
        (scale, "Set14", "ssim", other) for scale in (2, 4) for other in "bc"
    }


# the paper


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judgement]:
    root = tmp_path_factory.mktemp("nothing")
    studies = [study.load_study(name, "published", root) for name in ("table1", "table2", "fig7")]
    return {judgement.id: judgement for one in studies for judgement in judge_study(one)}


def test_the_papers_claims_in_its_own_numbers(verdicts: dict[str, Judgement]) -> None:
    assert {name: one.published.word for name, one in verdicts.items()} == {
        "transformers-lead": "contradicted",  # ESRT is behind CNNs
        "best-or-second": "undecided",  # a tie of three, and no Manga109
        "best": "contradicted",  # ELAN-light leads on Set14 at x2
        "smallest-transformer": "supported",
        "trade-off": "supported",
        "both-modules": "supported",
        "sequential": "undecided",  # Parallel equals Full on Set14
        "parallel-before-one": "supported",
        "superpixels-before-svq": "supported",
        "superpixels-before-patches": "supported",
        "eight-blocks": "undecided",  # a picture
    }
    assert all(one.measured.word == "undecided" for one in verdicts.values())


def test_where_transformers_do_not_lead(verdicts: dict[str, Judgement]) -> None:
    """Counted again, without the suite's machinery."""
    table = results.published("table1.csv")
    cnns = ["CARN", "IMDN", "AWSRN-M", "MADNet", "LAPAR-A", "RFDN", "GLADSR"]
    ours = table[table.method.isin(["SwinIR-light", "ESRT", "ELAN-light"])]
    pairs = ours.merge(table[table.method.isin(cnns)], on=["scale", "dataset"], suffixes=("", "_cnn"))
    leads = pd.concat([pairs.psnr - pairs.psnr_cnn, pairs.ssim - pairs.ssim_cnn])
    behind = pd.concat([pairs[pairs.psnr < pairs.psnr_cnn], pairs[pairs.ssim < pairs.ssim_cnn]])
    assert set(behind.method) == {"ESRT"}
    assert verdicts["transformers-lead"].published.reason == (
        f"{(leads > 0).sum()} of {len(leads)} comparisons hold, {len(behind)} against it, "
        f"{(leads == 0).sum()} equal at the printed precision."
    )
    assert "×4 Set5 SSIM: ESRT 0.8947, AWSRN-M 0.8954" in verdicts["transformers-lead"].published.evidence


def test_what_decides_in_the_papers_numbers(verdicts: dict[str, Judgement]) -> None:
    assert verdicts["best"].published.evidence == ["×2 Set14 PSNR: SPIN 33.90, ELAN-light 33.94"]
    assert verdicts["sequential"].published.evidence == ["×4 Set14 PSNR: Full 28.80, Parallel 28.80"]
    assert verdicts["best-or-second"].published.evidence == [
        "×2 Urban100 SSIM: SPIN 0.9340, SwinIR-light 0.9340",
        "×2 Urban100 SSIM: SPIN 0.9340, ELAN-light 0.9340",
        "SPIN: no published value, at ×2 Manga109, ×3 Manga109, ×4 Manga109",
    ]
    assert verdicts["smallest-transformer"].published.evidence[0] == "×3 parameters: SPIN 569K, ELAN-light 590K"
    assert verdicts["eight-blocks"].published.reason == "The paper tells this only as a picture."


# the page


def test_the_summary_counts(stored: Stored) -> None:
    several = [
        stored(BETTER, printed=values) for values in (printed(a=31.0, b=30.0, c=30.0), printed(a=29.0, b=30.0), {})
    ]
    assert judge_studies(several).summary == [
        "1 of 3 claims hold in the published numbers (1 contradicted, 1 undecided).",
        "0 of 3 claims hold in the measured numbers (0 contradicted, 3 undecided).",
    ]
    assert judge_studies([]).summary == []


def test_the_page_says_verdicts_in_words_and_escapes(stored: Stored) -> None:
    evil = "<script>alert(1)</script>"
    claimed = experiment({"check": "better", "variants": ["a"], "text": evil, "source": evil})
    claimed.variants["b"] = claimed.variants["b"].model_copy(update={"label": evil})
    told = judge_studies([stored(claimed, {"a": 0.5, "b": 0.2, "c": 0.0}, printed=printed(a=30.0, b=30.1, c=29.0))])
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    html = environment.get_template("claims.html").module.section(told)
    assert evil not in html
    assert html.count("&lt;script&gt;") >= 4
    assert "<strong>contradicted</strong>" in html
    assert "<strong>supported</strong>" in html
