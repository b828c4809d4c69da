"""Verdicts by measured numbers, which are tested: what supports a claim, what contradicts it, and what does neither."""

from __future__ import annotations

import dataclasses

import pytest

import results
from ablations import Experiment
from reports.claims import Verdict, conditions, judge_study
from reports.contrasts import Contrast, compute_contrasts
from reports.statistics import LEVEL
from reports.tables import PUBLISHED_WEIGHTS
from tests.reports.claim_cases import (
    BETTER,
    PAIR,
    PEAK,
    SECOND,
    SETS,
    SMALLER,
    Leads,
    experiment,
    only,
    stored,
)


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
def test_measured_numbers_are_tested(claimed: Experiment, leads: Leads, word: str) -> None:
    verdict = only(stored(claimed, leads)).measured
    assert verdict.word == word
    assert verdict.evidence


def test_the_evidence_tells_difference_interval_p_and_images() -> None:
    verdict = only(stored(PEAK, {"a": 0.0, "b": 0.5, "c": 0.8})).measured
    assert verdict.reason.startswith("2 of 4 comparisons hold, 2 significantly contrary.")
    assert verdict.evidence[0].startswith("×4 Set")
    for part in ("PSNR: B against C −0.3", " [−0.3", "], corrected p < 0.001, 14 images, 3 trainings of each"):
        assert part in verdict.evidence[0]


def test_one_training_decides_nothing() -> None:
    """Nor do several seeds of one network against one of another."""
    verdict = only(stored(BETTER, {"a": 0.5, "b": 0.2, "c": 0.0}, seeds=1)).measured
    assert (verdict.word, verdict.scope) == ("undecided", "one training")
    assert verdict.reason == "0 of 8 comparisons hold, 8 between single trainings, which decide nothing."
    assert "1 training of each" in verdict.evidence[0]
    mixed = stored(PAIR, {"a": 0.5, "b": 0.0})
    frame = mixed.frame[(mixed.frame.variant != "b") | (mixed.frame.seed == 0)]
    verdict = only(dataclasses.replace(mixed, frame=frame)).measured
    assert (verdict.word, verdict.scope) == ("undecided", "one training")


def test_published_weights_are_one_training_and_say_so() -> None:
    leads = {"a": 0.5, "b": 0.2, "c": 0.0}
    verdict = only(stored(BETTER, leads, sources=dict.fromkeys("abc", PUBLISHED_WEIGHTS))).measured
    assert (verdict.word, verdict.scope) == ("supported", "")
    assert verdict.reason.endswith(" Each network is one published training.")


@pytest.mark.parametrize(
    ("leads", "word"),
    [
        ({"a": 0.5, "b": 0.2, "c": 0.0}, "agrees in direction"),
        ({"a": 0.5, "b": 0.2, "c": {"Set5": 0.0, "Set14": 0.8}}, "disagrees in direction"),
        ({"a": 0.5, "b": 0.5, "c": 0.0}, "open"),
    ],
)
def test_a_short_training_has_words_of_its_own(leads: Leads, word: str) -> None:
    """Its networks differ in how fast they learn, too: it neither supports nor contradicts a paper."""
    verdict = only(stored(BETTER, leads, budget=3000)).measured
    assert (verdict.word, verdict.scope) == (word, "at 3,000 iterations")
    once = only(stored(BETTER, leads, budget=3000, seeds=1)).measured
    assert (once.word, once.scope) == ("open", "one training, at 3,000 iterations")
    sizes = only(stored(SMALLER, leads, costs={"a": 1e5, "b": 2e5, "c": 3e5}, budget=3000)).measured
    assert (sizes.word, sizes.scope) == ("supported", "")  # parameters need no training


def test_a_claim_is_judged_on_the_sets_at_hand() -> None:
    one = stored(BETTER, {"a": 0.5, "b": 0.2, "c": 0.0})
    frame = one.frame[one.frame.dataset == "Set14"]
    table = one.table[one.table.dataset == "Set14"]
    verdict = only(dataclasses.replace(one, frame=frame, table=table)).measured
    assert verdict.word == "supported"
    assert verdict.reason == "4 of 4 comparisons hold. Not measured: ×4 Set5."


def test_a_set_too_small_for_a_test_neither_contradicts_nor_supports_alone() -> None:
    small = {"Set5": 5}
    right, wrong = {"a": 0.5, "b": 0.0, "c": 0.0}, {"a": {"Set5": -0.5, "Set14": 0.5}, "b": 0.0, "c": 0.0}
    assert only(stored(BETTER, right, images=small)).measured.word == "supported"
    verdict = only(stored(BETTER, right, images={"Set5": 5, "Set14": 5})).measured
    assert (verdict.word, verdict.reason) == (
        "undecided", "0 of 8 comparisons hold, 8 in the right direction on too few images for a test.",
    )  # fmt: skip
    verdict = only(stored(BETTER, wrong, images=small)).measured
    assert (verdict.word, verdict.reason) == ("undecided", "4 of 8 comparisons hold, 4 not significant.")
    assert all("Set5" in line and "no test, 5 images" in line for line in verdict.evidence)
    assert only(stored(BETTER, wrong)).measured.word == "contradicted"


def test_many_comparisons_are_corrected_for() -> None:
    """p of a single comparison is below the level, that of the four of a claim is not."""
    leads, sources = {"a": 0.5, "b": 0.0, "c": 0.5}, dict.fromkeys("abc", PUBLISHED_WEIGHTS)
    few = {"Set5": 6}
    assert only(stored(PAIR, leads, images=few, sources=sources)).measured.word == "supported"
    assert only(stored(BETTER, {**leads, "c": 0.0}, images=few, sources=sources)).measured.word == "undecided"


