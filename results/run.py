"""A run's folder: which files it has, what they say, and whether they are still what was written.

    results/runs/<protocol>/<variant>-x<scale>-s<seed>/      (of the suite itself: results/measured/<protocol>/...)
        run.yaml             the resolved configuration of each stage: all that determines the outcome, with a hash
        provenance.json      a record per finished stage: versions, machine, times, SHA-256 of what it left and read
        training.csv         loss, learning rate and validation on the way
        weights.safetensors  the trained weights
        quality.csv          a row per image and convention, of all sets that were measured
        measured/            the same by set
        cost.json            parameters, MACs, latency, memory
        checkpoint.pt        only while training
        failure.txt          the traceback of the last attempt, where it failed

run.yaml and provenance.json carry a hash of their own content; every other file's SHA-256 is recorded.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from ablations.bounded import PlainLoader
from foundation import SpinbenchError, write
from results.cost import misshapen

PACKAGE = Path(__file__).parent  # contains published/ and reference/, which are part of the suite
FORMAT = 2  # of run.yaml; 1 had no hash over itself, and hashed the machine too
STAGES = {"train": "weights.safetensors", "evaluate": "quality.csv", "cost": "cost.json"}  # in order; what each leaves
_RUN_AGAIN = "run the experiment again, which makes it anew"
_REMEDIES = {  # what is expensive is never repeated automatically
    STAGES["train"]: "restore it, or train the run again",
    "training.csv": "restore it; it is not made anew without training",
}
FOLDER_NAME = re.compile(r"(?P<variant>.+)-x(?P<scale>\d)-s(?P<seed>\d+)")


def _root() -> Path:
    """The folder of results: SPINBENCH_RESULTS, or in a checkout this folder, or for an installed suite ./results."""
    if asked := os.environ.get("SPINBENCH_RESULTS"):
        return Path(asked).expanduser()
    return PACKAGE if (PACKAGE.parent / "pyproject.toml").is_file() else Path("results")


ROOT = _root()
MEASURED = PACKAGE / "measured"  # the finished runs that are part of the suite, without their weights


@cache
def runs_folder(root: Path = ROOT) -> Path:
    """Where the protocols' folders lie: in runs/ of a folder of results, and in MEASURED itself."""
    return root if root.resolve() == MEASURED.resolve() else root / "runs"


class ResultsError(SpinbenchError):
    """A stored file that cannot be used; the message names it."""


