"""Markdown as a reader of GitHub sees it: parsed by another program, text from data is text, and tables are tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import ablations
from reports import latex, markdown, study, tabular
from reports.markdown import escape

HOSTILE = "<script>alert(1)</script> a|b `c` *d* _e_ [f](g) ![h](i) &lt; $x$ ~~j~~ \\| # 50% <!-- k --> \\"
SPECIALS = st.text("\\|`*_[]()<>&#~!$-+=.:/ 1a\n\t{}^", max_size=20)
Store = Callable[..., object]


class Text(HTMLParser):
    """The text of HTML, the names of its tags, and the cells of its tables by row."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.in_cell = False
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data


def shown(source: str) -> Text:
    """What a reader sees of Markdown in GitHub's flavour."""
    return Text(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(source))


def write(name: str, protocol: str, root: Path) -> str:
    """The Markdown of an experiment's stored runs."""
    template = markdown.environment(Path(markdown.__file__).parent / "templates").get_template("table.md")
    one = study.load_study(name, protocol, root)
    return template.render(study=one, plan=ablations.load_protocol(protocol), protocol=protocol)


@given(st.one_of(SPECIALS, st.text(st.characters(exclude_categories=["C"]))))
def test_escaped_text_appears_as_it_is(text: str) -> None:
    plain = " ".join(text.split())
    for before, after in (("x\n\n- ", ""), ("**x.** ", ""), ("| x |\n| - |\n| ", " |")):
        seen = shown(f"{before}{escape(text)}{after}\n")
        assert " ".join(seen.text.split()) == f"{'x.' if '*' in before else 'x'} {plain}".strip()
        assert set(seen.tags) <= {"p", "ul", "li", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert "$" not in escape(text)  # GitHub's formulas


def test_numbers_need_no_escape() -> None:
    for number in ("32.48", "+0.003", "−0.003", "1,592K", "0.8983", "–"):
        assert escape(number) == number


def test_hostile_texts_stay_in_their_cells(store: Store, tmp_path: Path) -> None:
    text = json.dumps(HOSTILE)
    experiment = tmp_path / "hostile.yaml"
    experiment.write_text(
        f"title: {text}\nsource: {text}\nkind: table\nlabel: x\nscales: [4]\ndatasets: [Set5]\nreference: full\n"
        f"caption: {text}\nvariants: {{full: {{label: {text}, note: {text}, model: spin}}}}\n"
    )
    store("full", datasets={HOSTILE: ["x"]})
    seen = shown(write(str(experiment), "quick", tmp_path))
    assert set(seen.tags) == {"p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "sup", "ins"}
    assert seen.text.count(HOSTILE) == 6  # title, caption, set, label, note, and the note about the set
    (heading, row) = seen.rows
    assert len(heading) == len(row) == 5
    assert row[0] == f"{HOSTILE}a"
    assert row[-1] == "25.00 / 0.7000"


def test_best_and_second_best(store: Store, tmp_path: Path) -> None:
    six = {"embedded-test": list("abcdef")}  # fewer images, or one training, are not ranked
    store("bicubic", psnr=24.0, datasets=six)
    for variant, psnr in (("full", 27.0), ("svq", 26.0)):
        for seed in range(2):
            store(variant, psnr=psnr, seed=seed, datasets=six)
    lines = write("table2", "quick", tmp_path).splitlines()
    row = {line.split("|")[1].strip(): line for line in lines if line.startswith("|")}
    assert row["Full"].endswith("| **27.00** ± 0.00 / **0.7000** ± 0.0000 |")  # SSIM is the same for all three
    assert row["SVQ"].endswith("| <ins>26.00</ins> ± 0.00 / **0.7000** ± 0.0000 |")
    assert row["Bicubic"].endswith("| 24.00 / **0.7000** |")
    assert "**32.48** / **0.8983**" in row["Full"]
    assert "<ins>32.45</ins> / <ins>0.8975</ins>" in row["Parallel"]
    assert "best** and <ins>second best</ins>" in lines[0]


def test_published_measured_and_difference_stand_below_each_other(store: Store, tmp_path: Path) -> None:
    for seed, psnr in enumerate((32.38, 32.40, 32.42)):
        store("full", "cpu", seed, psnr=psnr, ssim=0.8, datasets={"Set5": ["a", "b"], "extra": ["c"]})
    seen = shown(write("table2", "cpu", tmp_path))
    heading, *rows = seen.rows
    assert heading == ["×4", "", "Parameters", "GMACs", "Latency, ms", *ablations.load_experiment("table2").datasets,
                       "extra"]  # fmt: skip
    start = next(index for index, row in enumerate(rows) if row[0] == "Full")
    published, measured, difference = rows[start:]
    assert published[:6] == ["Full", "published", "555,035", "41.25", "1,234.5", "32.48 / 0.8983"]
    assert published[-1] == ""
    assert measured[:6] == ["", "measured", "", "", "", "32.40 ± 0.02 / 0.8000 ± 0.0000"]
    assert measured[-1] == "32.40 ± 0.02 / 0.8000 ± 0.0000"
    assert difference[1] == "difference"
    assert difference[5] == "−0.080 / −0.0983a"
    assert set(difference[6:]) == {""}
    assert "Seeds per network: 3; ± is their standard deviation." in seen.text
    assert "difference: measured minus published" in seen.text


def test_a_network_without_a_value_keeps_its_line_and_its_reason(store: Store, tmp_path: Path) -> None:
    kept = {"protocol": "published", "weights": True, "datasets": {"Set5": ["a"]}}
    store("imdn", psnr=32.0, **kept)
    store("bsrn", status="lost", **kept)
    store("carn", status="lost", **kept)
    seen = shown(write("table1", "published", tmp_path))
    (mark,) = re.findall(r"(\w) Not measured: lost\.", seen.text)
    bsrn = [row for row in seen.rows if row[0] == f"BSRN{mark}"]
    assert [row[1:3] for row in bsrn] == [["DF2K", ""]]
    assert set(bsrn[0][6:]) == {"–"}
    position = seen.rows.index(next(row for row in seen.rows if row[0] == f"CARN{mark}"))
    assert seen.rows[position][1:3] == ["DIV2K", "published"]
    assert seen.rows[position + 1][0] == "IMDN"  # the line for what was measured of CARN would be empty


@pytest.fixture
def departing(store: Store, tmp_path: Path) -> list[str]:
    """Stores runs that depart from the convention in every way, and returns the texts that must tell so."""
    whole = {"datasets": {"Set5": ["a", "b"]}, "images": {"Set5": 2}, "protocol": "published", "weights": True}
    store("bicubic", psnr=28.4, **whole)
    store("latticenet-plus", psnr=32.3, **whole)
    store("smsr", psnr=32.12, **whole)
    store("esrt", psnr=32.24, conventions={"rcan": 0.0, "y8": -0.05}, **whole)
    store("imdn", psnr=32.0, **whole)
    store("carn-m", psnr=32.0, **whole | {"datasets": {"Set5": ["a", "z"]}})
    store("carn", status="no published checkpoint is registered", protocol="published", weights=True)
    for seed in range(2):
        store("full", "warm", seed, psnr=29.0 + seed, training={"warm_start": 2}, datasets={"Set5": ["a", "b"]})
    store("full", "mine", psnr=29.0, datasets={"Set5": ["a"]}, images={"Set5": 2})
    return [
        "Self-ensemble: mean over the 8 symmetries of the square; MACs of 8 passes.",
        "LR is cropped to even height and width, as by its authors.",
        "Whole images are processed and counted; its authors process overlapping quadrants, with less attention and "
        "fewer MACs.",
        "More than 0.01 dB from the published value: Y rounded to 8 bits.",
        "More than 0.01 dB from the published value: unknown.",
        "Not measured: no published checkpoint is registered.",
        f"Trained here under protocol warm; not ranked. {' '.join(ablations.load_protocol('quick').summary.split())} "
        "Warm start: trained from the weights of the same network at ×2.",
        "† An incomplete set is neither ranked with the complete set nor compared with the paper.",
        "Set5: † 1 of 2 images, LR imresize-symmetric (SPIN (protocol mine)).",
        "‡ Measured on other images than the rest of the column; not ranked.",
        "Seeds per network: SPIN (protocol mine) 1, SPIN (protocol warm) 2; ± is their standard deviation.",
    ]


def test_every_departure_is_told_in_every_format(departing: list[str], tmp_path: Path) -> None:
    (x4,) = (layout for layout in study.load_study("table1", "published", tmp_path).layouts if layout.scale == 4)
    told = [*x4.footnotes.values(), *x4.notes]  # what the page prints
    seen = " ".join(shown(write("table1", "published", tmp_path)).text.split())
    template = tabular.environment(Path(latex.__file__).parent / "templates").get_template("table.tex")
    tex = template.render(
        study=study.load_study("table1", "published", tmp_path),
        plan=ablations.load_protocol("published"),
        protocol="published",
    )
    for text in departing:
        assert any(note.startswith(text) for note in told), (text, told)
    for note in told:
        assert " ".join(note.split()) in seen
        assert latex.escape(note) in tex


def test_marks_and_notes_belong_together(departing: list[str], tmp_path: Path) -> None:
    """Every mark in a table is explained below it, and every explanation is used."""
    for table in write("table1", "published", tmp_path).split("\n**")[1:]:
        cells = "".join(line for line in table.splitlines() if line.startswith("|"))
        notes = "".join(line for line in table.splitlines() if line.startswith("-"))
        used = {mark for marks in re.findall("<sup>(.*?)</sup>", cells) for mark in marks.split(",")}
        assert used - {"†", "‡"} == set(re.findall("<sup>(.*?)</sup>", notes))
        assert {mark for mark in "†‡" if mark in notes} == used & {"†", "‡"}
