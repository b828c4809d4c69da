"""Published weights beside published numbers: reasons, explanations, and SPIN's own runs under their own names."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import xml.etree.ElementTree
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import ablations
import models
import results
from reports import study
from reports.render import render
from results import definitions
from tests.reports.pages import Page

EXPERIMENTS = ["table1", "table2", "fig7"]
TABLE1 = ablations.load_experiment("table1")
PUBLISHED = results.published("table1.csv").set_index(["method", "scale", "dataset"])
SET5 = {"Set5": ["a", "b"]}
X4 = 2  # of the tables with a row of that name: those of x2, x3 and x4 come first
ALONE = 0  # a scale that was measured alone: the others are folded below it
Store = Callable[..., results.Run]


def printed(method: str, scale: int = 4, dataset: str = "Set5") -> float:
    return float(PUBLISHED.psnr[method, scale, dataset])


@pytest.fixture
def weights(store: Store) -> Store:
    """Stores a run of published weights; by default on the whole of a small Set5."""

    def run(variant: str, **settings: object) -> results.Run:
        return store(variant, "published", **{"weights": True, "datasets": SET5, "images": {"Set5": 2}} | settings)

    return run


def table(folder: Path) -> pd.DataFrame:
    """PSNR in table1.csv."""
    frame = pd.read_csv(folder / "report" / "published" / "table1.csv", keep_default_na=False, na_values=[""])
    return frame[frame.metric == "psnr"].set_index(["variant", "protocol", "scale", "dataset"]).sort_index()


def test_difference_and_rank_stand_in_columns_of_their_own(weights: Store, tmp_path: Path) -> None:
    weights("bicubic", psnr=28.43)
    weights("imdn", psnr=printed("IMDN") + 0.002, ssim=0.8951, parameters=715176)
    weights("bsrn", psnr=32.3, parameters=352000)
    page = Page(render(["table1"], "published", tmp_path))
    heading = next(row for row in page.rows if row[0] == "×4")
    assert heading[:4] == ["×4", "Training", "Cost", "Set5"]
    columns = page.rows[page.rows.index(heading) + 1]
    assert columns[:6] == ["Params", "Counted", "GMACs", "publ.", "meas.", "diff."]
    row = page.rows_of("IMDN")[ALONE]
    assert row[1:5] == ["DIV2K", "715K", "715,176", "41.25"]
    assert row[5:8] == ["32.21 0.8948", "32.21  (second best) 0.8951  (best)", "+0.002 +0.0003"]
    assert page.rows_of("BSRN")[ALONE][1] == "DF2K"
    assert page.rows_of("BSRN")[ALONE][5:8] == ["–", "32.30  (best) 0.7000  (second best)", ""]
    assert page.rows_of("SPIN")[ALONE][5] == "32.48  (best) 0.8983  (best)"
    assert "1 of 1 PSNR values with published weights are within 0.01 dB of the paper." in page.text


def test_every_value_that_was_not_measured_says_why(weights: Store, tmp_path: Path) -> None:
    weights("bicubic", psnr=28.43)
    for variant in ("carn", "drsan"):
        weights(variant, status="no published checkpoint is registered", parameters=123456)
    weights("imdn", status="its checkpoint is not in the mirror (IMDN_x4.pth)")
    page = Page(render(["table1"], "published", tmp_path))
    for reason in (
        "no published checkpoint is registered", "its checkpoint is not in the mirror (IMDN_x4.pth)",
        "not trained yet under any protocol", TABLE1.variants["latticenet-cl"].status,
    ):  # fmt: skip
        marks = [item.split()[0] for item in page.items if item.endswith(f"Not measured: {reason}.")]
        assert len(marks) == 1, reason  # one footnote for all that share a reason
    (mark,) = [item.split()[0] for item in page.items if "no published checkpoint" in item]
    assert page.rows_of("CARN")[ALONE][6] == page.rows_of("DRSAN")[ALONE][6] == f"– {mark}"
    assert page.rows_of("CARN")[ALONE][3:5] == ["123,456", "41.25"]  # costed all the same
    stored = table(tmp_path)
    assert stored.status["madnet", "published", 4, "Set5"] == TABLE1.variants["madnet"].status
    assert stored.status["imdn", "published", 4, "Set5"].endswith("(IMDN_x4.pth)")
    assert stored.status["bsrn", "published", 4, "Set5"] == "not evaluated yet"
    assert stored.status["bicubic", "published", 4, "Manga109"] == "excluded or unavailable"
    assert math.isnan(stored.measured["imdn", "published", 4, "Set5"])
    assert stored.parameters["carn", "published", 4, "Set5"] == 123456


def test_a_set_of_which_nothing_was_at_hand_says_so_once(weights: Store, tmp_path: Path) -> None:
    weights("bicubic")
    weights("imdn")
    page = Page(render(["table1"], "published", tmp_path))
    (mark,) = [item.split()[0] for item in page.items if "excluded or unavailable" in item]
    heading = page.rows[max(index for index, row in enumerate(page.rows) if row[0] == "×4")]
    assert heading[4:] == [f"{name} {mark}" for name in TABLE1.datasets[1:]]


def test_a_set_that_could_not_be_had_says_why(weights: Store, tmp_path: Path) -> None:
    weights("bicubic")
    weights("imdn")
    reason = "http://host/Set_14/a%20b.png: cannot be downloaded (refused)"
    definitions.leave_out("published", {("Set14", 4): reason, ("Set5", 4): None}, tmp_path)
    page = Page(render(["table1"], "published", tmp_path))
    (mark,) = [item.split()[0] for item in page.items if item.endswith(f"Not measured: {reason}.")]
    heading = page.rows[max(index for index, row in enumerate(page.rows) if row[0] == "×4")]
    assert [cell for cell in heading if cell.endswith(f" {mark}")] == [f"Set14 {mark}"]
    assert r"Set\_14/a\%20b.png" in (tmp_path / "report" / "published" / "table1.tex").read_text()


def test_a_part_of_a_set_is_counted_and_not_compared(weights: Store, tmp_path: Path) -> None:
    part = {"Set5": ["a", "b"], "Urban100": [f"{index}" for index in range(20)]}
    for variant in ("bicubic", "imdn"):
        weights(variant, psnr=30.0, datasets=part, images={"Set5": 2, "Urban100": 100})
    page = Page(render(["table1"], "published", tmp_path))
    assert "Urban100: † 20 of 100 images, LR imresize-symmetric." in page.text
    row = page.rows_of("IMDN")[ALONE]
    columns = next(row for row in page.rows if row[:3] == ["Params", "Counted", "GMACs"])
    assert columns[3:] == ["publ.", "meas.", "diff.", "publ.", "publ.", "publ.", "meas.", "publ."]
    assert row[11].startswith("30.00 †"), "a single network is not ranked against bicubic"
    stored = table(tmp_path)
    assert math.isnan(stored.difference["imdn", "published", 4, "Urban100"])
    assert stored.n_images["imdn", "published", 4, "Urban100"] == 20
    assert stored.of_images["imdn", "published", 4, "Urban100"] == 100


@pytest.mark.parametrize(
    ("variant", "method", "difference", "y8", "explanation"),
    [
        ("imdn", "IMDN", 0.0099, -0.02, ""),
        ("imdn", "IMDN", -0.01, -0.02, ""),
        ("imdn", "IMDN", 0.0101, -0.0002, "Y rounded to 8 bits"),
        ("esrt", "ESRT", 0.05, -0.045, "Y rounded to 8 bits"),
        ("imdn", "IMDN", 0.05, -0.035, "unknown"),
        ("imdn", "IMDN", -0.05, -0.02, "unknown"),
        ("smsr", "SMSR", -0.05, -0.02, "unknown"),  # its note is no explanation
    ],
)
def test_what_explains_a_difference(
    weights: Store, tmp_path: Path, variant: str, method: str, difference: float, y8: float, explanation: str
) -> None:
    weights(variant, psnr=printed(method) + difference, conventions={"rcan": 0.0, "y8": y8})
    one = study.load_study("table1", "published", tmp_path)
    row = one.table.query("variant == @variant and metric == 'psnr' and scale == 4 and dataset == 'Set5'").iloc[0]
    assert row.difference == pytest.approx(difference)
    assert row.explanation == explanation
    shown = next(row for row in one.layouts[-1].rows if row.variant == variant).cells[0][2]
    notes = {mark: text for mark, text in one.layouts[-1].footnotes.items() if text.startswith("More than 0.01 dB")}
    assert notes == ({shown.flag: f"More than 0.01 dB from the published value: {explanation}."} if explanation else {})
    (finding,) = one.findings
    assert finding.startswith(f"{int(not explanation)} of 1 PSNR values")
    assert finding.endswith(f"explanations of the others: {explanation} (1)." if explanation else "of the paper.")


def test_a_difference_in_ssim_alone_needs_no_explanation(weights: Store, tmp_path: Path) -> None:
    weights("imdn", psnr=printed("IMDN"), ssim=0.5)
    assert set(study.load_study("table1", "published", tmp_path).table.explanation) == {""}


def test_spin_stands_under_the_names_of_its_protocols_and_is_not_ranked(
    store: Store, weights: Store, tmp_path: Path
) -> None:
    weights("imdn", psnr=printed("IMDN"))
    weights("bsrn", psnr=30.0)
    store("full", "quick", psnr=25.1)
    for seed in (0, 1):
        store("full", "cpu", seed, psnr=40.0 + seed, datasets=SET5, images={"Set5": 2})
    store("full", "mine", psnr=29.0, datasets=SET5, images={"Set5": 5})
    page = Page(render(EXPERIMENTS, "published", tmp_path))
    (row,) = page.rows_of("SPIN (protocol cpu)")
    assert row[1] == "own"
    assert row[2:5] == ["", "", ""]  # what it costs stands in the row above
    assert (row[5], row[6]) == ("", "40.50 ± 0.71 0.7000 ± 0.0000")  # the highest value bears no mark
    assert row[7].startswith("+8.020 ")
    assert page.rows_of("IMDN")[ALONE][6].startswith("32.21  (best)")
    assert page.rows_of("SPIN (protocol quick)")[0][-1] == "25.10 0.7000"
    assert page.rows_of("SPIN (protocol mine)")[0][6].startswith("29.00 †")
    assert "Set5: † 2 of 5 images, LR imresize-symmetric (SPIN (protocol mine))." in page.text
    own = page.rows_of("SPIN")[ALONE]
    assert own[3:5] == ["555,035", "41.25"]
    assert own[6].startswith("– ")
    summary = " ".join(ablations.load_protocol("quick").summary.split())
    assert f"Trained here under protocol quick; not ranked. {summary}" in " ".join(page.text.split())
    stored = table(tmp_path)
    assert stored.explanation["full", "cpu", 4, "Set5"] == "another training (protocol cpu)"
    assert stored.difference["full", "cpu", 4, "Set5"] == pytest.approx(40.5 - 32.48)
    assert math.isnan(stored.published["full", "cpu", 4, "Set5"])
    assert math.isnan(stored.difference["full", "mine", 4, "Set5"])
    assert {"cpu/full-x4-s1", "published/imdn-x4-s0"} <= {row[0] for row in page.rows}  # provenance names both
    assert "SPIN (protocol" not in " ".join(row[0] for row in page.rows_of("Full"))
    assert page.rows_of("Full (protocol cpu)")


def test_a_protocol_that_trains_nothing_says_so(weights: Store, tmp_path: Path) -> None:
    plan = ablations.load_protocol("published")
    assert plan.training is None
    weights("imdn")
    page = Page(render(EXPERIMENTS, "published", tmp_path))
    text = " ".join(page.text.split())
    assert plan.summary.strip() in text
    assert "Training none" in text
    assert text.count("Protocol published trains nothing.") == 4  # Table 2 and Fig. 7, in the banner and in place
    assert "1 of 19 variants are measured." in text
    assert "iterations of" not in text
    assert "Seeds per network" not in text


@pytest.mark.drawn
def test_nothing_measured_yet(tmp_path: Path) -> None:
    page = Page(render(EXPERIMENTS, "published", tmp_path))
    assert "Nothing is measured yet under protocol published." in page.text
    assert page.rows_of("CARN")[X4] == [
        "CARN", "DIV2K", "1,592K", "32.13 0.8937", "28.60 0.7806", "27.58 0.7349", "26.07 0.7837", "30.42 0.9070"
    ]  # fmt: skip
    assert {path.name for path in (tmp_path / "report" / "published").glob("tradeoff-table1.*")} == {
        "tradeoff-table1.pdf",
        "tradeoff-table1.png",
        "tradeoff-table1.svg",
    }


def test_every_row_says_what_it_was_trained_on(store: Store, tmp_path: Path) -> None:
    """A column where networks differ."""
    store("full", "cpu", datasets=SET5, images={"Set5": 2})
    page = Page(render(["table1"], "published", tmp_path))
    names = [variant.label for variant in TABLE1.variants.values()]
    found = {name: page.rows_of(name)[X4][1] for name in names} | {
        "SPIN (protocol cpu)": page.rows_of("SPIN (protocol cpu)")[0][1]
    }
    assert {found[name] for name in ("CARN", "SwinIR-light", "SPIN", "HPINet-M")} == {"DIV2K"}
    assert found["LAPAR-A"] == found["BSRN"] == "DF2K"
    assert found["SPIN (protocol cpu)"] == "own"
    assert found["GLADSR"] == "?"
    assert "Training set: own is Sun-Hays80-train; ? is not confirmed." in page.items
    tex = (tmp_path / "report" / "published" / "table1.tex").read_text(encoding="utf-8")
    assert " & Train & Params" in " ".join(tex.split()).replace("& & ", "& ")
    assert "BSRN & DF2K" in " ".join(tex.split())


def test_a_training_set_that_all_share_is_a_note(store: Store, tmp_path: Path) -> None:
    store("full", "cpu-short", datasets=SET5)
    page = Page(render(["table2"], "cpu-short", tmp_path))
    assert "Training set: DIV2K; own is Sun-Hays80-train." in page.items
    assert all("Training" not in row for row in page.rows)
    assert "Training set: DIV2K." in Page(render(["table2"], "paper", tmp_path)).items


def test_training_sets_are_those_of_the_networks_descriptions() -> None:
    for name, variant in TABLE1.variants.items():
        if variant.trained_on and variant.model:
            training = models.describe(variant.model).training
            assert training.startswith({"DIV2K": "DIV2K 1-800", "DF2K": "D"}[variant.trained_on]), name
            assert ("Flickr2K" in training) == (variant.trained_on == "DF2K"), name


def test_a_published_value_that_is_unknown_here_has_a_sign_of_its_own(weights: Store, tmp_path: Path) -> None:
    weights("imdn", psnr=printed("IMDN"))
    page = Page(render(["table1"], "published", tmp_path))
    for position in (1, 2):  # x2, x3, which are folded below x4
        spin = page.rows_of("SPIN")[position]
        sign, mark = spin[-1].split()
        assert sign == "?"
        note = next(item for item in page.items if item.startswith(f"{mark} Unknown here"))
        assert note.endswith("lost in the transcription; no ranks in this column.")
        assert not any("best" in row[-1] for row in (page.rows_of("SwinIR-light")[position], spin))
    assert page.rows_of("MADNet")[1][-1] == "–"  # the paper prints a dash
    assert page.rows_of("SPIN")[ALONE][-1].startswith("30.98  (best) ")
    assert any(item.endswith(" Published from Table 2 (Full).") for item in page.items)
    text = (tmp_path / "report" / "published" / "table1.md").read_text(encoding="utf-8")
    assert "?<sup>" in text


def titles(path: Path) -> list[str]:
    return [
        element.text or "" for element in xml.etree.ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}title")
    ]


@pytest.mark.drawn
def test_figure_1_names_every_point(store: Store, weights: Store, tmp_path: Path) -> None:
    weights("imdn", psnr=32.205, parameters=715176)
    weights("bsrn", psnr=32.35, parameters=352000)
    weights("smsr", psnr=32.1, datasets={"Set5": ["a"]})  # a part of the set
    store("full", "cpu", psnr=29.5, datasets=SET5, images={"Set5": 2})
    store("full", "paper", psnr=32.4, datasets=SET5, images={"Set5": 2})
    page = Page(render(EXPERIMENTS, "published", tmp_path))
    named = titles(tmp_path / "report" / "published" / "tradeoff-table1.svg")
    assert "IMDN, published: 32.21 dB, 715,000 parameters" in named
    assert "IMDN, measured: 32.20 dB, 715,176 parameters" in named
    assert "BSRN, measured: 32.35 dB, 352,000 parameters" in named
    assert "SPIN (protocol paper), trained here: 32.40 dB, 555,035 parameters" in named
    assert len(named) == 15 + 2 + 1
    assert "SPIN (protocol cpu), 29.50 dB, lies below the plotted range." in page.text
    points = [
        attributes
        for tag, attributes in page.elements
        if str(attributes.get("id")).startswith("tradeoff-table1-point-")
    ]
    assert [attributes["role"] for attributes in points] == ["img"] * len(named)
    assert all(f"<title>{name}</title>" in page.source for name in named)


@pytest.mark.drawn
def test_figure_1_escapes_labels(weights: Store, store: Store, tmp_path: Path) -> None:
    store("full", "a$b&c", psnr=32.4, datasets=SET5, images={"Set5": 2})
    render(["table1"], "published", tmp_path)
    assert "SPIN (protocol a$b&c), trained here: 32.40 dB, 555,035 parameters" in titles(
        tmp_path / "report" / "published" / "tradeoff-table1.svg"
    )


def test_text_of_a_status_stays_text(weights: Store, tmp_path: Path) -> None:
    weights("bicubic")
    weights("imdn", status='<script>alert(1)</script>" 50%_& \\input{x}')
    page = Page(render(["table1"], "published", tmp_path))
    assert "<script>alert" not in page.source
    assert '<script>alert(1)</script>" 50%_& \\input{x}.' in page.text
    tex = (tmp_path / "report" / "published" / "table1.tex").read_text(encoding="utf-8")
    assert r"50\%\_\& \textbackslash{}input\{x\}" in tex
    assert r"\input{x}" not in tex


@pytest.mark.drawn
@pytest.mark.slow
def test_all_of_it_is_small_and_needs_no_torch(store: Store, weights: Store, tmp_path: Path) -> None:
    for variant, definition in TABLE1.variants.items():
        if definition.weights == "published" and definition.model:
            for scale in TABLE1.scales:
                images = {name: [str(index) for index in range(30)] for name in TABLE1.datasets}
                weights(variant, scale=scale, datasets=images, images=None, conventions={"rcan": 0.0, "y8": -0.02})
    for variant in ablations.load_experiment("table2").variants:
        store(variant, "quick")
    code = (
        "import pathlib, sys; from reports.render import render; "
        f"render({EXPERIMENTS}, 'published', pathlib.Path({str(tmp_path)!r})); "
        "assert not {'torch', 'models', 'benchmarks', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
    index = tmp_path / "report" / "published" / "index.html"
    assert 100_000 < index.stat().st_size < 3_000_000


def test_footnotes_of_a_table_are_complete(weights: Store, tmp_path: Path) -> None:
    """Every letter that is used is explained below its table, and every explanation is used."""
    weights("bicubic")
    for variant, psnr in (("imdn", 32.3), ("smsr", 32.0), ("latticenet-plus", 32.3), ("carn-m", 31.9)):
        weights(variant, psnr=psnr)
    tex = render(["table1"], "published", tmp_path).with_name("table1.tex").read_text(encoding="utf-8")
    for part in tex.split(r"\def\tablebody")[1:]:
        body, below = part.split(r"\def\tablenotes")
        used = {mark for marks in re.findall(r"\\textsuperscript\{([a-z,]+)\}", body) for mark in marks.split(",")}
        assert used == set(re.findall(r"\\textsuperscript\{([a-z]+)\}", below))
        assert used
