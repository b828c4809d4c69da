"""The pages of the reference, written from the code: what they say is what the suite takes, prints and stores."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic import BaseModel

import ablations
import models
import results
import spinbench
from ablations.fields import SCALES
from ablations.schema import Costing, Evaluation, Outcome, Schedule, Training, Validation
from benchmarks.training.loop import COLUMNS as TRAINING_COLUMNS
from docs.columns import MEANING
from reports.study import load_study
from results.cost import _Cost
from results.quality import QUALITY_COLUMNS
from spinbench.app import app

SECTIONS: Mapping[str, tuple[str, list[type[BaseModel]]]] = {
    "Experiment": (
        "For `spinbench run FILE`.",
        [ablations.Experiment, ablations.Variant, ablations.TableDisplay, ablations.TradeOffFigure],
    ),
    "Claims": ("Entries of an experiment's `claims`; `check` chooses the kind.", list(get_args(ablations.Claim))),
    "Protocol": (
        "How to train and evaluate: `--protocol FILE`.",
        [ablations.Protocol, Training, Schedule, Validation, Evaluation, Costing, Outcome],
    ),
    "Cluster": ("What jobs on a Slurm cluster ask for: `--cluster FILE`.", [ablations.Cluster]),
}
FUNCTIONS: Mapping[str, list[Any]] = {
    "spinbench": [getattr(spinbench, name) for name in spinbench.__all__],
    "models": [models.names, models.describe, models.build, models.load_published],
}


def pages() -> dict[str, str]:
    """The address of each generated page below docs/, and its Markdown."""
    return {
        "reference/cli.md": cli(),
        "reference/yaml.md": keys(),
        "reference/columns.md": columns(),
        "reference/python.md": python(),
        "reference/catalogue.md": catalogue(),
        "explanation/ledger.md": ledger(),
    }


def commands(group: Any = None, path: str = "spinbench") -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it."""
    for name, command in (typer.main.get_command(app) if group is None else group).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def cli() -> str:
    parts = ["# Command line\n\nEvery command, as `spinbench COMMAND --help` describes it."]
    for path, command in commands():
        text, _, example = inspect.cleandoc(command.help or "").partition("Example: ")
        options = [one for one in command.params if getattr(one, "opts", None) and one.name != "help"]
        rows = [(_spelling(one), _escaped(getattr(one, "help", "") or ""), _default(one)) for one in options]
        parts.append(f"## {path}\n\n{text.strip()}\n\n{_table(('option', 'meaning', 'default'), rows)}")
        parts.append(f"```console\n$ {example.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def _spelling(option: Any) -> str:
    if option.param_type_name == "argument":
        return f"`{option.make_metavar(None) if option.metavar else option.name.upper()}`"
    return ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])


def _default(option: Any) -> str:
    if option.required:
        return "required"
    value = option.default
    if isinstance(value, Path) and value.is_relative_to(results.ROOT):
        value = Path("results", value.relative_to(results.ROOT))
    if value is None or callable(value) or value == ():
        return ""
    return f"`{value}`" if not isinstance(value, bool) else ("yes" if value else "")


def keys() -> str:
    parts = [
        "# Keys of YAML files\n\nUnknown keys, and values of another type, are refused with a line that names them."
    ]
    for title, (text, schemas) in SECTIONS.items():
        parts.append(f"## {title}\n\n{text}")
        for schema in schemas:
            name = schema.__name__
            heading = "" if name == title else f"### {name}\n\n"
            parts.append(f"{heading}{_doc(schema)}\n\n{_table(('key', 'value', 'default', 'meaning'), fields(schema))}")
    return "\n\n".join(parts) + "\n"


