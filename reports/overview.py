"""One report per protocol, with every experiment that has runs there, and a page over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ablations
import results
from reports.page import overview_page
from reports.render import render
from results import definitions


class ListedReport(NamedTuple):
    """A report as the overview lists it; `page` is relative to it. `own`: not on the suite's own runs."""

    protocol: str
    summary: str
    experiments: list[str]
    runs: int
    page: str
    own: bool


def write_report(
    protocol: str,
    root: Path = results.ROOT,
    also: Iterable[str] = (),
    display: Mapping[str, Any] | None = None,
    measured: bool = False,
) -> Path:
    """Render the report of a protocol; the path of its page.

    `measured`: of the runs that are part of the suite, instead of those below `root`.

    It holds the experiments of `contents` and `also` (names, or paths of YAML files), and names those whose kept
    definition is damaged. `display` changes entries of the tables of `also`, or of all tables if there are none.
    Raises what `render` raises.
    """
    runs, into = _reports(root)[measured]
    names, unknown, also = [], [], list(also)
    for name in {ablations.name_of(name): name for name in [*contents(protocol, runs), *also]}.values():
        try:
            definitions.experiment(name, protocol, runs)
            names.append(name)
        except results.ResultsError as error:
            unknown.append(str(error))
    changed = {ablations.name_of(name): display or {} for name in also or names}
    return render(names, protocol, runs, left_out=unknown, display=changed, into=into)


def write_overview(root: Path = results.ROOT) -> Path:
    """Write the page over all reports below `root`; its path."""
    page = root / "report" / "index.html"
    results.write(page, overview_page(listed_reports(root)))
    return page


def contents(protocol: str, root: Path = results.ROOT) -> list[str]:
    """Every experiment that was run under a protocol, and the paper's experiments of the protocol's kind.

    Beside an experiment of the user's own, those of the paper are shown only if some of their runs are there.
    """
    run = definitions.experiments(protocol, root)
    own = set(run) - set(ablations.experiment_names())
    trains = definitions.protocol(protocol, root).training is not None

    def of_its_kind(name: str) -> bool:
        experiment = definitions.experiment(name, protocol, root)
        stored = {one.variant for one in results.stored_runs(experiment, protocol, root)} - {results.BASELINE}
        if experiment.published is None:  # shown as soon as two of its variants can be compared
            return len(stored) > 1
        if own and not stored:
            return False
        trained = [variant.trained for variant in experiment.variants.values()]
        return (sum(trained) > len(trained) / 2) == trains

    known = [name for name in ablations.experiment_names() if of_its_kind(name)]
    return list(dict.fromkeys([*known, *run]))


def listed_reports(root: Path) -> list[ListedReport]:
    """The reports below `root`, those on runs that are part of the suite last, by the name of their protocol."""
    found = []
    for runs, into in _reports(root):
        for page in sorted(into.glob("*/index.html")):
            name = page.parent.name
            try:
                summary = definitions.protocol(name, runs).summary
            except (ablations.AblationError, results.ResultsError):  # its definition is gone, but the page still has it
                summary = ""
            count = len(list(definitions.folder(name, runs).glob("*/run.yaml")))
            address = page.relative_to(root / "report").as_posix()
            own = runs != results.MEASURED
            found.append(ListedReport(name, summary, definitions.experiments(name, runs), count, address, own))
    return found


def _reports(root: Path) -> tuple[tuple[Path, Path], tuple[Path, Path]]:
    """Where runs lie and where the reports on them do: those below `root`, and those that are part of the suite."""
    return (root, root / "report"), (results.MEASURED, root / "report" / "measured")
