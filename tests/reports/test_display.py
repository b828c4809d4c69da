"""Tables as a paper needs them: their rows, columns, precision, caption and label are what the experiment says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import ablations
from reports import study
from reports.layout import Layout
from reports.render import render
from tests.reports.conftest import storing
from tests.reports.tex import compile_tex

SETS = {"Set5": list("abcdef"), "Set14": list("abcdef")}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Table 2 in part, on two sets: SVQ is best, Full only second, by less than a hundredth of a dB."""
    folder = tmp_path_factory.mktemp("results")
    store = storing(folder)
    values = {"bicubic": 27.0, "full": 30.121, "svq": 30.124, "patch": 29.0}
    for variant, psnr in values.items():
        for seed in range(1 if variant == "bicubic" else 2):
            store(variant, "cpu", seed, psnr=psnr, ssim=psnr / 40, datasets=SETS)
    store("parallel", "cpu", datasets={"Set5": ["a"]}, images={"Set5": 6})
    return folder


def layout(root: Path, **display: Any) -> Layout:
    (found,) = study.load_study("table2", "cpu", root, display).layouts
    return found


def cells(found: Layout, variant: str) -> list[str]:
    (row,) = (row for row in found.rows if row.variant == variant)
    return ["/".join(number.value for number in cell.numbers.values()) for group in row.cells for cell in group]


def marks(found: Layout) -> dict[str, str]:
    """Of the first measured PSNR of each row."""
    firsts = {row.variant: next((c for g in row.cells for c in g if c.kind == "measured"), None) for row in found.rows}
    return {name: next(iter(cell.numbers.values())).mark for name, cell in firsts.items() if cell}


def test_rows_are_those_asked_for_in_their_order_and_ranked_among_themselves(root: Path) -> None:
    everything = layout(root)
    assert [row.variant for row in everything.rows][:2] == ["bicubic", "only-ispa"]
    assert marks(everything)["patch"] == ""
    some = layout(root, rows="patch, bicubic")
    assert marks(some) == {"patch": "", "bicubic": ""}, "a single network is not ranked against bicubic"
    some = layout(root, rows="patch, svq, bicubic")
    assert [row.variant for row in some.rows] == ["patch", "svq", "bicubic"]
    assert marks(some) == {"svq": "best", "patch": "second", "bicubic": ""}
    assert len({row.block for row in some.rows}) == 1
    assert not any("Full" in note for note in some.notes)


def test_groups_have_headings_or_only_rules(root: Path) -> None:
    groups = {"Tokens": ["svq", "patch"], "Both": ["full"]}
    found = layout(root, groups=groups)
    assert [(row.variant, row.heading) for row in found.rows] == [
        ("svq", "Tokens"),
        ("patch", "Tokens"),
        ("full", "Both"),
    ]
    ruled = layout(root, groups=groups, headings=False)
    assert {row.heading for row in ruled.rows} == {""}
    assert [row.block for row in ruled.rows] == [row.block for row in found.rows]


def test_ranks_are_taken_at_the_decimals_that_are_shown(root: Path) -> None:
    assert marks(layout(root, rows="svq,full")) == {"svq": "best", "full": "best"}
    fine = layout(root, rows="svq,full", decimals={"psnr": 3, "ssim": 2})
    assert marks(fine) == {"svq": "best", "full": "second"}
    assert cells(fine, "full")[:3] == ["32.480/0.90", "30.121/0.75", "−2.3590/−0.15"]


def test_columns_are_those_asked_for(root: Path) -> None:
    assert [group.title for group in layout(root).groups][:2] == ["Set5", "Set14"]
    found = layout(root, values="measured", datasets="Set14, Set5, Kodak", metrics="ssim", costs="latency,params")
    assert [(group.title, group.columns) for group in found.groups] == [("Set14", ["meas."]), ("Set5", ["meas."])]
    assert found.costs == ["Latency, ms", "Parameters"]
    assert cells(found, "full") == ["0.7530", "0.7530"]
    assert found.metrics == ["SSIM"]
    assert "No value on Kodak." in found.notes
    assert not any(note.startswith("MACs") for note in found.notes)
    printed = layout(root, values="published", costs=[])
    assert printed.costs == [] and {kind for group in printed.groups for kind in group.columns} == {"publ."}


