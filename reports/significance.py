"""The contrasts of an experiment as the page shows them: their table, and notes on its limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from reports.contrasts import against_reference
from reports.numbers import p_value
from reports.statistics import FEWEST, LEVEL
from reports.study import Study
from reports.tables import METRICS


class Significance(NamedTuple):
    """The contrasts of an experiment.

    `table` is of `contrasts.against_reference`, never empty, with more columns: name and fine (of Metric), p_text and
    p_holm_text.
    """

    name: str  # of the study
    title: str
    references: list[str]  # labels
    table: pd.DataFrame
    notes: list[str]


def significances(studies: Iterable[Study]) -> list[Significance]:
    """The contrasts of each experiment of which at least two variants were measured."""
    found = []
    for study in studies:
        table = against_reference(study.experiment, study.frame)
        if len(table):
            references, notes = list(table.reference_label.unique()), _notes(table)
            wanted = study.experiment.reference
            if (table.reference != wanted).any():
                label = study.experiment.variants[wanted].label
                notes.insert(
                    0, f"{label} was not measured at every scale; there, the first measured variant is the reference."
                )
            texts = {f"{column}_text": table[column].map(p_value) for column in ("p", "p_holm")}
            metrics = {field: [getattr(METRICS[key], field) for key in table.metric] for field in ("name", "fine")}
            table = table.assign(**texts, **metrics)
            found.append(Significance(study.name, study.experiment.title, references, table, notes))
    return found


def _notes(table: pd.DataFrame) -> list[str]:
    notes = []
    untested = table[table.p.isna()]
    if len(untested):
        sets = ", ".join(
            f"{name} ({count} images)" for name, count in untested.groupby("dataset").n_images.max().items()
        )
        notes.append(
            f"No test on {sets}: with fewer than {FEWEST} images that differ, no signed-rank test can reach {LEVEL}, "
            "and an interval over so few images would say little about others."
        )
    for column, text in (
        ("n_infinite", "excluded, because PSNR is infinite for one of the two"),
        ("n_unpaired", "without a counterpart: measured for one of the two only, or from other LR images"),
    ):
        for (label, name), count in table.groupby(["label", "dataset"], sort=False)[column].max().items():
            if count:
                notes.append(f"{label} on {name}: {count} image{'s' * (count != 1)} {text}.")
    if (table.n_trainings == 1).all():
        notes.append("Each network has one seed or checkpoint, so the effect of another training is unknown.")
    return notes
