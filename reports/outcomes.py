"""Outcomes of contrasts between two variants, in the paper's printed numbers and in the measured ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from reports.contrasts import Contrast, mixes_sources
from reports.costs import in_pytorch
from reports.numbers import p_value, shown, signed
from reports.statistics import LEVEL
from reports.study import Study
from reports.tables import METRICS, unknown
from reports.tradeoff import MEMORY_VARIES, QUANTITIES

COST_METRICS = {
    "parameters": "parameters",
    "macs": "MACs",
    "memory": "peak memory",
}  # metrics of which less is better, and which have no set

# untested: the right sign on too small a set; once: one training of each, whose difference may be chance
State = Literal["holds", "fails", "open", "untested", "once", "missing"]
PsnrRows = Mapping[tuple[int, str, str], Any]  # scale, set, variant -> a row of a study's table


class ContrastOutcome(NamedTuple):
    """The outcome of a contrast at a scale, on a set, in a metric; `lead` is in units of the last printed digit."""

    state: State
    place: str
    text: str
    lead: float = math.nan


Outcomes = Mapping[Contrast, ContrastOutcome]


def costs_of(study: Study, printed: bool) -> dict[tuple[int, str, str], float]:
    """What variants cost, by scale, variant and cost: as `printed`, or as counted and measured.

    Memory is that in PyTorch, where it was measured like most others at that scale.
    """
    table = study.table
    if printed:
        return {
            (row.scale, row.variant, "parameters"): 1000 * row.params
            for row in table[table.params.notna()].itertuples()
        }
    rows = list(table.itertuples())
    found = {(row.scale, row.variant, cost): getattr(row, cost) for row in rows for cost in ("parameters", "macs")}
    timed = in_pytorch(study.timed)
    for _, column in timed[timed.memory_bytes.notna()].groupby("scale"):
        alike = column[column.memory_conditions == column.memory_conditions.mode().iloc[0]]
        found |= {(row.scale, row.variant, "memory"): row.memory_bytes for row in alike.itertuples()}
    return {place: value for place, value in found.items() if not math.isnan(value)}


def printed_outcomes(study: Study, needed: Iterable[Contrast]) -> Outcomes:
    """Outcomes in the paper's numbers; none if it prints a value of the variant but a dash for the reference."""
    table = study.table
    values = {
        (row.scale, row.dataset, row.variant, row.metric): row.published
        for row in table[table.published.notna()].itertuples()
    }
    values |= {(scale, "", name, cost): value for (scale, name, cost), value in costs_of(study, printed=True).items()}
    lost = {(row.scale, row.dataset, row.variant): row.published_note for row in table[unknown(table)].itertuples()}
    found = {}
    for one in needed:
        own, other = (values.get((one.scale, one.dataset, name, one.metric)) for name in (one.variant, one.reference))
        hidden = [name for name in (one.variant, one.reference) if (one.scale, one.dataset, name) in lost]
        if hidden:
            note = lost[one.scale, one.dataset, hidden[0]]
            found[one] = ContrastOutcome("missing", _where(one), f"{_label(study, hidden[0])}: unknown here, {note}")
        elif own is None:
            found[one] = ContrastOutcome("missing", _where(one), f"{_label(study, one.variant)}: no published value")
        elif other is not None:
            found[one] = _plain(study, one, (own, other), equal="open", printed=True)
    return found


def measured_outcomes(study: Study, needed: Sequence[Contrast], tested: Mapping[Contrast, Any]) -> Outcomes:
    """Outcomes in the measured numbers; `tested` are rows of `compute_contrasts` with p_holm, the corrected p."""
    own = psnr_rows(study)
    costs = costs_of(study, printed=False)
    found = {}
    for one in needed:
        names = (one.variant, one.reference)
        if one.metric in COST_METRICS:
            values = [costs.get((one.scale, name, one.metric), math.nan) for name in names]
            lacking = [_label(study, name) for name, value in zip(names, values, strict=True) if math.isnan(value)]
            if lacking:
                how = "not measured alike" if one.metric == "memory" else "not counted"
                found[one] = ContrastOutcome("missing", _where(one), f"{lacking[0]}: {COST_METRICS[one.metric]} {how}")
            else:
                found[one] = _plain(study, one, values, equal="fails")
                if one.metric == "memory" and max(values) < (1 + MEMORY_VARIES) * min(values):
                    text = f"{found[one].text}, no more than two measurements of one network may differ by"
                    found[one] = found[one]._replace(state="open", text=text)
            continue
        absent = next(filter(None, (_absence(study, own, one, name) for name in names)), "")
        if not absent and mixes_sources(*(own[one.scale, one.dataset, name].source for name in names)):
            absent = f"{_labels(study, one)}: a network trained here is not compared with published weights"
        if not absent and (one not in tested or tested[one].n_unpaired):
            absent = f"{_labels(study, one)}: not measured on the same images"
        found[one] = (
            ContrastOutcome("missing", _where(one), absent)
            if absent
            else _tested(study, one, tested[one], trained=own[one.scale, one.dataset, one.variant].source == "run")
        )
    return found


