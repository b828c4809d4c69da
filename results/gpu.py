"""What was measured on GPUs: a folder of JSON files for each card, `measured/gpu/<card>/`, validated.

`python -m tests.gpu` writes them. They are measurements of the suite and belong to no run.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from results.run import MEASURED, PACKAGE, ROOT, ResultsError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _File(_Part):
    """`failed` says why a measurement is not complete."""

    card: str
    torch: str
    rehearsal: bool
    failed: str | None


class Pass(_Part):
    """Seconds of a forward pass: alone with a synchronisation, with the least and the largest median of a round; issued
    back to back; replayed as a CUDA graph."""

    title: str
    median_s: Positive
    low_s: Positive | None = None
    high_s: Positive | None = None
    back_to_back_s: Positive | None = None
    graph_s: Positive | None = None


class Latency(_File):
    """Passes for an output of 1280x720, by scale ("x4") and network."""

    networks: dict[str, dict[str, Pass]] = {}


class Step(_Part):
    """A training step of SPIN x4."""

    ms: Positive
    per_s: Positive
    hours_per_million: Positive
    peak_bytes: Annotated[int, Field(gt=0)] | None = None


class Steps(_File):
    """Steps by precision."""

    batch: int = 0
    lr_patch: int = 0
    steps: dict[str, Step] = {}


class Card(NamedTuple):
    """The measurements on a card; None for those that are missing.

    Steps are those of the protocol, with the algorithms that cuDNN finds to be the fastest, and compiled.
    """

    name: str
    latency: Latency | None
    steps: Steps | None
    chosen: Steps | None
    compiled: Steps | None


Kind = TypeVar("Kind", bound=_File)


def folder_of(card: str, root: Path = ROOT) -> Path:
    """The folder of a card by the name that its driver gives."""
    return root / "measured" / "gpu" / re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")


def load_cards(root: Path = ROOT) -> list[Card]:
    """All cards by name: those that are part of the suite, and those below `root`.

    Raises ResultsError for a damaged file, one of a rehearsal, and files of several cards in one folder.
    """
    places = [PACKAGE, ROOT] if root in (ROOT, MEASURED) else [root]
    folders = sorted({path for place in places for path in (place / "measured" / "gpu").glob("*/") if path.is_dir()})
    return [card for folder in folders if (card := _card(folder))]


def _card(folder: Path) -> Card | None:
    latency = _read(folder / "latency.json", Latency)
    steps = [_read(folder / f"{name}.json", Steps) for name in ("steps", "chosen", "compiled")]
    found = [one for one in (latency, *steps) if one is not None]
    if not found:
        return None
    if len(names := {one.card for one in found}) > 1:
        raise ResultsError(f"{folder}: measurements on {', '.join(sorted(names))}, expected those of one card")
    return Card(found[0].card, latency, *steps)


def _read(path: Path, kind: type[Kind]) -> Kind | None:
    if not path.is_file():
        return None
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        found = kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ResultsError(f"{path}: {place}: {first['msg']} (found {first['input']!r:.60})") from error
    except ValueError as error:  # not JSON, or not in UTF-8
        raise ResultsError(f"{path}: not JSON ({error})") from error
    if found.rehearsal:
        raise ResultsError(f"{path}: of a rehearsal on a CPU, expected a measurement on a GPU")
    return found
