"""From nothing to a table, a figure and a LaTeX file of one's own network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import ablations
from tests.spinbench.commands import spinbench

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "examples" / "paper.sh"


@pytest.mark.slow
def test_the_five_commands_of_the_example_and_of_readme_lead_to_a_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they stand in the example, but for a training of two steps."""
    commands = re.findall(r"^spinbench (.*)$", EXAMPLE.read_text(), re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["new", "validate", "run", "report", "tradeoff"]
    own = (CHECKOUT / "README.md").read_text("utf-8").partition("## Your network")[2].partition("\n## ")[0]
    assert re.findall(r"^    spinbench (.*?)(?:\s+#.*)?$", own, re.MULTILINE) == commands
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results"
    for command in commands:
        done = spinbench(
            *command.split(), *(["--results", results] if command.startswith(("run", "report", "tradeoff")) else [])
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if command.startswith("new"):
            assert re.findall(r"^  spinbench (.*)$", done.stdout, re.MULTILINE) == commands[1:4]
            protocol = tmp_path / "my-paper-protocol.yaml"
            quicker = yaml.safe_load(protocol.read_text())
            quicker["training"] |= {"iterations": 2, "lr_patch": 32, "batch_size": 1}
            quicker["costing"] |= {"repeats": 1, "warmup": 0, "memory": False}
            protocol.write_text(yaml.safe_dump(quicker))
    assert (tmp_path / "fig.pdf").read_bytes().startswith(b"%PDF")
    page = results / "report" / "my-paper-protocol"
    assert r"\textbf{Mine}" in (page / "my-paper.tex").read_text()
    assert "**Mine**" in (page / "my-paper.md").read_text()
    html = (page / "index.html").read_text()
    assert re.search(r'<tr class="ours">\s*<th scope="row">Mine', html)
    assert (page / "tradeoff-my-paper.pdf").stat().st_size > 1000
    assert r"\begin{table}" in (page / "my-paper.tex").read_text()
    assert r"\begin{tabular}" in (page / "my-paper-tabular.tex").read_text()
    assert '<h2 id="claims">Claims</h2>' in html and "Agreement with the paper" not in html
    assert "Ablation of SPIN" not in html  # which nobody ran under this protocol
    assert "My network is better than IMDN." in html and "at 2 iterations" in html


def test_nothing_is_overwritten_and_names_are_checked(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("mine")
    done = spinbench("new", "other", "--folder", tmp_path)
    assert done.returncode == 1 and "net.py: exists already" in done.stderr
    assert (tmp_path / "net.py").read_text() == "mine" and not (tmp_path / "other.yaml").exists()
    assert spinbench("new", "../evil", "--folder", tmp_path).returncode == 1


def test_what_it_writes_is_valid(tmp_path: Path) -> None:
    spinbench("new", "x.1", "--folder", tmp_path)
    experiment = ablations.load_experiment(str(tmp_path / "x.1.yaml"))
    assert experiment.variants["mine"].model == f"{tmp_path / 'net.py'}:Net"
    assert ablations.load_protocol(str(tmp_path / "x.1-protocol.yaml")).training
