"""`spinbench export`: a network for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablations.schema import CHECKPOINTS
from foundation import check_writable, write
from spinbench.console import say
from spinbench.options import (
    Published,
    ScaleOfWeights,
    Settings,
    Untrained,
    UsageError,
    Weights,
    network_of,
)

app = typer.Typer()


@app.command()
def export(
    network: Annotated[
        str, typer.Argument(help="The name of a network, path/net.py:Class, a run, or a file of weights.")
    ],
    onnx: Annotated[Path, typer.Option(help="The file to write.")],
    weights: Weights = None,
    published: Published = False,
    untrained: Untrained = False,
    scale: ScaleOfWeights = None,
    config: Settings = None,
) -> None:
    """Write a network as ONNX, for images of any height and width, and compare it with PyTorch.

    It takes lr (1, 3, height, width), float32 RGB in [0, 1], and gives sr, which is not clamped.

    Example: spinbench export espcn --untrained --scale 2 --onnx espcn.onnx
    """
    from benchmarks import networks
    from benchmarks.export import to_onnx

    if onnx.exists():
        raise UsageError(f"{onnx}: exists already, expected a new file")
    if onnx.suffix != ".onnx":
        raise UsageError(f"{onnx}: expected a name that ends in .onnx")
    check_writable(onnx)
    named = networks.stored(network)
    if not named and network.endswith(CHECKPOINTS):
        raise UsageError(f"{network}: no such file")
    if named and weights:
        raise UsageError(f"{network}: a run or a file of weights, expected no --weights")
    model = None if named else network
    chosen = network_of(model, scale, config, named or weights, published, untrained, ensemble=False)
    say(chosen.summary)
    content, found = to_onnx(chosen)
    write(onnx, content)
    for (height, width), difference in found:
        say(f"{height}x{width}: differs from PyTorch by at most {difference:.1e}")
    left_out = ["self-ensemble"] * chosen.ensemble + ["cropping"] * (chosen.multiple > 1)
    if left_out:
        say(f"not part of the file: {' and '.join(left_out)}")
    say(f"{onnx}: written, {len(content) / 2**20:.1f} MiB")
