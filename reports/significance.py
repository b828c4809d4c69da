"""What the page says of the contrasts of an experiment: their table, ready to be displayed, and notes on its limits."""

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
    """What the page says of each experiment of which two variants were measured."""
    found = []
    for study in studies:
        table = against_reference(study.experiment, study.frame)
        if len(table):
            references, notes = list(table.reference_label.unique()), _notes(table)
            wanted = study.experiment.reference
            if (table.reference != wanted).any():
                label = study.experiment.variants[wanted].label
                notes.insert(
                    0, f"{label} was not measured at every scale; the first variant that was stands in for it."
                )
            told = {f"{column}_text": table[column].map(p_value) for column in ("p", "p_holm")}
            metrics = {field: [getattr(METRICS[key], field) for key in table.metric] for field in ("name", "fine")}
            table = table.assign(**told, **metrics)
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
            f"No p-value on {sets}: it takes {FEWEST} images with a difference for one below {LEVEL} to be possible. "
            "Bootstrap intervals over so few images are too narrow, too."
        )
    for column, told in (
        ("n_infinite", "left out, as PSNR is infinite for one of the two"),
        ("n_unpaired", "in no pair: of one of the two only, or of another LR origin"),
    ):
        for (label, name), count in table.groupby(["label", "dataset"], sort=False)[column].max().items():
            if count:
                notes.append(f"{label} on {name}: {count} image{'s' * (count != 1)} {told}.")
    if (table[["n_seeds", "reference_seeds"]] == 1).all(axis=None):
        notes.append("One seed or checkpoint of each: nothing here says how much another training would change.")
    return notes
