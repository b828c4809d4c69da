"""README.md, CONTRIBUTING.md and other documents are up to date: quoted lines, paths, links, commands, experiments."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import yaml

import ablations
import models
from spinbench.app import app

CHECKOUT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/commands.md", "docs/environment.md", "docs/layout.md",
)  # fmt: skip
LINK = re.compile(r"\]\(([^)#:]+)\)")  # to a file
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"(?<![\w/-])((?:ablations|benchmarks|docs|models|reports|results|spinbench|tests|\.ci)/[\w./-]*\w)")
MADE = re.compile(r"results/(runs|report|pictures|speed)\b")  # by commands


def text(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding="utf-8")


def blocks() -> list[tuple[str, str]]:
    """The language and the content of each block of CONTRIBUTING.md."""
    return BLOCK.findall(text("CONTRIBUTING.md"))


def quotes() -> list[Any]:
    """Blocks that begin with the name of a file, which they quote."""
    parts = [content.partition("\n") for _, content in blocks() if content.startswith("# ")]
    return [pytest.param(first[2:], rest, id=f"{number}-{first[2:]}") for number, (first, _, rest) in enumerate(parts)]


def commands(program: str) -> list[str]:
    """Lines of a terminal that begin with the program."""
    lines = (line.strip() for name in DOCUMENTS for line in text(name).splitlines() if line.startswith("    "))
    inline = (part for name in DOCUMENTS for part in re.findall(r"`([^`\n]+)`", text(name)))
    return sorted({line for line in (*lines, *inline) if line.startswith(f"{program} ")})


@pytest.mark.parametrize(("place", "content"), quotes())
def test_quoted_lines_are_in_their_file_in_this_order(place: str, content: str) -> None:
    quoted = [line for line in content.splitlines() if line.strip() not in ("...", "")]
    lines = iter((CHECKOUT / place).read_text(encoding="utf-8").splitlines())
    assert quoted
    assert [line for line in quoted if line not in lines] == []


def test_an_experiment_that_is_shown_can_be_used(tmp_path: Path) -> None:
    shown = [content for language, content in blocks() if language == "yaml" and not content.startswith("# ")]
    assert shown
    kinds = set()
    for content in shown:
        path = tmp_path / "shown.yaml"
        path.write_text(content)
        kinds |= {claim.check for claim in ablations.load_experiment(str(path)).claims.values()}
    assert kinds == {"better", "smaller"}


def test_a_claim_of_each_kind_is_shown() -> None:
    shown = {kind for _, content in blocks() for kind in re.findall(r"^ +check: (\w+)$", content, re.MULTILINE)}
    kinds = {get_args(one.model_fields["check"].annotation)[0] for one in get_args(ablations.Claim)}
    assert shown == kinds


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_exist(document: str) -> None:
    paths = {path for path in PATH.findall(text(document)) if not MADE.match(path)}
    assert paths
    assert [path for path in sorted(paths) if not (CHECKOUT / path).exists()] == []


@pytest.mark.parametrize("document", [*DOCUMENTS, "docs/licences.md"])
def test_links_lead_to_files(document: str) -> None:
    folder = (CHECKOUT / document).parent
    assert [link for link in LINK.findall(text(document)) if not (folder / link).exists()] == []


def test_the_citation_is_that_of_the_suite_and_of_the_paper() -> None:
    cited, project = yaml.safe_load(text("CITATION.cff")), tomllib.loads(text("pyproject.toml"))["project"]
    assert {*cited} >= {"cff-version", "message", "title", "authors"}  # what the format requires
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    (paper,) = cited["references"]
    info = models.describe("spin")
    assert (paper["title"], paper["year"], paper["repository-code"]) == (info.paper, info.year, info.repository)
    assert info.paper in text("README.md")
    assert all(f"{one['family-names']}, {one['given-names']}" in text("README.md") for one in paper["authors"])


@pytest.mark.parametrize("line", commands("spinbench"))
def test_commands_accept_their_arguments(line: str) -> None:
    """They are parsed, not run."""
    command: Any = typer.main.get_command(app)
    words = shlex.split(line, comments=True)[1:]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, name
        command = command.commands[name]
    if words and words != ["--help"]:
        command.make_context("spinbench", words)


def test_sessions_exist() -> None:
    source = text("noxfile.py")
    named = set(re.findall(r'@nox\.session\(name="([\w-]+)"\)', source))
    named |= set(re.findall(r"@nox\.session\n(?:@.*\n)*def (\w+)", source))
    asked = {name for document in DOCUMENTS for name in re.findall(r"nox -s ([\w-]+)", text(document))}
    assert asked and asked <= named
