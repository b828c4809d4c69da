"""The paper's claims, judged twice: on its own printed numbers, and on what was measured here.

A claim is a set of conditions, and a condition a set of contrasts between two variants, of which some may be allowed to
fail. Printed numbers are compared as printed; ties neither support nor contradict, but share a place. Measured numbers
are compared over images and trainings: a difference counts if its interval excludes zero, its median has the same sign,
and its test is significant after correction over all contrasts of the experiment; a margin, if the interval that holds
for all contrasts of the experiment at once keeps it. A set that is too small for a test can neither contradict a claim
nor support it alone, and one training of each network decides nothing. A claim is judged on the sets at hand, and the
others are named.

Supported: every condition holds, at least one of them by a test. Contradicted: at least one fails. Undecided: neither.
These words are for published weights and for the paper's training. A shorter training says how fast networks learn as
much as how good they become: it agrees in direction with a claim, disagrees, or leaves it open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

from ablations import AtLeast, Better, Comparative, Equals, Experiment, Fact, Peak, Smaller, Undominated
from reports.contrasts import Contrast, compute_contrasts
from reports.facts import judge_fact
from reports.margins import as_claimed
from reports.numbers import shown
from reports.outcomes import ContrastOutcome, Outcomes, State, measured_outcomes, printed_outcomes, psnr_rows
from reports.pictures import PagePicture
from reports.statistics import holm, joint_intervals
from reports.study import Study
from reports.tables import METRICS, PUBLISHED_WEIGHTS
from results import BASELINE

MOST = 6  # lines of evidence for a verdict

Word = Literal["supported", "contradicted", "undecided", "agrees in direction", "disagrees in direction", "open"]
_OF_A_BUDGET: dict[Word, Word] = {
    "supported": "agrees in direction", "contradicted": "disagrees in direction", "undecided": "open",
}  # fmt: skip


class Verdict(NamedTuple):
    """`evidence` lists the contrasts that decide; for a supported claim, the closest ones first. `scope` limits the
    word: to a number of iterations, to one training."""

    word: Word
    reason: str
    evidence: list[str]
    scope: str = ""


class Judgement(NamedTuple):
    """A claim, with its verdicts by the printed and by the measured numbers."""

    id: str
    text: str
    source: str
    published: Verdict
    measured: Verdict


class Claims(NamedTuple):
    """The judgements of all experiments, and a summary in sentences; `printed`: some published number is known."""

    judgements: list[Judgement]
    summary: list[str]
    printed: bool


class Condition(NamedTuple):
    """Holds if all contrasts but `spare` do: the variant is better, or has a smaller cost, than the reference.

    A contrast of costs has the name of the cost as its metric, and no set.
    """

    contrasts: list[Contrast]
    spare: int = 0


def judge_study(study: Study, pictures: Sequence[PagePicture] = ()) -> list[Judgement]:
    """A judgement of every claim of a study's experiment, and of the `pictures` that some are about.

    Raises ResultsError where a measured number is missing.
    """
    judged = _judge_contests(study)
    for name, claim in study.experiment.claims.items():
        if isinstance(claim, Fact):
            verdicts = (Verdict(*finding) for finding in judge_fact(study, claim, pictures))
            judged[name] = Judgement(name, claim.text, claim.source, *verdicts)
    return [judged[name] for name in study.experiment.claims]


def _judge_contests(study: Study) -> dict[str, Judgement]:
    """The claims that compare variants, by name."""
    stated = {name: claim for name, claim in study.experiment.claims.items() if not isinstance(claim, Fact)}
    wanted = {name: conditions(claim, study.definition) for name, claim in stated.items()}
    needed = {name: [one for condition in found for one in condition.contrasts] for name, found in wanted.items()}
    tested = compute_contrasts(study.frame, dict.fromkeys(one for found in needed.values() for one in found))
    tested["p_holm"] = holm(tested.p)
    tested["joint_low"], tested["joint_high"] = joint_intervals(tested.low, tested.high, tested.freedom)
    rows = {Contrast(*row[: len(Contrast._fields)]): row for row in tested.itertuples(index=False)}
    return {
        name: Judgement(
            name,
            claim.text,
            claim.source,
            _on_published(study, wanted[name], as_claimed(study, claim, printed_outcomes(study, needed[name]))),
            _on_measured(
                study, wanted[name], as_claimed(study, claim, measured_outcomes(study, needed[name], rows), rows)
            ),
        )
        for name, claim in stated.items()
    }


_COUNTED = {
    "open": "open (measured, without a clear result)",
    "agrees in direction": "agreeing in direction",
    "disagrees in direction": "disagreeing in direction",
}  # the words of verdicts after a number of claims, where they are not the same


def judge_studies(studies: Iterable[Study], pictures: Sequence[PagePicture] = ()) -> Claims:
    """The judgements of several studies together."""
    studies = list(studies)
    judgements = [judgement for study in studies for judgement in judge_study(study, pictures)]
    sentences = []
    printed = any(study.table.published.notna().any() for study in studies)
    about = f"Of {len(judgements)} claims about these experiments" if len(judgements) > 1 else "Of the claim"
    for numbers, which in (("published", "the paper's own numbers"), ("measured", "the numbers measured here"))[
        not printed :
    ]:
        words = Counter(getattr(one, numbers).word for one in judgements)
        counts = [f"{words[word]} {_COUNTED.get(word, word)}" for word in get_args(Word) if words[word]]
        if counts:
            sentences.append(f"{about}, by {which}: {', '.join(counts)}.")
            about = "Of these"
    return Claims(judgements, sentences, printed)


def conditions(claim: Comparative, experiment: Experiment) -> list[Condition]:
    """What must hold for a claim."""
    scales = [scale for scale in experiment.scales if scale in (claim.scales or experiment.scales)]
    sets = [name for name in experiment.datasets if name in (claim.datasets or experiment.datasets)]
    metrics = ["psnr"] if isinstance(claim, AtLeast | Equals) else claim.metrics
    places = [(scale, name, metric) for scale in scales for name in sets for metric in metrics]

    def quality(cell: tuple[int, str, str], better: str, worse: str) -> Contrast:
        return Contrast(cell[0], cell[1], better, worse, cell[2])

    if isinstance(claim, Peak):
        by_x = sorted(experiment.variants, key=lambda name: experiment.variants[name].config[str(experiment.x)])
        steps, top = list(pairwise(by_x)), by_x.index(claim.at)
        falling = [(after, before) for before, after in steps[:top]] + steps[top:]
        return [Condition([quality(cell, *pair)]) for cell in places for pair in falling]
    rivals = experiment.rivals(claim)
    pairs = [(variant, other) for variant in claim.variants for other in rivals]
    if isinstance(claim, Smaller | Equals) and claim.cost:
        return [Condition([Contrast(scale, "", *pair, claim.cost)]) for scale in scales for pair in pairs]
    if isinstance(claim, Undominated):
        return [
            Condition([quality(cell, *pair), Contrast(cell[0], "", *pair, claim.cost)], spare=1)
            for cell in places
            for pair in pairs
        ]
    if not isinstance(claim, Better) or claim.places == 1:
        return [Condition([quality(cell, *pair)]) for cell in places for pair in pairs]
    return [
        Condition([quality(cell, variant, other) for other in rivals], spare=claim.places - 1)
        for cell in places
        for variant in claim.variants
    ]


def _on_published(study: Study, wanted: Sequence[Condition], outcomes: Outcomes) -> Verdict:
    if all(outcome.state == "missing" for outcome in outcomes.values()):
        form = "shows this only as a figure" if study.experiment.kind == "curve" else "states this without numbers"
        return Verdict("undecided", f"The paper {form}.", [])
    phrases: dict[State, str] = {
        "fails": "contrary", "open": "tied at the printed precision", "missing": "without a published value",
    }  # fmt: skip
    return _verdict(wanted, outcomes, phrases)


def _on_measured(study: Study, wanted: Sequence[Condition], outcomes: Outcomes) -> Verdict:
    compared = [one for one in outcomes if one.metric in METRICS]
    named = dict.fromkeys(name for one in compared for name in (one.variant, one.reference))
    if below := _below_bicubic(study, named):
        reason = "Training was too short to decide: networks are below bicubic interpolation."
        return _scoped(Verdict("undecided", reason, _capped(below)), study)
    if all(outcome.state == "missing" for outcome in outcomes.values()):
        first = next(outcome.text for outcome in outcomes.values())
        return Verdict("undecided", f"Nothing can be compared. {first}.", _capped(_missing(outcomes.values())))
    phrases: dict[State, str] = {
        "fails": "significantly contrary" if compared else "contrary",
        "open": "not significant" if compared else "too close to tell",
        "untested": "in the right direction on too few images for a test",
        "once": "between single trainings, which decide nothing", "missing": "not measured",
    }  # fmt: skip
    wanted, apart = _at_hand(wanted, outcomes)
    verdict = _verdict(wanted, outcomes, phrases)
    if apart:
        verdict = verdict._replace(reason=f"{verdict.reason} Not measured: {', '.join(apart)}.")
    sources = {row.source for (_, _, name), row in psnr_rows(study).items() if name in named}
    if sources == {PUBLISHED_WEIGHTS} and verdict.word != "undecided":
        verdict = verdict._replace(reason=f"{verdict.reason} Each network is one published training.")
    once = any(outcome.state == "once" for outcome in outcomes.values())
    return _scoped(verdict, study, once and verdict.word == "undecided") if "run" in sources else verdict


def _scoped(verdict: Verdict, study: Study, once: bool = False) -> Verdict:
    """A verdict on networks that were trained here, in the words of their budget."""
    scope = ["one training"] * once
    if study.budget is None:
        return verdict._replace(scope=", ".join(scope))
    return verdict._replace(
        word=_OF_A_BUDGET[verdict.word], scope=", ".join([*scope, f"at {study.budget:,} iterations"])
    )


def _at_hand(wanted: Sequence[Condition], outcomes: Outcomes) -> tuple[list[Condition], list[str]]:
    """The conditions on sets, at scales, on which anything was measured, and the places of the others."""
    places = {(one.scale, one.dataset): False for one in outcomes if one.metric in METRICS}
    for one, outcome in outcomes.items():
        if one.metric in METRICS and outcome.state != "missing":
            places[one.scale, one.dataset] = True
    absent = {place for place, measured in places.items() if not measured}
    left = [condition for condition in wanted if not absent & {(one.scale, one.dataset) for one in condition.contrasts}]
    return left, [f"×{scale} {dataset}" for scale, dataset in places if (scale, dataset) in absent]


def _verdict(wanted: Sequence[Condition], outcomes: Outcomes, phrases: Mapping[State, str]) -> Verdict:
    judged = [
        (_state(known, condition.spare), known)
        for condition in wanted
        if (known := [outcomes[one] for one in condition.contrasts if one in outcomes])
    ]
    states = Counter(state for state, _ in judged)
    unsettled = states["open"] + states["once"] + states["missing"]
    word: Word
    if states["fails"]:
        word, deciding = "contradicted", {"fails"}
    elif states["holds"] and not unsettled:
        word, deciding = "supported", {"holds", "untested"}
    else:
        word, deciding = "undecided", {"open", "once", "missing"} if unsettled else {"untested"}
    found = [outcome for state, known in judged if state in deciding for outcome in known]
    settled = {"missing"} if word == "supported" else {"missing", "holds"}
    lines = sorted((one for one in found if one.state not in settled), key=lambda one: one.lead)
    evidence = _capped([f"{one.place}: {one.text}" for one in lines])
    if word == "undecided":
        evidence += _capped(_missing(found))
    noun = "conditions" if any(condition.spare for condition in wanted) else "comparisons"
    parts = [f"{states['holds']} of {len(judged)} {noun} hold"]
    parts += [f"{states[state]} {text}" for state, text in phrases.items() if states[state]]
    return Verdict(word, f"{', '.join(parts)}.", evidence)


def _state(outcomes: Sequence[ContrastOutcome], spare: int) -> State:
    """The state of a condition, which may hold or fail even if some of its contrasts are missing."""
    states = Counter(one.state for one in outcomes)
    if states["fails"] > spare:
        return "fails"
    if states["holds"] >= len(outcomes) - spare:
        return "holds"
    if states["holds"] + states["untested"] >= len(outcomes) - spare:
        return "untested"
    return "once" if states["once"] else "open" if states["open"] else "missing"


def _below_bicubic(study: Study, names: Iterable[str]) -> list[str]:
    """Where networks that were trained here have a lower PSNR than bicubic interpolation."""
    own, metric, found = psnr_rows(study), METRICS["psnr"], []
    for (scale, dataset, name), row in own.items():
        bicubic = own.get((scale, dataset, BASELINE))
        if name in names and row.source == "run" and bicubic is not None and row.measured < bicubic.measured:
            values = [shown(value, metric.decimals) for value in (row.measured, bicubic.measured)]
            values_text = f"{row.label} {values[0]}, bicubic {values[1]}"
            found.append(f"×{scale} {dataset} {metric.name}: {values_text} (protocol {row.protocol})")
    return found


def _missing(outcomes: Iterable[ContrastOutcome]) -> list[str]:
    """What is missing, and where, a line for each reason."""
    places: dict[str, dict[str, None]] = {}
    for one in outcomes:
        if one.state == "missing":
            places.setdefault(one.text, {})[one.place] = None
    return [f"{text}, at {', '.join(_capped(list(where)))}" for text, where in places.items()]


def _capped(lines: list[str]) -> list[str]:
    return lines if len(lines) <= MOST + 1 else [*lines[:MOST], f"and {len(lines) - MOST} more"]
