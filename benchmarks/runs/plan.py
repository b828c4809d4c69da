"""The runs of an experiment under a protocol, each with its resolved configuration."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import ablations
import models
from ablations import AblationError, Experiment, Protocol, Variant
from ablations.schema import Training
from benchmarks import networks
from benchmarks.data import datasets, published
from benchmarks.data.datasets import Dataset
from benchmarks.data.images import READER
from benchmarks.measure.quality import find_convention
from foundation import SpinbenchError, nearest, network_in_file, one_line
from models.weights import read_checkpoint
from results import BASELINE, ROOT, ResultsError, Run, digest, sha256


@dataclass(frozen=True)
class Job:
    """A run, and the settings that determine each of its stages: the content of run.yaml."""

    run: Run
    variant: Variant
    protocol: Protocol
    device: torch.device
    sets: Mapping[str, Dataset]  # available test sets at its scale
    stages: Mapping[str, Mapping[str, Any]]
    start: Run | None = None  # the run whose weights initialise this one

    status: str | None = None  # the reason if it is not evaluated
    on_phase: Callable[[str], None] | None = None  # called at the end of each phase of a training step

    @property
    def header(self) -> dict[str, Any]:
        """The fields of run.yaml before the stages; the same whichever stages the job is restricted to."""
        trained = "baseline" if self.variant.model == BASELINE else "run"
        header = {
            "protocol": self.run.protocol,
            "variant": self.run.variant,
            "label": self.variant.label,
            "scale": self.run.scale,
            "seed": self.run.seed,
            "source": trained if self.variant.trained else "published weights",
            "ensemble": self.variant.ensemble,
            "status": self.status,
        }
        if self.variant.given:
            header["weights_file"] = self.variant.weights
        if network_in_file(str(self.variant.model)):
            header["network_file"] = self.variant.model
        if self.variant.model != BASELINE:
            header["defaults"] = models.configuration(str(self.variant.model))
        if self.protocol.training is not None and self.variant.trained and self.variant.model != BASELINE:
            header["training_data"] = self.protocol.training.data
            if self.protocol.training.start_file:
                header["warm_start_file"] = str(self.protocol.training.start_file)
        return header


def plan(
    experiment: Experiment,
    protocol_name: str,
    protocol: Protocol,
    *,
    only: Sequence[str] = (),
    scales: Sequence[int] = (),
    seeds: Sequence[int] = (),
    device: torch.device,
    card: str | None = None,
    sets: Mapping[int, Sequence[str]],
    root: Path = ROOT,
) -> list[Job]:
    """The jobs of an experiment, in an order in which they can be executed; bicubic first.

    `only` selects variants, `scales` and `seeds` replace those of the experiment and the protocol; `sets` holds the
    available test sets by scale; `card` is the name of the GPU, if costs are measured on one. The scale of a warm start
    is added before the scales that depend on it. Raises AblationError for an unknown variant, scale or convention, an
    invalid configuration, two sets of one name, and for seeds under a protocol without training.
    """
    named = {name: experiment.variant_named(name) for name in only}
    for name, found in named.items():
        if found is None:
            raise AblationError(f"unknown variant {name!r}; {nearest(name, experiment.variants)}")
    for scale in scales:
        if scale not in models.SCALES:
            raise AblationError(f"scale must be one of {models.SCALES}, not {scale}")
    for convention in protocol.evaluation.conventions:
        try:
            find_convention(convention)
        except ValueError as error:
            raise AblationError(str(error)) from error
    seeds, scales = list(dict.fromkeys(seeds)), list(dict.fromkeys(scales))
    if seeds and protocol.training is None:
        raise AblationError(f"seeds {', '.join(map(str, seeds))}: protocol {protocol_name} trains nothing")
    chosen = {name: variant for name, variant in experiment.variants.items() if not only or name in named.values()}
    start = protocol.training.start_scale if protocol.training else None
    wanted = _with_starts(list(scales or experiment.scales), start)
    name = ablations.name_of(protocol_name)
    planner = _Planner(name, protocol, device, card, sets, root)
    jobs = [planner.baseline(scale) for scale in wanted]
    for variant_name, variant in chosen.items():
        if variant.model is None:
            continue
        if variant.given:
            jobs += [planner.given(variant_name, variant, scale) for scale in scales or experiment.scales]
        elif variant.weights == "published":
            jobs += [planner.published(variant_name, variant, scale) for scale in scales or experiment.scales]
        elif protocol.training is None:
            jobs += [planner.untrained(variant_name, variant, scale) for scale in scales or experiment.scales]
        else:
            for seed in seeds or protocol.seeds:
                jobs += [planner.job(variant_name, variant, protocol.training, scale, seed) for scale in wanted]
    return jobs


def _with_starts(scales: list[int], start: int | None) -> list[int]:
    """The scales without duplicates, with that of the warm start first."""
    return list(dict.fromkeys([start, *scales] if start is not None else scales))


@dataclass(frozen=True)
class _Planner:
    """Makes jobs; what runs of one variant and scale share is found once, since an experiment may have thousands."""

    name: str
    protocol: Protocol
    device: torch.device
    card: str | None
    sets: Mapping[int, Sequence[str]]
    root: Path
    _networks: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    _data: dict[tuple[str, int], str] = field(default_factory=dict)
    _evaluated: dict[int, dict[str, Dataset]] = field(default_factory=dict)
    _measured: dict[int, dict[str, Any]] = field(default_factory=dict)
    _starts: dict[Path, str] = field(default_factory=dict)

    def job(self, variant_name: str, variant: Variant, training: Training, scale: int, seed: int) -> Job:
        network, run = self._network(variant_name, variant, scale), self._run(variant_name, scale, seed)
        train: dict[str, Any] = {
            **network,
            "seed": seed,
            "training": training.deciding(),
            "data": self._checksum(training.data, scale),
            "reader": READER,
        }
        start = None
        if training.start_file:
            train["start"] = self._start(training.start_file)
        elif training.start_scale is not None and training.start_scale != scale:
            first = self.job(variant_name, variant, training, training.start_scale, seed)
            start, train["start"] = first.run, digest(first.stages["train"])
        stages = {
            "train": train,
            "evaluate": self._evaluation(network, variant, digest(train)),
            "cost": self._cost(network, run),
        }
        return self._of(run, variant, stages, start=start)

    def published(self, variant_name: str, variant: Variant, scale: int) -> Job:
        """A network with published weights; only its cost is measured where its checkpoint is unavailable."""
        network, run = self._network(variant_name, variant, scale), self._run(variant_name, scale)
        source = published.checkpoint(str(variant.model), scale)
        stages = {"cost": self._cost(network, run)}
        status = variant.status or published.unavailable(str(variant.model), scale)
        if status is None and source is not None:
            stages["evaluate"] = self._evaluation(network, variant, source.content)
        return self._of(run, variant, stages, status=status)

    def given(self, variant_name: str, variant: Variant, scale: int) -> Job:
        """A network with given weights; only its cost is measured where they do not fit."""
        run = self._run(variant_name, scale)
        network = self._network(variant_name, variant, scale)
        stages, status = {"cost": self._cost(network, run)}, None
        try:
            found = networks.given(variant, scale)
            assert found and found.weights
            found.module()
            stages["evaluate"] = self._evaluation(network, variant, found.weights.content)
        except SpinbenchError as error:
            status = f"its weights cannot be used at x{scale}: {one_line(error)}"
        return self._of(run, variant, stages, status=status)

    def untrained(self, variant_name: str, variant: Variant, scale: int) -> Job:
        """A network that the protocol does not train; only its cost is measured."""
        run = self._run(variant_name, scale)
        stages = {"cost": self._cost(self._network(variant_name, variant, scale), run)}
        status = variant.status or "the protocol trains nothing"
        return self._of(run, variant, stages, status=status)

    def baseline(self, scale: int) -> Job:
        """Bicubic interpolation, evaluated like a network, without training or cost."""
        variant = Variant(label="Bicubic", model=BASELINE)
        network = {"model": BASELINE, "config": {}, "scale": scale}
        stages = {"evaluate": self._evaluation(network, variant, None)}
        return self._of(self._run(BASELINE, scale), variant, stages)

    def _run(self, variant_name: str, scale: int, seed: int = 0) -> Run:
        return Run(self.name, variant_name, scale, seed, self.root)

    def _of(self, run: Run, variant: Variant, stages: dict[str, dict[str, Any]], **more: Any) -> Job:
        return Job(run, variant, self.protocol, self.device, self._sets(run.scale), stages, **more)

    def _start(self, file: Path) -> str:
        """The SHA-256 of the checkpoint that trainings begin from. Raises WeightsError for a file that is none."""
        if file not in self._starts:
            read_checkpoint(file)
            self._starts[file] = sha256(file)
        return self._starts[file]

    def _checksum(self, name: str, scale: int) -> str:
        if (name, scale) not in self._data:
            self._data[name, scale] = datasets.get(name).checksum(scale)
        return self._data[name, scale]

    def _network(self, variant_name: str, variant: Variant, scale: int) -> dict[str, Any]:
        if (variant_name, scale) in self._networks:
            return dict(self._networks[variant_name, scale])
        try:
            config = models.configuration(str(variant.model), **variant.config)
        except ValueError as error:
            raise AblationError(f"variant {variant_name!r}: {error}") from error
        network = {"model": ablations.network_name(str(variant.model)), "config": config, "scale": scale}
        if code := models.code(str(variant.model)):
            network["code"] = code
        self._networks[variant_name, scale] = network
        return dict(network)

    def _cost(self, network: dict[str, Any], run: Run) -> dict[str, Any]:
        """Another card measures again. A CPU does not: what was measured on a card elsewhere remains."""
        stage = {**network, "costing": self.protocol.costing.model_dump(mode="json")}
        if self.card:
            return {**stage, "card": self.card}
        with suppress(ResultsError, OSError):  # a damaged run.yaml is reported when the run is executed
            if b"card:" not in run.path("run.yaml").read_bytes():  # reading YAML takes long
                return stage
            stored = (run.description() or {}).get("stages", {}).get("cost", {})
            return stage | {key: stored[key] for key in ("card",) if key in stored}
        return stage

    def _sets(self, scale: int) -> dict[str, Dataset]:
        """The available test sets by the names under which they are measured."""
        if scale not in self._evaluated:
            found: dict[str, Dataset] = {}
            for dataset in map(datasets.get, self.sets[scale]):
                if dataset.name in found:
                    raise AblationError(f"two of the protocol's test sets are called {dataset.name!r}; give a label")
                found[dataset.name] = dataset
            self._evaluated[scale] = found
        return self._evaluated[scale]

    def _evaluation(self, network: dict[str, Any], variant: Variant, weights: str | None) -> dict[str, Any]:
        """`weights` identifies the weights: the digest of the training's settings, or the SHA-256 of a checkpoint."""
        scale = network["scale"]
        if scale not in self._measured:
            self._measured[scale] = {
                name: {
                    "data": dataset.checksum(scale),
                    "reader": READER,
                    "images": len(dataset.hr_names()),
                    "missing": dataset.missing(scale),
                }
                for name, dataset in self._sets(scale).items()
            }
        return {
            **network,
            "weights": weights,
            "ensemble": variant.ensemble,
            "multiple": variant.multiple,
            "conventions": self.protocol.evaluation.conventions,
            "sets": copy.deepcopy(self._measured[scale]),
        }


def without_stages(job: Job, keep: Collection[str]) -> Job:
    """The same job, restricted to the stages in `keep`."""
    return dataclasses.replace(job, stages={name: stage for name, stage in job.stages.items() if name in keep})
