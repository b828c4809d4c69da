"""Latency that is comparable between machines: relative to a fixed workload, timed alternately with the network.

A slower or busier processor slows down both, so that their ratio is stable. Both run on one thread, since their speedup
with several threads depends on the machine.
"""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.measure.devices import device_facts
from benchmarks.measure.latency import Pass, implementations, seconds
from results.references import Timing

WIDTH, WINDOW, ROUNDS = 48, 64, 8
CALIBRATION = "calibration"


class Workload(nn.Module):
    """The typical operations of the networks: convolutions, attention, and movement of data.

    It has no trained weights, and its output has no meaning. It must never change, since stored ratios refer to it.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.arange(WIDTH * WIDTH * 9.0).sin().reshape(WIDTH, WIDTH, 3, 3) / WIDTH)

    def forward(self, image: Tensor) -> Tensor:
        """RGB (N, 3, H, W), N·H·W a multiple of WINDOW -> features (N, WIDTH, H, W)."""
        ramp = torch.linspace(0, 1, image.shape[-1], device=image.device)
        features = (image + ramp).repeat(1, WIDTH // 3, 1, 1)
        for _ in range(ROUNDS):
            features = functional.gelu(functional.conv2d(features, self.kernel, padding=1))
            tokens = features.permute(0, 2, 3, 1).reshape(-1, WIDTH)
            windows = tokens[tokens[:, 0].argsort()].view(-1, WINDOW, WIDTH)
            attention = (windows @ windows.transpose(1, 2)).softmax(-1)
            mixed = functional.layer_norm(attention @ windows, (WIDTH,))
            features = mixed.view(len(image), *image.shape[2:], WIDTH).permute(0, 3, 1, 2).contiguous()
        return features


def timings(model: nn.Module, lr_size: tuple[int, int], device: torch.device, repeats: int) -> dict[str, Timing]:
    """Time `repeats` passes on an image of `lr_size` (H, W), each after one of the workload; two rounds warm up.

    There is a timing for each implementation that the network has here: PyTorch, and kernels of this project.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        workload = Workload()
        passes = {CALIBRATION: Pass(workload, lr_size)}
        passes |= {one.implementation: one for one in implementations(model, lr_size, device)}
        with ExitStack() as stack, torch.inference_mode():
            runs = [stack.enter_context(one.prepared(device)) for one in passes.values()]
            samples = [[seconds(run, device) for run in runs] for _ in range(2 + repeats)][2:]
    finally:
        torch.set_num_threads(threads)
    taken = dict(zip(passes, zip(*samples, strict=True), strict=True))
    calibration = taken.pop(CALIBRATION)
    name = str(device_facts(device)["name"])
    instructions = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else ""
    return {
        implementation: Timing(forward, calibration, lr_size, device.type, name, instructions)
        for implementation, forward in taken.items()
    }
