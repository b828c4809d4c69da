"""`examples/tour.ipynb` runs from top to bottom, without a network and without results."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_tour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(CHECKOUT / "examples" / "tour.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in code)  # outputs are not committed
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("SPINBENCH_RESULTS", str(tmp_path))
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))  # nothing is fetched
    resources = {"metadata": {"path": str(tmp_path)}}  # where it runs
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    table, figure = (cell.outputs[0].data["text/html"] for cell in code[-2:])
    assert "<table>" in table
    assert figure.startswith("<svg")
