"""How much faster the operations on images are than straightforward NumPy, at the sizes they are used at."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.data.resize import imresize
from benchmarks.measure.quality import ssim
from tests.oracles import imresize_direct, quality_direct

LIMIT = 3  # at least so many times as fast
BORDER = 4  # pixels cut for SSIM, as at x4


def measure(repeats: int = 5) -> list[dict[str, Any]]:
    """Time each operation against its plain reference: the best of `repeats`, in turns, after one call of each.

    Returns of each: `name`, `seconds`, `direct_seconds` (of the reference), and the least `limit` of their ratio.
    """
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    sr, hr = random.integers(0, 256, (2, 720, 1280, 3), dtype=np.uint8)

    def direct_ssim() -> float:
        return quality_direct.ssim(*(quality_direct.cut(quality_direct.luma(each), BORDER) for each in (sr, hr)))

    rows = [_row("SSIM of 1280x720", lambda: ssim(sr, hr, BORDER), direct_ssim, repeats)]
    for scale in (2, 4):
        factor = Fraction(1, scale)
        rows.append(
            _row(
                f"imresize of 1024x1024 by 1/{scale}",
                lambda factor=factor: imresize(image, factor),
                lambda factor=factor: imresize_direct.imresize_by_lines(image, factor, "symmetric"),
                repeats,
            )
        )
    return rows


def _row(name: str, ours: Callable[[], Any], direct: Callable[[], Any], repeats: int) -> dict[str, Any]:
    np.testing.assert_allclose(ours(), direct(), atol=1e-10)
    times = np.array([[_seconds(ours), _seconds(direct)] for _ in range(repeats)])
    seconds, direct_seconds = times.min(axis=0).tolist()
    return {
        "name": name,
        "seconds": seconds,
        "direct_seconds": direct_seconds,
        "limit": LIMIT,
    }


def _seconds(operation: Callable[[], Any]) -> float:
    start = perf_counter()
    operation()
    return perf_counter() - start
