"""Sentences of the paper that compare no variants: its marks and counts, parts of networks, stored pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import Any, Literal, NamedTuple

import results
from ablations import Fact, Images, Part, Printed
from reports.numbers import shown, signed
from reports.outcomes import costs_of
from reports.pictures import PagePicture
from reports.study import Study
from reports.tables import METRICS, marks
from results.attribution import AttributionMaps
from results.comparison import Comparison, Quality
from results.superpixels import SuperpixelFacts

ROUNDING = 1000  # parameters: printed in thousands, rounded or cut off
_COMMANDS = {"comparison": "compare", "superpixels": "superpixels", "attribution": "attribution"}


class Finding(NamedTuple):
    """What is found of a sentence, by one kind of numbers."""

    word: Literal["supported", "contradicted", "undecided"]
    reason: str
    evidence: list[str]


def judge_fact(study: Study, claim: Fact, pictures: Sequence[PagePicture] = ()) -> tuple[Finding, Finding]:
    """What the published and the measured numbers say of a claim that compares no variants."""
    figure = isinstance(claim, Images) and claim.picture == "comparison"
    form = "shows this only as a figure" if figure else "states this without numbers"
    silent = Finding("undecided", f"The paper {form}.", [])
    if isinstance(claim, Printed):
        if claim.of == "marks":
            return _marks(study, claim), Finding("undecided", "This is about the printed numbers alone.", [])
        return Finding("undecided", "The paper prints these numbers; counting decides.", []), _parameters(study, claim)
    if isinstance(claim, Part):
        return silent, _part(study, claim)
    if isinstance(claim, Images):
        return silent, _images(study, claim, pictures)
    return silent, Finding("undecided", f"Nothing measured here can decide this. Missing: {claim.missing}.", [])


def _decided(noun: str, right: int, wrong: Sequence[str], absent: str) -> Finding:
    if not right and not wrong:
        return Finding("undecided", absent, [])
    reason = f"{right} of {right + len(wrong)} {noun}."
    return Finding("contradicted" if wrong else "supported", reason, list(wrong))


def _marks(study: Study, claim: Printed) -> Finding:
    """Printed marks beside those of the printed numbers, where these are all known and from this table.

    Underlines are compared where the table has any.
    """
    table = results.published(str(study.experiment.published))
    labels = {variant.published: variant.label for variant in study.experiment.variants.values()}
    columns = table[
        table.scale.isin(claim.scales or study.experiment.scales)
        & table.dataset.isin(claim.datasets or study.experiment.datasets)
    ]
    words = {"best": "bold", "second": "underlined"}
    if not (table[["psnr_mark", "ssim_mark"]] == "underline").any(axis=None):
        words = {"best": "bold"}
    right, wrong = 0, []
    for (scale, dataset), column in columns.groupby(["scale", "dataset"], sort=False):
        for key in claim.metrics if column.psnr.notna().all() else ():
            computed = marks(list(column[key]), METRICS[key].decimals)
            rows = zip(column.itertuples(), column[f"{key}_mark"], computed, strict=True)
            for row, printed, mark in rows:
                told = {"underline": "underlined"}.get(printed, printed or "plain")
                own = words.get(mark, "plain")
                if row.note or (told, own) == ("plain", "plain"):
                    continue
                right += told == own
                if told != own:
                    value = shown(getattr(row, key), METRICS[key].decimals)
                    place = f"×{scale} {dataset} {METRICS[key].name}: {labels.get(row.method, row.method)} {value}"
                    wrong.append(f"{place} is printed {told}, by its rank {own}")
    return _decided("marks are those of the ranks of the printed numbers", right, wrong, "The paper prints no marks.")


def _parameters(study: Study, claim: Printed) -> Finding:
    """Printed parameters beside counted ones."""
    printed, counted = costs_of(study, printed=True), costs_of(study, printed=False)
    right, absent, wrong = 0, 0, []
    for place in printed:
        scale, name, _ = place
        if scale not in (claim.scales or study.experiment.scales):
            continue
        if place not in counted:
            absent += 1
            continue
        difference = counted[place] - printed[place]
        right += abs(difference) < ROUNDING
        if abs(difference) >= ROUNDING:
            label = study.experiment.variants[name].label
            texts = shown(printed[place] / 1000, 0), shown(counted[place], 0), signed(difference, 0)
            wrong.append("×{} {}: {}K printed, {} counted ({})".format(scale, label, *texts))
    found = _decided("printed numbers are those counted, in thousands", right, wrong, "Nothing is counted yet.")
    if not right and not wrong:
        return found
    return found._replace(
        reason=f"{found.reason} {absent} are of networks that are not counted." if absent else found.reason
    )


def _part(study: Study, claim: Part) -> Finding:
    """Parameters of the modules of a name, by variant and scale."""
    lines, counts = [], []
    for run in {(run.variant, run.scale): run for run in (*study.others, *study.runs)}.values():
        content = (run.cost() if run.intact("cost.json") else None) or {}
        if run.variant in claim.variants and "parameters_by_module" in content:
            inside = [
                n for part, n in content["parameters_by_module"].items() if f".{part}".endswith(f".{claim.module}")
            ]
            counts.append(sum(inside))
            label, total = study.experiment.variants[run.variant].label, content["parameters"]
            share = f"{shown(sum(inside), 0)} of {shown(total, 0)} parameters ({shown(100 * sum(inside) / total, 1)}%)"
            lines.append(f"×{run.scale} {label}: {share} in {len(inside)} modules {claim.module}")
    if not counts:
        return Finding("undecided", "Parameters are not counted by module yet.", [])
    return Finding("supported" if all(counts) else "contradicted", "Counted.", lines)


def _images(study: Study, claim: Images, pictures: Sequence[PagePicture]) -> Finding:
    """What the stored pictures show, which decides nothing."""
    chosen = [one for one in pictures if one.kind == claim.picture]
    if claim.images:
        chosen = [one for one in chosen if one.facts.image in claim.images]
    lines = list(_DESCRIBED[claim.picture](study, claim, [one.facts for one in chosen]))
    if not lines:
        wanted = f" of {', '.join(claim.images)}" if claim.images else ""
        command = f"spinbench picture {_COMMANDS[claim.picture]}"
        return Finding("undecided", f"No such picture{wanted} is stored; make one with {command}.", [])
    reason = "Described, not decided: a picture shows one training of each network."
    return Finding("undecided", reason, lines)


def _crops(study: Study, claim: Images, found: Sequence[Comparison]) -> Iterator[str]:
    for one in found:
        panels = [panel for panel in one.panels if panel.name in claim.variants]
        for panel in panels:
            place = f"{one.image} ×{one.scale}, {panel.label} ({panel.source})"
            yield f"{place}: crop {_quality(panel.part)}, image {_quality(panel.whole)}"


def _ignored(study: Study, claim: Images, found: Sequence[SuperpixelFacts]) -> Iterator[str]:
    labels = tuple(study.experiment.variants[name].label for name in claim.variants)
    for one in found:
        shares = [block.ignored for block in one.blocks if block.ignored is not None]
        if one.network.startswith(labels) and shares:
            text = f"{shown(100 * min(shares), 1)}% to {shown(100 * max(shares), 1)}%"
            yield f"{one.image} ×{one.scale}, {one.network}: {text} of the pixels ignored, over {len(shares)} blocks"


def _diffusion(study: Study, claim: Images, found: Sequence[AttributionMaps]) -> Iterator[str]:
    """The diffusion index of each variant, the mean over all images that have all of them."""
    values: dict[str, list[float]] = {}
    images = []
    for one in found:
        panels = {panel.name: panel for panel in one.panels if panel.name in claim.variants}
        if len(panels) == len(claim.variants):
            images.append(one.image)
            for name, panel in panels.items():
                values.setdefault(name, []).append(panel.diffusion_index)
    for name, indices in values.items():
        many = f"mean of {len(images)} images" if len(images) > 1 else images[0]
        spread = f" ({shown(min(indices), 2)} to {shown(max(indices), 2)})" if len(images) > 1 else ""
        yield f"{study.experiment.variants[name].label}: diffusion index {shown(fmean(indices), 2)}{spread}, {many}"


def _quality(quality: Quality) -> str:
    values: dict[str, Any] = {"psnr": math.inf if quality.psnr is None else quality.psnr, "ssim": quality.ssim}
    return "/".join(shown(values[key], metric.decimals) for key, metric in METRICS.items())


_DESCRIBED: dict[str, Callable[[Study, Images, Sequence[Any]], Iterator[str]]] = {
    "comparison": _crops, "superpixels": _ignored, "attribution": _diffusion
}  # fmt: skip
