"""Reference results: the quality and costs of networks, kept under version control for comparison with later ones.

results/reference/<protocol>/<variant>-x<scale>-s<seed>/
    reference.json       the network, its sets and costs; every reason for which the reference was written, and when
    quality.csv          a row per image
    samples.csv          values of SR at a grid of pixels
    weights.safetensors  the weights, where they belong to the reference
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from results import PACKAGE, ROOT, ResultsError, digest, plain, sha256, write

_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_SEED = re.compile(r"-s\d+$")
_TEXTS = ("dataset", "lr_origin", "image")
QUALITY = ["dataset", "lr_origin", "image", "psnr", "ssim"]
SAMPLES = ["dataset", "image", "row", "column", "red", "green", "blue"]


@dataclass(frozen=True)
class NetworkRecord:
    """What is measured: a network, or bicubic interpolation, and how images go through it.

    `weights` is the SHA-256 of the weights' file, `training` the digest of the configuration they were trained under;
    both are None where there is no such thing.
    """

    model: str
    scale: int
    config: dict[str, Any]
    weights: str | None = None
    training: str | None = None
    ensemble: bool = False
    multiple: int = 1


@dataclass(frozen=True)
class Timing:
    """Seconds of forward passes at `lr_size` (H, W), and of the fixed workload that was timed before each of them.

    `instructions` is the set for which PyTorch has chosen its operators on a CPU, such as AVX2.
    """

    forward_s: tuple[float, ...]
    calibration_s: tuple[float, ...]
    lr_size: tuple[int, int]
    device: str
    device_name: str
    instructions: str = ""


@dataclass(frozen=True)
class Cost:
    """Parameters; MACs at an output of 1280x720; latency; and at its input most bytes of tensors held at once.

    `timings` are by implementation, and empty in references of the first format, which did not tell it.
    """

    parameters: int
    macs: int
    memory_bytes: int
    timings: dict[str, Timing] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """The quality and costs of a network.

    data        SHA-256 of every set
    quality     a row per image: dataset, lr_origin, image, psnr (dB), ssim
    samples     a row per sampled pixel: dataset, image, row, column, and red, green, blue of SR in 0..255
    provenance  versions, machine, commit and time
    places      where the sets of the user's were, as `foundation.image_sets` reads it: a remark, by set
    """

    network: NetworkRecord
    data: dict[str, str]
    cost: Cost | None
    quality: pd.DataFrame
    samples: pd.DataFrame
    provenance: dict[str, Any]
    places: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """A stored measurement. `history` is a record per time it was written, with the reason; the last one counts."""

    name: str
    folder: Path
    measured: Measured
    history: list[dict[str, Any]]

    @property
    def weights(self) -> Path | None:
        """The weights' file, where it belongs to the reference."""
        path = self.folder / "weights.safetensors"
        return path if path.is_file() else None


@dataclass(frozen=True)
class _Description:
    """The content of reference.json, beside its own hash; `files` are the SHA-256 of the tables."""

    network: NetworkRecord
    data: dict[str, str]
    cost: Cost | None
    history: list[dict[str, Any]]
    files: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


def reference_names(root: Path = ROOT) -> list[str]:
    """The references below `root`, as <protocol>/<run>, sorted. Below the usual one count also those of the suite."""
    return sorted(_folders(root))


def load_reference(name: str, root: Path = ROOT) -> Reference:
    """A reference by its name. Raises ResultsError where there is none, or a damaged one."""
    known = _folders(root)
    if name not in known:
        raise ResultsError(f"no reference {name!r}, expected one of {', '.join(sorted(known)) or '(none is stored)'}")
    folder = known[name]
    path = folder / "reference.json"
    try:
        content = TypeAdapter(_Description).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ResultsError(f"{path}: {place or 'content'}: {first['msg']}") from error
    if not content.history:
        raise ResultsError(f"{path}: history: expected at least one record")
    _check(folder, content)
    quality, samples = _read(folder / "quality.csv", QUALITY), _read(folder / "samples.csv", SAMPLES)
    provenance = {key: value for key, value in content.history[-1].items() if key != "reason"}
    measured = Measured(content.network, content.data, content.cost, quality, samples, provenance, content.places)
    return Reference(name, folder, measured, content.history)


