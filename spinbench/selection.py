"""What a command asks to be executed: an experiment under a protocol, restricted by options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import ablations
import results
from foundation import nearest
from spinbench.options import UsageError

if TYPE_CHECKING:
    from benchmarks.runs.places import Place
    from benchmarks.runs.plan import Job


@dataclass(frozen=True)
class Selection:
    """Names or files of an experiment and a protocol; variants, scales, seeds and test sets: empty means all of them.

    `weights` are checkpoints of the user, as variant=FILE; `folder` is that of the results. Two processes that plan the
    same selection find the same runs in the same order.
    """

    experiment: str
    protocol: str
    only: tuple[str, ...]
    scales: tuple[int, ...]
    seeds: tuple[int, ...]
    data: tuple[str, ...]
    weights: tuple[str, ...]
    folder: Path

    def definitions(self) -> tuple[ablations.Experiment, ablations.Protocol]:
        """The experiment and the protocol. Raises AblationError and UsageError."""
        from benchmarks.runs import orchestrator

        experiment, protocol = ablations.load_experiment(self.experiment), ablations.load_protocol(self.protocol)
        if experiment.published:
            results.published(experiment.published)  # the report needs it after the work
        experiment = _with_weights(experiment, self.weights)
        return experiment, orchestrator.narrowed(protocol, self.data) if self.data else protocol

    def plan(self, place: Place, fetched: Callable[[str], None] | None = None) -> list[Job]:
        """The jobs, in an order in which they can be executed at such a place.

        With `fetched` the data are fetched, and what is left out is told to it; else they are taken as they lie.
        """
        from benchmarks.runs import orchestrator
        from benchmarks.runs.plan import plan
        from results import definitions

        experiment, protocol = self.definitions()
        scales = list(self.scales or experiment.scales)
        if fetched:
            smallest = orchestrator.smallest_input(experiment, self.only)
            prepared = orchestrator.prepare(protocol, scales, fetched, smallest)
            definitions.leave_out(self.protocol, prepared.reasons, self.folder)
            sets = prepared.sets
        else:
            wanted = [*scales, *([protocol.training.start_scale] if protocol.training else [])]
            sets = {one: orchestrator.available_sets(protocol.evaluation.datasets, one) for one in wanted if one}
        return plan(
            experiment,
            self.protocol,
            protocol,
            only=self.only,
            scales=scales,
            seeds=self.seeds,
            device=place.kind,
            card=place.card,
            sets=sets,
            root=self.folder,
        )

    def anywhere(self) -> Selection:
        """The same for a process in another folder: its files are named by their whole paths."""

        def whole(name: str) -> str:
            return str(Path(name).resolve()) if ablations.name_of(name) != name else name

        weights = tuple(
            f"{variant}={Path(file).resolve()}" for variant, _, file in (w.partition("=") for w in self.weights)
        )
        return replace(
            self,
            experiment=whole(self.experiment),
            protocol=whole(self.protocol),
            weights=weights,
            folder=self.folder.resolve(),
        )

    def arguments(self) -> list[str]:
        """The arguments of `spinbench run` that select the same."""
        options = {
            "--only": self.only, "--scale": self.scales, "--seeds": self.seeds, "--data": self.data,
            "--weights": self.weights,
        }  # fmt: skip
        given = [part for name, values in options.items() if values for part in (name, ",".join(map(str, values)))]
        return [self.experiment, "--protocol", self.protocol, *given, "--results", str(self.folder)]


def _with_weights(definition: ablations.Experiment, given: tuple[str, ...]) -> ablations.Experiment:
    """The experiment with checkpoints of the user, each given as variant=FILE. Raises UsageError."""
    variants = dict(definition.variants)
    for pair in given:
        given_name, equals, file = pair.partition("=")
        name = definition.variant_named(given_name)
        if not equals or name is None:
            raise UsageError(f"--weights {pair}: expected variant=FILE; {nearest(given_name, variants)}")
        if variants[name].model is None:
            raise UsageError(f"--weights {pair}: {name} has no network here that could have weights")
        if variants[name].trained:
            raise UsageError(
                f"--weights {pair}: {name} is trained here; give weights: {file} to a variant in an experiment of yours"
            )
        if not Path(file).is_file():
            raise UsageError(f"--weights {pair}: {file}: no such file")
        variants[name] = type(variants[name]).model_validate(
            {**variants[name].model_dump(), "weights": file, "status": None}
        )
    return definition.model_copy(update={"variants": variants})