def test_all_claims_of_an_experiment_are_corrected_together() -> None:
    """The first claim alone is supported; beside seven others, its p of 0.03 proves nothing."""
    leads, sources = {"a": 0.5, "b": 0.0, "c": 0.0}, dict.fromkeys("abc", PUBLISHED_WEIGHTS)
    several = PAIR.model_copy(update={"claims": {"one": PAIR.claims["claim"], "two": BETTER.claims["claim"]}})
    words = {
        one.id: one.measured.word for one in judge_study(stored(several, leads, images={"Set5": 6}, sources=sources))
    }
    assert words == {"one": "undecided", "two": "undecided"}


@pytest.mark.parametrize(
    ("differences", "word"),
    [
        ([0.1 + i / 1000 for i in range(13)] + [-0.1], "supported"),
        ([0.1 + i / 1000 for i in range(13)] + [-0.6], "undecided"),  # the interval of the mean spans zero
        ([0.01 + i / 1e5 for i in range(85)] + [-1 - i / 1e5 for i in range(15)], "undecided"),  # most are better
        ([-0.01 - i / 1e5 for i in range(85)] + [-1 - i / 1e5 for i in range(15)], "contradicted"),
    ],
)
def test_interval_and_test_must_agree(differences: list[float], word: str) -> None:
    sources = dict.fromkeys("ab", PUBLISHED_WEIGHTS)
    one = stored(PAIR, {"a": 0.0, "b": 0.0}, images=dict.fromkeys(SETS, len(differences)), sources=sources)
    frame = one.frame.copy()
    here = frame.dataset == "Set5"
    base = frame.psnr[here & (frame.variant == "b")].to_numpy()
    frame.loc[here & (frame.variant == "a"), "psnr"] = base + differences
    (row,) = compute_contrasts(frame, [Contrast(4, "Set5", "a", "b", "psnr")]).itertuples()
    assert row.p < LEVEL
    assert only(dataclasses.replace(one, frame=frame)).measured.word == word


def test_other_lr_images_are_not_compared() -> None:
    one = stored(PAIR, {"a": 0.5, "b": 0.0})
    changed = (one.frame.variant == "a") & (one.frame.image == "003")
    frame = one.frame.assign(lr_origin=one.frame.lr_origin.mask(changed, "imresize-symmetric"))
    told = "A and B: not measured on the same images"
    assert only(one).measured.word == "supported"
    assert only(dataclasses.replace(one, frame=frame)).measured == Verdict(
        "undecided", f"Nothing can be compared. {told}.", [f"{told}, at ×4 Set5"]
    )


def test_networks_below_bicubic_tell_nothing() -> None:
    leads = {"a": 0.5, "b": 0.2, "c": 0.0}
    verdict = only(stored(BETTER, leads, bicubic=30.3)).measured
    assert (verdict.word, verdict.reason) == (
        "undecided", "Training was too short to decide: networks are below bicubic interpolation.",
    )  # fmt: skip
    assert verdict.evidence[0].startswith("×4 Set5 PSNR: B 30.2")
    assert verdict.evidence[0].endswith("(protocol cpu)")
    assert {line.split(": ")[1][0] for line in verdict.evidence} == {"B", "C"}
    published = dict.fromkeys("abc", PUBLISHED_WEIGHTS)
    assert only(stored(BETTER, leads, bicubic=30.3, sources=published)).measured.word == "supported"


def test_a_part_of_a_set_and_other_sources_are_not_compared() -> None:
    leads = {"a": 0.5, "b": 0.2, "c": 0.0}
    verdict = only(stored(BETTER, leads, of_images={"Set14": 100})).measured
    assert verdict.reason == "4 of 4 comparisons hold. Not measured: ×4 Set14."
    verdict = only(stored(BETTER, leads, of_images=dict.fromkeys(SETS, 100))).measured
    assert verdict.evidence == ["A: only 14 of 100 images measured, at ×4 Set5, ×4 Set14"]
    verdict = only(stored(BETTER, leads, sources={"b": PUBLISHED_WEIGHTS, "c": PUBLISHED_WEIGHTS})).measured
    told = "A and B: a network trained here is not compared with published weights"
    assert (verdict.word, verdict.reason) == ("undecided", f"Nothing can be compared. {told}.")
    assert verdict.evidence[0] == f"{told}, at ×4 Set5, ×4 Set14"


def test_runs_of_another_protocol_are_named_and_not_mixed() -> None:
    one = stored(BETTER, {"b": 0.2, "c": 0.0}, sources={"b": PUBLISHED_WEIGHTS, "c": PUBLISHED_WEIGHTS})
    one = dataclasses.replace(one, others=[results.Run("quick", "a", 4, 0)])
    told = "A: measured only under protocol quick; protocols are not mixed"
    places = "×4 Set5, ×4 Set14"
    assert only(one).measured == Verdict("undecided", f"Nothing can be compared. {told}.", [f"{told}, at {places}"])


def test_nothing_measured() -> None:
    told = "A: not measured"
    verdict = only(stored(BETTER)).measured
    assert verdict == Verdict("undecided", f"Nothing can be compared. {told}.", [f"{told}, at ×4 Set5, ×4 Set14"])


def test_a_claim_may_be_about_some_sets_and_metrics() -> None:
    narrow = experiment(
        {"check": "better", "variants": ["a"], "datasets": ["Set14"], "metrics": ["ssim"]}, scales=(2, 4)
    )
    found = [one for condition in conditions(narrow.claims["claim"], narrow) for one in condition.contrasts]
    assert {(one.scale, one.dataset, one.metric, one.reference) for one in found} == {
        (scale, "Set14", "ssim", other) for scale in (2, 4) for other in "bc"
    }
