"""Commands on checkpoints: write one with published names, say which network one fits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foundation import check_writable
from spinbench.console import say
from spinbench.options import ScaleOfWeights, Settings, UsageError, settings

app = typer.Typer()


@app.command("export-published")
def export_published(
    source: Annotated[Path, typer.Argument(help="A run's folder, or a file of weights.")],
    output: Annotated[Path, typer.Argument(help="The file to write: .pth, .pt or .safetensors.")],
    model: Annotated[
        str | None, typer.Option(help="The name of the network. Default: the network of the weights.")
    ] = None,
    scale: ScaleOfWeights = None,
    config: Settings = None,
) -> None:
    """Write trained weights with the parameter names and shapes of the published checkpoints.

    Example: spinbench export-published results/runs/quick/full-x4-s0 spin.pth
    """
    from benchmarks import networks
    from benchmarks.data import published

    if output.exists():
        raise UsageError(f"{output}: exists already, expected a new file")
    check_writable(output)
    trained = networks.of_weights(source, model=model, scale=scale, config=settings(config))
    module = trained.module()
    try:
        count = published.export(trained.model, module, output)
    except ValueError as error:
        raise UsageError(str(error)) from error
    say(f"{output}: {count} tensors of {trained.summary}")


@app.command()
def identify(
    file: Annotated[Path, typer.Argument(help="A checkpoint of any trainer: of torch.save, or .safetensors.")],
) -> None:
    """Say which network of the registry, at which scale, a checkpoint fits.

    Nothing in the file is executed.

    Example: spinbench identify checkpoint.pth
    """
    from benchmarks.identification import depth
    from benchmarks.identification import identify as fits

    found = fits(file)
    fitting = [one for one in found if one.wrong is None]
    for remark in dict.fromkeys(one.remark for one in fitting if one.remark):
        say(remark)
    for one in fitting:
        say(f"{file}: fits {one.model} x{one.scale}")
    if not fitting:
        say(f"{file}: fits no network of the registry in its published configuration; the nearest:")
        for one in found[:3]:
            say(f"  {one.model} x{one.scale}, {one.share:.0%} of the tensors: {one.wrong}")
        if found[0].share and (other := depth(file, found[0])):
            say(f"As {found[0].model}, {other}")
        raise typer.Exit(1)
