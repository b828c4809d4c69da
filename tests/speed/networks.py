"""That no network of the zoo is slower than anybody would write it at first, at x4 and LR 320x180."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import torch

import models
from tests.models.shallow import shorten
from tests.oracles.networks_plain import FORWARD

LIMIT = 0.95  # at least so many times as fast; most are the same but for the memory they touch, and timings vary
SIZE = (180, 320)


def measure(repeats: int = 7, lr_size: tuple[int, int] = SIZE) -> list[dict[str, Any]]:
    """Time a forward pass of every network against its plain one: the best of `repeats`, in turns, after one of each.

    RCAN is timed with few of its many equal blocks. Returns what `images.measure` does.
    """
    rows = []
    for name, plain in FORWARD.items():
        torch.manual_seed(0)
        model = shorten(models.build(name, 4), name).eval()
        for buffer in model.buffers():
            buffer.nan_to_num_(1)  # LAPAR's dictionary, where its file is not at hand
        lr = torch.rand(1, 3, *lr_size)
        times: list[list[float]] = []
        with torch.inference_mode():
            for _ in range(1 + repeats):
                times.append([])
                for run in (model, lambda lr, model=model, plain=plain: plain(model, lr)):
                    start = perf_counter()
                    run(lr)
                    times[-1].append(perf_counter() - start)
        seconds, plain_seconds = (min(each) for each in zip(*times[1:], strict=True))
        title = f"{models.describe(name).title}, LR {lr_size[1]}x{lr_size[0]}, x4"
        rows.append({"name": title, "seconds": seconds, "direct_seconds": plain_seconds, "limit": LIMIT})
    return rows
