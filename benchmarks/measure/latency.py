"""The time of forward passes: networks measured in turn, each warm and on a noise image.

A processor changes its clock over minutes, and other work comes and goes. Therefore every network takes its samples in
several rounds through all of them, and a result states the range over the rounds beside the median. A pass over a
constant image would be faster than one over a photograph wherever a network's work depends on values, and a GPU draws
less power on zeros; so images are noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measure.precision import Precision, arithmetic
from models.spin import cpu
from results.cost import KERNELS, PYTORCH

ROUNDS, REPEATS = 3, 21
WARMUP_S = {"cpu": 0.5, "cuda": 1.0}  # until threads run, libraries have chosen algorithms, and clocks are steady
BATCH = 8  # of throughput


@dataclass(frozen=True)
class Pass:
    """A network, the size (H, W) of an LR image, and whether SPIN's kernels for a CPU may be used.

    Without a `precision` the device computes as it does by default: on a GPU convolutions in TF32.
    """

    model: nn.Module
    lr_size: tuple[int, int]
    kernels: bool = True
    precision: Precision | None = None

    @property
    def implementation(self) -> str:
        """What computes it, where the network has kernels."""
        return KERNELS if self.kernels else PYTORCH

    @contextmanager
    def prepared(self, device: torch.device) -> Iterator[Callable[[], Any]]:
        """The pass over a noise image as a function, in a context in which the network is ready for it."""
        with evaluating(self.model, device):
            image = noise(self.model, self.lr_size, device)

            def run() -> None:
                with (
                    nullcontext() if self.kernels else cpu.off(),
                    arithmetic(device, self.precision) if self.precision else nullcontext(),
                ):
                    self.model(image)

            yield run


@dataclass(frozen=True)
class Latency:
    """Seconds of one forward pass over one noise image of `lr_size` (H, W), in eval mode without gradients.

    `rounds_s` holds the samples of each round: on a GPU, a pass with a synchronisation before and after it. The others
    are measured on a GPU only: seconds per pass if passes are issued back to back, and if they are replayed as a CUDA
    graph (None with the reason where a network cannot be captured).
    """

    rounds_s: tuple[tuple[float, ...], ...]
    warmup_s: float
    lr_size: tuple[int, int]
    dtype: str
    back_to_back_s: float | None = None
    graph_s: float | None = None
    no_graph: str | None = None

    @property
    def median_s(self) -> float:
        """The median of all samples."""
        return float(np.median(np.concatenate(self.rounds_s)))

    @property
    def range_s(self) -> tuple[float, float]:
        """The smallest and the largest median of a round."""
        medians = [float(np.median(samples)) for samples in self.rounds_s]
        return min(medians), max(medians)

    def record(self) -> dict[str, Any]:
        """The content of cost.json."""
        low, high = self.range_s
        return {"median_s": self.median_s, "low_s": low, "high_s": high, **vars(self)}


def noise(model: nn.Module, lr_size: tuple[int, int], device: torch.device, batch: int = 1) -> Tensor:
    """Uniform noise in [0, 1], (batch, 3, H, W), the same at every call, in the dtype of the network's parameters."""
    dtype = next((parameter.dtype for parameter in model.parameters()), torch.float32)
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 3, *lr_size, generator=generator).to(device, dtype)


def implementations(model: nn.Module, lr_size: tuple[int, int], device: torch.device) -> list[Pass]:
    """The passes of a network in every implementation that it has on this device: in PyTorch, and with SPIN's kernels.

    Whether it has any is seen in a pass.
    """
    passes = [Pass(model, lr_size, kernels=False)]
    if device.type != "cpu":
        return passes
    with evaluating(model, device), torch.inference_mode(), cpu.watched() as served:
        model(noise(model, lr_size, device))
    return [*passes, Pass(model, lr_size)] if served else passes


