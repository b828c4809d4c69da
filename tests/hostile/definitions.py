"""YAML that runs code, multiplies itself, is nested without end, or asks for what no machine has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from tests.hostile.launcher import Place
from tests.hostile.tally import Attempt
from tests.hostile.weights import EXPERIMENT, PROTOCOL

PLAIN = EXPERIMENT.replace(", weights: evil.pth", "")


def _bomb(key: str) -> str:
    """Ten lists of ten times the last one: ten milliards of words."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join([*lines, f"{key}: *a9", ""])


def _merges() -> str:
    """The same by merge keys."""
    lines = ["a0: &a0 {k0: x}"]
    lines += [f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 20)}]\n  k{n}: x" for n in range(1, 8)]
    return "\n".join([*lines, "caption: *a7", ""])


def _in_config() -> str:
    """A bomb where anything may stand."""
    return PLAIN.replace("model: espcn", "model: espcn, config: {x: *a9}").replace(
        "title:", _bomb("summary") + "title:"
    )


TEXTS: dict[str, tuple[str, Callable[[Place], str]]] = {
    "python/object/apply": ("YAML tags", lambda p: f"!!python/object/apply:os.system ['touch {p.canary}']\n"),
    "python/object/new": (
        "YAML tags", lambda p: f"title: !!python/object/new:subprocess.Popen [['touch', '{p.canary}']]\n",
    ),
    "python/name": ("YAML tags", lambda p: "title: !!python/name:os.system\n"),
    "python/module": ("YAML tags", lambda p: "title: !!python/module:antigravity\n"),
    "aliases": ("YAML bombs", lambda p: _bomb("caption")),
    "aliases in config": ("YAML bombs", lambda p: _in_config()),
    "merges": ("YAML bombs", lambda p: _merges()),
    "recursive": ("YAML bombs", lambda p: "title: &a [*a]\n"),
    "recursive config": ("YAML bombs", lambda p: PLAIN.replace("model: espcn", "model: espcn, config: &a {x: *a}")),
    "depth": ("YAML bombs", lambda p: "title: " + "[" * 100_000 + "\n"),
    "depth of mappings": ("YAML bombs", lambda p: "{a: " * 5_000 + "1" + "}" * 5_000 + "\n"),
    "long number": ("YAML bombs", lambda p: f"title: {'9' * 100_000}\n"),
    "large power": ("YAML bombs", lambda p: PLAIN.replace("[2]", "[1e999999999]")),
    "NUL": ("YAML bombs", lambda p: "title: \0\n"),
}  # fmt: skip

NUMBERS = {
    "batch_size: 1": "batch_size: 1000000000",
    "lr_patch: 32": "lr_patch: 1000000000",
    "iterations: 4": "iterations: 1000000000000000000000000000000",
    "repeats: 2": "repeats: 1000000000000000000000000000000",
    "[24, 32]": "[1000000000, 1000000000]",
    "seeds: [0]": "seeds: [1000000000000000000000000000000]",
    "checkpoint_every: 2": "checkpoint_every: 2\n  workers: 1000000000",
}


def _experiment(text: Callable[[Place], str], command: str, place: Place) -> Sequence[object]:
    (place.inside / "evil.yaml").write_text(text(place), encoding="utf-8")
    protocol = ["--protocol", PROTOCOL]
    return {
        "status": ["status", "evil.yaml", *protocol, "--results", "results"],
        "dry-run": ["run", "evil.yaml", *protocol, "--dry-run", "--results", "results"],
        "protocol": ["run", "table2", "--protocol", "evil.yaml", "--dry-run", "--results", "results"],
        "cluster": ["run", "table2", "--executor", "slurm", "--cluster", "evil.yaml", "--print-sbatch", *protocol],
    }[command]


def _numbers(old: str, new: str, place: Place) -> Sequence[object]:
    content = PROTOCOL.read_text(encoding="utf-8")
    assert old in content
    (place.inside / "evil.yaml").write_text(content.replace(old, new), encoding="utf-8")
    (place.inside / "plain.yaml").write_text(PLAIN, encoding="utf-8")
    return ["run", "plain.yaml", "--protocol", "evil.yaml", "--threads", 1, "--results", "results"]


def _value(value: str, place: Place) -> Sequence[object]:
    return ["cost", "espcn", "--no-memory", "--lr", "8x8", "--config", f"x={value}"]


def _stored(file: str, text: str, place: Place) -> Sequence[object]:
    """A run that came with the results of others."""
    folder = place.inside / "results" / "runs" / "tiny" / "full-x4-s0"
    folder.mkdir(parents=True)
    (folder / file).write_text(text.replace("CANARY", str(place.canary)), encoding="utf-8")
    return ["status", "table2", "--protocol", PROTOCOL, "--results", "results"]


def attempts() -> Iterator[Attempt]:
    for name, (kind, text) in TEXTS.items():
        for command in ("status", "protocol") if kind == "YAML tags" else ("dry-run",):
            yield Attempt(kind, f"{name}, {command}", partial(_experiment, text, command), r"evil\.yaml|title|1 run")
    apply = TEXTS["python/object/apply"][1]
    yield Attempt("YAML tags", "cluster", partial(_experiment, apply, "cluster"), r"evil\.yaml")
    yield Attempt("YAML tags", "--config", partial(_value, "!!python/name:os.system"), "--config")
    yield Attempt("YAML bombs", "--config", partial(_value, "[" * 50_000), "--config")
    for old, new in NUMBERS.items():
        yield Attempt("YAML numbers", new.split("\n")[-1].strip(), partial(_numbers, old, new), r"evil\.yaml|a-x2-s0")
    tag = "!!python/object/apply:os.system ['touch CANARY']\n"
    yield Attempt("planted results", "run.yaml with a tag", partial(_stored, "run.yaml", tag), "full-x4-s0")
    yield Attempt("planted results", "run.yaml, a bomb", partial(_stored, "run.yaml", _bomb("x")), "full-x4-s0")
    yield Attempt("planted results", "run.yaml, depth", partial(_stored, "run.yaml", "[" * 9_000), "full-x4-s0")
    deep = "[" * 100_000
    yield Attempt("planted results", "provenance.json", partial(_stored, "provenance.json", deep), "full-x4-s0")
