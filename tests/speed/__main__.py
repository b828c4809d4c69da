"""Measure the speed targets of SPIN beside the dense reference, and store them: a benchmark, not a test.

So are operations on images and the other networks, beside plain formulations of theirs.
`python -m tests.speed` from the root of the repository; about 25 minutes on two quiet cores. Both sides run in turns in
one process, and large matrix products are timed before and after each. The process keeps freed memory of any size, but
what lies free beyond 2 GiB at the end of the heap goes back: at x2 the dense reference clears gigabytes of fresh pages
in every pass, and how long that takes is up to the system.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest import mock

import torch
from rich.table import Table
from torch import Tensor

import models
from benchmarks.measure import provenance
from benchmarks.measure.devices import device_facts, keep_freed_memory
from benchmarks.measure.macs import macs
from models.spin import SPIN, network, ops, superpixels
from results import ROOT
from spinbench.console import console, say
from tests.speed import images, networks, targets
from tests.speed.works import SIZES, WORKS, Side, Work, reduced_precision

EDGE = 4096  # of the matrix product
PRODUCTS = 3  # in a row; their median counts, since one alone is off by up to a third where the host is busy


def main(root: Path = ROOT) -> int:
    """Exit status 1 where a target is missed."""
    keep_freed_memory(of_any_size=True)
    about = device_facts(torch.device("cpu"))
    works = [_measured(work, target) for work, target in WORKS.items()]
    first = next(iter(WORKS))
    found = targets.Targets(
        device_name=str(about["name"]),
        threads=int(about["threads"]),
        torch=provenance.versions()["torch"],
        python=provenance.versions()["python"],
        gemm_edge=EDGE,
        gemm_macs_per_s=_rate(),
        works=works,
        reduced=_reduced(first),
        growth=_growth(works),
        parts=_parts(first),
        operations=[targets.Operation(**row) for row in images.measure() + networks.measure()],
    )
    _show(found)
    say(f"stored: {targets.store_targets(found, root)}")
    missed = [each for each in found.verdicts() if not each.met]
    say(f"{len(found.verdicts()) - len(missed)} of {len(found.verdicts())} targets met")
    return 1 if missed else 0


def _seconds(run: Callable[[], object]) -> float:
    begin = perf_counter()
    run()
    return perf_counter() - begin


def _rate() -> float:
    """MACs per second of products of two large float32 matrices."""
    matrix = _matrix()
    return EDGE**3 / statistics.median(_seconds(lambda: torch.mm(matrix, matrix)) for _ in range(PRODUCTS))


@cache
def _matrix() -> Tensor:
    return torch.rand(EDGE, EDGE)


def _times(work: Work) -> dict[Side, list[tuple[float, float]]]:
    """Seconds of every repetition, and GEMM-equivalents in 10⁹ MACs, side by side in turns.

    Warmed up unless once has to do: in its first pass at x2 the dense reference clears 10 GB of fresh pages.
    """
    say(f"{work.name} ...")
    run = {side: work.prepared(side) for side in work.sides}
    if work.repeats > 1:
        for side in work.sides:
            run[side]()
    times: dict[Side, list[tuple[float, float]]] = {side: [] for side in work.sides}
    before = _rate()
    for side in work.sides * work.repeats:
        seconds = _seconds(run[side])
        after = _rate()
        times[side].append((seconds, seconds * (before + after) / 2 / 1e9))
        before = after
    return times


def _measured(work: Work, target: targets.Figure) -> targets.Work:
    timings = {}
    memory = {side: work.memory(side) for side in work.sides}  # at first, while this process holds little itself
    for side, times in _times(work).items():
        seconds, equivalents = map(list, zip(*times, strict=True))
        timings[side] = targets.Timing(samples_s=seconds, gemm_equivalents=equivalents, memory_bytes=memory[side])
        say(f"  {side}: {timings[side].median_s:.2f} s, {timings[side].median_equivalents:.0f} GMAC-equivalents")
    return targets.Work(
        name=work.name, scale=work.scale, lr_size=work.lr_size, batch=work.batch, step=work.step,
        macs=work.macs(), ours=timings["ours"], dense=timings.get("dense"), target=target,
    )  # fmt: skip


def _growth(works: list[targets.Work]) -> targets.Growth:
    """Time and MACs at x2; sizes that were timed as works are not timed again."""
    model = models.build("spin", 2)
    known = {work.lr_size: work.ours.median_s for work in works if work.scale == 2}
    for size in SIZES:
        if size not in known:
            times = _times(Work(f"LR {size[1]}x{size[0]}, x2", 2, size, sides=("ours",)))
            known[size] = statistics.median(seconds for seconds, _ in times["ours"])
    return targets.Growth(
        scale=2,
        sizes=SIZES,
        seconds=[known[size] for size in SIZES],
        macs=[macs(model, size).total for size in SIZES],
        limit=0.05,
    )


def _reduced(work: Work) -> targets.Reduced:
    say("bfloat16 ...")
    torch.manual_seed(0)
    model = models.build("spin", work.scale).eval()
    assert isinstance(model, SPIN)
    lr = torch.rand(1, 3, *work.lr_size)
    passes = {dtype: lambda dtype=dtype: reduced_precision(model, lr, dtype) for dtype in (None, torch.bfloat16)}
    outputs = {dtype: run() for dtype, run in passes.items()}
    times = [[_seconds(run) for run in passes.values()] for _ in range(3)]
    float32, bfloat16 = map(list, zip(*times, strict=True))
    error = (outputs[torch.bfloat16] - outputs[None]).square().mean()
    return targets.Reduced(
        work=work.name, dtype="bfloat16", samples_s=bfloat16, float32_s=float32, psnr_db=float(-10 * error.log10())
    )


def _parts(work: Work, repeats: int = 5) -> list[targets.Part]:
    """Where the time of a forward pass goes. What is called inside of another part counts there."""
    model = models.build("spin", work.scale).eval()
    lr = torch.rand(1, 3, *work.lr_size)
    spent: defaultdict[str, float] = defaultdict(float)
    open_parts: list[str] = []

    @contextmanager
    def part(name: str) -> Iterator[None]:
        begin = perf_counter()
        open_parts.append(name)
        try:
            yield
        finally:
            open_parts.pop()
            if not open_parts:
                spent[name] += perf_counter() - begin

    def watched(owner: Any, attribute: str, name: str) -> Any:
        original = getattr(owner, attribute)

        def call(*arguments: Any, **options: Any) -> Any:
            with part(name):
                return original(*arguments, **options)

        return mock.patch.object(owner, attribute, call)

    with ExitStack() as stack, torch.inference_mode():
        for owner, attribute, name in (
            (network.Aggregation, "forward", "association"),
            (superpixels.Association, "top", "association"),
            (network.SuperpixelCrossAttention, "forward", "SPCA"),
            (network.IntraSuperpixelAttention, "forward", "ISPA"),
            (network.LocalAttention, "forward", "local attention"),
            (network.FeedForward, "forward", "FFN"),
            (torch.nn.Conv2d, "forward", "convolutions before upsampling"),
            (ops, "convolution", "convolutions before upsampling"),
            (ops, "upsample", "upsampler and last convolution"),
        ):
            stack.enter_context(watched(owner, attribute, name))
        model(lr)
        spent.clear()
        whole = _seconds(lambda: [model(lr) for _ in range(repeats)])
    spent["rest"] = whole - sum(spent.values())
    return [targets.Part(name=name, seconds=seconds / repeats) for name, seconds in spent.items()]


def _show(found: targets.Targets) -> None:
    works = Table("work", "", "seconds", "GMACs/s", "GMAC-eq.", "official", "limit", "peak GB", "official ", "limit ")
    for work in found.works:
        target = work.target
        for side, timing in (("ours", work.ours), ("dense", work.dense)):
            if timing is None:
                continue
            rate = f"{macs_per_s / 1e9:.1f}" if (macs_per_s := work.macs_per_s(timing)) else ""
            row = [f"{timing.median_s:.2f}", rate, f"{timing.median_equivalents:.0f}"]
            row += [str(target.official_equivalents or ""), str(target.most_equivalents or "") * (side == "ours")]
            row += [f"{size / 1e9:.2f}" if size else "" for size in (timing.memory_bytes, target.official_bytes)]
            works.add_row(work.name, side, *row, f"{target.most_bytes / 1e9:.2f}" * (side == "ours"))
    console.print(works)
    parts = Table("part", "seconds", "share")
    whole = sum(part.seconds for part in found.parts)
    for part in found.parts:
        parts.add_row(part.name, f"{part.seconds:.3f}", f"{part.seconds / whole:.1%}")
    console.print(parts)
    growth = found.growth
    say(f"time ~ pixels^{growth.exponent(growth.seconds):.3f}, MACs ~ pixels^{growth.exponent(growth.macs):.3f}")
    if reduced := found.reduced:
        gain = reduced.float32_median_s / reduced.median_s
        say(f"{reduced.dtype}: {gain:.2f} times as fast as float32, {reduced.psnr_db:.1f} dB against its output")
    verdicts = Table("target", "measured", "limit", "", "verdict")
    for each in found.verdicts():
        sense = "at least" if each.at_least else "at most"
        limit = f"{sense} {each.limit:g}"
        verdicts.add_row(each.name, f"{each.measured:.3g}", limit, each.unit, "met" if each.met else "missed")
    console.print(verdicts)


if __name__ == "__main__":
    sys.exit(main())
