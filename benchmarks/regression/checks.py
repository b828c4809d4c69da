"""The measurements of the regression check, for a network or bicubic interpolation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.data import datasets
from benchmarks.data.own import OwnDataset
from benchmarks.measure import evaluation, memory
from benchmarks.measure.cost import parameters
from benchmarks.measure.macs import lr_size_for, macs
from benchmarks.measure.provenance import Process
from benchmarks.measure.quality import eight_bit
from benchmarks.networks import Network
from benchmarks.regression import calibration
from benchmarks.runs.progress import Advance
from models.spin import cpu
from results import BASELINE, plain
from results.references import QUALITY, SAMPLES, Cost, Measured

GRID = 12  # sampled pixels in each direction
LR_SIZE = (64, 64)  # of latency and memory
REPEATS = 15

Begin = Callable[[str], Advance]  # begins a part of the measurement: a set, or "cost"


def measured(network: Network, sets: Sequence[str], device: torch.device, begin: Begin) -> Measured:
    """Measure quality on sets, SR at a grid of pixels, and all costs; bicubic has no costs.

    Quality follows the convention `rcan`. Raises EvaluationError for an incomplete set, since it is not comparable with
    the complete one, and the errors of `Network.upscaler`, `evaluate` and `cost`.
    """
    process = Process(device)
    upscale = network.upscaler(device)
    quality, samples = [], []
    chosen = datasets.several(sets)
    for dataset in chosen:
        missing, whole = dataset.missing(network.scale), len(dataset.hr_names())
        if 0 < len(missing) < whole:  # if all are missing, the error below states how to obtain them
            reason = f"{len(missing)} of {whole} images are missing: {', '.join(missing)}"
            raise evaluation.EvaluationError(f"{dataset.name} x{network.scale}: {reason}")
    for dataset in chosen:
        taken: list[pd.DataFrame] = []

        def sampled(lr: NDArray[np.uint8], taken: list[pd.DataFrame] = taken) -> NDArray[np.float32]:
            sr = upscale(lr)
            taken.append(sampled_pixels(eight_bit(sr)))
            return sr

        rows = evaluation.evaluate(
            sampled, dataset, network.scale, progress=begin(dataset.name), multiple=network.multiple
        )
        quality.append(rows[QUALITY])
        samples += [
            pixels.assign(dataset=dataset.name, image=image) for image, pixels in zip(rows["image"], taken, strict=True)
        ]
    return Measured(
        network.record(),
        {dataset.name: dataset.checksum(network.scale) for dataset in chosen},
        comparable_costs(network, device, begin("cost")) if network.model != BASELINE else None,
        pd.concat(quality, ignore_index=True),
        pd.concat(samples, ignore_index=True)[SAMPLES],
        plain(process.facts()),
        {dataset.name: dataset.place for dataset in chosen if isinstance(dataset, OwnDataset)},
    )


def sampled_pixels(image: NDArray[np.uint8]) -> pd.DataFrame:
    """The pixels at the intersections of GRID rows and columns: row, column, red, green, blue.

    The outermost ones are on the border of the image, where a network's padding has an effect.
    """
    rows, columns = (np.rint(np.linspace(0, size - 1, GRID)).astype(int) for size in image.shape[:2])
    row, column = (index.ravel() for index in np.meshgrid(rows, columns, indexing="ij"))
    red, green, blue = image[row, column].T
    return pd.DataFrame({"row": row, "column": column, "red": red, "green": green, "blue": blue})


def comparable_costs(network: Network, device: torch.device, advance: Advance) -> Cost:
    """Parameters and MACs of a network, its latencies with the calibration, and its peak memory."""
    model = network.module()
    advance(0, 2, "latency")
    timings = calibration.timings(model, LR_SIZE, device, REPEATS)
    advance(1, 2, "memory")
    with cpu.off():  # to be the same on machines with and without a compiler
        held = memory.live_bytes(model, LR_SIZE, device)
    advance(2, 2, "memory")
    return Cost(
        parameters=parameters(model),
        macs=macs(model, lr_size_for(network.scale)).total,
        memory_bytes=held,
        timings=timings,
    )
