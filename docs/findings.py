"""Writes findings.md: what the suite's own runs say so far, from results/measured. `python docs/findings.py`."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from pathlib import Path

import ablations
import results
from benchmarks.data.datasets import SETS
from reports.claims import judge_study
from reports.deviations import load_deviations
from reports.gaps import Gaps, load_gaps
from reports.study import Study, load_study
from reports.tables import CONVENTION
from results.quality import read_quality

PAGE = Path(__file__).with_name("findings.md")
PROTOCOLS = ("cpu-short", "cpu")
RATES = ("0.0005", "0.001", "0.002")


def page() -> str:
    """The text of findings.md, from the runs that are committed."""
    studies = {name: load_study("table2", name, results.MEASURED) for name in PROTOCOLS}
    studies = {name: study for name, study in studies.items() if study.measured}
    gaps = load_gaps(PROTOCOLS, results.MEASURED)
    own, papers = (ablations.load_protocol(name).training for name in (PROTOCOLS[0], "paper"))
    assert gaps and studies and own and papers
    parts = [
        "# What we found so far\n",
        _filled(
            "This page is computed from the runs in `results/measured` by `python docs/findings.py`, and a test "
            "compares the two. We know of no other replication of SPIN's ablation, and its authors have "
            "published no weights. This one is small: it asks in which order the variants learn, not how good they "
            "become."
        ),
        "## Design\n",
        _filled(
            f"Each variant of Table 2 is trained on {SETS[own.data].images} photographs ({own.data}), with LR patches "
            f"of {own.lr_patch}×{own.lr_patch} in batches of {own.batch_size}, for {_budgets()} steps with an "
            f"annealed learning rate (one cycle): the paper's training is {papers.iterations:,} steps on "
            f"{papers.data}. The outcome was registered before any number was seen: PSNR on {gaps.dataset} "
            f"({gaps.images} images), of Full against {_listed(_judged())}; the other variants are shown, not judged. "
            "A parameter that two variants have in common starts from the same values in both."
        ),
        _rates(),
        "## Results\n",
        *(_means(name, study) for name, study in studies.items()),
        _table(gaps),
        _filled(
            "Intervals are over images and trainings (crossed random factors), and hold for all judged variants of "
            "a budget at once; one training of a variant has none and decides nothing. PSNR is on luma, after "
            f"cutting {gaps.scale} pixels from each side.{_incomplete(next(iter(studies.values())))}"
        ),
        "## What follows, and what does not\n",
        *_conclusions(gaps, studies),
        "## The paper's claims on its own numbers\n",
        _own_numbers(next(iter(studies.values()))),
        "## Published checkpoints\n",
        _published(),
        "## What is missing\n",
        _missing(studies),
    ]
    return "\n".join(parts)


def _budgets() -> str:
    steps = [ablations.load_protocol(name).training for name in PROTOCOLS]
    return " or ".join(f"{one.iterations:,}" for one in steps if one)


def _judged() -> list[str]:
    registered = ablations.load_protocol("cpu-short").registered
    assert registered
    variants = ablations.load_experiment("table2").variants
    return [variants[name].label for name in registered.judged]


def _rates() -> str:
    """The choice of the learning rate, on photographs that belong to no test set."""
    lines = ["| learning rate | Full | Patch | mean |", "| ---: | ---: | ---: | ---: |"]
    means: dict[str, float] = {}
    for rate in RATES:
        values = [_psnr(f"rate-{rate}", f"{name}-x4-s100") for name in ("full", "patch")]
        means[rate] = sum(values) / 2
        lines.append(f"| {rate} | {values[0]:.3f} | {values[1]:.3f} | {means[rate]:.3f} |")
    best = max(means, key=means.__getitem__)
    training = ablations.load_protocol(PROTOCOLS[0]).training
    assert training and training.validation
    held_out = SETS[training.validation.data].images
    text = _filled(
        f"The learning rate is one for all variants, chosen on {held_out} held-out photographs by the highest mean of "
        f"Full and Patch (one seed, {training.iterations:,} steps, PSNR in dB): {best}. The choice favours Patch, "
        "which does not bear larger rates."
    )
    return text + "\n" + "\n".join(lines) + "\n"


def _psnr(protocol: str, run: str) -> float:
    frame = read_quality(results.MEASURED / protocol / run / "quality.csv")
    return float(frame[frame.convention == CONVENTION].psnr.mean())


def _means(name: str, study: Study) -> str:
    """Mean PSNR of each variant over its seeds, by set."""
    frame = study.frame[study.frame.convention == CONVENTION]
    sets = list(dict.fromkeys(frame.dataset))
    runs = frame.groupby(["variant", "seed", "dataset"], sort=False).psnr.mean().reset_index()
    budget = f"After {study.budget:,} steps" if study.budget else f"Under {name}"
    lines = [
        f"{budget}, mean PSNR in dB (± standard deviation over seeds):\n",
        "| | seeds | " + " | ".join(sets) + " |",
        "| --- | ---: | " + " | ".join("---:" for _ in sets) + " |",
    ]
    labels = {results.BASELINE: "Bicubic"} | {key: one.label for key, one in study.experiment.variants.items()}
    for variant, label in labels.items():
        own = runs[runs.variant == variant]
        if own.empty:
            continue
        cells = []
        for dataset in sets:
            values = own[own.dataset == dataset].psnr
            spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.3f}{spread}")
        seeds = "–" if variant == results.BASELINE else str(own.seed.nunique())
        lines.append(f"| {label} | {seeds} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _table(gaps: Gaps) -> str:
    lines = [
        f"The registered outcome, PSNR of {gaps.reference} minus the variant's on {gaps.dataset} (dB):\n",
        "| variant | paper | steps | seeds | here | 95% interval | in words |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for gap in gaps.gaps:
        interval = "–" if math.isnan(gap.low) else f"{gap.low:+.3f} to {gap.high:+.3f}"
        lines.append(
            f"| {gap.label} | {gap.published:+.2f} | {gap.iterations:,} | {gap.seeds} | {gap.difference:+.3f} "
            f"| {interval} | {gap.word} |"
        )
    return "\n".join(lines).replace("-0.", "−0.") + "\n"


def _conclusions(gaps: Gaps, studies: dict[str, Study]) -> Iterable[str]:
    found = []
    for name, study in studies.items():
        frame = study.frame[(study.frame.convention == CONVENTION) & (study.frame.dataset == gaps.dataset)]
        means = frame.groupby("variant").psnr.mean()
        leads = (means - means[results.BASELINE]).drop(results.BASELINE)
        steps = f"{study.budget:,}" if study.budget else name
        cell = (study.table.variant == "full") & (study.table.dataset == gaps.dataset) & (study.table.metric == "psnr")
        printed = float(study.table[cell].published.iloc[0])
        found.append(
            f"After {steps} steps, the variants measured so far are {leads.min():.2f} to {leads.max():.2f} dB above "
            f"bicubic interpolation on {gaps.dataset}; the paper's Full is {printed - means[results.BASELINE]:.2f} "
            "dB above it."
        )
    for budget in gaps.budgets:
        rows = [gap for gap in gaps.gaps if gap.iterations == budget]
        behind = [gap.label for gap in rows if gap.difference < 0]
        decided = [gap for gap in rows if gap.word in ("agrees in direction", "disagrees in direction")]
        ahead = f"{len(behind)} of {len(rows)} variants have a higher mean than Full: {_listed(behind)}."
        text = f"At {budget:,} steps {ahead if behind else 'no variant has a higher mean than Full.'}"
        if decided:
            text += " " + " ".join(
                f"Against {gap.label} the interval {gap.word.replace(' in ', ' with the paper in ')}."
                for gap in decided
            )
        else:
            text += " No interval of a judged variant excludes zero: nothing is decided."
        found.append(text)
    found.append(
        "Differences at such a budget mix how fast a network learns with how good it becomes. A variant that is level "
        "with Full or ahead early on does not contradict the paper; the sign over the budget is what the longer "
        "protocol asks."
    )
    return [textwrap.fill(f"- {line}", 120, subsequent_indent="  ") for line in found] + [""]


def _incomplete(study: Study) -> str:
    """Sets of which only some images were at hand, in a sentence."""
    parts = study.table[study.table.measured.notna() & (study.table.n_images < study.table.of_images)]
    parts = parts.drop_duplicates("dataset")
    return "".join(
        f" {row.dataset} stands for the {row.n_images:g} of its {row.of_images:g} images that were at hand."
        for row in parts.itertuples()
    )


def _published() -> str:
    found = load_deviations(load_study("table1", "published", results.MEASURED))
    assert found
    return _filled(
        f"Under the protocol `published`, on the stored LR images of each set: {found.sentence} So the networks, the "
        "resize and the metrics of this suite are those of the published numbers, as far as checkpoints are published."
    )


def _own_numbers(study: Study) -> str:
    judged = judge_study(study)
    failed = [one for one in judged if one.published.word == "contradicted"]
    open_ = [one for one in judged if one.published.word == "undecided"]
    lines = [
        _filled(
            f"Of the {len(judged)} claims of Table 2 and its text, {len(failed)} do not hold on the numbers that the "
            f"paper prints, and {len(open_)} cannot be judged by them:"
        )
    ]
    lines += [
        textwrap.fill(f"- {one.text} ({one.source}): {one.published.reason}", 120, subsequent_indent="  ")
        for one in failed
    ]
    return "\n".join(lines) + "\n"


def _missing(studies: dict[str, Study]) -> str:
    variants = ablations.load_experiment("table2").variants
    lines = []
    for name in PROTOCOLS:
        plan = ablations.load_protocol(name)
        study = studies.get(name)
        seen = {(run.variant, run.seed) for run in study.runs} if study else set()
        wanted = [(key, seed) for key in variants for seed in plan.seeds]
        there = sum(one in seen for one in wanted)
        if there < len(wanted):
            lines.append(f"`{name}`: {there} of {len(wanted)} trainings are here.")
    lines.append("Depths (Fig. 7) and the ledger's switches at these budgets were not trained yet.")
    return "\n".join(textwrap.fill(f"- {line}", 120, subsequent_indent="  ") for line in lines) + "\n"


def _listed(words: list[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)


def _filled(text: str) -> str:
    return textwrap.fill(text, 120) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
