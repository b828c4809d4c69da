"""Which stored runs count: those of the definition under which they are shown, with files as they were written.

Of the others, and of those that were asked for and have no complete result yet, it is said why.

A report shows an experiment under a protocol. A run of the right name may have been made with another definition of
its variant, or under an older protocol; it would then be shown in the wrong row. Definitions are compared
by run.yaml: model, configuration, scale, seed and the training's decisions; data by their names, since a report has
only results at hand (`run` compares their content).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple, get_args

import pandas as pd

import ablations
from ablations import Experiment, Protocol, Variant
from ablations.schema import BASELINE
from foundation.image_sets import image_set
from results import definitions
from results.missing import missing
from results.quality import read_quality
from results.run import FOLDER_NAME, ROOT, STAGES, ResultsError, Run, changed_settings
from results.state import of_first_format

COLUMNS = [
    "experiment", "protocol", "variant", "source", "scale", "seed", "ensemble",
    "dataset", "lr_origin", "convention", "image", "psnr", "ssim",
]  # fmt: skip


State = Literal["running", "failed", "stale", "damaged", "pending"]  # the first says most where runs differ
STATES: tuple[State, ...] = get_args(State)


class LeftOut(NamedTuple):
    """A run that does not count, or not yet, or one of its files that does not, and why.

    `stale`: of another definition, or measured with other weights; the states before a result are those of `progress`.
    """

    run: Run
    reason: str
    state: State = "stale"

    @property
    def excluded(self) -> bool:
        """Something is stored that does not count."""
        return self.state in ("stale", "damaged")

    def __str__(self) -> str:
        return f"{self.run.name}: {self.reason}"


class Collected(NamedTuple):
    """What counts of an experiment under a protocol, and everything that does not, with the reason.

    `frame` has the columns COLUMNS: a row per image and convention of the runs whose quality.csv is intact.
    """

    runs: list[Run]
    frame: pd.DataFrame
    left_out: list[LeftOut]


def collect(experiment: str, protocol: str, root: Path = ROOT) -> Collected:
    """The current runs of an experiment, in its order, and their quality. Left out are also those of its runs that were
    asked for (see `definitions.ask`) or begun, and have no complete result.

    Raises ablations.AblationError for an unknown definition. A damaged or outdated run never raises: it is left out.
    """
    definition = definitions.experiment(experiment, protocol, root)
    return collect_as(definition, ablations.name_of(experiment), protocol, root)


def collect_as(definition: Experiment, name: str, protocol: str, root: Path = ROOT) -> Collected:
    """The same for an experiment of that name that is loaded already."""
    plan = definitions.protocol(protocol, root)
    frames: list[pd.DataFrame] = []
    found: list[Run] = []
    left_out: list[LeftOut] = []
    for run in _in_order({*_stored(definition, protocol, root), *_asked(definition, protocol, root)}, definition):
        if not any(run.path(file).exists() for file in ("run.yaml", "provenance.json", *STAGES.values())):
            left_out += _incomplete(run)  # nothing of it is stored; there may be a log
            continue
        variant = definition.variants.get(run.variant, Variant(label="Bicubic", model=BASELINE))
        reason, damage = _why_not(run, variant, plan)
        left_out += [LeftOut(run, f"{file} {why}", "damaged") for file, why in damage.items()]
        if reason:
            left_out.append(LeftOut(run, reason))
        if reason is not None:
            continue
        found.append(run)
        left_out += [] if damage else _incomplete(run)
        if run.intact("quality.csv"):
            header = run.description() or {}
            frames.append(
                read_quality(run.path("quality.csv")).assign(
                    experiment=name, protocol=run.protocol, variant=run.variant,
                    source=header.get("source", "run"), scale=run.scale, seed=run.seed,
                    ensemble=header.get("ensemble", False),
                )[COLUMNS]
            )  # fmt: skip
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)
    return Collected(found, frame, left_out)


def collect_elsewhere(definition: Experiment, name: str, protocol: str, root: Path = ROOT) -> dict[str, Collected]:
    """The same under every other protocol below `root` whose definition is known here."""
    found = {}
    for other in definitions.protocols(root):
        if other != ablations.name_of(protocol):
            with contextlib.suppress(ablations.AblationError, ResultsError):
                found[other] = collect_as(definition, name, other, root)
    return found


def stored_runs(experiment: Experiment, protocol: str, root: Path = ROOT) -> list[Run]:
    """The runs of an experiment's variants, and of bicubic, that lie under a protocol, at any scale; current or not."""
    return _in_order(_stored(experiment, protocol, root), experiment)


def _stored(experiment: Experiment, protocol: str, root: Path) -> list[Run]:
    return [run for run in all_runs(protocol, root) if run.variant in (BASELINE, *experiment.variants)]


