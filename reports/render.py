"""The report: a page, and for every experiment its tables as LaTeX and CSV or its figure. Stored results are enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

import ablations
import results
from reports import figures, markdown, pictures, study, tabular
from reports.agreement import agreement
from reports.claims import judge_studies
from reports.costs import conditions, counted_costs, operators
from reports.drawings import Drawing, drawings
from reports.gaps import Gaps, load_gaps
from reports.page import TEMPLATES, html_page
from reports.provenance import full_sets, provenance, remarks
from reports.significance import significances
from reports.study import Study
from reports.tables import CONVENTION, METRICS, RUN, departures
from results import definitions
from results.gpu import load_cards

TABLE_FORMATS = {"tex": tabular, "md": markdown}


def render(
    experiment_names: Sequence[str],
    protocol: str,
    root: Path = results.ROOT,
    left_out: Sequence[str] = (),
    display: Mapping[str, Mapping[str, Any]] | None = None,
    into: Path | None = None,
) -> Path:
    """Write the report of some experiments under a protocol and return the path of its page, index.html.

    Reads the runs below `root` and writes to <protocol> in the folder `into`, by default `root`/report: index.html; for
    every experiment <name>.csv and, if it is a table, <name>.tex, <name>-tabular.tex (of several scales
    <name>-x4-tabular.tex and so on) and <name>.md; the figures of `drawings`; and the comparisons of
    `pictures.write_figures`. `left_out` are lines of what else is not shown, and why; `display` changes entries of
    the table of an experiment, by its name. Any subset of the runs will do, even none. The same results give the
    same bytes.
    Raises ablations.AblationError and results.ResultsError.
    """
    folder = (into or root / "report") / ablations.name_of(protocol)
    plan = definitions.protocol(protocol, root)
    display = display or {}
    studies = [
        study.load_study(name, protocol, root, display.get(ablations.name_of(name))) for name in experiment_names
    ]
    studies.sort(key=lambda one: (one.experiment.published is None, one.experiment.kind == "curve"))
    runs = list(dict.fromkeys(run for one in studies for run in one.runs))
    everywhere = list(dict.fromkeys([*runs, *(run for one in studies for run in one.others)]))
    labels = {results.BASELINE: "Bicubic"}
    for one in reversed(studies):  # the first to name a variant has its way
        labels |= {name: variant.label for name, variant in one.experiment.variants.items()}
    excluded = [out for one in studies for out in one.left_out if out.excluded]
    compared = significances(studies)
    stored = pictures.load_page_pictures(root)
    comparisons = pictures.page_comparisons(stored)
    content = {
        "plan": plan,
        "protocol": ablations.name_of(protocol),
        "paper": ablations.load_protocol("paper"),
        "studies": studies,
        "labels": labels,
        "runs": runs,
        "counted": counted_costs(everywhere).assign(label=lambda table: table.variant.map(labels)),
        "timed": _timed(studies).assign(label=lambda table: table.variant.map(labels)),
        "conditions": conditions,
        "operators": operators,
        "cards": load_cards(root),
        "metrics": METRICS,
        "convention": CONVENTION,
        "departures": departures(_pooled(studies)),
        "claims": judge_studies(studies, stored),
        "statistics": compared,
        "agreement": agreement(_pooled(studies), results.official(), full_sets(runs)),
        "ledger": ablations.ledger(),
        "provenance": provenance(everywhere),
        "left_out": list(dict.fromkeys([*left_out, *map(str, excluded)])),
        "remarks": remarks(everywhere),
        "comparisons": comparisons,
        "superpixels": [one for one in stored if one.kind == "superpixels"],
        "attribution": [one for one in stored if one.kind == "attribution"],
    }

    for one in studies:
        first = ["experiment", "protocol"]
        table = one.table.assign(experiment=one.name)
        table = table[[*first, *(name for name in table.columns if name not in first)]]
        results.write(folder / f"{one.name}.csv", results.as_csv(table))
        if one.experiment.kind == "table":
            for form, module in TABLE_FORMATS.items():
                text = module.environment(TEMPLATES).get_template(f"table.{form}").render(content, study=one)
                results.write(folder / f"{one.name}.{form}", text)
            for layout in one.layouts:
                name = f"{one.name}-x{layout.scale}" if len(one.layouts) > 1 else one.name
                text = (
                    tabular.environment(TEMPLATES).get_template("tabular.tex").render(content, study=one, layout=layout)
                )
                results.write(folder / f"{name}-tabular.tex", text)
    pictures.write_figures(comparisons, folder)
    papers = any(one.experiment.published for one in studies)
    content["found"] = replication() if plan.training and papers else None
    content["drawings"] = drawings(studies, compared, runs, labels, root, folder)
    index = folder / "index.html"
    results.write(index, html_page(content))
    return index


@cache
def replication() -> tuple[Gaps, Drawing] | None:
    """The gaps of the runs that are part of the suite, and their figure."""
    found = load_gaps(results.protocols(results.MEASURED), results.MEASURED)
    if found is None:
        return None
    description = f"Gaps between {found.reference} and its variants on {found.dataset}"
    svg = figures.save(figures.gaps(found, figures.PAGE), "svg")
    return found, Drawing(figures.inline(svg, "gaps", description), description)


def _timed(studies: Sequence[Study]) -> pd.DataFrame:
    """The measured costs of all studies, those of a run that several of them share once."""
    return pd.concat([one.timed for one in studies]).drop_duplicates(["variant", "scale", "implementation"])


def _pooled(studies: Sequence[Study]) -> pd.DataFrame:
    """The images of all studies, those of a run that several of them share once."""
    frame = pd.concat([one.frame for one in studies], ignore_index=True)
    return frame.drop_duplicates([*RUN, "dataset", "convention", "image"])
