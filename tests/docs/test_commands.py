"""Every command and snippet of the documentation does what its page says; see `blocks` for how they are marked."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
import yaml
from PIL import Image

import ablations
import models
from docs import generated
from spinbench.app import app
from tests.docs.blocks import DOCS, Block, blocks, pages
from tests.spinbench.commands import spinbench

CHECKOUT = DOCS.parent
PAGES = {str(page.relative_to(DOCS)): blocks(page) for page in pages()}
SLOW = [name for name, found in PAGES.items() if any("slow" in block.marks for block in found)]
NEED_MIRROR = re.compile(r"--published|Set5|Set14|\bpublished\b")


@pytest.fixture(scope="module")
def belongings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages say that a reader has: photographs, LR images, a checkpoint."""
    folder = tmp_path_factory.mktemp("reader")
    pixels = np.random.default_rng(0).integers(0, 256, (104, 104, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    for place, name, image in (
        ("photos", "one.png", pixels),
        ("HR", "one.png", pixels),
        ("LR", "onex4.png", pixels[:26, :26]),
    ):
        (folder / place).mkdir()
        Image.fromarray(image).save(folder / place / name)
    torch.save(models.build("espcn", 2).state_dict(), folder / "checkpoint.pth")
    return folder


@pytest.fixture
def place(belongings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a reader's, at the beginning of a page."""
    shutil.copytree(belongings, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_the_quick_blocks_of_a_page_work(page: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spinbench.runs.render", lambda protocol, folder: None)  # the slow tests render
    execute(page, [block for block in PAGES[page] if "slow" not in block.marks])


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW)
def test_all_blocks_of_a_page_work(page: str, place: Path, request: pytest.FixtureRequest) -> None:
    if any(NEED_MIRROR.search(block.body) for block in PAGES[page] if "slow" in block.marks):
        request.getfixturevalue("mirror_folder")
    execute(page, PAGES[page])


def execute(page: str, found: list[Block]) -> None:
    """Execute the blocks of a page in this process and the current folder."""
    namespace: dict[str, Any] = {}
    printed = ""
    for block in found:
        where = f"{page}:{block.line}"
        if "elsewhere" in block.marks:
            continue
        if block.language in ("yaml", "python") and block.title:
            Path(block.title).write_text(block.body)
        elif block.language == "yaml":
            assert isinstance(yaml.safe_load(block.body), dict), where
        elif block.language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block.body, where, "exec"), namespace)
            printed = out.getvalue()
        elif block.language == "sh":
            printed = "".join(entered(command, where) for command in block.commands)
        elif "output" in block.marks:
            missing = [line for line in lines_of(block.body) if line not in lines_of(printed)]
            assert not missing, f"{where}: not printed: {missing}\n{printed}"


def entered(command: str, where: str) -> str:
    """What a command prints that is typed into a terminal."""
    words = shlex.split(command, comments=True)
    if words[0] == "export":
        assert "=" in words[1], where
        return ""
    assert words[0] == "spinbench", f"{where}: {command!r} is not executed by this test; mark its block"
    options = {option for parameter in parsed(words[1:]).params for option in parameter.opts}
    words += ["--results", "results"] * ("--results" in options and "--results" not in words)
    words += ["--threads", "1"] * ("--threads" in options and not {"--threads", "--cluster"} & {*words})
    done = spinbench(*words[1:])
    assert done.returncode == 0, f"{where}: {command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def lines_of(text: str) -> list[str]:
    """Lines without the frames and the spacing of tables."""
    lines = (" ".join(re.sub(r"[^\S ]|[│┃━─┏┓┗┛┡┩┳┻╇┴┬└┘]", " ", line).split()) for line in text.splitlines())
    return [line for line in lines if line and line != "..."]


def parsed(words: list[str]) -> Any:
    """The command that these words call; they are parsed, not run."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        command, words = command.commands[words[0]], words[1:]
    if words not in ([], ["--help"]):
        command.make_context("spinbench", list(words))
    return command


def everywhere() -> Iterator[tuple[str, str]]:
    """Every line of a terminal in a block or in a sentence, with its place."""
    for page in sorted(DOCS.rglob("*.md")):
        name = str(page.relative_to(DOCS))
        for block in PAGES.get(name, []):
            yield from ((f"{name}:{block.line}", command) for command in block.commands)
        inline = re.findall(r"`((?:spinbench|nox -s|python -m nox) [^`\n]+)`", page.read_text(encoding="utf-8"))
        yield from ((name, command) for command in inline)
        for block in PAGES.get(name, []):  # steps of a workflow
            yield from ((name, step) for step in re.findall(r"- run: (.*)", block.body))


@pytest.mark.parametrize(("where", "command"), [pytest.param(*one, id=f"{one[0]}-{one[1]}") for one in everywhere()])
def test_a_command_takes_its_options(
    where: str, command: str, belongings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(belongings)
    if session := re.search(r"nox -s ([\w-]+)", command):
        source = (CHECKOUT / "noxfile.py").read_text(encoding="utf-8")
        assert re.search(rf'name="{session[1]}"|^def {session[1]}\(', source, re.MULTILINE), where
    words = shlex.split(command, comments=True)
    if words[:1] == ["spinbench"] and "..." not in command:
        parsed(words[1:])
    elif "spinbench" in words and words[0] == "torchrun":
        parsed(words[words.index("spinbench") + 1 :])


@pytest.mark.parametrize("page", sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")))
def test_paths_in_sentences_exist(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:ablations|benchmarks|docs|examples|models|reports|spinbench|tests)/[\w./-]+\w)`", text)
    named += re.findall(r"`(results/(?:measured|published|reference)/[\w./-]*)`", text)
    assert [path for path in named if not (CHECKOUT / path).exists()] == []


def test_parts_of_definitions_have_keys_of_the_schema() -> None:
    reference = generated.keys()
    shown = [block for found in PAGES.values() for block in found if block.language == "yaml" and not block.title]
    assert len(shown) > 2
    for block in shown:
        content = yaml.safe_load(block.body)
        entries = [one for key in ("variants", "claims") for one in content.get(key, {}).values()]
        keys = {*content, *content.get("table", {}), *(key for one in entries for key in one)}
        assert [key for key in sorted(keys) if f"| `{key}` |" not in reference] == [], block


def test_the_cluster_that_is_shown_can_be_used(tmp_path: Path) -> None:
    (shown,) = [block for block in PAGES["tutorials/cluster.md"] if block.title == "cluster.yaml"]
    (tmp_path / "cluster.yaml").write_text(shown.body)
    assert ablations.load_cluster(tmp_path / "cluster.yaml").gpu