def _tested(study: Study, one: Contrast, row: Any, trained: bool) -> ContrastOutcome:
    metric = METRICS[one.metric]
    untested = math.isnan(row.p)
    state: State = "open"
    if trained and row.n_trainings == 1:
        state = "once"
    elif is_sure(row):
        state = "holds" if row.difference > 0 else "fails"
    elif untested and row.difference > 0:
        state = "untested"
    bounds = "" if math.isnan(row.low) else f" [{signed(row.low, metric.fine)}, {signed(row.high, metric.fine)}]"
    test = "no test" if untested else f"corrected p {p_value(row.p_holm)}"
    text = (
        f"{_label(study, one.variant)} against {_label(study, one.reference)} "
        f"{signed(row.difference, metric.fine)}{bounds}, {test}, "
        f"{row.n_images} image{'s' * (row.n_images != 1)}, "
        f"{row.n_trainings} training{'s' * (row.n_trainings != 1)} of each"
    )
    return ContrastOutcome(state, _place(one), text, row.difference * 10**metric.decimals)


def is_sure(row: Any) -> bool:
    """Whether test, interval and median agree on the sign of a difference: a row of `compute_contrasts` and p_holm."""
    return bool(row.p_holm <= LEVEL and not row.low <= 0 <= row.high and row.difference * row.median > 0)


def _plain(
    study: Study, one: Contrast, values: Sequence[float], equal: State, printed: bool = False
) -> ContrastOutcome:
    """The outcome of two numbers as they are; of costs, the smaller one is better."""
    cost = one.metric in COST_METRICS
    lead = values[1] - values[0] if cost else values[0] - values[1]
    state: State = "holds" if lead > 0 else "fails" if lead < 0 else equal
    decimals = 0 if cost else METRICS[one.metric].decimals
    texts = [_cost(one.metric, value, printed) if cost else shown(value, decimals) for value in values]
    named = zip((one.variant, one.reference), texts, strict=True)
    text = ", ".join(f"{_label(study, name)} {value}" for name, value in named)
    return ContrastOutcome(state, _place(one), text, lead * 10**decimals)


def _cost(metric: str, value: float, printed: bool) -> str:
    """A cost with its unit: parameters in thousands as papers print them, or one by one as they are counted."""
    if metric == "parameters":
        return f"{shown(value / 1000, 0)}K" if printed else shown(value, 0)
    quantity = QUANTITIES["macs" if metric == "macs" else "memory"]
    return f"{shown(value / quantity.si, quantity.decimals)} {quantity.unit}"


def psnr_rows(study: Study) -> PsnrRows:
    """The rows of a study's table about PSNR, without those of other protocols than its own."""
    others = {run.protocol for run in study.others}
    table = study.table[~study.table.protocol.isin(others) & (study.table.metric == "psnr")]
    return {(row.scale, row.dataset, row.variant): row for row in table.itertuples()}


def _absence(study: Study, own: PsnrRows, one: Contrast, name: str) -> str:
    """Why a variant cannot be compared; empty if it can."""
    row = own.get((one.scale, one.dataset, name))
    if row is not None and not math.isnan(row.measured):
        if row.n_images == row.of_images:
            return ""
        return f"{_label(study, name)}: only {row.n_images:g} of {row.of_images:g} images measured"
    elsewhere = sorted({run.protocol for run in study.others if run.variant == name})
    if elsewhere:
        protocols = ", ".join(elsewhere)
        return f"{_label(study, name)}: measured only under protocol {protocols}; protocols are not mixed"
    reason = row.status if row is not None else ""
    return f"{_label(study, name)}: not measured{f' ({reason})' if reason else ''}"


def _where(one: Contrast) -> str:
    return f"×{one.scale} {one.dataset}".strip()


def _place(one: Contrast) -> str:
    return f"{_where(one)} {COST_METRICS.get(one.metric) or METRICS[one.metric].name}"


def _label(study: Study, name: str) -> str:
    return study.experiment.variants[name].label


def _labels(study: Study, one: Contrast) -> str:
    return f"{_label(study, one.variant)} and {_label(study, one.reference)}"
