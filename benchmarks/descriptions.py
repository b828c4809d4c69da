"""The description of weights: in the run.yaml beside them, or in the metadata of their file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveInt, TypeAdapter, ValidationError

import models
from ablations import network_name
from foundation import ALSO_CALLED, SpinbenchError, one_line, registered, spelled
from models.weights import ENTRY, metadata
from results import BASELINE, STAGES, ResultsError, digest, plain, sha256
from results.run import read_description, read_provenance

WEIGHTS = STAGES["train"]  # of a run


class NetworkError(SpinbenchError):
    """A network that is not available as requested; one line with the request and what is available."""


@dataclass(frozen=True)
class Description:
    """The description of weights, from the run.yaml beside them or from their file. Unknown values are None."""

    place: str
    model: str
    scale: PositiveInt
    config: dict[str, Any] = field(default_factory=dict)
    source: Literal["run", "published weights", "baseline"] = "run"
    ensemble: bool | None = None
    multiple: PositiveInt | None = None
    protocol: str | None = None
    variant: str | None = None
    label: str | None = None
    seed: int | None = None
    training: str | None = None

    @property
    def run(self) -> str | None:
        """The run's name under its protocol."""
        if self.protocol is None or self.variant is None or self.seed is None:
            return None
        return f"{self.protocol}/{self.variant}-x{self.scale}-s{self.seed}"

    def _is(self, model: str) -> bool:
        """Whether a name is that of the network. `full` is SPIN in its usual configuration only."""
        if network_name(model) != network_name(self.model):
            return False
        return spelled(model) not in ALSO_CALLED or plain(self.config) == plain(full_configuration(self.model))

    def check(
        self,
        what: str,
        model: str | None = None,
        scale: int | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Raise NetworkError, which names both values, if an argument other than None contradicts the description."""
        if model is not None and not self._is(model):
            of_variant = f" (variant {self.variant})" if self.variant else ""
            raise NetworkError(f"{what} {model}, but {self.place} says {self.model}{of_variant}")
        if scale not in (None, self.scale):
            raise NetworkError(f"{what} x{scale}, but {self.place} says x{self.scale}")
        requested = full_configuration(self.model, config)
        other = [key for key in config or {} if plain(requested[key]) != plain(self.config[key])]
        if other:
            asked, written = (", ".join(f"{key} {of[key]}" for key in other) for of in (requested, self.config))
            raise NetworkError(f"{what} {asked}, but {self.place} says {written}")


def description_of(weights: Path) -> Description | None:
    """The description of a run's folder or of a file of weights; None if there is none.

    Raises NetworkError for a damaged description, for a file whose metadata contradict the run.yaml beside it, and for
    a file other than the one that the run recorded; models.WeightsError for a damaged file.
    """
    file = file_of(weights)
    run_yaml = file.with_name("run.yaml")
    beside = _of_run(run_yaml) if file.name == WEIGHTS and run_yaml.is_file() else None
    own = _of_file(file) if file.is_file() else None
    if beside and file.is_file():
        record = _read(read_provenance, file.with_name("provenance.json")).get("train", {}).get("products", {})
        if file.name in record and record[file.name] != sha256(file):
            raise NetworkError(f"{file}: damaged or replaced: its SHA-256 is not the one that the run recorded")
    if beside and own:
        beside.check(f"{file}: its own metadata say", own.model, own.scale, own.config)
    return beside or own


def file_of(weights: Path) -> Path:
    """The file of weights of a run's folder, which need not exist, or the file itself."""
    return weights / WEIGHTS if weights.is_dir() else weights


def full_configuration(model: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A model's full configuration; empty for bicubic. Raises NetworkError for an unknown model, key or value."""
    if registered(model) == BASELINE and not config:
        return {}
    try:
        return models.configuration(model, **(config or {}))
    except ValueError as error:
        raise NetworkError(str(error)) from error


def _of_run(file: Path) -> Description:
    """The description in a run.yaml."""
    try:
        run = _read(read_description, file)
        stages = run["stages"]
        about = next(stage for stage in map(stages.get, STAGES) if stage and "model" in stage)
        evaluated = stages.get("evaluate", {})
        return _described(
            file,
            {name: run.get(name) for name in ("protocol", "variant", "label", "seed")}
            | {name: about.get(name, {}) for name in ("scale", "config")}
            | {"model": run.get("network_file", about.get("model", {}))}
            | {name: evaluated.get(name, run.get(name)) for name in ("ensemble", "multiple")}
            | {"source": run.get("source", "baseline" if about["model"] == BASELINE else "run")}
            | {"training": digest(stages["train"]) if "train" in stages else None},
        )
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise NetworkError(f"{file}: not the description of a run ({_reason(error)})") from error


def _read(read: Callable[[Path], dict[str, Any] | None], file: Path) -> dict[str, Any]:
    try:
        return read(file) or {}
    except ResultsError as error:
        raise NetworkError(f"{file}: cannot be used ({one_line(error).removeprefix(f'{file}: ')})") from error


def _of_file(file: Path) -> Description | None:
    """The description in the metadata of a file; None for a file of other programs or older versions."""
    content = metadata(file).get(ENTRY)
    if content is None:
        return None
    try:
        stored = json.loads(content)
        return _described(file, {**stored, "source": "run", "training": stored.get("fingerprint")})
    except (ValueError, TypeError, AttributeError) as error:
        raise NetworkError(f"{file}: its metadata do not describe a network ({_reason(error)})") from error


def _described(place: Path, content: Mapping[str, Any]) -> Description:
    found = TypeAdapter(Description).validate_python({**content, "place": str(place)})
    try:
        return replace(found, config=full_configuration(found.model, found.config))
    except NetworkError as error:
        raise NetworkError(f"{place}: {error}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return one_line(error)