def latency(
    model: nn.Module,
    lr_size: tuple[int, int],
    device: torch.device,
    repeats: int = REPEATS,
    warmup_s: float | None = None,
) -> Latency:
    """The latency of one network; see `latencies`."""
    return latencies([Pass(model, lr_size)], device, repeats, warmup_s)[0]


def latencies(
    passes: Sequence[Pass],
    device: torch.device,
    repeats: int = REPEATS,
    warmup_s: float | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Latency]:
    """Time every pass at least `repeats` times, in turn over ROUNDS rounds.

    Each is first warmed up for at least `warmup_s` seconds (WARMUP_S of the device), and by a pass in later rounds. The
    networks' devices and modes are restored. Raises ValueError for fewer than one repeat.
    """
    if repeats < 1:
        raise ValueError(f"{repeats} repeats, expected 1 or more")
    warmup_s = WARMUP_S[device.type] if warmup_s is None else warmup_s
    rounds = min(ROUNDS, repeats)
    samples = -(-repeats // rounds)
    taken: list[list[tuple[float, ...]]] = [[] for _ in passes]
    found = []
    with ExitStack() as stack, torch.inference_mode():
        runs = [stack.enter_context(one.prepared(device)) for one in passes]
        for number in range(rounds):
            for index, run in enumerate(runs):
                if progress:
                    progress(number * len(runs) + index, rounds * len(runs), f"round {number + 1} of {rounds}")
                _warm_up(run, device, warmup_s if number == 0 else 0.0)
                taken[index].append(tuple(seconds(run, device) for _ in range(samples)))
        for one, run, own in zip(passes, runs, taken, strict=True):
            dtype = str(next((part.dtype for part in one.model.parameters()), torch.float32)).removeprefix("torch.")
            more = _on_a_gpu(run, samples, device) if device.type == "cuda" else {}
            found.append(Latency(tuple(own), warmup_s, one.lr_size, dtype, **more))
    return found


def throughput(model: nn.Module, lr_size: tuple[int, int], device: torch.device, repeats: int = REPEATS) -> float:
    """Images per second in batches of BATCH images of `lr_size` (H, W), issued back to back."""
    with evaluating(model, device), torch.inference_mode():
        run = partial(model, noise(model, lr_size, device, BATCH))
        _warm_up(run, device, WARMUP_S[device.type])
        return BATCH / _back_to_back(run, repeats, device)


@contextmanager
def evaluating(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put the network on `device` and into eval mode; on exit its device and the modes of its modules are restored."""
    home = next((parameter.device for parameter in model.parameters()), device)
    training = [module for module in model.modules() if module.training]
    try:
        model.to(device).eval()
        yield
    finally:
        model.to(home)
        for module in training:
            module.training = True


def seconds(run: Callable[[], Any], device: torch.device) -> float:
    """Wall-clock time of a call on a CPU; on a GPU, the time between events around it, alone on the device."""
    if device.type != "cuda":
        begin = perf_counter()
        run()
        return perf_counter() - begin
    stream = torch.cuda.current_stream(device)
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    start.record(stream)
    run()
    end.record(stream)
    torch.cuda.synchronize(device)
    return start.elapsed_time(end) / 1000


def _warm_up(run: Callable[[], Any], device: torch.device, least_s: float) -> None:
    """At least one call, and calls until their time has reached `least_s`."""
    spent = seconds(run, device)
    while spent < least_s:
        spent += seconds(run, device)


def _on_a_gpu(run: Callable[[], Any], repeats: int, device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {"back_to_back_s": _back_to_back(run, repeats, device)}
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
    except RuntimeError as error:  # such as a network that waits for a value on its way
        return {**found, "no_graph": str(error).partition("\n")[0]}
    return {**found, "graph_s": _back_to_back(graph.replay, repeats, device)}


def _back_to_back(run: Callable[[], Any], repeats: int, device: torch.device) -> float:
    """Seconds per call of `repeats` calls that do not wait for each other."""

    def together() -> None:
        for _ in range(repeats):
            run()

    return seconds(together, device) / repeats
