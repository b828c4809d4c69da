"""What the notes of a table say of rows that differ from their neighbours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

import results
from reports.render import render

SET5 = {"Set5": ["a", "b"]}
Store = Callable[..., results.Run]


def test_published_weights_among_trained_networks_say_so_in_every_form(store: Store, tmp_path: Path) -> None:
    """They stood there unmarked, and bold, as if that protocol had trained them."""
    store("imdn", weights=True, datasets=SET5, images={"Set5": 2}, psnr=33)
    store("full", datasets=SET5, images={"Set5": 2}, psnr=26)
    folder = render(["table1"], "quick", tmp_path).parent
    rows = pd.read_csv(folder / "table1.csv").query("metric == 'psnr' and scale == 4 and dataset == 'Set5'")
    assert rows.set_index("variant").measured_mark.isna()[["imdn", "full"]].all()
    for form in ("index.html", "table1.tex", "table1.md"):
        text = (folder / form).read_text("utf-8")
        assert "Published weights, trained by the authors and not under this protocol; not ranked." in text, form
