"""What `spinbench check` is asked to check: weights, a run's folder, published weights, an experiment, a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ablations
import models
from benchmarks import networks
from benchmarks.data.sources import Local
from benchmarks.networks import Network
from benchmarks.options import UsageError
from results import BASELINE, ROOT, ResultsError, references, runs
from results.references import Reference


@dataclass(frozen=True)
class Subject:
    """A network to check, and the name of its reference, which may not be there yet."""

    name: str
    reference: str
    network: Network


def find(
    targets: Sequence[str],
    *,
    reference: str | None = None,
    model: str | None = None,
    scale: int | None = None,
    protocol: str | None = None,
    new: bool = False,
    root: Path = ROOT,
) -> list[Subject]:
    """What the targets name; without any, the references whose weights are stored with them, and bicubic's.

    A target is a run's folder or a file of weights (of `reference`, or of a new one of network `model` at `scale`), a
    network with published weights at `scale`, or an experiment: its finished runs under `protocol` (default: quick),
    `new` ones that have no reference only if wanted.
    Raises UsageError for what is neither and for an option that says nothing about a target, ResultsError where there
    is nothing to check, and what reading a reference, an experiment or weights raises.
    """
    if reference and len(targets) > 1:
        raise UsageError(f"--reference {reference}: expected one network to compare with it, not {len(targets)}")
    if not targets:
        _unused("stored references", model=model, scale=scale, protocol=protocol)
        stored = [references.load(name, root) for name in ([reference] if reference else references.names(root))]
        own = [_of_reference(each) for each in stored if each.weights or each.measured.network.model == BASELINE]
        if not own:
            raise ResultsError(f"{root / 'reference'}: no weights are stored there, expected some weights to check")
        return own
    found: list[Subject] = []
    for target in targets:
        path = Path(target)
        if target in ablations.experiment_names():
            _unused(f"the runs of {target}", model=model, scale=scale, reference=reference)
            found += _of_experiment(target, protocol or "quick", new, root)
            continue
        _unused(target, protocol=protocol)
        if target in models.names():
            _unused(target, model=model)
            found.append(_of_published(target, scale, reference))
        elif not path.exists():
            raise UsageError(f"{target}: expected weights, a run's folder, an experiment or a network")
        else:
            found.append(_of_weights(path, reference, model, scale, root))
    return found


def _unused(target: str, **options: object) -> None:
    """Raises UsageError for an option that is given and says nothing about a target."""
    for name, value in options.items():
        if value is not None:
            raise UsageError(f"--{name} {value}: says nothing about {target}")


def _of_reference(stored: Reference) -> Subject:
    of, weights = stored.measured.network, Local(stored.weights) if stored.weights else None
    network = Network(of.model, of.scale, of.config, weights, of.ensemble, of.multiple, training=of.training)
    return Subject(stored.name, stored.name, network)


def _of_experiment(name: str, protocol: str, new: bool, root: Path) -> list[Subject]:
    known = references.names(root)
    finished = [run for run in runs(name, protocol, root) if run.path("quality.csv").is_file()]
    subjects = [_of_weights(run.folder, None, None, None, root) for run in finished]
    found = [subject for subject in subjects if new or subject.reference in known]
    if not found:
        place = root / "runs" / Path(protocol).stem
        raise ResultsError(f"{place}: none of {len(finished)} finished runs of {name} has a reference")
    return found


def _of_published(name: str, scale: int | None, reference: str | None) -> Subject:
    network = networks.published(name, scale)
    own = reference or f"published/{name}-x{network.scale}-s0"
    return Subject(f"{name} x{network.scale}, published", own, network)


def _of_weights(path: Path, reference: str | None, model: str | None, scale: int | None, root: Path) -> Subject:
    """Weights that say which run they are of, or else stand for the reference's, as if they were trained as those."""
    known = networks.describe(path)
    if known and known.run:
        network = networks.of_weights(path, model=model, scale=scale)
        return Subject(known.run, reference or known.run, network)
    if reference is None:
        names = ", ".join(references.names(root)) or "none"
        raise UsageError(f"{path}: weights alone do not say what they are of, expected --reference (stored: {names})")
    if reference not in references.names(root):
        if known is None and model not in models.names():
            said = f"--model {model}" if model else "no --model"
            raise UsageError(f"--reference {reference} is new, {said}: expected one of {', '.join(models.names())}")
        return Subject(str(path), reference, networks.of_weights(path, model=model, scale=scale))
    stored = references.load(reference, root).measured.network
    if model not in (None, stored.model):
        raise UsageError(f"--model {model}: reference {reference} is of {stored.model}")
    if scale not in (None, stored.scale):
        raise UsageError(f"--scale {scale}: reference {reference} is of x{stored.scale}")
    network = networks.of_weights(
        path, model=stored.model, scale=stored.scale, config=stored.config,
        ensemble=stored.ensemble, multiple=stored.multiple,
    )  # fmt: skip
    return Subject(str(path), reference, replace(network, training=stored.training))
