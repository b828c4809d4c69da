"""What `spinbench check` is asked to check: weights, a run's folder, published weights, an experiment, a reference."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from torch import nn

import ablations
import models
from benchmarks import published
from benchmarks.options import UsageError
from benchmarks.options import network as build
from results import BASELINE, ROOT, ResultsError, digest, references, runs
from results.references import Network, Reference


@dataclass(frozen=True)
class Subject:
    """A network to check, the file of its weights, and the name of its reference, which may not be there yet."""

    name: str
    reference: str
    network: Network
    weights: Path | None = None

    def build(self) -> nn.Module | None:
        """The network with its weights; None for bicubic. Raises what reading and fitting the weights raises."""
        if self.network.model == BASELINE:
            return None
        return build(self.network.model, self.network.scale, self.network.config, self.weights)


def find(
    targets: Sequence[str],
    *,
    reference: str | None = None,
    model: str | None = None,
    scale: int = 4,
    protocol: str = "quick",
    new: bool = False,
    root: Path = ROOT,
) -> list[Subject]:
    """What the targets name; without any, the references whose weights are stored with them, and bicubic's.

    A target is a file of weights (of `reference`, or of a new one of network `model` at `scale`), a run's folder, a
    network with published weights at `scale`, or an experiment: its finished runs under `protocol`, `new` ones that
    have no reference only if wanted.
    Raises UsageError for what is neither, ResultsError where there is nothing to check, and what reading a
    reference, an experiment or a checkpoint raises.
    """
    if reference and len(targets) > 1:
        raise UsageError(f"--reference {reference}: expected one network to compare with it, not {len(targets)}")
    if not targets:
        stored = [references.load(name, root) for name in ([reference] if reference else references.names(root))]
        own = [_of_reference(each) for each in stored if each.weights or each.measured.network.model == BASELINE]
        if not own:
            raise ResultsError(f"{root / 'reference'}: no weights are stored there, expected some weights to check")
        return own
    found: list[Subject] = []
    for target in targets:
        path = Path(target)
        if target in ablations.experiment_names():
            found += _of_experiment(target, protocol, new, root)
        elif target in models.names():
            found.append(_of_published(target, scale, reference))
        elif not path.exists():
            raise UsageError(f"{target}: expected weights, a run's folder, an experiment or a network")
        elif (folder := path if path.is_dir() else path.parent).joinpath("run.yaml").is_file():
            found.append(_of_run(folder, reference))
        else:
            found.append(_of_file(path, reference, model, scale, root))
    return found


def _of_reference(stored: Reference) -> Subject:
    return Subject(stored.name, stored.name, stored.measured.network, stored.weights)


def _of_experiment(name: str, protocol: str, new: bool, root: Path) -> list[Subject]:
    known = references.names(root)
    finished = [_of_run(run.folder, None) for run in runs(name, protocol, root) if run.path("quality.csv").is_file()]
    found = [subject for subject in finished if new or subject.reference in known]
    if not found:
        place = root / "runs" / Path(protocol).stem
        raise ResultsError(f"{place}: none of {len(finished)} finished runs of {name} has a reference")
    return found


def _of_published(name: str, scale: int, reference: str | None) -> Subject:
    own = reference or f"published/{name}-x{scale}-s0"
    network = Network(name, scale, models.configuration(name))
    return _with_weights(Subject(f"{name} x{scale}, published", own, network), _checkpoint(name, scale))


def _of_run(folder: Path, reference: str | None) -> Subject:
    """A run by its run.yaml: trained here, with published weights, or bicubic."""
    file = folder / "run.yaml"
    try:
        run: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        stages = run["stages"]
        about: dict[str, Any] = stages.get("train") or stages["evaluate"]
        network = Network(
            model=about["model"],
            scale=about["scale"],
            config=about.get("config", {}),
            training=digest(stages["train"]) if "train" in stages else None,
            ensemble=about.get("ensemble", False),
            multiple=about.get("multiple", 1),
        )
        name = f"{run['protocol']}/{run['variant']}-x{run['scale']}-s{run['seed']}"
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ResultsError(f"{file}: not the description of a run that was evaluated ({reason})") from error
    subject = Subject(name, reference or name, network)
    if network.model == BASELINE:
        return subject
    if network.training is None:
        return _with_weights(subject, _checkpoint(network.model, network.scale))
    return _with_weights(subject, folder / "weights.safetensors")


def _of_file(path: Path, reference: str | None, model: str | None, scale: int, root: Path) -> Subject:
    if reference is None:
        known = ", ".join(references.names(root)) or "none"
        raise UsageError(f"{path}: weights alone do not say what they are of, expected --reference (stored: {known})")
    if reference in references.names(root):
        network = references.load(reference, root).measured.network
        if model not in (None, network.model):
            raise UsageError(f"--model {model}: reference {reference} is of {network.model}")
    elif model not in models.names():
        said = f"--model {model}" if model else "no --model"
        raise UsageError(f"--reference {reference} is new, {said}: expected one of {', '.join(models.names())}")
    else:
        network = Network(model, scale, models.configuration(model))
    return _with_weights(Subject(str(path), reference, network), path)


def _with_weights(subject: Subject, file: Path) -> Subject:
    file = file / "weights.safetensors" if file.is_dir() else file
    if not file.is_file():
        raise UsageError(f"{file}: no such file, expected the weights of {subject.name}")
    with file.open("rb") as content:
        weights = hashlib.file_digest(content, "sha256").hexdigest()
    return replace(subject, weights=file, network=replace(subject.network, weights=weights))


def _checkpoint(name: str, scale: int) -> Path:
    source = published.checkpoint(name, scale)
    if source is None:
        raise UsageError(f"{name} x{scale}: no published checkpoint is registered")
    return source.locate()
