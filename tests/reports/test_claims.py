"""Verdicts by published numbers and costs, the conditions of claims, and how the page shows them."""

from __future__ import annotations

import jinja2
import pytest

from ablations import Experiment
from reports.claims import MOST, Verdict, judge_studies
from reports.page import TEMPLATES
from tests.reports.claim_cases import (
    BETTER,
    FRONT,
    PEAK,
    SECOND,
    SMALLER,
    experiment,
    only,
    printed,
    stored,
)


@pytest.mark.parametrize(
    ("claimed", "values", "word"),
    [
        (BETTER, printed(a=30.2, b=30.1, c=30.0), "supported"),
        (BETTER, printed(a=30.2, b=30.1, c=(30.0, 30.3)), "contradicted"),
        (BETTER, printed(a=30.2, b=30.2, c=30.0), "undecided"),
        (SECOND, printed(a=30.2, b=30.3, c=30.0), "supported"),
        (SECOND, printed(a=30.2, b=30.3, c=(30.0, 30.3)), "contradicted"),
        (SECOND, printed(a=30.2, b=30.2, c=30.0), "supported"),
        (PEAK, printed(a=30.0, b=30.2, c=30.1), "supported"),
        (PEAK, printed(a=30.0, b=30.2, c=(30.1, 30.2)), "undecided"),
        (PEAK, printed(a=30.0, b=30.1, c=30.2), "contradicted"),
        (PEAK, printed(a=30.3, b=30.2, c=30.1), "contradicted"),
    ],
)
def test_printed_numbers_are_compared_as_printed(
    claimed: Experiment, values: dict[str, dict[str, float]], word: str
) -> None:
    verdict = only(stored(claimed, printed=values)).published
    assert verdict.word == word
    assert verdict.evidence


def test_the_reason_counts_and_the_evidence_is_what_decides() -> None:
    verdict = only(stored(BETTER, printed=printed(a=30.2, b=(30.2, 30.1), c=(30.0, 30.3)))).published
    assert verdict.word == "contradicted"
    assert verdict.reason == "4 of 8 comparisons hold, 2 contrary, 2 tied at the printed precision."
    assert set(verdict.evidence) == {"×4 Set14 PSNR: A 30.20, C 30.30", "×4 Set14 SSIM: A 0.3020, C 0.3030"}


def test_a_dash_of_a_rival_is_no_comparison_and_one_of_its_own_decides_nothing() -> None:
    values = printed(a=30.2, b=30.1, c=30.0)
    del values["c"]["Set14"]
    assert only(stored(BETTER, printed=values)).published.reason == "6 of 6 comparisons hold."
    del values["a"]["Set14"]
    verdict = only(stored(BETTER, printed=values)).published
    assert (verdict.word, verdict.evidence) == ("undecided", ["A: no published value, at ×4 Set14"])


def test_without_numbers_nothing_is_decided() -> None:
    assert only(stored(BETTER)).published == Verdict("undecided", "The paper states this without numbers.", [])
    assert only(stored(PEAK, printed=printed(b=30.0))).published.word == "undecided"
    assert only(stored(PEAK, {"a": 0.0})).published.reason == "The paper shows this only as a figure."


def test_evidence_is_capped_and_says_so() -> None:
    verdict = only(stored(BETTER, printed=printed(a=30.2, b=30.1, c=30.0))).published
    assert verdict.evidence[-1] == f"and {8 - MOST} more"
    assert len(verdict.evidence) == MOST + 1
    assert verdict.evidence[0].endswith("B 30.10")  # the closest first


# costs


def test_fewer_parameters_as_printed_and_as_counted() -> None:
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
def test_dominated_is_who_is_worse_and_larger(lead: float, size: float, word: str) -> None:
    costs = {"a": 500_000.0, "b": size * 1000, "c": 900_000.0}
    found = only(
        stored(FRONT, {"a": lead, "b": 0.0, "c": -1.0}, printed=printed(a=30 + lead, b=30.0, c=29.0), costs=costs)
    )
    assert (found.published.word, found.measured.word) == (word, word)


def test_the_summary_counts() -> None:
    several = [
        stored(BETTER, printed=values) for values in (printed(a=31.0, b=30.0, c=30.0), printed(a=29.0, b=30.0), {})
    ]
    assert judge_studies(several).summary == [
        "Of 3 claims about these experiments, by the paper's own numbers: 1 supported, 1 contradicted, 1 undecided.",
        "Of these, by the numbers measured here: 3 undecided.",
    ]
    assert judge_studies([]).summary == []


def test_the_page_says_verdicts_in_words_and_escapes() -> None:
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
