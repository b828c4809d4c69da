"""Where the time of a training step goes."""

from __future__ import annotations

import time
from collections import defaultdict

import numpy as np
import torch
from numpy.typing import NDArray

WARM_UP = 3  # steps that are not counted: memory is allocated in them, and code chosen
DATA_LIMIT = 0.03  # of a step: a training is to wait for its network, not for its data


class Profile:
    """Time of the phases of a training's steps; an instance is the `on_phase` of `loop.train`.

    The time between two calls belongs to the phase of the second, so the phases add up to the steps. Validation is
    no part of a step. `steps` is how many were counted, those after the warm-up. On a GPU each call waits for the
    device, which takes a little time and changes no result.
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
        """Of each phase the seconds in a mean step, and the CPU cores that this process kept busy meanwhile."""
        return {name: (wall / self.steps, cpu / wall) for name, (wall, cpu) in self._total.items()}


def _clocks() -> NDArray[np.float64]:
    """Seconds that passed, and seconds of work of all threads of this process."""
    return np.array([time.perf_counter(), time.process_time()])