@dataclass(frozen=True)
class Run:
    """One variant, scale and seed under one protocol: a folder."""

    protocol: str
    variant: str
    scale: int
    seed: int
    root: Path = ROOT
    stored: Path | None = None  # its folder, where it lies elsewhere than below the folder of results

    @classmethod
    def at(cls, folder: Path) -> Run:
        """The run whose folder this is, wherever it lies. Raises ResultsError for a folder of another name."""
        folder = folder.resolve()
        found = FOLDER_NAME.fullmatch(folder.name)
        if found is None or len(folder.parts) < 4:
            raise ResultsError(f"{folder}: not the folder of a run, expected a name such as full-x4-s0")
        usual = folder.parents[1].name == "runs"
        root, stored = (folder.parents[2], None) if usual else (folder.parents[1], folder)
        return cls(folder.parent.name, found["variant"], int(found["scale"]), int(found["seed"]), root, stored)

    @property
    def name(self) -> str:
        return f"{self.variant}-x{self.scale}-s{self.seed}"

    @property
    def folder(self) -> Path:
        return self.stored or runs_folder(self.root) / self.protocol / self.name

    @property
    def lock(self) -> Path:
        """The file that the process holds which executes or replaces the run."""
        return self.folder.parent / f".{self.name}.lock"

    def path(self, file: str) -> Path:
        return self.folder / file

    def write(self, file: str, content: str | bytes) -> str:
        """Replace a file of the run as a whole and return its SHA-256.

        Raises ResultsError if the folder is gone: it was removed while the run was at work, and is not made anew.
        """
        if not self.folder.is_dir():
            raise ResultsError(f"{self.folder}: was removed while the run was at work; start it again")
        write(self.path(file), content)
        return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()

    def description(self) -> dict[str, Any] | None:
        """The content of run.yaml, or None before the run was ever started.

        Raises ResultsError if it is damaged: no YAML, another hash than its content has, or of another run.
        """
        path = self.path("run.yaml")
        content = read_description(path)
        if content is None:
            return None
        own = {"protocol": self.protocol, "variant": self.variant, "scale": self.scale, "seed": self.seed}
        other = [f"{key} {content[key]}" for key, value in own.items() if key in content and content[key] != value]
        if other:
            raise ResultsError(f"{path}: belongs to another run ({', '.join(other)})")
        return content

    def provenance(self) -> dict[str, Any]:
        """The content of provenance.json: a record per finished stage. Empty before the first.

        Raises ResultsError if it is damaged.
        """
        return read_provenance(self.path("provenance.json"))

    def cost(self) -> dict[str, Any] | None:
        """The content of cost.json, or None while it is not measured. Raises ResultsError for one of another shape."""
        path = self.path("cost.json")
        content = _read_json(path)
        if content is None:
            return None
        if reason := misshapen(content):
            raise ResultsError(f"{path}: {reason}")
        return content

    def describe(self, header: Mapping[str, Any], stages: Mapping[str, Mapping[str, Any]]) -> None:
        """Write run.yaml; the folder is made where it is missing."""
        content = {"format": FORMAT, **header, "stages": {name: plain(stage) for name, stage in stages.items()}}
        content = plain(content)
        self.folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump({"hash": digest(content), **content}, sort_keys=False, allow_unicode=True)
        self.write("run.yaml", text)

    def says(self, header: Mapping[str, Any], stages: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether run.yaml says just this."""
        content = self.description() or {}
        return {key: part for key, part in content.items() if key != "hash"} == plain(
            {"format": FORMAT, **header, "stages": stages}
        )

    def record(self, stage: str, hash_: str, record: Mapping[str, Any], files: Mapping[str, str]) -> None:
        """Mark a stage as finished: written last, after its files (with their SHA-256) are safely on disk.

        `hash_` is of the settings that determined it, `record` how, where and when it was carried out.
        """
        content = plain({**self.provenance(), stage: {**record, "hash": hash_, "products": dict(files)}})
        self.write("provenance.json", json.dumps({"hash": digest(content), **content}, indent=1))

    def set_aside(self) -> Path:
        """Move the run's folder out of the way, so that nothing stored is lost. Returns its new place."""
        return _moved(self.folder, self.folder.parent / "stale" / self.name)

    def put_away(self, file: str) -> Path:
        """The same for one of its files, before another takes its place: it stays beside it as <name>.old."""
        return _moved(self.path(file), self.path(f"{file}.old"))

    def intact(self, file: str) -> bool:
        """Whether a recorded file is what was written. False for one that is missing or not recorded."""
        try:
            return self.path(file).is_file() and self._damage_of(file, self.provenance()) is None
        except ResultsError:
            return False

    def damage(self) -> dict[str, str]:
        """What is damaged, by file, each with the reason: unreadable, or with another SHA-256 than was recorded.

        A missing file of a recorded stage counts, but for the weights: they may be deleted to save room, and what
        was measured with them stays true.
        """
        found: dict[str, str] = {}
        for file, read in (("run.yaml", self.description), ("provenance.json", self.provenance)):
            try:
                read()
            except ResultsError as error:
                found[file] = str(error).removeprefix(f"{self.path(file)}: ")
        records = {} if "provenance.json" in found else self.provenance()
        if records and not self.path("run.yaml").is_file():
            found["run.yaml"] = "is missing"
        for record in records.values():
            for file in record.get("products", {}):
                if not self.path(file).is_file():
                    if file != STAGES["train"]:
                        found[file] = "is missing"
                elif reason := self._damage_of(file, records):
                    found[file] = reason
        return {file: f"{reason}; {_REMEDIES.get(file, _RUN_AGAIN)}" for file, reason in found.items()}

    def _damage_of(self, file: str, records: Mapping[str, Any]) -> str | None:
        known = [one["products"][file] for one in records.values() if file in one.get("products", {})]
        if known and sha256(self.path(file)) != known[-1]:
            return "damaged or replaced: its SHA-256 is not the recorded one"
        try:
            if file == "quality.csv":
                from results.quality import read_quality  # reads with pandas, which most commands do without

                read_quality(self.path(file))
            if file == "cost.json":
                self.cost()
        except ResultsError as error:
            return str(error).removeprefix(f"{self.path(file)}: ")
        return None


def read_description(path: Path) -> dict[str, Any] | None:
    """The content of a run.yaml, wherever it lies; None if there is none.

    Raises ResultsError if it is damaged: no YAML, or another hash than its content has.
    """
    if not path.is_file():
        return None
    try:
        content = copy.deepcopy(_parsed(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ResultsError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise ResultsError(f"{path}: expected a mapping, found {type(content).__name__}")
    stages = content.get("stages")
    if not isinstance(stages, dict) or not all(isinstance(stage, dict) for stage in stages.values()):
        raise ResultsError(f"{path}: stages: expected a mapping of stages to settings")
    told = content.get("hash")
    sealed = stages if "format" not in content else {key: part for key, part in content.items() if key != "hash"}
    if (told is None and "format" in content) or (told is not None and _digest_or_none(sealed) != told):
        raise ResultsError(f"{path}: damaged or edited: its content does not have the hash that it states")
    return content


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    """A report asks a dozen times what a run is, and parsing takes most of the answer."""
    return yaml.load(text, PlainLoader)


def read_provenance(path: Path) -> dict[str, Any]:
    """The records of a provenance.json by stage, wherever it lies; none if there is none.

    Raises ResultsError if it is damaged.
    """
    content = _read_json(path)
    if content is None:
        return {}
    told = content.pop("hash", None)
    records = {name: content[name] for name in STAGES if name in content}
    if (
        not content
        or set(content) - set(records)
        or not all(isinstance(one, dict) and isinstance(one.get("hash"), str) for one in records.values())
    ):
        raise ResultsError(f"{path}: expected a record with a hash for each of {', '.join(STAGES)}")
    if told is not None and _digest_or_none(records) != told:
        raise ResultsError(f"{path}: damaged or edited: its content does not have the hash that it states")
    if told is None and any("products" in one for one in records.values()):
        raise ResultsError(f"{path}: damaged or edited: it states no hash of its content")
    return records


def sha256(path: Path) -> str:
    """SHA-256 of a file's content. Raises OSError."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def digest(content: Any) -> str:
    """SHA-256 of a configuration; the order of its keys does not matter."""
    text = json.dumps(plain(content), sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def plain(content: Any) -> Any:
    """A configuration as JSON and YAML hold it: tuples become lists."""
    return json.loads(json.dumps(content, allow_nan=False))


def changed_settings(old: Any, new: Any, key: str = "") -> list[str]:
    """`key: old -> new` for every setting in which two configurations differ."""
    old, new = plain(old), plain(new)
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [f"{key}: {old} -> {new}"]
    found = []
    for name in dict.fromkeys([*old, *new]):
        place = f"{key}.{name}" if key else str(name)
        found += changed_settings(old.get(name), new.get(name), place)
    return found


def _moved(path: Path, wanted: Path) -> Path:
    """Rename to a free name: the one that is wanted, or with a number behind it."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    names = (wanted.with_name(f"{wanted.name}-{number}" if number else wanted.name) for number in itertools.count())
    return path.rename(next(name for name in names if not name.exists()))


def _digest_or_none(content: Any) -> str | None:
    try:
        return digest(content)
    except (TypeError, ValueError):  # a damaged file may hold dates, or numbers that are none
        return None


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ResultsError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise ResultsError(f"{path}: expected a mapping, found {type(content).__name__}")
    return content
