"""Claims about synthetic numbers, which are made to hold, to fail, or to decide nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ablations import Experiment
from reports.claims import Judgement, judge_study
from reports.study import Study, load_study
from reports.tables import side_by_side
from results import BASELINE, COLUMNS

IMAGES = 14  # of every set, if not said: enough for a test
SETS = ("Set5", "Set14")
STATED = {"text": "A claim.", "source": "Table 0"}


def experiment(claim: Mapping[str, Any], kind: str = "table", scales: tuple[int, ...] = (4,)) -> Experiment:
    """Variants a, b and c, whose labels are capitals, with one claim."""
    return Experiment.model_validate(
        {
            "title": "Synthetic", "source": "Table 0", "kind": kind, "caption": "None.", "label": "tab:none",
            "scales": list(scales), "datasets": list(SETS), "reference": "a",
            "x": "blocks" if kind == "curve" else None,
            "variants": {
                name: {"label": name.upper(), "model": "spin", "config": {"blocks": x}, "published": name.upper()}
                for x, name in enumerate("abc")
            },
            "claims": {"claim": {**STATED, **claim}},
        }
    )  # fmt: skip


Leads = Mapping[str, float | Mapping[str, float]]  # of a variant over c, in dB: everywhere, or by set


@cache
def _nothing() -> Study:
    return load_study("table2", "cpu", Path(__file__).parent / "nowhere")


def stored(
    claimed: Experiment,
    leads: Leads | None = None,
    *,
    printed: Mapping[str, Mapping[str, float]] | None = None,
    costs: Mapping[str, float] | None = None,
    bicubic: float = 20.0,
    images: Mapping[str, int] | None = None,
    of_images: Mapping[str, int] | None = None,
    sources: Mapping[str, str] | None = None,
    seeds: int = 3,
    noise: float = 0.02,
    budget: int | None = None,
) -> Study:
    """A study of synthetic numbers.

    `printed`: PSNR by variant and set; SSIM is a hundredth of it. `costs`: parameters, and params as printed. `budget`:
    the iterations of a training that is not the paper's.
    """
    generator = np.random.default_rng(0)
    rows = []
    for variant, lead in {**({BASELINE: bicubic - 30} if leads else {}), **(leads or {})}.items():
        by_set = lead if isinstance(lead, Mapping) else dict.fromkeys(SETS, lead)
        for dataset, value in by_set.items():
            n = (images or {}).get(dataset, IMAGES)
            source = "baseline" if variant == BASELINE else (sources or {}).get(variant, "run")
            for seed in range(1 if source != "run" else seeds):
                training = generator.normal(0, noise / 2)
                for i, spread in enumerate(np.linspace(-3, 3, n) + generator.normal(0, noise, n)):
                    psnr = 30 + value + spread + training
                    rows.append(
                        ("table2", "cpu", variant, source, 4, seed, False, dataset, "stored", "rcan", f"{i:03}",
                         psnr, psnr / 100)
                    )  # fmt: skip
    frame = pd.DataFrame(rows, columns=COLUMNS)
    table = None
    if printed is not None:
        table = pd.DataFrame(
            [
                (variant.upper(), 4, name, psnr, psnr / 100)
                for variant, by_set in printed.items()
                for name, psnr in by_set.items()
            ],
            columns=["method", "scale", "dataset", "psnr", "ssim"],
        )
    compared = side_by_side(claimed, frame, table, of_images)
    known = compared.variant.map(costs or {}).astype(float)
    compared = compared.assign(protocol="cpu", explanation="", params=known / 1000, parameters=known, macs=known * 1e6)
    return dataclasses.replace(
        _nothing(), definition=claimed, experiment=claimed, frame=frame, table=compared, budget=budget
    )


def only(study: Study) -> Judgement:
    (judgement,) = judge_study(study)
    return judgement


BETTER = experiment({"check": "better", "variants": ["a"], "others": ["b", "c"]})
PAIR = experiment({"check": "better", "variants": ["a"], "others": ["b"], "datasets": ["Set5"], "metrics": ["psnr"]})
SECOND = experiment({"check": "better", "variants": ["a"], "places": 2})
SMALLER = experiment({"check": "smaller", "variants": ["a"], "others": ["b"], "cost": "parameters"})
FRONT = experiment({"check": "undominated", "variants": ["a"], "cost": "parameters", "metrics": ["psnr"]})
PEAK = experiment({"check": "peak", "at": "b", "metrics": ["psnr"]}, kind="curve")


def printed(**values: float | tuple[float, float]) -> dict[str, dict[str, float]]:
    pairs = {name: value if isinstance(value, tuple) else (value, value) for name, value in values.items()}
    return {name: dict(zip(SETS, pair, strict=True)) for name, pair in pairs.items()}
