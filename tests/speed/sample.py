"""Speed targets as `tests.speed.targets` stores them: five works, of which some limits are met and some are missed."""

from __future__ import annotations

from typing import Any

from tests.speed.targets import Targets

STEP = "training step, LR 32x32, batch 16, x4"


def sample(**changes: Any) -> Targets:
    """Medians of ours are those of the middle repetition; `changes` replace whole fields."""
    content = {
        "device_name": "Synthetic CPU",
        "threads": 2,
        "torch": "2.13.0",
        "python": "3.12.1",
        "gemm_edge": 4096,
        "gemm_macs_per_s": 100e9,
        "works": [
            work("LR 320x180, x4, forward", 41_253_000_000, 1.5, 4.5, most=160, ratio=2.5, lr_size=(180, 320)),
            work("LR 64x64, x4, forward", 2_933_000_000, 0.125, 0.25, most=10, ratio=4, memory=250_000_000),
            work("LR 640x360, x2, forward", 163_840_000_000, 6, None, memory=2_500_000_000, scale=2),
            work(STEP, 11_732_000_000, 1.25, 5, most=150, ratio=3, batch=16, step=True, lr_size=(32, 32)),
            work("LR 256x192, x4, forward", 58_000_000_000, 2, 7, lr_size=(192, 256)),
        ],
        "reduced": {
            "work": "LR 320x180, x4, forward", "dtype": "bfloat16", "samples_s": [0.5, 0.75, 1], "float32_s": [1.5],
            "psnr_db": 52.25,
        },
        "growth": growth(1.0625, 1),
        "parts": [{"name": "SPCA", "seconds": 0.75}, {"name": "convolutions", "seconds": 0.25}],
        "operations": [
            {"name": "imresize, x1/4", "seconds": 0.004, "direct_seconds": 0.02, "limit": 4},
            {"name": "SSIM", "seconds": 0.01, "direct_seconds": 0.015, "limit": 2},
        ],
    }  # fmt: skip
    return Targets.model_validate(content | changes)


def work(
    name: str,
    macs: int,
    ours_s: float,
    dense_s: float | None,
    most: float | None = None,
    ratio: float | None = None,
    memory: int = 734_000_000,
    **changes: Any,
) -> dict[str, Any]:
    """At 100 GMACs/s of the product; at most 800 MB, and official figures where there is a limit `most`."""
    official = {"official_equivalents": 1.5 * most, "official_bytes": 1_500_000_000} if most else {}
    return {
        "name": name, "scale": 4, "lr_size": (64, 64), "batch": 1, "step": False, "macs": macs,
        "ours": timing(ours_s, memory), "dense": dense_s and timing(dense_s, 3 * memory),
        "target": {
            "official_equivalents": None, "official_bytes": None, **official,
            "most_equivalents": most, "least_ratio": ratio, "most_bytes": 800_000_000,
        },
        **changes,
    }  # fmt: skip


def timing(seconds: float, memory: int) -> dict[str, Any]:
    samples = [2 * seconds, seconds, seconds / 2]
    return {"samples_s": samples, "gemm_equivalents": [100 * each for each in samples], "memory_bytes": memory}


def growth(time: float, macs: float, limit: float = 0.05) -> dict[str, Any]:
    """Exact powers of the pixels."""
    sizes = [(32, 32), (48, 64), (96, 96), (128, 192)]
    pixels = [height * width for height, width in sizes]
    return {
        "scale": 4, "sizes": sizes, "seconds": [1e-5 * each**time for each in pixels],
        "macs": [round(2**20 * each**macs) for each in pixels], "limit": limit,
    }  # fmt: skip
