"""One report per protocol, with whatever was run under it, and the page over all of them."""

from __future__ import annotations

from pathlib import Path

import ablations
import results
from reports.overview import contents, write_overview, write_report
from results import definitions
from results.quality import read_quality
from tests.reports.conftest import Store
from tests.reports.pages import Page
from tests.spinbench.commands import spinbench


def own_experiment(folder: Path) -> Path:
    path = folder / "own.yaml"
    text = (ablations.FOLDER / "switches.yaml").read_text()
    path.write_text(text.replace("Switches of the ledger", "My own switches"))
    return path


def test_a_report_holds_what_was_run_and_the_paper_s_experiments_of_its_kind(store: Store, tmp_path: Path) -> None:
    assert contents("quick", tmp_path) == ["fig7", "table2"]
    assert contents("published", tmp_path) == ["table1"]
    store("full")
    store("exp")
    assert contents("quick", tmp_path) == ["fig7", "switches", "table2"]  # two of its variants can be compared
    definitions.remember("quick", str(own_experiment(tmp_path)), tmp_path)
    definitions.remember("quick", "table1", tmp_path)
    assert contents("quick", tmp_path) == ["fig7", "switches", "table2", "own", "table1"]
    own = tmp_path / "alone"
    definitions.remember("quick", str(own_experiment(tmp_path)), own)
    assert contents("quick", own) == ["own"]  # nobody ran the paper's experiments there


def test_a_second_protocol_has_a_page_of_its_own(store: Store, tmp_path: Path) -> None:
    """It overwrote the first one's."""
    store("full", psnr=31.0)
    store("full", "mine", psnr=32.0)
    first, second = write_report("quick", tmp_path), write_report("mine", tmp_path)
    assert first != second
    assert "31.00" in Page(first).row("Full")[-1] and "32.00" in Page(second).row("Full")[-1]
    overview = Page(write_overview(tmp_path))
    links = [attributes["href"] for tag, attributes in overview.elements if tag == "a"]
    assert links == ["mine/index.html", "quick/index.html"]
    assert all((tmp_path / "report" / link).is_file() for link in links)
    assert "1 run" in overview.text


def test_a_damaged_definition_is_named_and_the_rest_is_shown(store: Store, tmp_path: Path) -> None:
    store("full", psnr=31.0)
    definitions.remember("quick", str(own_experiment(tmp_path)), tmp_path)
    kept = definitions.folder("quick", tmp_path) / "experiments" / "own.yaml"
    kept.write_text(kept.read_text()[:200])
    page = Page(write_report("quick", tmp_path))
    assert "experiments/own.yaml: " in page.text and "run the experiment again" in page.text
    assert "31.00" in page.row("Full")[-1]


def test_the_suite_s_own_runs_are_reported_where_nothing_was_run(store: Store, tmp_path: Path) -> None:
    """They lie in results/measured/<protocol>, and the page goes where the user's pages go."""
    empty = tmp_path / "empty"
    shown = spinbench("report", "--results", empty)
    page = empty / "report" / "measured" / "cpu-short" / "index.html"
    assert shown.returncode == 0 and str(page) in shown.stdout
    rows = Page(page).rows_of("Full")
    images = read_quality(results.MEASURED / "cpu-short" / "full-x4-s0" / "quality.csv")
    mean = images[(images.dataset == "BSDS100") & (images.convention == "rcan")].psnr.mean()
    assert 26 < mean < 27 and any(cell.startswith("26.") for row in rows for cell in row)
    overview = Page(empty / "report" / "index.html")
    assert "Comes with the suite" in overview.text
    assert ("a", {"href": "measured/cpu-short/index.html"}) in overview.elements
    store("full", psnr=31.0)
    assert results.protocols(tmp_path) == ["quick"]
    assert "measured" not in spinbench("report", "--results", tmp_path).stdout