@pytest.mark.parametrize(
    ("display", "message"),
    [
        ({"rows": ["fulll"]}, "table2: table.rows: unknown variant 'fulll'; did you mean 'full'?"),
        ({"groups": {"A": ["full"], "B": ["full"]}}, "table2: table: duplicate 'full'"),
        ({"rows": ["full"], "groups": {"A": ["full"]}}, "table2: table: `rows` and `groups` both choose the rows"),
        ({"row": ["full"]}, "table2: unknown key 'table.row'; did you mean 'rows'?"),
        ({"metrics": "psnr,lpips"}, "table2: table.metrics.1: Input should be 'psnr' or 'ssim'"),
        ({"label": "tab:a%"}, "table2: label: expected letters, digits and signs that LaTeX takes as they are"),
    ],
)
def test_what_cannot_be_shown_is_told(root: Path, display: dict[str, Any], message: str) -> None:
    with pytest.raises(ablations.AblationError, match=re.escape(message)):
        layout(root, **display)


def test_a_curve_has_no_table_to_change() -> None:
    curve = ablations.load_experiment("fig7")
    assert ablations.shown_as(curve, "fig7", {"rows": ["nobody"]}) is curve


SHOWN = {"caption": "Mine & theirs.", "label": "tab:my_own", "notes": False, "float": "table", "values": "measured"}


def test_caption_and_label_are_exactly_those_given_and_nothing_else_where_notes_are_off(root: Path) -> None:
    shown = SHOWN | {"groups": {"Tokens": ["svq", "patch"], "Both": ["full"]}, "datasets": "Set5", "costs": "macs"}
    folder = render(["table2"], "cpu", root, display={"table2": shown}).parent
    text = (folder / "table2.tex").read_text(encoding="utf-8")
    assert r"\caption{Mine \& theirs.}\label{tab:my_own}%" in text
    assert "table*" not in text
    paper = folder / "paper.tex"
    paper.write_text(
        "\\documentclass[conference]{IEEEtran}\\usepackage{array,booktabs,graphicx,multirow}\\begin{document}"
        "See Table~\\ref{tab:my_own}.\\input{table2}\\end{document}",
        encoding="utf-8",
    )
    inside = " ".join(compile_tex(paper).split())
    assert "See Table I." in inside
    assert re.search("Set5 Tokens .*SVQ 41.25 .*Both .*Full 41.25", inside)
    assert "Measured" not in inside and "bold" not in inside and "meas." not in inside


def test_a_tabular_stands_in_a_float_of_ones_own(root: Path) -> None:
    folder = render(["table2"], "cpu", root, display={"table2": {"datasets": "Set5, Set14", "costs": []}}).parent
    paper = folder / "paper.tex"
    paper.write_text(
        "\\documentclass{article}\\usepackage{booktabs,multirow}\\begin{document}\\begin{table}\\small"
        "\\caption{Mine}\\input{table2-tabular}\\end{table}\\end{document}",
        encoding="utf-8",
    )
    inside = compile_tex(paper)
    assert "30.12/0.7530" in inside and "Table 1: Mine" in inside
    several = render(["table1"], "published", root).parent
    assert {path.name for path in several.glob("table1-*.tex")} == {
        f"table1-x{scale}-tabular.tex" for scale in (2, 3, 4)
    }


def test_no_font_of_a_table_is_a_bitmap(root: Path) -> None:
    """Type 3 fonts are refused by publishers; a multiplication sign or a dagger as text would bring one."""
    folder = render(["table2"], "cpu", root).parent
    assert "†" in compile_tex(folder / "table2.tex")
    if not shutil.which("pdffonts"):
        pytest.skip("needs pdffonts (poppler)")
    fonts = subprocess.run(["pdffonts", folder / "table2.pdf"], capture_output=True, text=True, check=True).stdout
    assert "Type 1" in fonts and "Type 3" not in fonts
