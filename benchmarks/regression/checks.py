"""What the regression check measures of a network, or of bicubic interpolation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.data import datasets
from benchmarks.measure import cost, evaluation, memory
from benchmarks.measure.provenance import Process
from benchmarks.measure.quality import eight_bit
from benchmarks.networks import Network
from benchmarks.regression import calibration
from benchmarks.runs.progress import Advance
from models import native
from results import BASELINE, plain
from results.references import QUALITY, SAMPLES, Cost, Measured

GRID = 12  # sampled pixels in each direction
LR_SIZE = (64, 64)  # of latency and memory
REPEATS = 15

Watch = Callable[[str], Advance]  # a set, or "cost"


def measured(network: Network, sets: Sequence[str], device: torch.device, watch: Watch) -> Measured:
    """Measure quality on sets, SR at a grid of pixels, and all costs; of bicubic there are no costs.

    Quality is that of the convention `rcan`. Raises EvaluationError for a set some of whose images are missing, as a
    part is not compared with the whole, and what `Network.upscaler`, `evaluate` and `cost` raise.
    """
    process = Process(device)
    upscale = network.upscaler(device)
    quality, samples = [], []
    chosen = datasets.several(sets)
    for dataset in chosen:
        missing, whole = dataset.missing(network.scale), len(dataset.hr_names())
        if 0 < len(missing) < whole:  # where none is available, the first message says how to get it
            reason = f"{len(missing)} of {whole} images are missing: {', '.join(missing)}"
            raise evaluation.EvaluationError(f"{dataset.name} x{network.scale}: {reason}")
    for dataset in chosen:
        taken: list[pd.DataFrame] = []

        def sampled(lr: NDArray[np.uint8], taken: list[pd.DataFrame] = taken) -> NDArray[np.float32]:
            sr = upscale(lr)
            taken.append(sampled_pixels(eight_bit(sr)))
            return sr

        rows = evaluation.evaluate(
            sampled, dataset, network.scale, progress=watch(dataset.name), multiple=network.multiple
        )
        quality.append(rows[QUALITY])
        samples += [
            pixels.assign(dataset=dataset.name, image=image) for image, pixels in zip(rows["image"], taken, strict=True)
        ]
    return Measured(
        network.record(),
        {dataset.name: dataset.checksum(network.scale) for dataset in chosen},
        comparable_costs(network, device, watch("cost")) if network.model != BASELINE else None,
        pd.concat(quality, ignore_index=True),
        pd.concat(samples, ignore_index=True)[SAMPLES],
        plain(process.facts()),
    )


def sampled_pixels(image: NDArray[np.uint8]) -> pd.DataFrame:
    """The pixels where GRID rows and columns cross, from edge to edge: row, column, red, green, blue.

    The outermost ones lie on the border, where a network's padding shows.
    """
    rows, columns = (np.rint(np.linspace(0, size - 1, GRID)).astype(int) for size in image.shape[:2])
    row, column = (index.ravel() for index in np.meshgrid(rows, columns, indexing="ij"))
    red, green, blue = image[row, column].T
    return pd.DataFrame({"row": row, "column": column, "red": red, "green": green, "blue": blue})


def comparable_costs(network: Network, device: torch.device, advance: Advance) -> Cost:
    """Parameters and MACs of a network, latency beside the calibration, and peak memory."""
    model = network.module()
    advance(0, 2, "latency")
    timing = calibration.timing(model, LR_SIZE, device, REPEATS)
    advance(1, 2, "memory")
    with native.off():  # the same on every machine, whether it has a compiler or not
        held = memory.live_bytes(model, LR_SIZE, device)
    advance(2, 2, "memory")
    return Cost(
        parameters=cost.parameters(model),
        macs=cost.macs(model, cost.lr_size_for(network.scale)).total,
        timing=timing,
        memory_bytes=held,
    )
