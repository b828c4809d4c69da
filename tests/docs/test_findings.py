"""The page of findings is what its script computes from the committed runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "docs" / "findings.py"


def test_the_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("docs_findings", SCRIPT)
    assert spec and spec.loader
    findings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(findings)
    text = findings.PAGE.read_text(encoding="utf-8")
    assert findings.page() == text, "run python docs/findings.py"
    assert len(text.splitlines()) < 140
