"""What stands below a table: what its numbers alone do not tell."""

from __future__ import annotations

import string
from collections.abc import Iterable

import pandas as pd

from ablations import Variant
from reports.costs import cost_conditions
from reports.reasons import TOLERANCE
from reports.tables import METRICS
from results import BASELINE, Run

PARTIAL, OTHER = "†", "‡"


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

    def difference(self, explanation: str) -> str:
        """The mark of a difference that is larger than TOLERANCE."""
        return self.mark(f"More than {TOLERANCE} dB from the published value: {explanation}." if explanation else "")


def warm_starts(runs: Iterable[Run]) -> dict[tuple[str, str, int], int]:
    """The scale from whose weights a training began, by protocol, variant and scale, as run.yaml records it."""
    found = {}
    for run in runs:
        train = (run.description() or {}).get("stages", {}).get("train", {})
        start = train.get("training", {}).get("warm_start")
        if start not in (None, run.scale):
            found[run.protocol, run.variant, run.scale] = start
    return found


def about_variant(
    variant: Variant | None, other_protocol: str | None = None, warm_start: int | None = None, summary: str = ""
) -> str:
    """How a row differs from its neighbours; of another protocol its `summary`, what its numbers may be used for."""
    if variant is None:
        return ""
    parts = ["Self-ensemble: mean over the 8 symmetries of the square."] if variant.ensemble else []
    parts += [variant.note] if variant.note else []
    if other_protocol is not None:
        parts.append(f"Trained here by protocol {other_protocol}; not ranked. {summary.strip()}".strip())
    parts += [f"Warm start: its training began from its own weights at ×{warm_start}."] if warm_start else []
    return " ".join(parts)


def about_measurements(table: pd.DataFrame) -> list[str]:
    """How many images, which LR, which seeds; for whom, if rows of a table of `study.load_study` differ."""
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
        notes.append(f"{PARTIAL} A part of a set is not ranked against the full set and not compared with the paper.")
    if ((measured.n_images == measured.of_images) & measured.comparable.eq(False)).any():
        notes.append(f"{OTHER} Other images than the rest of its column; not ranked.")
    notes += [
        f"{row.label} on {row.dataset}: infinite PSNR (SR equal to HR), {row.n_infinite:g} times, left out of the mean."
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


def about_costs(costs: pd.DataFrame, latency: bool) -> list[str]:
    """How the costs of a table were taken. `costs` is of `costs.cost_table`, with a column `label`."""
    notes = [f"Latency: {text}." for text in cost_conditions(costs, "latency")] if latency else []
    return notes + [f"MACs: multiply-adds of one image, {text}." for text in cost_conditions(costs, "macs")]
