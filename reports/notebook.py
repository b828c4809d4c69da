"""What a notebook shows of an experiment: its table and its figures, as on the page of the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from markupsafe import Markup

import ablations
import results
from reports.drawings import Drawing, shown
from reports.page import tables
from reports.study import load_study


@dataclass(frozen=True)
class Table:
    """The table of an experiment: a notebook shows `html`; `frame` holds its numbers, of `tables.side_by_side`."""

    html: Markup
    frame: pd.DataFrame

    def _repr_html_(self) -> str:
        return str(self.html)


def table(experiment: str, protocol: str, *, root: Path = results.ROOT) -> Table:
    """Published and measured values of an experiment side by side, a part for each scale, with its notes.

    `experiment` and `protocol` are names or YAML files. Raises ablations.AblationError for an unknown or wrong
    definition, results.ResultsError for a damaged file.
    """
    study = load_study(experiment, protocol, root)
    return Table(tables(study, ablations.name_of(protocol)), study.table)


def figures(experiment: str, protocol: str, *, root: Path = results.ROOT) -> dict[str, Drawing]:
    """The figures that an experiment's results allow, by name: a notebook shows each as SVG.

    Raises the errors of `table`.
    """
    return shown(load_study(experiment, protocol, root), root)
