"""The report: a page, and for every experiment its tables as LaTeX and CSV or its figure. Stored results are enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

import ablations
import results
from reports import markdown, pictures, study, tabular
from reports.agreement import agreement
from reports.claims import judge_studies
from reports.costs import conditions, counted_costs, operators
from reports.drawings import drawings
from reports.lead import find_lead, origin
from reports.page import TEMPLATES, html_page
from reports.provenance import full_sets, provenance, remarks
from reports.significance import significances
from reports.study import Study
from reports.tables import CONVENTION, METRICS, RUN, departures
from results import definitions
from results.gpu import load_cards


class Taken(NamedTuple):
    """What a reader can take away of an experiment: files beside the page, and texts that are in the page as well.

    `latex` is the tabular of each scale.
    """

    files: list[str]
    csv: str
    latex: dict[int, str]


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
    <name>-x4-tabular.tex and so on) and <name>.md; the figures of `drawings` and of `find_lead`; and the comparisons of
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
    stored, unread = pictures.load_page_pictures(root)
    comparisons = pictures.page_comparisons(stored)
    crop = pictures.leading_comparison(
        comparisons, {name for one in studies for name in one.measured}, ablations.name_of(protocol)
    )
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
        "left_out": list(dict.fromkeys([*left_out, *unread, *map(str, excluded)])),
        "remarks": remarks(everywhere),
        "comparisons": sorted(comparisons, key=lambda one: one is not crop),
        "crop": crop,
        "superpixels": [one for one in stored if one.kind == "superpixels"],
        "attribution": [one for one in stored if one.kind == "attribution"],
    }

    taken = {one.name: _write_study(one, content, folder) for one in studies}
    pictures.write_figures(comparisons, folder)
    content["taken"] = taken
    content["lead"] = find_lead(studies, plan, root, folder)
    content["origin"] = origin(everywhere)
    content["drawings"] = drawings(studies, compared, runs, labels, root, folder)
    index = folder / "index.html"
    results.write(index, html_page(content))
    return index


def _write_study(one: Study, content: Mapping[str, Any], folder: Path) -> Taken:
    """Write the numbers of an experiment and, if it is a table, the table in each format."""
    first = ["experiment", "protocol"]
    table = one.table.assign(experiment=one.name)
    table = table[[*first, *(name for name in table.columns if name not in first)]]
    files, latex = {f"{one.name}.csv": results.as_csv(table)}, {}
    if one.experiment.kind == "table":
        for form, module in TABLE_FORMATS.items():
            template = module.environment(TEMPLATES).get_template(f"table.{form}")
            files[f"{one.name}.{form}"] = template.render(content, study=one)
        template = tabular.environment(TEMPLATES).get_template("tabular.tex")
        for layout in one.layouts:
            name = f"{one.name}-x{layout.scale}" if len(one.layouts) > 1 else one.name
            latex[layout.scale] = files[f"{name}-tabular.tex"] = template.render(content, study=one, layout=layout)
    for name, text in files.items():
        results.write(folder / name, text)
    return Taken(list(files), files[f"{one.name}.csv"], latex)


def _timed(studies: Sequence[Study]) -> pd.DataFrame:
    """The measured costs of all studies, those of a run that several of them share once."""
    return pd.concat([one.timed for one in studies]).drop_duplicates(["variant", "scale", "implementation"])


def _pooled(studies: Sequence[Study]) -> pd.DataFrame:
    """The images of all studies, those of a run that several of them share once."""
    frame = pd.concat([one.frame for one in studies], ignore_index=True)
    return frame.drop_duplicates([*RUN, "dataset", "convention", "image"])