def fields(schema: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """Key, type, default and meaning of every field."""
    content = schema.model_json_schema()
    needed = content.get("required", [])
    rows = []
    for key, field in content["properties"].items():
        value = field.get("default")
        default = "required" if key in needed else f"`{_plain(value)}`" if value not in (None, [], {}) else ""
        meaning = field.get("description") or ("this kind of claim" if "const" in field else "")
        rows.append((f"`{key}`", _kind(field), default, _escaped(meaning)))
    return rows


def _plain(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value).replace("'", "")


def _kind(field: Mapping[str, Any]) -> str:
    """The type of a value in words, from its JSON schema."""
    if "const" in field or "enum" in field:
        return ", ".join(f"`{one}`" for one in field.get("enum", [field.get("const")]))
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "oneOf" in field or "anyOf" in field:
        kinds = [_kind(one) for one in field.get("oneOf") or field["anyOf"] if one.get("type") != "null"]
        return " or ".join(kinds)
    kind = field.get("type", "any")
    if kind == "array":
        return f"list of {_kind(field['items'])}" if "items" in field else "two values"
    if kind == "object":
        inner = field.get("additionalProperties")
        return f"mapping to {_kind(inner)}" if isinstance(inner, Mapping) and inner else "mapping"
    return {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(kind, kind)


def columns() -> str:
    """The columns of every CSV file and table; a column without a meaning is an error."""
    parts = [
        "# Columns of results\n\nFiles of a run, `results/runs/<protocol>/<variant>-x<scale>-s<seed>/`, and tables."
    ]
    for title, names in tables().items():
        rows = [(f"`{name}`", _escaped(MEANING[name])) for name in names]
        parts.append(f"## {title}\n\n{_table(('column', 'meaning'), rows)}")
    parts.append(f"## cost.json\n\n{_table(('key', 'value'), fields_of_cost())}")
    return "\n\n".join(parts) + "\n"


def tables() -> dict[str, list[str]]:
    """The columns of each table, as the code has them."""
    table = load_study("table2", "cpu-short", results.MEASURED).table
    return {
        "quality.csv": list(QUALITY_COLUMNS),
        "training.csv": list(TRAINING_COLUMNS),
        "spinbench.results": list(results.COLUMNS),
        "results/published/*.csv": list(results.published("table1.csv").columns),
        "NAME.csv of a report": ["experiment", *(name for name in table.columns if name != "experiment")],
    }


def fields_of_cost() -> list[tuple[str, str]]:
    """Keys of cost.json, those of mappings within it after a dot, and their types."""
    content = _Cost.model_json_schema()
    rows = []

    def walk(properties: Mapping[str, Any], before: str) -> None:
        for key, field in properties.items():
            inner = re.search(r"#/\$defs/(\w+)", str(field))
            rows.append((f"`{before}{key}`", "mapping" if inner else _kind(field)))
            if inner:
                walk(content["$defs"][inner[1]]["properties"], f"{before}{key}.")

    walk(content["properties"], "")
    return rows


def python() -> str:
    parts = ["# Python\n\n`import spinbench` is all that a script or a notebook needs."]
    for module, members in FUNCTIONS.items():
        parts.append(f"## {module}\n\n{_doc(importlib.import_module(module))}")
        parts += [_member(module, member) for member in members]
    return "\n\n".join(parts) + "\n"


def _member(module: str, member: Any) -> str:
    name = "results" if member is results.load else member.__name__
    if not inspect.isclass(member):
        return f"### {module}.{name}\n\n```python\n{name}{_signature(member)}\n```\n\n{_doc(member)}"
    public = [(key, one) for key, one in vars(member).items() if not key.startswith("_") and inspect.isfunction(one)]
    methods = (f"#### {name}.{key}\n\n```python\n{key}{_signature(one)}\n```\n\n{_doc(one)}" for key, one in public)
    return "\n\n".join([f"### {module}.{name}\n\n{_doc(member)}", *methods])


def _signature(function: Callable[..., Any]) -> str:
    text = re.sub(r"PosixPath\('[^']*'\)", "results.ROOT", str(inspect.signature(function)))
    return re.sub(r"<function \S+<lambda> at \w+>", "...", text).replace("'", "")


def catalogue() -> str:
    networks = []
    for name in models.names():
        info = models.describe(name)
        counts = [f"{info.counted_parameters[scale]:,}" if scale in info.counted_parameters else "" for scale in SCALES]
        networks.append((f"`{name}`", info.title, str(info.year), *counts))
    experiments = [
        (f"`{name}`", _escaped(ablations.load_experiment(name).title), _escaped(ablations.load_experiment(name).source))
        for name in ablations.experiment_names()
    ]
    protocols = []
    for name in ablations.protocol_names():
        one = ablations.load_protocol(name)
        protocols.append((f"`{name}`", _escaped(one.summary), _escaped(one.cost)))
    return (
        "\n\n".join(
            [
                "# Networks, experiments, protocols",
                "## Networks",
                _table(("name", "title", "year", *(f"parameters, x{scale}" for scale in SCALES)), networks),
                "## Experiments",
                _table(("name", "title", "source"), experiments),
                "## Protocols",
                _table(("name", "what its numbers may be used for", "cost"), protocols),
            ]
        )
        + "\n"
    )


def ledger() -> str:
    rows = [
        tuple(_escaped(text or "") for text in (one.question, one.paper, one.code, one.here, one.switch))
        for one in ablations.ledger()
    ]
    return (
        "# The ledger\n\nWhere the paper and the official code differ, or the paper is silent, the ledger says what is "
        "done here. Every report prints it. The alternatives that have a switch are measured by `spinbench run "
        "switches`.\n\n" + _table(("question", "paper", "code", "here", "switch"), rows) + "\n"
    )


def _doc(member: Any) -> str:
    """A docstring as Markdown: lists are apart from the text before them, and what is indented is kept as it is."""
    text = inspect.getdoc(member) or ""
    return re.sub(r"(?<=[^\n])\n(- |    )", r"\n\n\1", text, count=1)


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)
