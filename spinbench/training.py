"""The command that trains one variant without evaluating it: train."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

import results
from spinbench.console import ConsoleProgress, console, say
from spinbench.options import (
    DeviceName,
    Folder,
    ProtocolName,
    Rerun,
    Scales,
    Seeds,
    Threads,
    UsageError,
    compute_device,
    integers,
    seeds_of,
)
from spinbench.runs import tell_failures
from spinbench.selection import Selection

if TYPE_CHECKING:
    from benchmarks.training.profiling import Profile

app = typer.Typer()


@app.command()
def train(
    variant: Annotated[str, typer.Argument(help="The variant to train.")],
    experiment: Annotated[str, typer.Option(help="The experiment that defines the variant.")] = "table2",
    protocol: ProtocolName = "quick",
    scale: Scales = None,
    seeds: Seeds = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    profile: Annotated[bool, typer.Option("--profile", help="Show the time of each phase of a training step.")] = False,
    rerun: Rerun = False,
    folder: Folder = results.ROOT,
) -> None:
    """Train one variant without evaluating it. `spinbench run` evaluates it later.

    Several processes train each run together if torchrun starts them:
    torchrun --nproc-per-node 2 -m spinbench train full

    Example: spinbench train full --protocol quick --seeds 1
    """
    from benchmarks.measure import devices
    from benchmarks.runs import orchestrator
    from benchmarks.runs.places import Place
    from benchmarks.runs.plan import without_stages
    from benchmarks.training import ranks
    from benchmarks.training.profiling import Profile
    from results import definitions

    with ranks.joined():
        if ranks.rank():
            _take_part(device, threads)
            return
        selection = Selection(
            experiment, protocol, (variant,), tuple(integers(scale, "--scale")), tuple(seeds_of(seeds)), (), (), folder
        )
        definition, training = selection.definitions()
        if training.training:
            ranks.share_of(training.training.batch_size)
        threads = ranks.threads(threads)
        where = compute_device(ranks.device_name(device), threads)
        place = Place(str(where), threads, devices.card(where))
        jobs = [without_stages(job, ["train"]) for job in selection.plan(place, say) if "train" in job.stages]
        if not jobs:
            chosen = definition.variants[definition.variant_named(variant) or variant]
            weights = "has published weights" if not chosen.trained else "is not trained"
            raise UsageError(f"{variant}: {weights} under protocol {protocol}, there is nothing to train")
        definitions.remember(protocol, experiment, folder)
        definitions.ask(protocol, (job.run for job in jobs), folder)
        profiles = {job.run.name: Profile(where) for job in jobs} if profile else {}
        jobs = [dataclasses.replace(job, device=where, on_phase=profiles.get(job.run.name)) for job in jobs]
        try:
            with ConsoleProgress(len(jobs)) as progress:
                outcomes = orchestrator.carry_out(jobs, progress, rerun, [place])
        finally:  # also after an interruption, which ends the profile of a long training
            for name, measured in profiles.items():
                _show(measured, name)
        tell_failures(outcomes)


def _take_part(device: str, threads: int | None) -> None:
    """Train together with rank 0, which says everything that is to be said."""
    from benchmarks.runs.training import take_part
    from benchmarks.training import ranks
    from benchmarks.training.loop import TrainingStopped

    logging.getLogger("benchmarks").setLevel(logging.ERROR)
    try:
        take_part(lambda: compute_device(ranks.device_name(device), ranks.threads(threads)))
    except TrainingStopped as stopped:
        raise typer.Exit(130) from stopped
    except ranks.Parted:  # it was not this process that failed
        return


def _show(profile: Profile, run: str) -> None:
    from benchmarks.training.profiling import DATA_LIMIT

    if not profile.steps:
        say(f"{run}: no steps to profile; if it is finished, --results FOLDER trains it in another folder")
        return
    phases = profile.phases()
    whole = sum(seconds for seconds, _ in phases.values())
    table = Table("phase", "ms per step", "share", "cores in use", title=f"{run}: mean of {profile.steps} steps")
    for phase, (seconds, cores) in phases.items():
        table.add_row(phase, f"{1000 * seconds:.2f}", f"{seconds / whole:.2%}", f"{cores:.2f}")
    busy = sum(seconds * cores for seconds, cores in phases.values()) / whole
    table.add_row("a step", f"{1000 * whole:.2f}", "", f"{busy:.2f}")
    console.print(table)
    share = phases["data"][0] / whole
    verdict = "below" if share < DATA_LIMIT else "above"
    say(f"data: {share:.2%} of a step, {verdict} the limit of {DATA_LIMIT:.0%}")
