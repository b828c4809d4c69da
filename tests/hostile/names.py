"""Names of files, sets and variants that would leave a folder, or do something where they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import yaml

from tests.hostile.launcher import Place
from tests.hostile.tally import Attempt, images
from tests.hostile.weights import EXPERIMENT, PROTOCOL

NAMES = {
    "markup": "<script>alert(1)<script>",
    "LaTeX": "\\input{x}\\write18{touch executed}$^&%#_~",
    "escapes": "a\x1b[2J\x1b]0;b\x07c",
    "turned": "a\u202egnp.b",
    "line ends": "a\nerror: b\r\nc",
    "formula": "=cmd|'touch executed'!A1",
    "quotes": "a\"b'c`touch executed`;$(touch executed)",
    "option": "--results",
    "rich": "[bold red]a[/][link=file:///etc]b",
    "not UTF-8": "caf\udce9",
    "long": "x" * 240,
}
PATHS = ("../../outside/evil", "/../outside/evil", "..\\outside", "a/../../../outside/evil", "\0", "~root/x")
PLAIN = EXPERIMENT.replace(", weights: evil.pth", "")
RAW = {
    "*.html": ("<script>alert", "60481729"),
    "*.md": ("<script>alert",),
    "*.tex": ("\\write18", "\\input{x}", "\u202e"),
    "quality.csv": ("\n=cmd", ",=cmd"),
}


def _image(name: str, command: str, place: Place) -> Sequence[object]:
    images(place.inside / "set", [f"{name}.png"])
    return {
        "evaluate": ["evaluate", "bicubic", "--data", "set", "--scale", 2, "--csv", "a.csv"],
        "save": ["evaluate", "bicubic", "--data", "set", "--scale", 2, "--save", "saved"],
        "upscale": ["upscale", "set", "--model", "bicubic", "--scale", 2, "--output", "out"],
    }[command]


def _set(name: str, place: Place) -> Sequence[object]:
    """A folder of that name, whose results stand in every file of a report."""
    images(place.inside / name)
    (place.inside / "mine.yaml").write_text(PLAIN)
    protocol = yaml.safe_load(PROTOCOL.read_text())
    protocol["evaluation"]["datasets"].append(f"./{name}")
    (place.inside / "small.yaml").write_text(yaml.safe_dump(protocol))
    options = ["--protocol", "small.yaml", "--results", "results", "--threads", 1]
    return ["run", "mine.yaml", *options]


def _texts(place: Place) -> Sequence[object]:
    """Every text of an experiment with markup and LaTeX."""
    evil = "'<script>alert(1)</script> \\write18{x} {{ 7777*7777 }}'"
    content = PLAIN.replace("title: t", f"title: {evil}").replace("source: s", f"source: {evil}")
    content = content.replace("caption: c", f"caption: {evil}").replace("label: A", f"label: {evil}, note: {evil}")
    (place.inside / "mine.yaml").write_text(content)
    options = ["--protocol", PROTOCOL, "--results", "results", "--threads", 1]
    return ["run", "mine.yaml", *options]


def _path(words: Sequence[object], path: str, place: Place) -> Sequence[object]:
    images(place.inside / "set")
    (place.inside / "mine.yaml").write_text(PLAIN)
    return [str(word).replace("EVIL", path) for word in words]


def _definition(key: str, path: str, place: Place) -> Sequence[object]:
    """A path where an experiment or a protocol has a name."""
    (place.inside / "mine.yaml").write_text(PLAIN.replace("{a:", f"{{{path!r}:") if key == "id" else PLAIN)
    if key == "label":
        (place.inside / "mine.yaml").write_text(PLAIN.replace("label: l", f"label: {path!r}"))
    if key == "published":
        (place.inside / "mine.yaml").write_text(f"published: {path!r}\n{PLAIN}")
    return ["run", "mine.yaml", "--protocol", PROTOCOL, "--dry-run", "--results", "results"]


def attempts() -> Iterator[Attempt]:
    for name, text in NAMES.items():
        if text == "--results" or "/" not in text:
            for command in (
                ("evaluate", "save", "upscale") if name in ("escapes", "line ends") else ("evaluate", "save")
            ):
                yield Attempt("names of images", f"{name}, {command}", partial(_image, text, command), "")
    for name in ("markup", "LaTeX", "formula", "turned"):
        yield Attempt("names of sets in reports", name, partial(_set, NAMES[name]), "report", RAW)
    yield Attempt("texts in reports", "markup and LaTeX", _texts, "report", RAW)
    commands = {
        "--name": ["picture", "superpixels", "set/a.png", "--network", "spin", "--untrained", "--name", "EVIL"],
        "new": ["new", "EVIL"],
        "--protocol": ["status", "table2", "--protocol", "EVIL"],
        "protocol.yaml": ["status", "table2", "--protocol", "EVIL.yaml"],
        "check": ["check", "EVIL", "--results", "results"],
        "--reference": ["check", "--reference", "EVIL", "--results", "results"],
        "--data": ["evaluate", "bicubic", "--data", "EVIL"],
        "report": ["report", "--protocol", "EVIL", "--results", "results"],
        "fetch": ["fetch", "EVIL"],
    }
    for path in PATHS:
        for command, words in commands.items():
            yield Attempt("paths for names", f"{path!r}, {command}", partial(_path, words, path), "")
        for key in ("id", "published"):
            yield Attempt("paths for names", f"{path!r}, {key}", partial(_definition, key, path), "mine|yaml|published")
