"""The places of a machine at which runs can be executed at the same time: its GPUs, or shares of its CPU's threads."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.measure import devices
from foundation import SpinbenchError


class PlaceError(SpinbenchError):
    """Places that this machine does not have; one line with what was asked for."""


@dataclass(frozen=True)
class Place:
    """A device by a name that `devices.device` knows, the threads of its process, and the name of its card."""

    device: str = "cpu"
    threads: int | None = None  # None: as PyTorch chooses
    card: str | None = None

    @property
    def kind(self) -> torch.device:
        """The device of its runs as long as they are planned: a CPU, or any GPU."""
        return torch.device("cpu" if self.device == "cpu" else "cuda")

    def enter(self) -> torch.device:
        """Prepare this process, which must not have used a GPU yet, to compute here. Raises ValueError."""
        devices.use_threads(self.threads)
        if self.device.startswith("GPU-"):  # no other card is touched
            os.environ["CUDA_VISIBLE_DEVICES"] = self.device
            return devices.device("cuda")
        return devices.device(self.device)


def on_cpu(count: int, threads: int | None = None) -> list[Place]:
    """`count` places of `threads` each; by default they share the cores. Raises PlaceError for more than the cores."""
    cores = devices.cores()
    if count > cores:
        raise PlaceError(f"--jobs {count}: this machine has {cores} cores")
    return [Place(threads=threads or (cores // count if count > 1 else None))] * count


def on_gpus(which: str | None, threads: int | None = None) -> list[Place]:
    """A place on each GPU: `which` has numbers and ranges, such as "0-3,6"; None: all that CUDA_VISIBLE_DEVICES leaves.

    The driver is asked, so that this process holds no memory of a card. The cores are shared, unless `threads` are
    given. Raises PlaceError for a GPU that is not there, and without any.
    """
    cards = devices.cards()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        named = [one.strip() for one in visible.split(",")]
        cards = [card for name in named for card in cards if name in (str(card.number), card.uuid)]
    if which is not None:
        wanted = _numbers(which)
        if missing := [number for number in wanted if number >= len(cards)]:
            raise PlaceError(f"--gpus {which}: there is no GPU {missing[0]}, this machine shows {len(cards)}")
        cards = [cards[number] for number in wanted]
    if not cards:
        raise PlaceError("no GPU is visible to the driver")
    share = threads or max(1, devices.cores() // len(cards))
    return [Place(card.uuid, share, card.name) for card in cards]


def _numbers(text: str) -> Sequence[int]:
    found: list[int] = []
    for part in text.split(","):
        matched = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not matched:
            raise PlaceError(f"--gpus {text}: expected numbers and ranges, such as 0-3,6")
        first = int(matched[1])
        found += range(first, int(matched[2] or first) + 1)
    return list(dict.fromkeys(found))