def _asked(experiment: Experiment, protocol: str, root: Path) -> list[Run]:
    """Those of an experiment's runs that were asked for."""
    return [run for run in definitions.asked(protocol, root) if run.variant in (BASELINE, *experiment.variants)]


def _in_order(runs: Iterable[Run], experiment: Experiment) -> list[Run]:
    order = {name: index for index, name in enumerate([BASELINE, *experiment.variants])}
    return sorted(runs, key=lambda run: (order[run.variant], run.scale, run.seed))


def _incomplete(run: Run) -> list[LeftOut]:
    found = missing(run)
    return [LeftOut(run, found.reason, found.state)] if found else []


def all_runs(protocol: str, root: Path = ROOT) -> list[Run]:
    """All runs that lie under a protocol, whatever their experiment, by name."""
    paths = sorted(definitions.folder(protocol, root).glob("*-x*-s*"))
    return [
        Run(path.parent.name, match["variant"], int(match["scale"]), int(match["seed"]), root)
        for path in paths
        if (match := FOLDER_NAME.fullmatch(path.name)) and path.is_dir()
    ]


_NEEDED = ("run.yaml", "provenance.json", STAGES["train"])  # without which nothing of a run can be believed


def _why_not(run: Run, variant: Variant, protocol: Protocol) -> tuple[str | None, Mapping[str, str]]:
    """Why a run does not count (None if it does, "" if the damage explains it), and which of its files are damaged."""
    damage = run.damage()
    if damage.keys() & set(_NEEDED):
        return "", damage
    description = run.description()
    if description is None:
        return "it has no run.yaml to identify it", damage
    changes = mismatch(run, description, variant, protocol)
    if changes:
        return f"of another definition ({'; '.join(changes)})", damage
    record = run.provenance()
    trained = record.get("train", {}).get("products", {}).get(STAGES["train"])
    measured = record.get("evaluate", {}).get("inputs", {}).get(STAGES["train"])
    if trained is not None and "evaluate" in record and trained != measured:
        return "its images were measured with weights other than the stored ones", damage
    return None, damage


def mismatch(run: Run, description: Mapping[str, Any], variant: Variant, protocol: Protocol) -> list[str]:
    """The settings in which a run differs from the definition of its variant and protocol: `key: its -> theirs`."""
    stages = description["stages"]
    changes: dict[str, None] = {}
    source = "baseline" if variant.model == BASELINE else "run"
    source = source if variant.trained or variant.model == BASELINE else "published weights"
    changes |= dict.fromkeys(changed_settings(description.get("source", source), source, "weights"))
    changes |= dict.fromkeys(changed_settings(description.get("ensemble", False), variant.ensemble, "ensemble"))
    overridden = {**description.get("defaults", {}), **variant.config}
    for stage in stages.values():
        model = variant.model and ablations.network_name(variant.model)
        changes |= dict.fromkeys(changed_settings(stage.get("model", model), model, "model"))
        if changes:
            break
        changes |= dict.fromkeys(changed_settings(stage.get("scale", run.scale), run.scale, "scale"))
        config = stage.get("config", overridden)
        changes |= dict.fromkeys(_of_known(config, overridden, "config"))
    if "train" in stages and not changes:
        changes |= dict.fromkeys(_training(run, description, protocol))
    return list(changes)


def _training(run: Run, description: Mapping[str, Any], protocol: Protocol) -> list[str]:
    train = description["stages"]["train"]
    found = changed_settings(train.get("seed", run.seed), run.seed, "seed")
    if protocol.training is None or "training" not in train:
        return found
    wanted = protocol.training
    stored = description.get("training_data", train["training"].get("data", wanted.data))
    if _name(stored) != _name(wanted.data):
        found.append(f"training.data: {stored} -> {wanted.data}")
    deciding = {"training": wanted.deciding()}
    compare = changed_settings if "format" in description else of_first_format
    return found + compare({"training": train["training"]}, deciding)


def _of_known(stored: Any, wanted: Mapping[str, Any], key: str) -> list[str]:
    """Differences in the keys that both have: what is not overridden has the network's default, unknown to files."""
    if not isinstance(stored, Mapping):
        return [f"{key}: {stored} -> {dict(wanted)}"]
    both = [name for name in stored if name in wanted]
    unknown = [f"{key}.{name}: None -> {wanted[name]}" for name in wanted if name not in stored]
    return changed_settings({name: stored[name] for name in both}, {name: wanted[name] for name in both}, key) + unknown


def _name(data: str) -> str:
    """What names a set of images here and on another machine: a registered name, or the last part of a path."""
    return PurePath(os.path.normpath(image_set(data).hr)).name
