"""How results lie on disk: the one place that knows. Reading needs neither torch nor a network.

    results/runs/<protocol>/<variant>-x<scale>-s<seed>/
        run.yaml             the resolved configuration of each stage, and its hashes
        checkpoint.pt        only while training
        training.csv         loss, learning rate and validation on the way
        weights.safetensors  the trained weights
        quality.csv          a row per image and convention
        measured/            the same by set, kept so that another set is measured on top
        cost.json            parameters, MACs, latency, memory
        provenance.json      versions, machine, commit and times of every finished stage

A stage (train, evaluate, cost) is finished when `provenance.json` records it with the hash that `run.yaml`
asks for. A stage recorded with another hash is stale, and `RunState.reasons` says which settings differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml

import ablations
from foundation import SpinbenchError, write

ROOT = Path(__file__).parent
PUBLISHED = ROOT / "published"
STAGES = {"train": "weights.safetensors", "evaluate": "quality.csv", "cost": "cost.json"}  # in order; what each leaves
BASELINE = "bicubic"
COLUMNS = [
    "experiment", "protocol", "variant", "source", "scale", "seed", "ensemble",
    "dataset", "lr_origin", "convention", "image", "psnr", "ssim",
]  # fmt: skip


_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # builds plain data only; in C where PyYAML was built with it


class ResultsError(SpinbenchError):
    """A stored file that cannot be used; the message names it."""


@dataclass(frozen=True)
class RunState:
    """What a run still needs. `reasons` says why stages that were finished once no longer count."""

    pending: tuple[str, ...]
    reasons: tuple[str, ...] = ()

    @property
    def word(self) -> Literal["finished", "stale", "unfinished"]:
        if not self.pending:
            return "finished"
        return "stale" if self.reasons else "unfinished"


@dataclass(frozen=True)
class Run:
    """One variant, scale and seed under one protocol: a folder."""

    protocol: str
    variant: str
    scale: int
    seed: int
    root: Path = ROOT

    @property
    def name(self) -> str:
        return f"{self.variant}-x{self.scale}-s{self.seed}"

    @property
    def folder(self) -> Path:
        return self.root / "runs" / self.protocol / self.name

    def path(self, file: str) -> Path:
        return self.folder / file

    def description(self) -> dict[str, Any] | None:
        """The content of run.yaml, or None before the run was ever started. Raises ResultsError if damaged."""
        path = self.path("run.yaml")
        if not path.is_file():
            return None
        try:
            content = yaml.load(path.read_text(encoding="utf-8"), _YAML)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ResultsError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
        if not isinstance(content, dict):
            raise ResultsError(f"{path}: expected a mapping, found {type(content).__name__}")
        return content

    def provenance(self) -> dict[str, Any]:
        """The content of provenance.json: a record per finished stage. Empty before the first."""
        return _read_json(self.path("provenance.json")) or {}

    def cost(self) -> dict[str, Any] | None:
        """The content of cost.json, or None while it is not measured."""
        return _read_json(self.path("cost.json"))

    def state(self, stages: Mapping[str, Mapping[str, Any]]) -> RunState:
        """What is left to do for a resolved configuration per stage, compared with what is stored."""
        recorded = self.provenance()
        stored = (self.description() or {}).get("stages", {})
        pending, reasons = [], []
        for stage in (name for name in STAGES if name in stages):
            record = recorded.get(stage)
            if record is not None and record["hash"] == digest(stages[stage]):
                if not self.path(STAGES[stage]).is_file():
                    pending.append(stage)
                continue
            pending.append(stage)
            if record is not None or (stage in stored and digest(stored[stage]) != digest(stages[stage])):
                changes = differences(old := stored.get(stage, {}), stages[stage])
                if changes and not differences(old, _without_more_sets(old, stages[stage])):
                    continue  # what was measured still counts, there is only more to measure
                reasons.append(f"{stage}: {'; '.join(changes) or 'run.yaml was edited by hand'}")
        return RunState(tuple(pending), tuple(reasons))

    def set_aside(self) -> Path:
        """Move a stale run's folder out of the way, so that nothing stored is lost. Returns its new place."""
        age = (self.description() or {}).get("hash", "unknown")[:8]
        place = self.folder.parent / "stale" / f"{self.name}-{age}"
        number = 1
        while place.exists():
            number += 1
            place = place.with_name(f"{self.name}-{age}-{number}")
        place.parent.mkdir(parents=True, exist_ok=True)
        return self.folder.rename(place)

    def describe(self, header: Mapping[str, Any], stages: Mapping[str, Mapping[str, Any]]) -> None:
        """Write run.yaml."""
        content = {
            **header,
            "hash": digest(stages),
            "stages": {name: plain(stage) for name, stage in stages.items()},
        }
        write(self.path("run.yaml"), yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    def record(self, stage: str, configuration: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        """Mark a stage as finished: written last, after its product is safely on disk."""
        content = {**self.provenance(), stage: {"hash": digest(configuration), **provenance}}
        write(self.path("provenance.json"), json.dumps(content, indent=1))


def load(experiment: str, protocol: str, root: Path = ROOT) -> pd.DataFrame:
    """Quality of every image of an experiment's runs under a protocol, with the bicubic baseline.

    Columns: experiment, protocol, variant, source (run, published weights or baseline), scale, seed, ensemble, dataset,
    lr_origin, convention, image, psnr (dB), ssim. Empty if nothing was measured yet. Raises
    ablations.AblationError, ResultsError.
    """
    frames = []
    for run in runs(experiment, protocol, root):
        path = run.path("quality.csv")
        if not path.is_file():
            continue
        try:
            frame = pd.read_csv(path, dtype={"image": str, "dataset": str})
            header = run.description() or {}
            frame = frame.assign(
                experiment=experiment, protocol=protocol, variant=run.variant, source=header.get("source", "run"),
                scale=run.scale, seed=run.seed, ensemble=header.get("ensemble", False),
            )  # fmt: skip
            frames.append(frame[COLUMNS])
        except (ValueError, KeyError) as error:
            raise ResultsError(f"{path}: not a table of quality ({error})") from error
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)


def runs(experiment: str, protocol: str, root: Path = ROOT) -> list[Run]:
    """The runs of an experiment that exist on disk under a protocol, in the experiment's order."""
    definition = ablations.load_experiment(experiment)
    protocol = Path(protocol).stem
    found = []
    for variant in [BASELINE, *definition.variants]:
        for scale in definition.scales:
            prefix = f"{variant}-x{scale}-s"
            folders = (root / "runs" / protocol).glob(f"{prefix}*")
            seeds = sorted(int(seed) for path in folders if (seed := path.name[len(prefix) :]).isdigit())
            found += [Run(protocol, variant, scale, seed, root) for seed in seeds]
    return found


def protocols(root: Path = ROOT) -> list[str]:
    """The protocols under which something was run."""
    return sorted(path.name for path in (root / "runs").glob("*") if path.is_dir())


def published(name: str) -> pd.DataFrame:
    """A published table: method, scale, params (thousands), dataset, psnr (dB), ssim. Missing cells stay missing."""
    return pd.read_csv(PUBLISHED / name)


def official() -> pd.DataFrame:
    """Figures of published checkpoints in the official modules: variant, scale, convention, dataset, psnr, ssim.

    The last two are text, since it matters how many decimals are known.
    """
    return pd.read_csv(PUBLISHED / "official.csv", dtype={"psnr": str, "ssim": str})


def _without_more_sets(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of the evaluation without the test sets that another one does not have."""
    return {
        key: {name: each for name, each in value.items() if name in old.get("data", {})}
        if isinstance(value, Mapping)
        else value
        for key, value in new.items()
    }


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a configuration; the order of its keys does not matter."""
    text = json.dumps(plain(content), sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def plain(content: Any) -> Any:
    """A configuration as JSON and YAML hold it: tuples become lists."""
    return json.loads(json.dumps(content, allow_nan=False))


def differences(old: Any, new: Any, key: str = "") -> list[str]:
    """`key: old -> new` for every setting in which two configurations differ."""
    old, new = plain(old), plain(new)
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [f"{key}: {old} -> {new}"]
    found = []
    for name in dict.fromkeys([*old, *new]):
        place = f"{key}.{name}" if key else str(name)
        found += differences(old.get(name), new.get(name), place)
    return found


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise ResultsError(f"{path}: expected a mapping, found {type(content).__name__}")
    return content
