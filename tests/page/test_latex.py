"""The LaTeX beside the page compiles, and the PDF holds the table."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.page.conftest import PROTOCOLS
from tests.reports.tex import compile_tex


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("name", "content"), [("table1", "SwinIR-light"), ("table2", "Only ISPA")])
def test_tables_compile(reports_folder: Path, tmp_path: Path, protocol: str, name: str, content: str) -> None:
    if not (shutil.which("pdflatex") and shutil.which("pdftotext")):
        pytest.fail(
            "needs LaTeX: on Debian, apt-get install texlive-latex-recommended texlive-latex-extra poppler-utils"
        )
    shutil.copy(reports_folder / protocol / f"{name}.tex", tmp_path)
    assert content in compile_tex(tmp_path / f"{name}.tex")
