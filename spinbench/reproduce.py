"""The command that carries out a stored run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import results
from results import Run
from spinbench.console import ConsoleProgress, say
from spinbench.options import DeviceName, Threads, compute_places

app = typer.Typer()


@app.command()
def reproduce(
    folder: Annotated[Path, typer.Argument(help="The folder of a run.")],
    device: DeviceName = "auto",
    threads: Threads = None,
    into: Annotated[Path, typer.Option(help="Where the new run goes. An interrupted one resumes there.")] = (
        results.ROOT / "reproduced"
    ),
) -> None:
    """Train and evaluate a run again from its folder alone, and compare: the same bits, or the difference in dB.

    The CPU threads are those of the run. Exit code 1 if the weights are
    not the same to the bit, which needs the same kind of machine.

    Example: spinbench reproduce results/runs/quick/full-x4-s0
    """
    from benchmarks.runs import orchestrator
    from benchmarks.runs.reproduction import WEIGHTS, compared, jobs_for

    run = Run.at(folder)
    jobs = jobs_for(run, into)
    places = compute_places(device, threads or run.provenance()["train"]["threads"])[:1]
    with ConsoleProgress(len(jobs)) as progress:
        outcomes = orchestrator.carry_out(jobs, progress, places=places)
    for outcome in outcomes:
        if outcome.error:
            say(f"{outcome.word}: {outcome.job.run.name}: {outcome.error}")
            raise typer.Exit(1)
    found = compared(run, jobs[-1].run)
    for file, same in found.same.items():
        say(f"{file}: {'the same bits' if same else 'other bits'}")
    for where, change in found.psnr.items():
        say(f"{where}: {change:+.4f} dB")
    for line in found.changes:
        say(f"not as it was: {line}")
    if not found.same[WEIGHTS]:
        raise typer.Exit(1)
