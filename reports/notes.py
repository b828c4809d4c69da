"""The notes below a table: conditions of its numbers, and what qualifies them."""

from __future__ import annotations

import string
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePath
from typing import NamedTuple

import pandas as pd

from ablations import Variant
from ablations.schema import FROM_FILE
from reports.costs import PASSES, conditions
from reports.numbers import NOTHING, UNKNOWN
from reports.reasons import TOLERANCE
from reports.tables import METRICS
from results import BASELINE, Run

PARTIAL, OTHER = "†", "‡"
OWN = "own"  # training set


class Footnotes:
    """Texts by their marks: a letter for each distinct text, in the order of first use. No text has no mark."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def mark(self, text: str) -> str:
        if not text:
            return ""
        for mark, known in self.texts.items():
            if known == text:
                return mark
        number, letters = len(self.texts), string.ascii_lowercase
        mark = letters[number % 26] * (number // 26 + 1)
        self.texts[mark] = text
        return mark

    def missing(self, reason: str) -> str:
        """The mark of a value that was not measured."""
        return self.mark(f"Not measured: {reason}." if reason else "")

    def published(self, note: str, known: bool) -> str:
        """The mark of a published value that is not `known` here, or is from elsewhere."""
        return self.mark(f"Published {note}." if known else f"Unknown here: {note}; no ranks in this column.")

    def difference(self, explanation: str) -> str:
        """The mark of a difference that is larger than TOLERANCE."""
        return self.mark(f"More than {TOLERANCE} dB from the published value: {explanation}." if explanation else "")


def warm_starts(runs: Iterable[Run]) -> dict[tuple[str, str, int], int]:
    """The scale of the weights that a training started from, by protocol, variant and scale, as run.yaml records it."""
    found = {}
    for run in runs:
        train = (run.description() or {}).get("stages", {}).get("train", {})
        start = train.get("training", {}).get("warm_start")
        if start not in (None, run.scale, FROM_FILE):
            found[run.protocol, run.variant, run.scale] = start
    return found


def training_sets(runs: Iterable[Run]) -> dict[tuple[str, str, int], str]:
    """The images that networks were trained on here, by protocol, variant and scale, as run.yaml records them."""
    found = {}
    for run in runs:
        description = run.description() or {}
        training = description.get("stages", {}).get("train", {}).get("training", {})
        if data := description.get("training_data") or training.get("data"):
            found[run.protocol, run.variant, run.scale] = PurePath(data).name
    return found


class TrainedOn(NamedTuple):
    """The images that a row's networks were trained on: as `published`, and `here` (in a cell: OWN); "" for none."""

    published: str
    here: str

    def __str__(self) -> str:
        return "; ".join(text for text in (self.published, self.here and OWN) if text) or NOTHING


def trained_on(variant: Variant | None, here: str, own: bool) -> TrainedOn:
    """Of a row that is `own`, or that repeats no published value. What could not be confirmed is UNKNOWN."""
    published = own and variant is not None and (variant.published is not None or variant.weights == "published")
    return TrainedOn(variant.trained_on or UNKNOWN if variant and published else "", here)


def given_weights(runs: Iterable[Run]) -> dict[tuple[str, str, int], str]:
    """Which checkpoint a user gave for a row, by protocol, variant and scale, as run.yaml records it."""
    found = {}
    for run in runs:
        description = run.description() or {}
        if file := description.get("weights_file"):
            digest = description.get("stages", {}).get("evaluate", {}).get("weights")
            content = f", SHA-256 {str(digest)[:12]}" if digest else ""
            found[run.protocol, run.variant, run.scale] = f"Weights given as {PurePath(file).name}{content}."
        elif file := description.get("warm_start_file"):
            digest = description.get("stages", {}).get("train", {}).get("start")
            content = f", SHA-256 {str(digest)[:12]}" if digest else ""
            found[run.protocol, run.variant, run.scale] = f"Warm start: trained from {PurePath(file).name}{content}."
    return found


