"""LaTeX as a user compiles it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest


def compile_tex(path: Path) -> str:
    """Compile with pdflatex and return the text of the PDF; no error, nothing too large, no missing reference."""
    if not (shutil.which("pdflatex") and shutil.which("pdftotext")):
        pytest.skip("needs pdflatex and pdftotext (TeX Live, poppler)")
    preamble = path.read_text(encoding="utf-8").partition(r"\begin{document}")[0]
    (name,) = re.findall(r"\\documentclass(?:\[.*?\])?\{(.*?)\}", preamble)
    packages = ",".join(re.findall(r"\\usepackage(?:\[.*?\])?\{(.*?)\}", preamble)).split(",")
    for file in (f"{name}.cls", *(f"{package.strip()}.sty" for package in packages if package.strip())):
        if not subprocess.run(["kpsewhich", file], capture_output=True).stdout:
            pytest.skip(f"needs {file} (Debian: texlive-latex-extra, texlive-publishers)")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", path.name]
    for _ in range(2):  # the second time for references
        done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stdout[-2000:]
    for fault in ("Overfull", "Float too large", "undefined references", "multiply defined", "incomplete"):
        assert fault not in done.stdout
    read = subprocess.run(
        ["pdftotext", "-layout", path.with_suffix(".pdf").name, "-"], cwd=path.parent, capture_output=True, check=True
    )
    return read.stdout.decode()
