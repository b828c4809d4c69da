"""Experiments, protocols and the ledger: what to run, as YAML that is checked on loading."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from ablations.bounded import Bounded
from ablations.claims import (
    AtLeast,
    Better,
    Claim,
    Comparative,
    Contest,
    Equals,
    Fact,
    Images,
    Part,
    Peak,
    Printed,
    Smaller,
    Undominated,
    Unmeasured,
)
from ablations.cluster import Cluster
from ablations.display import CostName, QualityName, TableDisplay, TradeOffFigure
from ablations.fields import Strict
from ablations.schema import Decision, Experiment, Protocol, Variant
from foundation import SpinbenchError, meant, nearest, network_in_file, registered

__all__ = [
    "AblationError",
    "AtLeast",
    "Better",
    "Claim",
    "Cluster",
    "Comparative",
    "Contest",
    "CostName",
    "Decision",
    "Equals",
    "Experiment",
    "Fact",
    "Images",
    "Part",
    "Peak",
    "Printed",
    "Protocol",
    "QualityName",
    "Smaller",
    "TableDisplay",
    "TradeOffFigure",
    "Undominated",
    "Unmeasured",
    "Variant",
    "experiment_names",
    "ledger",
    "load_cluster",
    "load_experiment",
    "load_protocol",
    "name_of",
    "network_name",
    "parsed",
    "protocol_names",
    "shown_as",
]

FOLDER = Path(__file__).parent
PROTOCOLS = FOLDER / "protocols"
_SUFFIXES = (".yaml", ".yml")
_NOT_EXPERIMENTS = {"ledger"}
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # a file's name without its ending, which names folders

Schema = TypeVar("Schema", bound=Strict)


class AblationError(SpinbenchError):
    """A definition that cannot be used; the message names the file, the key and what was expected."""


def experiment_names() -> list[str]:
    """Experiments that come with the suite."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem not in _NOT_EXPERIMENTS)


def protocol_names() -> list[str]:
    """Protocols that come with the suite."""
    return sorted(path.stem for path in PROTOCOLS.glob("*.yaml"))


def name_of(definition: str) -> str:
    """The name of an experiment or protocol, which is given by its name or by the path of its file."""
    if _is_file(definition):
        return Path(definition).stem
    return meant(definition, [*experiment_names(), *protocol_names()]) or definition


def _is_file(definition: str) -> bool:
    return definition.lower().endswith(_SUFFIXES)


def load_experiment(name: str) -> Experiment:
    """The experiment of that name, or of the YAML file at that path.

    Raises AblationError: no such experiment, a file whose name cannot name a folder, or a definition that is not valid.
    """
    path = _locate(name, FOLDER, experiment_names(), "experiment")
    experiment = _load(path, Experiment)
    found = {key: _located(variant, path.parent) for key, variant in experiment.variants.items()}
    return experiment.model_copy(update={"variants": found})


def load_protocol(name: str) -> Protocol:
    """The protocol of that name, or of the YAML file at that path.

    Raises AblationError: no such protocol, a file whose name cannot name a folder, or a definition that is not valid.
    """
    path = _locate(name, PROTOCOLS, protocol_names(), "protocol")
    protocol = _load(path, Protocol)
    training = protocol.training
    if training and training.start_file and (path.parent / training.start_file).is_file():
        training = training.model_copy(update={"warm_start": str(path.parent / training.start_file)})
    return protocol.model_copy(update={"training": training})


def load_cluster(path: Path) -> Cluster:
    """What jobs on a cluster ask for, from a YAML file. Raises AblationError if it is missing or not valid."""
    return _load(path, Cluster)


def shown_as(experiment: Experiment, name: str, settings: Mapping[str, Any]) -> Experiment:
    """The experiment with other entries of its `table`, and with its `caption` or `label` if these are among them.

    A curve stays as it is. Raises AblationError, with the `name` of the experiment, for entries that are not valid.
    """
    if experiment.kind == "curve" or not settings:
        return experiment
    own = {key: value for key, value in settings.items() if key in ("caption", "label")}
    content = experiment.model_dump(mode="json", exclude_unset=True)
    table = {**content.get("table", {}), **{key: value for key, value in settings.items() if key not in own}}
    for chosen, other in (("rows", "groups"), ("groups", "rows")):
        if chosen in settings and other not in settings:
            table.pop(other, None)  # either chooses the rows
    return _validate({**content, **own, "table": table}, Experiment, Path(name))


def network_name(model: str) -> str:
    """The name of a network wherever its file lies: `net.py:Net`, or the name in the registry in its spelling."""
    found = network_in_file(model)
    return f"{found[0].name}:{found[1]}" if found else registered(model)


def _located(variant: Variant, folder: Path) -> Variant:
    """Files of a variant that lie beside its definition are found there; others relative to the current folder."""
    changes: dict[str, str] = {}
    found = network_in_file(variant.model or "")
    if found and (folder / found[0]).is_file():
        changes["model"] = f"{folder / found[0]}:{found[1]}"
    if variant.checkpoint and (folder / variant.checkpoint).is_file():
        changes["weights"] = str(folder / variant.checkpoint)
    return variant.model_copy(update=changes) if changes else variant


