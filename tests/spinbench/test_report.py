"""`report` and `tradeoff` as a user calls them: their examples work, and options reach the files."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
import typer

from foundation import SpinbenchError
from spinbench.at_once import in_processes
from spinbench.report import app
from tests.reports.conftest import storing
from tests.spinbench.commands import spinbench


@pytest.mark.parametrize("name", ["report", "tradeoff"])
def test_the_example_in_the_help_works(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("reports.render.drawings", lambda *_: {})
    text = typer.main.get_group(app).commands[name].help or ""
    (example,) = re.findall(r"Example: spinbench (.*)", text)
    done = spinbench(*shlex.split(example), "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    made = {path.name for path in tmp_path.rglob("*")}
    assert {"report": "table1-x4-tabular.tex", "tradeoff": "fig.pdf"}[name] in made


@pytest.mark.parametrize("cores", [1, 2])
def test_all_protocols_are_rendered_one_after_another_or_at_once(
    cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.render.drawings", lambda *_: {})
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    for protocol in ("cpu", "quick"):
        storing(tmp_path)("full", protocol)
    broken = tmp_path / "runs" / "mine" / "protocol.yaml"
    broken.parent.mkdir()
    broken.write_text("origin: x\n")
    done = spinbench("report", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    told = "".join(done.stdout.splitlines())
    pages = {protocol: tmp_path / "report" / protocol / "index.html" for protocol in ("cpu", "mine", "quick")}
    assert told.index(f"report: {pages['cpu']}") < told.index(f"left out: {broken}") < told.index(str(pages["quick"]))
    assert [protocol for protocol, page in pages.items() if page.is_file()] == ["cpu", "quick"]
    overview = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert all(f'href="{protocol}/index.html"' in overview for protocol in ("cpu", "quick"))


def own_process(name: str) -> int:
    if name == "ended":
        os._exit(9)
    return os.getpid()


def test_a_process_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert os.getpid() not in in_processes(own_process, ["a", "b"])
    assert [*in_processes(own_process, ["a"])] == [os.getpid()]
    with pytest.raises(SpinbenchError, match="was ended, perhaps for lack of memory"):
        [*in_processes(own_process, ["a", "ended"])]
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert [*in_processes(own_process, ["a", "b"])] == 2 * [os.getpid()]


def test_options_of_a_table_reach_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.render.drawings", lambda *_: {})
    shown = ["groups={Transformers: [esrt, full], CNN: [imdn]}", "caption=Mine.", "label=tab:mine", "metrics=psnr"]
    options = [part for entry in shown for part in ("--table", entry)]
    done = spinbench("report", "table1", "--protocol", "published", *options, "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "report" / "measured" / "published"  # of the suite's runs, since there are no others
    tex = (folder / "table1.tex").read_text(encoding="utf-8")
    assert r"\caption{Mine.}\label{tab:mine-x4}" in tex
    (page, markdown) = (folder / name for name in ("index.html", "table1.md"))
    assert '<th colspan="7" scope="rowgroup" class="heading">Transformers</th>' in page.read_text(encoding="utf-8")
    assert "| *Transformers* |" in markdown.read_text(encoding="utf-8")
    assert "CARN" not in tex


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("rows=imdm", "error: table1: table.rows: unknown variant 'imdm'; did you mean 'imdn'?"),
        ("rowz=imdn", "error: table1: unknown key 'table.rowz'; did you mean 'rows'?"),
        ("rows", "error: --table rows: expected key=value"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path: Path, entry: str, message: str) -> None:
    done = spinbench("report", "table1", "--protocol", "published", "--table", entry, "--results", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1
    assert not (tmp_path / "report").exists()
    assert spinbench("report", "table1", "--table", entry, "--results", tmp_path).returncode == 1  # any protocol