def trainings_of(reference: Reference, root: Path = ROOT) -> list[Reference]:
    """The references of other seeds of the same network, under the same protocol."""
    stem = _SEED.sub("", reference.name)
    names = [name for name in reference_names(root) if name != reference.name and _SEED.sub("", name) == stem]
    found = [load_reference(name, root) for name in names]
    own = replace(reference.measured.network, weights=None, training=None)
    return [other for other in found if replace(other.measured.network, weights=None, training=None) == own]


def store_reference(
    name: str, measured: Measured, reason: str, weights: Path | None = None, root: Path = ROOT
) -> Reference:
    """Write a reference and the reason for it; the reasons for those that it replaces are kept.

    `weights` is copied to it. Raises ValueError for an empty reason, ResultsError for a name that is not
    <protocol>/<run> and if the reference that is there is damaged.
    """
    if not reason.strip():
        raise ValueError("a reference needs a reason")
    if not _NAME.fullmatch(name):
        raise ResultsError(f"reference {name!r}: expected <protocol>/<run>, such as quick/full-x4-s0")
    folder = root / "reference" / name
    before = load_reference(name, root).history if name in reference_names(root) else []
    history = [*before, {"reason": reason.strip(), **measured.provenance}]
    description = _Description(measured.network, measured.data, measured.cost, history, places=measured.places)
    for file, table in (("quality.csv", measured.quality[QUALITY]), ("samples.csv", measured.samples[SAMPLES])):
        write(folder / file, _csv(table))
        description.files[file] = sha256(folder / file)
    own = folder / "weights.safetensors"
    if weights is not None and weights.resolve() != own.resolve():
        write(own, weights.read_bytes())
    content = plain(asdict(description))
    write(folder / "reference.json", json.dumps({**content, "hash": digest(content)}, indent=1) + "\n")
    return load_reference(name, root)


def _folders(root: Path) -> dict[str, Path]:
    """The folder of each reference. Below ROOT, those of the suite count too, unless one there has the same name."""
    found: dict[str, Path] = {}
    for place in [PACKAGE, ROOT] if root == ROOT else [root]:
        folder = place / "reference"
        found |= {path.parent.relative_to(folder).as_posix(): path.parent for path in folder.glob("*/*/reference.json")}
    return found


def _check(folder: Path, content: _Description) -> None:
    """Raises ResultsError for a file of a reference that is not what was written."""
    path = folder / "reference.json"
    raw = json.loads(path.read_bytes())
    told = raw.pop("hash", "")
    if told != digest(raw) and (told or "files" in raw):  # older ones have neither
        raise ResultsError(f"{path}: damaged or edited: its content does not have the hash that it states")
    own = folder / "weights.safetensors"
    known = dict(content.files) | ({own.name: content.network.weights} if own.is_file() else {})
    for file, expected in known.items():
        path = folder / file
        if expected is not None and (not path.is_file() or sha256(path) != expected):
            raise ResultsError(f"{path}: damaged or replaced: its SHA-256 is not the recorded one; restore it")


def _csv(table: pd.DataFrame) -> str:
    return str(table.round({"psnr": 6, "ssim": 8}).to_csv(index=False, lineterminator="\n"))


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        text = path.read_text(encoding="utf-8")
        table = pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False)
        if list(table.columns) != columns:
            raise ValueError(f"expected the columns {', '.join(columns)}")
        numbers = {name: float if name in ("psnr", "ssim") else int for name in columns if name not in _TEXTS}
        return table.astype(numbers)
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: not a table of a reference ({str(error).partition(chr(10))[0]})") from error
