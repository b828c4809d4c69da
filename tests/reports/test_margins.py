"""Leads and equalities within a margin, and shared places: printed, measured, counted."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from ablations import Experiment
from reports.costs import PYTORCH
from reports.study import Study
from tests.reports.claim_cases import SETS, experiment, only, printed, stored

LEAD = experiment({"check": "at_least", "lead": 0.05, "variants": ["a"], "others": ["b"]})
ALIKE = experiment({"check": "equals", "within": 0.05, "variants": ["a"], "others": ["b"]})
SIZE = experiment({"check": "equals", "cost": "parameters", "within": 0.05, "variants": ["a"], "others": ["b"]})
MEMORY = experiment({"check": "smaller", "cost": "memory", "variants": ["a"], "others": ["b"]})
SECOND = experiment({"check": "better", "variants": ["a"], "places": 2})


@pytest.mark.parametrize(
    ("claimed", "lead", "word"),
    [
        (LEAD, 0.05, "supported"),
        (LEAD, 0.06, "supported"),
        (LEAD, 0.04, "contradicted"),
        (LEAD, -0.06, "contradicted"),
        (ALIKE, 0.05, "supported"),
        (ALIKE, -0.05, "supported"),
        (ALIKE, 0.06, "contradicted"),
        (ALIKE, -0.06, "contradicted"),
    ],
)
def test_printed_margins_are_compared_in_printed_digits(claimed: Experiment, lead: float, word: str) -> None:
    verdict = only(stored(claimed, printed=printed(a=30.0 + lead, b=30.0))).published
    assert verdict.word == word
    assert len(verdict.evidence) == len(SETS)  # of PSNR alone


@pytest.mark.parametrize(
    ("claimed", "lead", "noise", "word"),
    [
        (LEAD, 0.2, 0.02, "supported"),
        (LEAD, 0.0, 0.02, "contradicted"),
        (LEAD, 0.06, 0.2, "undecided"),  # better, but is it by the margin?
        (ALIKE, 0.0, 0.02, "supported"),
        (ALIKE, 0.2, 0.02, "contradicted"),
        (ALIKE, 0.0, 0.4, "undecided"),  # not significantly different is not equal
    ],
)
def test_measured_margins_need_the_whole_interval(claimed: Experiment, lead: float, noise: float, word: str) -> None:
    assert only(stored(claimed, {"a": lead, "b": 0.0}, noise=noise, seeds=3)).measured.word == word


@pytest.mark.parametrize(("own", "word"), [(524_000.0, "supported"), (526_000.0, "contradicted")])
def test_equal_costs_are_equal_within_a_share(own: float, word: str) -> None:
    found = only(stored(SIZE, printed=printed(a=30.0, b=30.0), costs={"a": own, "b": 500_000.0}))
    assert (found.published.word, found.measured.word) == (word, word)
    assert found.measured.evidence == [f"×4 parameters: A {own:,.0f}, B 500,000 ({own / 5000 - 100:+.1f}%)"]
    unknown = only(stored(SIZE, printed=printed(a=30.0, b=30.0), costs={"a": own}))
    assert unknown.measured.evidence == ["B: parameters not counted, at ×4"]


def _with_memory(study: Study, *rows: tuple[str, str, float, str]) -> Study:
    columns = ["variant", "implementation", "memory_bytes", "memory_conditions"]
    return dataclasses.replace(study, timed=pd.DataFrame(rows, columns=columns).assign(scale=4))


@pytest.mark.parametrize(
    ("other", "word"), [(1.01, "undecided"), (1.3, "undecided"), (1.4, "supported"), (0.7, "contradicted")]
)
def test_memory_must_differ_by_more_than_its_measurement(other: float, word: str) -> None:
    """59.9 MiB against 59.3 contradicted the paper."""
    measured = ("a", "PyTorch", 1e8, "alike"), ("b", "PyTorch", other * 1e8, "alike")
    assert only(_with_memory(stored(MEMORY), *measured)).measured.word == word


def test_memory_is_compared_in_pytorch_where_it_was_measured_alike() -> None:
    measured = [("a", PYTORCH, 2.0**20, "here"), ("b", PYTORCH, 2.0**21, "here"), ("a", "kernels", 2.0**30, "here")]
    found = only(_with_memory(stored(MEMORY), *measured)).measured
    assert (found.word, found.evidence) == ("supported", ["×4 peak memory: A 1.0 MiB, B 2.0 MiB"])
    apart = [*measured[:1], ("c", PYTORCH, 1.0, "here"), ("b", PYTORCH, 2.0**21, "there")]
    found = only(_with_memory(stored(MEMORY), *apart)).measured
    assert (found.word, found.evidence) == ("undecided", ["B: peak memory not measured alike, at ×4"])


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (printed(a=30.2, b=30.2, c=30.2), "supported"),  # three firsts
        (printed(a=30.2, b=30.3, c=30.2), "supported"),  # two seconds
        (printed(a=30.2, b=30.3, c=30.3), "contradicted"),  # two firsts leave no second
    ],
)
def test_places_are_those_of_the_tables_marks(values: dict[str, dict[str, float]], word: str) -> None:
    one = stored(SECOND, printed=values)
    assert only(one).published.word == word
    marked = set(one.table[one.table.variant == "a"].published_mark)
    assert (marked <= {"best", "second"}) == (word == "supported")


def test_measured_ties_remain_undecided() -> None:
    assert only(stored(SECOND, {"a": 0.5, "b": 0.8, "c": 0.5})).measured.word == "undecided"
