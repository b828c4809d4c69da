"""Experiments, protocols and the ledger: what to run, as YAML that is checked on loading."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ablations.schema import Decision, Experiment, Protocol, Strict, Variant

__all__ = [
    "AblationError",
    "Decision",
    "Experiment",
    "Protocol",
    "Variant",
    "experiment_names",
    "ledger",
    "load_experiment",
    "load_protocol",
    "nearest",
    "protocol_names",
]

FOLDER = Path(__file__).parent
PROTOCOLS = FOLDER / "protocols"
_NOT_EXPERIMENTS = {"ledger"}

Schema = TypeVar("Schema", bound=Strict)


class AblationError(Exception):
    """A definition that cannot be used; the message names the file, the key and what was expected."""


def experiment_names() -> list[str]:
    """Experiments that come with the suite."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem not in _NOT_EXPERIMENTS)


def protocol_names() -> list[str]:
    """Protocols that come with the suite."""
    return sorted(path.stem for path in PROTOCOLS.glob("*.yaml"))


def load_experiment(name: str) -> Experiment:
    """The experiment of that name, or of the YAML file at that path.

    Raises AblationError: no such experiment, or a definition that is not valid.
    """
    return _load(_locate(name, FOLDER, experiment_names(), "experiment"), Experiment)


def load_protocol(name: str) -> Protocol:
    """The protocol of that name, or of the YAML file at that path.

    Raises AblationError: no such protocol, or a definition that is not valid.
    """
    return _load(_locate(name, PROTOCOLS, protocol_names(), "protocol"), Protocol)


def ledger() -> list[Decision]:
    """Every point where paper and official code differ or are silent, and what the suite does."""
    path = FOLDER / "ledger.yaml"
    rows = _read(path)
    if not isinstance(rows, list):
        raise AblationError(f"{path}: expected a list of decisions, found {type(rows).__name__}")
    return [_validate(row, Decision, path) for row in rows]


def nearest(wrong: str, known: Iterable[str]) -> str:
    """The end of an error message: the known name closest to a wrong one, and all of them."""
    names = list(known)
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(names)}"


def _locate(name: str, folder: Path, known: list[str], noun: str) -> Path:
    if name in known:
        return folder / f"{name}.yaml"
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if path.is_file():
            return path
        raise AblationError(f"{path}: no such {noun} file")
    raise AblationError(f"unknown {noun} {name!r}; {nearest(name, known)}")


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that stands twice; YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} stands twice", key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> Any:
    try:
        with path.open(encoding="utf-8") as file:
            return yaml.load(file, _UniqueKeys)  # a SafeLoader: builds plain data only
    except (OSError, UnicodeDecodeError) as error:
        raise AblationError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise AblationError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error


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
    location = [part for part in detail["loc"] if part != "[key]"]
    key = ".".join(str(part) for part in location)
    if detail["type"] == "extra_forbidden":
        known = _fields_at(schema, location[:-1])
        return f"unknown key {key!r}; {nearest(str(location[-1]), known)}"
    if detail["type"] == "missing":
        return f"the key {key!r} is missing"
    found = repr(detail["input"])
    found = found if len(found) <= 60 else found[:57] + "..."
    message = detail["msg"].removeprefix("Value error, ")
    return f"{key}: {message} (found {found})" if key else message


def _fields_at(schema: type[BaseModel], location: list[str | int]) -> list[str]:
    """Names of the fields that are valid at a place inside a schema."""
    current: Any = schema
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel) and part in current.model_fields:
            current = _schema_in(current.model_fields[str(part)].annotation)
    return list(current.model_fields)


def _schema_in(annotation: Any) -> Any:
    """The schema class named somewhere inside a type such as `dict[Id, Variant]` or `Validation | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _schema_in(part)
        if found is not None:
            return found
    return None
