"""Images of noise, and networks that give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.data.pairs import Pair
from benchmarks.data.resize import imresize
from benchmarks.networks import Network
from benchmarks.pictures.comparison import UpscaledImage
from results import Run
from tests.benchmarks.stored_runs import run_of

CPU = torch.device("cpu")
SCALE = 4
RGB = NDArray[np.uint8]


def noise(seed: int, height: int, width: int) -> RGB:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pair_of(hr: RGB) -> Pair:
    return Pair("x", hr, imresize(hr, 1 / SCALE), "imresize-symmetric")


def shown(name: str, sr: RGB) -> UpscaledImage:
    return UpscaledImage(Network(name, SCALE, name=name, label=name.upper(), source="published weights"), sr)


def trained(root: Path, protocol: str, seed: int = 0) -> Run:
    run = Run(protocol, "full", SCALE, seed, root)
    run_of(run.folder, "spin", SCALE, {"blocks": 8}, protocol=protocol, variant="full", seed=seed)
    return run
