"""Commands that only read stored results: report renders them, tradeoff lists the Pareto-optimal networks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

import ablations
import results
from ablations import CostName, QualityName
from foundation import check_writable, nearest
from spinbench.at_once import in_processes
from spinbench.console import console, say
from spinbench.options import Folder, ProtocolName, UsageError, settings

if TYPE_CHECKING:
    from reports.study import Study
    from reports.tradeoff import TradeOff

app = typer.Typer()
FIGURES = (".pdf", ".svg", ".png")


@app.command()
def report(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names or YAML files of experiments to show in addition to those that were run.", show_default=False
        ),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="The name of a protocol, or the path of its YAML file. Can be repeated. "
            "Default: every protocol with runs, or else those of the runs that are part of the suite.",
            show_default=False,
        ),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="An entry of `table:` in the experiment's YAML, for this report: values, datasets, metrics, costs, "
            "rows, groups, headings, decimals, float, notes; or caption, label. Can be repeated. Applies to the "
            "experiments named, or to all tables.",
            show_default=False,
        ),
    ] = None,
    folder: Folder = results.ROOT,
) -> None:
    """Render the reports from stored results. Neither PyTorch nor image data are needed.

    Where nothing was run yet, that of the suite's own measurements is
    rendered, which results/measured holds.

    Example: spinbench report table1 --protocol published --table values=published --table rows=imdn,esrt,full
    """
    display = settings(table, "--table")
    own, measured = results.protocols(folder), results.protocols(results.MEASURED)
    names = protocol or own or measured or ["quick"]
    suite = {name: name not in own and name in measured for name in names}
    if protocol or display:
        for name in names:
            render(name, folder, experiments or [], display, suite[name])
        return
    from reports import overview  # noqa: F401  # forked processes have it already

    rendered = False
    for path, error in in_processes(partial(_rendered, folder, experiments or [], suite), names):
        say(f"report: {path}" if path else f"left out: {error}")
        rendered |= path is not None
    if not rendered:
        raise typer.Exit(1)
    _say_overview(folder)


def _rendered(
    folder: Path, also: Sequence[str], suite: Mapping[str, bool], protocol: str
) -> tuple[Path | None, str | None]:
    """Render the report of a protocol: its path, or why it is left out."""
    from reports.overview import write_report

    try:
        return write_report(protocol, folder, also, measured=suite[protocol]), None
    except (ablations.AblationError, results.ResultsError) as error:
        return None, str(error)  # the definition of the protocol is missing or damaged


@app.command()
def tradeoff(
    experiment: Annotated[str, typer.Argument(help="The name of an experiment, or a YAML file.")] = "table1",
    protocol: ProtocolName = "published",
    x: Annotated[
        CostName | None,
        typer.Option(
            "--x", help="The cost on the horizontal axis. Default: that of the experiment's figure, or params."
        ),
    ] = None,
    y: Annotated[
        QualityName | None,
        typer.Option(
            "--y", help="The quality on the vertical axis. Default: that of the experiment's figure, or psnr."
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="The test set. Default: that of the experiment's figure, or the first one with data."),
    ] = None,
    scale: Annotated[
        int | None, typer.Option(help="Upscaling factor. Default: that of the experiment's figure, or its largest.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Also draw the figure into this file: .pdf, .svg or .png.", dir_okay=False)
    ] = None,
    width: Annotated[
        Literal["column", "line", "both"] | None,
        typer.Option(
            help="The width of --output: a column of two (3.25 in, the default), the line of llncs (4.8 in), or both "
            "columns (6.875 in).",
            show_default=False,
        ),
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(
            metavar="BASELINE",
            help="Also list the efficiency score of the NTIRE challenges against this variant.",
            show_default=False,
        ),
    ] = None,
    folder: Folder = results.ROOT,
) -> None:
    """List quality and cost of the networks of an experiment (Fig. 1), and which ones are Pareto-optimal.

    Published values are compared with published values, and measured
    values with measured ones.

    Example: spinbench tradeoff table1 --dataset Urban100 --scale 2 --output fig.pdf
    """
    from reports import study
    from reports.numbers import shown
    from reports.tables import METRICS
    from reports.tradeoff import QUANTITIES

    if output is not None and output.suffix not in FIGURES:
        raise UsageError(f"--output {output}: expected a file that ends in {', '.join(FIGURES)}")
    if width is not None and output is None:
        raise UsageError(f"--width {width}: belongs to --output, which is not given")
    if output is not None:
        check_writable(output)
    one = study.load_study(experiment, protocol, folder)
    known = list(dict.fromkeys(one.table.dataset))
    if dataset not in (None, *known):
        raise UsageError(f"--dataset {dataset}: expected one of {', '.join(known)}")
    if scale not in (None, *one.experiment.scales):
        raise UsageError(f"--scale {scale}: expected one of {', '.join(map(str, one.experiment.scales))}")
    picture = one.trade_off(dataset, scale, x, y)
    quantity, metric = QUANTITIES[picture.x], METRICS[picture.y]
    if not picture.points and not picture.below:
        place = f"{dataset or 'any set'} at x{picture.scale} under protocol {ablations.name_of(protocol)}"
        raise UsageError(f"{experiment}: no network has both {metric.name} and {quantity.name} on {place}")
    heading = f"{metric.name} over {quantity.name} on {picture.dataset}, x{picture.scale}"
    unit = f" ({metric.unit})" if metric.unit else ""
    table = Table(
        "network",
        "",
        f"{quantity.name} ({quantity.unit})",
        f"{metric.name}{unit}",
        "Pareto front",
        title=heading,
    )
    for column in table.columns[2:4]:
        column.justify = "right"
    for point in sorted(
        [*picture.points, *picture.below, *picture.above], key=lambda point: (point.kind, point.x, -point.y)
    ):
        better = [other.label for other in picture.dominated_by(point) if not picture.dominated_by(other)]
        verdict = f"dominated by {', '.join(dict.fromkeys(better))}" if better else "yes"
        cost, quality = shown(point.x / quantity.si, quantity.decimals), shown(point.y, metric.decimals)
        table.add_row(
            point.label,
            picture.named(point.kind),
            cost,
            quality,
            verdict,
            style=None if better else "bold",
        )
    console.print(table)
    if picture.conditions:
        say(f"{quantity.name}: {picture.conditions}")
    if quantity.timed:
        say(f"a network dominates if its {quantity.name} is lower by more than repeated measurements differ by")
    if picture.apart:
        say(f"left out, measured under other conditions: {', '.join(picture.apart)}")
    if output is not None:
        _draw(picture, output, width or "column")
    if score is not None:
        _print_scores(one, picture.scale, score)


def _draw(picture: TradeOff, output: Path, width: str) -> None:
    """Draw the figure into a file."""
    from foundation import write
    from reports import figures

    size = figures.WIDTHS[width]
    write(output, figures.save(figures.trade_off(picture, size), output.suffix[1:], size))
    say(f"figure: {output}")


def _print_scores(one: Study, scale: int, baseline: str) -> None:
    """The efficiency score of every network that was measured like the baseline, the best first."""
    from reports.numbers import shown
    from reports.tradeoff import SCORE_WEIGHTS, efficiency_scores

    variants = one.experiment.variants
    known = one.experiment.variant_named(baseline)
    if known is None:
        raise UsageError(f"--score {baseline}: not a variant of {one.name}; {nearest(baseline, variants)}")
    baseline = known
    scores = efficiency_scores(one.timed, scale, baseline)
    if not scores:
        raise UsageError(f"--score {baseline}: its latency was not measured at x{scale}, expected a measured variant")
    label = variants[baseline].label
    table = Table("network", "score", title=f"NTIRE efficiency score, baseline {label}, x{scale}")
    table.columns[1].justify = "right"
    for name, value in sorted(scores.items(), key=lambda item: item[1]):
        table.add_row(variants[name].label, shown(value, 2), style="bold" if name == baseline else None)
    console.print(table)
    parts = " + ".join(f"{weight:g} exp(2 {part} / {label}'s)" for part, weight in _named(SCORE_WEIGHTS))
    say(
        f"score: {parts}; lower is better, {label} has {shown(math.exp(2), 2)}; in PyTorch, without a threshold of PSNR"
    )
    conditions = one.timed[(one.timed.variant == baseline) & (one.timed.scale == scale)].latency_conditions
    say(f"latency: {conditions.iloc[0]}")


def _named(weights: Mapping[CostName, float]) -> list[tuple[str, float]]:
    from reports.tradeoff import QUANTITIES

    return [(QUANTITIES[name].name, weight) for name, weight in weights.items()]


def render(
    protocol: str,
    folder: Path,
    also: Iterable[str] = (),
    display: Mapping[str, Any] | None = None,
    measured: bool = False,
) -> None:
    """Render the report of a protocol, and print its path; `measured`: of the runs that are part of the suite."""
    from reports.overview import write_report

    path = write_report(protocol, folder, also, display, measured)
    say(f"report: {path}")
    _say_overview(folder)


def _say_overview(folder: Path) -> None:
    from reports.overview import write_overview

    say(f"all reports: {write_overview(folder)}")
