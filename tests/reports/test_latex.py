"""Text that comes from data arrives in the PDF as it was, and tables compile alone and inside a paper."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import latex
from reports.latex import Tex, escape, reference
from reports.render import render

HOSTILE = r"50%_& # $ ~ ^ \ {} \input{x} <a|b> ''x'' -- ,, ?` exp(-d²) Δ×α−é"
PAPER = r"""\documentclass[twocolumn]{article}
\usepackage{booktabs,multirow,graphicx}
\begin{document}
Before Table~\ref{tab:ablation}.
\input{table2}
After, on the same page.
\end{document}
"""


def compile_tex(path: Path) -> str:
    """Compile with pdflatex and return the text of the PDF; the log must bear no error and no overfull box."""
    if not (shutil.which("pdflatex") and shutil.which("pdftotext")):
        pytest.skip("needs pdflatex and pdftotext (TeX Live, poppler)")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", path.name]
    for _ in range(2):  # the second time for references
        done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "undefined" not in done.stdout
    assert "incomplete" not in done.stdout
    text = subprocess.run(
        ["pdftotext", "-layout", path.with_suffix(".pdf").name, "-"], cwd=path.parent, capture_output=True, check=True
    )
    return text.stdout.decode()


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
        "title: '% \\end{document} ^^M'\nsource: 'a_b'\nkind: table\nlabel: 'tab:x_%}'\nscales: [4]\n"
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


@pytest.mark.parametrize("protocol", ["quick", "cpu"])
def test_table_compiles_alone_and_in_a_two_column_paper(
    store: Callable[..., object], tmp_path: Path, protocol: str
) -> None:
    sets = {"quick": ["embedded-test"], "cpu": ["Set5", "Set14", "BSDS100"]}[protocol]
    for variant in ("bicubic", "full", "svq", "only-ispa"):
        for seed in range(1 if variant == "bicubic" else 3):
            store(variant, protocol, seed, psnr=26 + seed / 10, datasets={name: ["a", "b"] for name in sets})
    folder = render(["table2"], protocol, tmp_path).parent
    alone = compile_tex(folder / "table2.tex")
    assert "Only ISPA" in alone
    assert "32.48" in alone  # published
    assert "26.10" in alone  # measured
    assert f"protocol {protocol}" in " ".join(alone.split())
    paper = folder / "paper.tex"
    paper.write_text(PAPER, encoding="utf-8")
    inside = compile_tex(paper)
    assert "Before Table 1." in inside
    assert "After, on the same page." in inside
    assert "26.10" in inside


def test_table_1_compiles_alone_and_in_a_two_column_paper(store: Callable[..., object], tmp_path: Path) -> None:
    kept = {"protocol": "published", "weights": True}
    sets = {"datasets": {"Set5": ["a", "b"], "Urban100": ["a"]}, "images": {"Set5": 2, "Urban100": 100}}
    for scale in (2, 3, 4):
        store("bicubic", scale=scale, psnr=28.43, **kept, **sets)
        store("imdn", scale=scale, psnr=32.26, **kept, **sets)
        store("carn", scale=scale, status="50%_& of the #{checkpoint} is missing", **kept)
    for seed in range(2):
        store("full", "cpu", seed, psnr=29.1 + seed, **sets)
    folder = render(["table1"], "published", tmp_path).parent
    alone = " ".join(compile_tex(folder / "table1.tex").split())
    assert "50%_& of the #{checkpoint} is missing" in alone.replace("% &", "%_&").replace("50%&", "50%_&")
    assert "SPIN (protocol cpu)" in alone
    assert "+0.050" in alone
    assert "1 of 100 images" in alone
    paper = folder / "paper.tex"
    paper.write_text(
        PAPER.replace("{tab:ablation}", "{tab:comparison-x2}").replace("{table2}", "{table1}"), encoding="utf-8"
    )
    inside = compile_tex(paper)
    assert "Before Table 1." in inside
    assert "Table 3: Average PSNR/SSIM of lightweight super-resolution networks." in " ".join(inside.split())
