"""The time of each phase of a training step."""

from __future__ import annotations

import time
from collections import defaultdict

import numpy as np
import torch
from numpy.typing import NDArray

WARM_UP = 3  # steps that are not counted, since they allocate memory and select kernels
DATA_LIMIT = 0.03  # share of a step: loading data should not limit the speed of a training


class Profile:
    """Time of the phases of training steps; an instance is the `on_phase` of `loop.train`.

    The time between two calls belongs to the phase of the second, so that the phases add up to the steps. Validation is
    not part of a step. `steps` is the number of steps after the warm-up. On a GPU each call waits for the device, which
    takes little time and does not change results.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._begun = 0
        self._total: defaultdict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(2))
        self._last = _clocks()

    def __call__(self, phase: str) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = _clocks()
        self._begun += phase == "data"
        if self.steps and phase != "validation":
            self._total[phase] += now - self._last
        self._last = now

    @property
    def steps(self) -> int:
        return max(0, self._begun - WARM_UP)

    def phases(self) -> dict[str, tuple[float, float]]:
        """For each phase, the mean seconds per step and the mean number of CPU cores in use."""
        return {name: (wall / self.steps, cpu / wall) for name, (wall, cpu) in self._total.items()}


def _clocks() -> NDArray[np.float64]:
    """Wall-clock seconds, and CPU seconds of all threads of this process."""
    return np.array([time.perf_counter(), time.process_time()])
