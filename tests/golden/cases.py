"""Golden cases: what published networks compute, independent of any weights file.

Every parameter is filled from its published name alone (`fill`), and with these parameters the published code was run
on small inputs. The whole outputs lie in ../shared/golden, a file per case. `cases.npz` beside this file holds the
same inputs and a few hundred values of every output, so that the proof runs everywhere; `compact.py` makes it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

COMPACT = Path(__file__).with_name("cases.npz")
INTERMEDIATES = ("block0_", "grad_")  # arrays of SPIN's cases for a test of their own


@dataclass(frozen=True)
class Run:
    """How an output was computed, and how far from it a value may be.

    `relative` is of the largest absolute output, `absolute` in the range of the case; without either, the tolerance
    of the case holds. `change` is what was changed in the network after its parameters were filled.
    """

    input: str = "input"
    relative: float | None = None
    absolute: float | None = None
    change: str = ""


# Outputs by name, as the notes of the cases explain them. The extra ones reach what the plain one leaves nearly silent.
RUNS: Mapping[str, Run] = {
    "output": Run(),
    "loud_output": Run(input="loud_input"),
    "output_dark": Run(input="input_dark", absolute=2e-4),
    "soft_output": Run(input="soft_input", absolute=1e-3, change="shallow"),
    "shallow_output": Run(relative=1e-4, change="shallow"),
    "output_scales_half": Run(absolute=2e-4, change="scales of one half"),
}


@dataclass(frozen=True)
class Expected:
    """An input and what is known of its output, float32 in the range of the case."""

    input: NDArray[np.float32]  # (N, 3, H, W)
    places: NDArray[np.int32] | slice  # in the flattened output
    values: NDArray[np.float32]  # at these places
    largest: float  # absolute value of the whole output


@dataclass(frozen=True)
class Case:
    """A published network at one scale."""

    name: str
    arch: str
    scale: int
    range: float  # of the published inputs and outputs: 1 or 255
    gain: float
    tolerance: float  # relative to the largest absolute output
    params: int
    state: list[list[Any]]  # published name, shape and kind, "param" or "buffer", of everything
    outputs: dict[str, Expected]

    def limit(self, output: str) -> float:
        """The largest deviation that an output may have, in the range of the case."""
        run = RUNS[output]
        if run.absolute is not None:
            return run.absolute
        return self.outputs[output].largest * (self.tolerance if run.relative is None else run.relative)


def fill(state: list[list[Any]], gain: float) -> dict[str, NDArray[np.float32]]:
    """The parameters of a published state by their published names; buffers are left out."""
    return {name: _values(name, shape, gain) for name, shape, kind in state if kind == "param"}


def _values(name: str, shape: list[int], gain: float) -> NDArray[np.float32]:
    """Normal noise whose seed is the name's CRC-32; NumPy never changes the stream of RandomState.

    Two or more dimensions: standard deviation gain / √fan-in. Fewer: 0.1 around 1 for weights of norms, else 0.05
    around 0.
    """
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if len(shape) > 1:
        noise = gain * noise / np.sqrt(max(prod(shape[1:]), 1))
    elif name.endswith(("weight", "gamma", "weight_g")):
        noise = 1 + 0.1 * noise
    else:
        noise = 0.05 * noise
    return np.asarray(noise, np.float32)


def read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Description and arrays of a case's own file."""
    with np.load(path) as stored:
        arrays = dict(stored)
    return json.loads(str(arrays.pop("meta"))), arrays


def whole_case(path: Path) -> Case:
    """A case with all values, from its own file. Raises ValueError for an array that has no rule."""
    meta, arrays = read(path)
    inputs = {run.input for run in RUNS.values()}
    unknown = [name for name in arrays if not (name in RUNS or name in inputs or name.startswith(INTERMEDIATES))]
    if unknown:
        raise ValueError(f"{path}: no rule for {', '.join(unknown)}")
    outputs = {
        name: Expected(arrays[run.input], slice(None), arrays[name].ravel(), float(np.abs(arrays[name]).max()))
        for name, run in RUNS.items()
        if name in arrays
    }
    return _case(path.stem, meta, outputs)


def compact_cases() -> dict[str, Case]:
    """All cases by name, with a few hundred values of every output."""
    with np.load(COMPACT) as stored:
        arrays = dict(stored)
    cases = {}
    for name, meta in json.loads(arrays["index"].tobytes()).items():
        outputs = {
            output: Expected(
                arrays[known["input"]],
                arrays[f"{name}/{output}/places"],
                arrays[f"{name}/{output}/values"],
                known["largest"],
            )
            for output, known in meta.pop("outputs").items()
        }
        cases[name] = _case(name, meta, outputs)
    return cases


def _case(name: str, meta: dict[str, Any], outputs: dict[str, Expected]) -> Case:
    known = ("arch", "scale", "range", "tolerance", "params", "state")
    return Case(name=name, gain=meta.get("gain", 1.0), outputs=outputs, **{key: meta[key] for key in known})