def ledger() -> list[Decision]:
    """Every point where paper and official code differ or are silent, and what the suite does."""
    path = FOLDER / "ledger.yaml"
    rows = _read(path)
    if not isinstance(rows, list):
        raise AblationError(f"{path}: expected a list of decisions, found {type(rows).__name__}")
    return [_validate(row, Decision, path) for row in rows]


def _locate(name: str, folder: Path, known: list[str], noun: str) -> Path:
    if _is_file(name):
        path = Path(name)
        if not path.is_file():
            raise AblationError(f"{path}: no such {noun} file")
        if not _PLAIN.fullmatch(path.stem):
            raise AblationError(
                f"{path}: its name {path.stem!r} is used for folders, expected at most 64 letters, digits, "
                "'.', '-' and '_', beginning with a letter or digit: rename the file"
            )
        return path
    if found := meant(name, known):
        return folder / f"{found}.yaml"
    raise AblationError(f"unknown {noun} {name!r}; {nearest(name, known)}")


_MISTAKABLE = re.compile(r":|^[-+]?0[0-9_]+$")


class _Loader(Bounded, yaml.SafeLoader):
    """Rejects duplicate keys, of which YAML would silently keep the last, and numbers that look like others.

    These are 010, which is 8 in YAML 1.1, and 1:30, which is 90. 1e-3 is a number, as in YAML 1.2.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if (
            isinstance(node, yaml.ScalarNode)
            and node.tag.endswith((":int", ":float"))
            and _MISTAKABLE.search(node.value)
        ):
            kind = "of base 60" if ":" in node.value else "octal"
            problem = f'{node.value} is a number {kind} in YAML, expected a decimal one, or quotes: "{node.value}"'
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_object(node, deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _read(path: Path) -> Any:
    try:
        with path.open(encoding="utf-8") as file:
            return yaml.load(file, _Loader)  # a SafeLoader: builds plain data only
    except (OSError, UnicodeDecodeError) as error:
        raise AblationError(f"{path}: cannot be read ({error})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2024-13-45
        raise AblationError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error


def parsed(text: str) -> Any:
    """The value of a text as in the YAML of definitions. Raises ValueError, with one line, for invalid YAML."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"not valid YAML ({' '.join(str(error).split())})") from error


def _load(path: Path, schema: type[Schema]) -> Schema:
    return _validate(_read(path), schema, path)


def _validate(content: Any, schema: type[Schema], path: Path) -> Schema:
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        lines = [_explain(detail, schema) for detail in error.errors(include_url=False)]
        raise AblationError(f"{path}: " + "; ".join(lines)) from None


def _explain(detail: Any, schema: type[BaseModel]) -> str:
    """One mistake in one line: the key, what was found, what was expected."""
    parts, schemas = _place(schema, [part for part in detail["loc"] if part != "[key]"])
    key = ".".join(parts)
    if detail["type"] == "extra_forbidden":
        _, schemas = _place(schema, detail["loc"][:-1])
        return f"unknown key {key!r}; {nearest(parts[-1], schemas[0].model_fields)}"
    if detail["type"] == "missing":
        return f"the key {key!r} is missing"
    if detail["type"].startswith("union_tag"):
        name = detail["ctx"]["discriminator"].strip("'")
        known = [_tag(one, name) for one in schemas]
        if detail["type"] == "union_tag_not_found":
            return f"the key '{key}.{name}' is missing; known: {', '.join(known)}"
        tag = detail["ctx"]["tag"]
        return f"{key}.{name}: unknown {name} {tag!r}; {nearest(tag, known)}"
    found = repr(detail["input"])
    found = found if len(found) <= 60 else found[:57] + "..."
    message = detail["msg"].removeprefix("Value error, ")
    return f"{key}: {message} (found {found})" if key else message


def _place(schema: type[BaseModel], location: Sequence[str | int]) -> tuple[list[str], list[type[BaseModel]]]:
    """A place inside a schema, as the keys of the file, and the schemas that are valid there.

    If there are several schemas, distinguished by a tag, the location contains the tag, which is no key of the file.
    """
    keys: list[str] = []
    schemas = [schema]
    named = False  # the next part is a key of the user's choice
    for part in location:
        if len(schemas) > 1 and not named:
            schemas = [one for one in schemas if any(_tag(one, name) == part for name in one.model_fields)]
            continue
        keys.append(str(part))
        if not named and part in schemas[0].model_fields:
            annotation = schemas[0].model_fields[str(part)].annotation
            schemas = _schemas_in(annotation) or schemas
            named = get_origin(annotation) is dict
        else:
            named = False
    return keys, schemas


def _tag(schema: type[BaseModel], name: str) -> str:
    """The only value that a field may have, or nothing."""
    values = get_args(schema.model_fields[name].annotation)
    return str(values[0]) if len(values) == 1 and isinstance(values[0], str) else ""


def _schemas_in(annotation: Any) -> list[type[BaseModel]]:
    """The schemas named inside a type such as `dict[Id, Variant]` or `Validation | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [schema for part in get_args(annotation) for schema in _schemas_in(part)]
