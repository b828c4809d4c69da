"""The report: a page, and for every experiment its tables as LaTeX and CSV or its figure. Stored results are enough."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

import ablations
import results
from reports import figures, latex, study
from reports.agreement import agreement
from reports.costs import conditions, costs, operators
from reports.layout import shown, signed
from reports.provenance import changed, full_sets, provenance
from reports.study import Study
from reports.tables import CONVENTION, METRICS, RUN, departures

TEMPLATES = Path(__file__).parent / "templates"
FIGURE_1 = ("table1", "Set5", 4)  # the experiment, set and scale that the paper's Fig. 1 shows


def render(
    experiment_names: Sequence[str], protocol: str, root: Path = results.ROOT, output: Path | None = None
) -> Path:
    """Write the report of some experiments under a protocol and return the path of its page, index.html.

    Reads the runs below `root` and writes to `output` (default: `root`/report): index.html, and for every experiment
    <name>.csv, <name>.tex (tables), and <name>.pdf, .png and .svg (curves; one per scale if it has several); with
    table1 also fig1. Any part of the runs will do, and none. The same results give the same bytes.
    Raises ablations.AblationError and results.ResultsError.
    """
    folder = output or root / "report"
    plan = ablations.load_protocol(protocol)
    studies = [study.load(name, protocol, root) for name in experiment_names]
    studies.sort(key=lambda one: (one.experiment.published is None, one.experiment.kind == "curve"))
    runs = list(dict.fromkeys(run for one in studies for run in one.runs))
    everywhere = list(dict.fromkeys([*runs, *(run for one in studies for run in one.others)]))
    labels = {results.BASELINE: "Bicubic"}
    for one in reversed(studies):  # the first to name a variant has its way
        labels |= {name: variant.label for name, variant in one.experiment.variants.items()}
    page = {
        "plan": plan,
        "protocol": Path(protocol).stem,
        "paper": ablations.load_protocol("paper"),
        "studies": studies,
        "labels": labels,
        "runs": runs,
        "costs": costs(everywhere).assign(label=lambda table: table.variant.map(labels)),
        "conditions": conditions,
        "operators": operators,
        "metrics": METRICS,
        "convention": CONVENTION,
        "departures": departures(_pooled(studies)),
        "figure_1": [one.trade_off(*FIGURE_1[1:]) for one in studies if one.name == FIGURE_1[0]],
        "agreement": agreement(_pooled(studies), results.official(), full_sets(runs)),
        "ledger": ablations.ledger(),
        "provenance": provenance(everywhere),
        "changed": changed(runs, plan),
    }

    drawings: dict[str, Markup] = {}
    for one in studies:
        first = ["experiment", "protocol"]
        table = one.table.assign(experiment=one.name)
        table = table[[*first, *(name for name in table.columns if name not in first)]]
        results.write(folder / f"{one.name}.csv", table.to_csv(index=False, lineterminator="\n"))
        if one.experiment.kind == "table":
            tex = latex.environment(TEMPLATES).get_template("table.tex").render(page, study=one)
            results.write(folder / f"{one.name}.tex", tex)
        drawings |= _draw(one, folder)
    if curves := _training_curves(runs, labels):
        figure = figures.training(curves)
        drawings["training"] = figures.inline(figure, "training", "Training loss over the iterations")
    index = folder / "index.html"
    results.write(index, _html().get_template("report.html").render(page, drawings=drawings))
    return index


def _draw(one: Study, folder: Path) -> dict[str, Markup]:
    """Write a study's figures, and return them for the page by name; nothing where there is no point to draw."""
    drawn = {}
    for curve in one.curves if one.experiment.kind == "curve" else ():
        if len(curve.measured) or len(curve.published):
            drawn[curve.name] = figures.depth(curve, str(one.experiment.x)), one.experiment.caption
    name, dataset, scale = FIGURE_1
    if one.name == name and (picture := one.trade_off(dataset, scale)).points:
        drawn["fig1"] = figures.trade_off(picture), f"PSNR over parameters on {dataset}, ×{scale}"
    drawings = {}
    for name, (figure, description) in drawn.items():
        for file_format in figures.FORMATS:
            results.write(folder / f"{name}.{file_format}", figures.save(figure, file_format))
        drawings[name] = figures.inline(figure, name, description)
    return drawings


def _training_curves(runs: Sequence[results.Run], labels: dict[str, str]) -> dict[str, list[pd.DataFrame]]:
    """training.csv of every run that has one, by label. Raises ResultsError for one that cannot be read."""
    curves: dict[str, list[pd.DataFrame]] = {}
    scales = {run.scale for run in runs}
    for run in runs:
        path = run.path("training.csv")
        if not path.is_file():
            continue
        try:
            curve = pd.read_csv(path).astype({"iteration": int, "loss": float})
        except (ValueError, KeyError) as error:
            raise results.ResultsError(f"{path}: not a table with iteration and loss ({error})") from error
        if len(curve):
            label = labels[run.variant]
            curves.setdefault(label if len(scales) == 1 else f"{label} ×{run.scale}", []).append(curve)
    return curves


def _pooled(studies: Sequence[Study]) -> pd.DataFrame:
    """The images of all studies, those of a run that several of them share once."""
    frame = pd.concat([one.frame for one in studies], ignore_index=True)
    return frame.drop_duplicates([*RUN, "dataset", "convention", "image"])


def _html() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "signed": signed}
    return environment
