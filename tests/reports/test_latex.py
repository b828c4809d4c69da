"""Text that comes from data arrives in the PDF as it was; tables compile alone and in papers, and fit their pages."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ablations
from reports import latex, study, tabular
from reports.latex import Tex, escape, reference
from reports.render import render
from tests.reports.tex import compile_tex

HOSTILE = r"50%_& # $ ~ ^ \ {} \input{x} <a|b> ''x'' -- ,, ?` exp(-d²) Δ×α−é"
CVPR = r"""[10pt,twocolumn]{article}
\usepackage[letterpaper,textwidth=6.875in,textheight=8.875in,columnsep=0.3125in]{geometry}"""
CLASSES = {"cvpr": CVPR, "llncs": "{llncs}", "IEEEtran": "[conference]{IEEEtran}"}
PAPER = r"""\documentclass[twocolumn]{article}
\usepackage{array,booktabs,graphicx,multirow}
\begin{document}
Before Table~\ref{tab:ablation}.
\input{table2}
After, on the same page.
\end{document}
"""


def test_escape_leaves_latex_alone_and_text_not() -> None:
    assert escape("50%_a") == r"50\%\_a"
    assert escape(Tex(r"\alpha")) == r"\alpha"
    assert escape("a\nb\t c") == "a b c"
    assert escape("中") == "[U+4E2D]"
    assert escape("e\u0301") == escape("é") == r"\'{e}"


@given(st.text())
def test_escaped_text_is_ascii_on_one_line_with_balanced_braces(text: str) -> None:
    tex = escape(text)
    assert tex.isascii()
    assert tex.isprintable() or not tex
    bare = tex.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")


def test_labels_hold_no_specials() -> None:
    assert reference("tab:ab_l{a}tion%") == "tab:ab-l-a-tion-"


def test_every_sign_of_the_tables_compiles(tmp_path: Path) -> None:
    signs = [*latex._SIGNS, *latex._MATHEMATICS, *(f"a{accent}" for accent in latex._ACCENTS), "í", "ǰ", "中", "\x07"]
    body = "\n\n".join(escape(f"x{sign}y") for sign in signs)
    path = tmp_path / "signs.tex"
    path.write_text(rf"\documentclass{{article}}\begin{{document}}{body}\end{{document}}", encoding="utf-8")
    compile_tex(path)


def test_hostile_labels_compile_and_print_as_text(store: Callable[..., object], tmp_path: Path) -> None:
    experiment = tmp_path / "hostile.yaml"
    experiment.write_text(
        "title: '% \\end{document} ^^M'\nsource: 'a_b'\nkind: table\nlabel: 'tab:x_'\nscales: [4]\n"
        "datasets: [Set5]\nreference: full\n"
        f'caption: "{HOSTILE.replace(chr(92), chr(92) * 2)}"\n'
        f'variants: {{full: {{label: "{HOSTILE.replace(chr(92), chr(92) * 2)}", model: spin}}}}\n',
        encoding="utf-8",
    )
    store("full", datasets={"a_b&c%": ["x"]})
    folder = render([str(experiment)], "quick", tmp_path).parent
    text = compile_tex(folder / "hostile.tex")
    row = next(line for line in text.splitlines() if "555,035" in line)
    for part in ("50%", "& #", "$", "\\ {} \\input{x} <a|b>", "--", ",,", "exp(-d2"):
        assert part in row
    assert "b&c%" in text  # the underscore of TeX's fonts is a rule


def write(name: str, protocol: str, root: Path) -> Path:
    """<name>.tex of the stored runs, without the rest of the report."""
    template = tabular.environment(Path(latex.__file__).parent / "templates").get_template("table.tex")
    path = root / f"{name}.tex"
    plan = ablations.load_protocol(protocol)
    path.write_text(template.render(study=study.load_study(name, protocol, root), plan=plan, protocol=protocol))
    return path


def in_a_paper(name: str, label: str, document_class: str) -> str:
    """A paper that has the table and refers to it."""
    paper = PAPER.replace("{table2}", f"{{{name}}}").replace("{tab:ablation}", f"{{{label}}}")
    return paper.replace("[twocolumn]{article}", document_class)


def smallest_font(pdf: Path) -> float:
    """Size in points of the smallest PSNR/SSIM of a paper's PDF, judged by the height of its text of 10 points."""
    command = ["pdftotext", "-bbox", pdf.name, "-"]
    boxes = subprocess.run(command, cwd=pdf.parent, capture_output=True, text=True, check=True).stdout
    words = re.findall(r'yMin="([\d.]+)".*? yMax="([\d.]+)">(.*?)<', boxes)
    heights = [(word, float(bottom) - float(top)) for top, bottom, word in words]
    (text,) = (height for word, height in heights if word == "After,")
    return 10 * min(height for word, height in heights if re.fullmatch(r"\d\d[.]\d\d/0[.]\d{4}", word)) / text