def about_variant(
    variant: Variant | None,
    other_protocol: str | None = None,
    warm_start: int | None = None,
    summary: str = "",
    among_trained: bool = False,
    given: str = "",
) -> str:
    """How a row differs from its neighbours; with the `summary` of its protocol if that is another one.

    `among_trained`: the others were trained here. `given` is of `given_weights`.
    """
    if variant is None:
        return ""
    parts = (
        [f"Self-ensemble: mean over the {PASSES} symmetries of the square; MACs of {PASSES} passes."]
        if variant.ensemble
        else []
    )
    parts += [variant.note] if variant.note else []
    if other_protocol is not None:
        parts.append(f"Trained here under protocol {other_protocol}; not ranked. {summary.strip()}".strip())
    parts += [given] if given else []
    if among_trained and variant.weights == "published":
        parts.append("Published weights, trained by the authors and not under this protocol; not ranked.")
    parts += [f"Warm start: trained from the weights of the same network at ×{warm_start}."] if warm_start else []
    return " ".join(parts)


def about_measurements(table: pd.DataFrame) -> list[str]:
    """How many images, which LR and which seeds were measured, with the labels of the rows if these differ.

    `table` is that of a study.
    """
    measured = table[table.measured.notna() & (table.metric == next(iter(METRICS)))]
    notes = []
    for dataset, column in measured.groupby("dataset", sort=False):
        counts = column.groupby(["n_images", "of_images", "lr_origin"], sort=False).label.agg(list)
        for (images, of_images, origin), labels in counts.items():
            who = "" if len(counts) == 1 else f" ({', '.join(labels)})"
            part = f"{PARTIAL} {images:g} of {of_images:g}" if images < of_images else f"{images:g}"
            plural = "s" if of_images > 1 else ""
            notes.append(f"{dataset}: {part} image{plural}, LR {origin}{who}.")
    if (measured.n_images < measured.of_images).any():
        notes.append(
            f"{PARTIAL} An incomplete set is neither ranked with the complete set nor compared with the paper."
        )
    if ((measured.n_images == measured.of_images) & measured.comparable.eq(False)).any():
        notes.append(f"{OTHER} Measured on other images than the rest of the column; not ranked.")
    notes += [
        f"{row.label} on {row.dataset}: {row.n_infinite:g} infinite PSNR value{'s' * (row.n_infinite != 1)} "
        "(SR equal to HR), excluded from the mean."
        for row in measured[measured.n_infinite > 0].itertuples()
    ]
    trained = measured[(measured.variant != BASELINE) & (measured.source == "run")]
    networks = trained.groupby("label", sort=False).n_seeds.agg(
        lambda counts: "/".join(f"{count:g}" for count in dict.fromkeys(counts))
    )
    spread = "; ± is their standard deviation" if measured.sd.notna().any() else ""
    if networks.nunique() == 1 and set(measured.source) <= {"run", "baseline"}:
        notes.append(f"Seeds per network: {networks.iloc[0]}{spread}.")
    elif len(networks):
        each = ", ".join(f"{label} {count}" for label, count in networks.items())
        notes.append(f"Seeds per network: {each}{spread}.")
    return notes


def about_training(published: Collection[str], here: Mapping[str, str]) -> list[str]:
    """The training set that all `published` networks share, and those of networks trained `here`, by label."""
    own: dict[str, list[str]] = {}
    for label, images in here.items():
        if images:
            own.setdefault(images, []).append(label)
    each = [images if len(own) == 1 else f"{images} ({', '.join(labels)})" for images, labels in own.items()]
    parts = [
        *(published if len(published) == 1 else []),
        *([f"{OWN} is {', '.join(each)}"] if each else []),
        *([f"{UNKNOWN} is not confirmed"] if UNKNOWN in published else []),
    ]
    return [f"Training set: {'; '.join(parts)}."] if parts else []


def about_costs(counted: pd.DataFrame, timed: pd.DataFrame) -> list[str]:
    """How the costs of a table were obtained. The tables are those of `costs`, with a column `label`."""
    notes = [f"Latency: {text}." for text in conditions(timed, "latency")]
    return notes + [f"MACs: multiply-adds of one image, {text}." for text in conditions(counted, "macs")]
