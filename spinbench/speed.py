"""The command that measures the time of networks and its growth with the image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

import results
from foundation import check_writable
from spinbench.console import ConsoleProgress, console, say
from spinbench.options import DeviceName, Scale, Threads, compute_device, lr_size_of, words

app = typer.Typer()


@app.command()
def speed(
    chosen: Annotated[
        list[str] | None, typer.Option("--models", help="Names of networks, separated by commas. Default: all.")
    ] = None,
    scale: Scale = 4,
    lr: Annotated[str, typer.Option(help="The common size of the LR image, height x width.")] = "64x64",
    repeats: Annotated[int, typer.Option(min=1, max=10_000, help="Number of timed forward passes at each size.")] = 5,
    csv: Annotated[Path, typer.Option(help="The CSV file to write to.")] = results.ROOT / "speed.csv",
    device: DeviceName = "auto",
    threads: Threads = None,
) -> None:
    """Measure the time of all networks at a common size, and its growth over four sizes.

    Example: spinbench speed --models espcn,fsrcnn --lr 32x32
    """
    import models
    from benchmarks import networks
    from benchmarks.measure import devices, growth
    from reports.speed import exponent

    lr_size = lr_size_of(lr)
    check_writable(csv)
    where = compute_device(device, threads)
    found = [networks.untrained(name, scale) for name in words(chosen) or models.names()]
    for network in found:
        network.module()  # a network that cannot be built is reported first
    names = [network.model for network in found]
    about = devices.device_facts(where)
    title = f"x{scale}, LR {lr} (HxW), {about['name']}, {about['threads']} threads"
    table = Table("network", "seconds", "GMACs", "GMACs/s", "peak MiB", "time ~ pixels^", "MACs ~ pixels^", title=title)
    failed = []
    with ConsoleProgress(len(names)) as progress:
        for name in names:
            try:
                rows = growth.timings(name, scale, lr_size, where, repeats, progress.stage(name, "speed"))
                growth.store_timings(rows, csv)
            except results.ResultsError:
                raise
            except Exception as error:  # an error of one network must not stop the others
                failed.append(name)
                progress.done(f"{name} failed: {str(error).partition(chr(10))[0] or type(error).__name__}")
                continue
            (row,) = rows[rows["memory_bytes"].notna()].to_dict("records")
            gmacs, seconds = row["macs"] / 1e9, row["median_s"]
            grows = (f"{exponent(rows, column):.2f}" for column in ("median_s", "macs"))
            memory = f"{row['memory_bytes'] / 2**20:.0f}"
            table.add_row(name, f"{seconds:.4f}", f"{gmacs:.2f}", f"{gmacs / seconds:.1f}", memory, *grows)
            progress.done(f"{name}: {seconds:.4f} s")
    console.print(table)
    say(f"rows: {csv}")
    if failed:
        say(f"failed: {', '.join(failed)}")
        raise typer.Exit(1)