@pytest.mark.parametrize("protocol", ["quick", "cpu"])
def test_table_2_compiles_alone_and_in_papers(store: Callable[..., object], tmp_path: Path, protocol: str) -> None:
    sets = {"quick": ["embedded-test"], "cpu": ["Set5", "Set14", "BSDS100"]}[protocol]
    for variant in ("bicubic", "full", "svq", "only-ispa"):
        for seed in range(1 if variant == "bicubic" else 3):
            store(variant, protocol, seed, psnr=26 + seed / 10, datasets={name: ["a", "b"] for name in sets})
    alone = compile_tex(write("table2", protocol, tmp_path))
    assert "Only ISPA" in alone
    assert "32.48" in alone  # published
    assert "26.10" in alone  # measured
    assert f"protocol {protocol}" in " ".join(alone.split())
    assert "0.10/0.0000" in alone  # over three seeds
    for name, document_class in CLASSES.items():
        paper = tmp_path / f"{name}.tex"
        paper.write_text(in_a_paper("table2", "tab:ablation", document_class), encoding="utf-8")
        inside = compile_tex(paper)
        assert re.search("Before Table (1|I)[.]", inside)
        assert "After, on the same page." in inside
        assert "26.10" in inside
        assert smallest_font(paper.with_suffix(".pdf")) > 6.9


@pytest.mark.parametrize("document_class", CLASSES.values(), ids=CLASSES)
def test_table_1_fits_a_page_when_all_of_it_is_measured(
    store: Callable[..., object], tmp_path: Path, document_class: str
) -> None:
    experiment = ablations.load_experiment("table1")
    sets = {"datasets": {name: ["a"] for name in experiment.datasets}, "conventions": {"rcan": 0.0}}
    for scale in experiment.scales:
        for name in ("bicubic", *experiment.variants):
            if name != experiment.reference:
                weights = name != "bicubic" and experiment.variants[name].weights == "published"
                store(name, "published", scale=scale, weights=weights, psnr=30.0, **sets)
        for seed in range(2):
            store(experiment.reference, "cpu", seed, scale, psnr=29.0 + seed, **sets)
    write("table1", "published", tmp_path)
    paper = tmp_path / "paper.tex"
    paper.write_text(in_a_paper("table1", "tab:comparison-x4", document_class), encoding="utf-8")
    text = compile_tex(paper)
    assert re.search("Before Table (3|III)[.]", text)
    assert text.count("30.00/0.7000") == 3 * 5 * 19
    assert text.count("0.71/0.0000") == 3 * 5  # over two seeds
    assert smallest_font(paper.with_suffix(".pdf")) > 6.9


def test_table_1_compiles_alone_and_in_a_two_column_paper(store: Callable[..., object], tmp_path: Path) -> None:
    kept = {"protocol": "published", "weights": True}
    sets = {"datasets": {"Set5": ["a", "b"], "Urban100": ["a"]}, "images": {"Set5": 2, "Urban100": 100}}
    for scale in (2, 3, 4):
        store("bicubic", scale=scale, psnr=28.43, **kept, **sets)
        store("imdn", scale=scale, psnr=32.26, **kept, **sets)
        store("carn", scale=scale, status="50%_& of the #{checkpoint} is missing", **kept)
    for seed in range(2):
        store("full", "cpu", seed, psnr=29.1 + seed, **sets)
    alone = " ".join(compile_tex(write("table1", "published", tmp_path)).split())
    assert "50%_& of the #{checkpoint} is missing" in alone.replace("% &", "%_&").replace("50%&", "50%_&")
    assert "SPIN (protocol cpu)" in alone
    assert "+0.050/" in alone
    assert "1 of 100 images" in alone
    paper = tmp_path / "paper.tex"
    paper.write_text(in_a_paper("table1", "tab:comparison-x2", CLASSES["cvpr"]), encoding="utf-8")
    inside = compile_tex(paper)
    assert "Before Table 1." in inside
    assert "Table 3: Average PSNR/SSIM of lightweight super-resolution networks." in " ".join(inside.split())
