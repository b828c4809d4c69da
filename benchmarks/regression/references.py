"""The networks of the regression check, each with the stored reference it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ablations
import models
from benchmarks import networks
from benchmarks.data.sources import Local
from benchmarks.networks import Network
from foundation import SpinbenchError, nearest, registered
from results import BASELINE, ROOT, ResultsError, references, runs
from results.references import Reference

Paired = tuple[Network, str]  # a network and the name of its reference, which need not exist yet


class TargetError(SpinbenchError):
    """A target that cannot be checked; one line with what was expected."""


def find(
    targets: Sequence[str],
    *,
    reference: str | None = None,
    model: str | None = None,
    scale: int | None = None,
    protocol: str | None = None,
    new: bool = False,
    root: Path = ROOT,
) -> list[Paired]:
    """The networks of the targets, each with its reference; by default, all references with stored weights and those
    of bicubic.

    A target is a run's folder or a file of weights (compared with `reference`, which may be a new one of network
    `model` at `scale`), a network with published weights at `scale`, or an experiment, which stands for its finished
    runs under `protocol` (default: quick); those without a reference are included only if `new` is set.
    Raises TargetError for any other target and for an argument that does not apply to a target, ResultsError if there
    is nothing to check, and the errors of reading a reference, an experiment or weights.
    """
    if reference and len(targets) > 1:
        raise TargetError(f"reference {reference}: expected one network to compare with it, not {len(targets)}")
    if not targets:
        _unused("stored references", model=model, scale=scale, protocol=protocol)
        names = [reference] if reference else references.reference_names(root)
        stored = [references.load_reference(name, root) for name in names]
        own = [_of_reference(each) for each in stored if each.weights or each.measured.network.model == BASELINE]
        if not own:
            raise ResultsError(f"{root / 'reference'}: no weights are stored there, expected weights to check")
        return own
    found: list[Paired] = []
    for target in targets:
        path = Path(target)
        if target in ablations.experiment_names():
            _unused(f"the runs of {target}", model=model, scale=scale, reference=reference)
            found += _of_experiment(target, protocol or "quick", new, root)
            continue
        _unused(target, protocol=protocol)
        if registered(target) in models.names() and (target in models.names() or not path.exists()):
            _unused(target, model=model)
            found.append(_of_published(registered(target), scale, reference))
        elif not path.exists():
            known = nearest(target, [*ablations.experiment_names(), *models.names()])
            raise TargetError(f"{target}: expected weights, a run's folder, an experiment or a network; {known}")
        else:
            found.append(_of_weights(path, reference, model, scale, root))
    return found


def _unused(target: str, **arguments: object) -> None:
    """Raise TargetError for a given argument that does not apply to a target."""
    for name, value in arguments.items():
        if value is not None:
            raise TargetError(f"{name} {value}: does not apply to {target}")


def _of_reference(stored: Reference) -> Paired:
    of, weights = stored.measured.network, Local(stored.weights) if stored.weights else None
    network = Network(of.model, of.scale, of.config, weights, of.ensemble, of.multiple, training=of.training)
    return replace(network, name=stored.name), stored.name


def _of_experiment(name: str, protocol: str, new: bool, root: Path) -> list[Paired]:
    known = references.reference_names(root)
    finished = [run for run in runs(name, protocol, root) if run.path("quality.csv").is_file()]
    pairs = [_of_weights(run.folder, None, None, None, root) for run in finished]
    found = [(network, reference) for network, reference in pairs if new or reference in known]
    if not found:
        place = root / "runs" / Path(protocol).stem
        raise ResultsError(f"{place}: none of {len(finished)} finished runs of {name} has a reference")
    return found


def _of_published(name: str, scale: int | None, reference: str | None) -> Paired:
    network = networks.published(name, scale)
    title = f"{name} x{network.scale}, published"
    return replace(network, name=title), reference or f"published/{name}-x{network.scale}-s0"


def _of_weights(path: Path, reference: str | None, model: str | None, scale: int | None, root: Path) -> Paired:
    """Weights of a run by their description; others are treated as weights of the reference and of its training."""
    known = networks.description_of(path)
    if known and known.run:
        network = networks.of_weights(path, model=model, scale=scale)
        return replace(network, name=known.run), reference or known.run
    if reference is None:
        names = ", ".join(references.reference_names(root)) or "none"
        raise TargetError(f"{path}: weights without a description of their run, expected a reference (stored: {names})")
    if reference not in references.reference_names(root):
        if known is None and registered(model or "") not in models.names():
            given = f"model {model}" if model else "its model is not given"
            raise TargetError(f"reference {reference} is new, {given}: expected one of {', '.join(models.names())}")
        return replace(networks.of_weights(path, model=model, scale=scale), name=str(path)), reference
    stored = references.load_reference(reference, root).measured.network
    if model is not None and registered(model) != stored.model:
        raise TargetError(f"model {model}: reference {reference} is of {stored.model}")
    if scale not in (None, stored.scale):
        raise TargetError(f"scale {scale}: reference {reference} is of x{stored.scale}")
    network = networks.of_weights(
        path, model=stored.model, scale=stored.scale, config=stored.config,
        ensemble=stored.ensemble, multiple=stored.multiple,
    )  # fmt: skip
    return replace(network, name=str(path), training=stored.training), reference
