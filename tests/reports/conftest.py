"""Stored results without a network: synthetic numbers, written as the suite writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import ablations
import results
from results import Run, references
from results.references import Measured, Reference
from tests.reports.check_cases import measurement

Store = Callable[..., Run]


@pytest.fixture(autouse=True)
def figures_only_where_looked_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a page; tests with the mark `drawn` have its figures, the others none, and
    not that which leads the page either."""
    if "drawn" not in request.keywords:
        monkeypatch.setattr("reports.render.drawings", lambda *_: {})
        monkeypatch.setattr("reports.render.find_lead", lambda *_: None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A function that stores a finished run below tmp_path."""
    return storing(tmp_path)


def storing(root: Path) -> Store:
    """A function that stores a finished run with images around a given PSNR and SSIM below a folder."""

    def run(
        variant: str,
        protocol: str = "quick",
        seed: int = 0,
        scale: int = 4,
        psnr: float = 25.0,
        ssim: float = 0.7,
        datasets: Mapping[str, Iterable[str]] | None = None,
        images: Mapping[str, int] | None = None,
        conventions: Mapping[str, float] | None = None,
        training: Mapping[str, Any] | None = None,
        parameters: int = 555035,
        weights: bool = False,
        status: str | None = None,
    ) -> Run:
        """`weights`: published ones, nothing is trained; `status`: why it is costed only, not evaluated."""
        datasets = datasets or {"embedded-test": ["a", "b", "c", "d"]}
        conventions = conventions or {"rcan": 0.0, "float": 0.004}
        made = Run(protocol, variant, scale, seed, root)
        baseline = variant == results.BASELINE
        source = "baseline" if baseline else "published weights" if weights else "run"
        definition = _protocol(protocol, root, training or {})
        decided = definition.training.deciding() if definition.training else {}
        train = {"seed": seed, "training": {**decided, **(training or {})}}
        counts = {name: len(list(pictures)) for name, pictures in datasets.items()} if images is None else images
        evaluate = {"conventions": list(conventions), "sets": {name: {"images": n} for name, n in counts.items()}}
        stages: dict[str, dict[str, Any]] = {"train": train, "evaluate": evaluate, "cost": {}}
        unwanted = {"train", "cost"} if baseline else {"train"} if weights else set()
        unwanted |= {"evaluate"} if status else set()
        stages = {name: stage for name, stage in stages.items() if name not in unwanted}
        origin = {"training_data": definition.training.data} if definition.training and "train" in stages else {}
        made.describe(
            {
                **origin,
                "protocol": protocol, "variant": variant, "label": variant, "scale": scale, "seed": seed,
                "source": source, "ensemble": variant == "latticenet-plus", "status": status,
            },
            stages,
        )  # fmt: skip
        rows = [
            (name, "imresize-symmetric", convention, image, psnr + change + spread, ssim + spread / 100)
            for name, pictures in datasets.items()
            for image, spread in _spread(list(pictures))
            for convention, change in conventions.items()
        ]
        columns = ["dataset", "lr_origin", "convention", "image", "psnr", "ssim"]
        if "evaluate" in stages:
            _write_csv(made, "quality.csv", pd.DataFrame(rows, columns=columns))
        if "train" in stages:
            iterations = np.arange(1, 41)
            loss = 8 + 30 * np.exp(-iterations / (8 + len(variant))) + np.cos(iterations + seed)
            curve = pd.DataFrame({"iteration": iterations, "loss": loss, "learning_rate": 1e-3, "seconds": iterations})
            _write_csv(made, "training.csv", curve)
            results.write(made.path("weights.safetensors"), b"")  # only its presence counts here
        if "cost" in stages:
            results.write(made.path("cost.json"), json.dumps(_cost(parameters)))
        products = {
            "train": ["weights.safetensors", "training.csv"],
            "evaluate": ["quality.csv"],
            "cost": ["cost.json"],
        }
        for position, stage in enumerate(stages):
            facts = {
                "started": f"2025-01-01T00:0{position}:00+00:00", "seconds": 12.5 + seed, "threads": 2,
                "device": {"kind": "cpu", "name": "Synthetic CPU"}, "versions": {"torch": "2.13.0", "python": "3.12.1"},
                "commit": "0" * 40, "source": "f" * 64,
            }  # fmt: skip
            files = {file: results.sha256(made.path(file)) for file in products[stage]}
            if stage == "evaluate" and "train" in stages:
                facts["inputs"] = {"weights.safetensors": results.sha256(made.path("weights.safetensors"))}
            made.record(stage, results.digest(stages[stage]), facts, files)
        return made

    return run


def replace(run: Run, file: str, content: str) -> None:
    """Let a run have another content of a file, as if it had been measured so."""
    stage = {"training.csv": "train", "quality.csv": "evaluate", "cost.json": "cost"}[file]
    record = run.provenance()[stage]
    files = {**record.pop("products"), file: run.write(file, content)}
    run.record(stage, record.pop("hash"), record, files)


def _protocol(name: str, root: Path, training: Mapping[str, Any]) -> ablations.Protocol:
    """The protocol of that name; an unknown one trains as `quick` but for `training`, and is kept with its runs."""
    if name in ablations.protocol_names():
        return ablations.load_protocol(name)
    quick = ablations.load_protocol("quick").model_dump(mode="json", exclude_unset=True)
    quick["training"] |= training
    kept = {"origin": None, "definition": quick}
    text = yaml.safe_dump({"hash": results.digest(kept), **kept})
    results.write(root / "runs" / name / "protocol.yaml", text)
    return ablations.Protocol.model_validate(quick)


def _spread(images: list[str]) -> list[tuple[str, float]]:
    """Deviations of single images that cancel out in the mean."""
    return list(zip(images, np.linspace(-2, 2, len(images)) if len(images) > 1 else [0.0], strict=True))


def _write_csv(run: Run, name: str, table: pd.DataFrame) -> None:
    results.write(run.path(name), table.to_csv(index=False, lineterminator="\n"))


def _cost(parameters: int) -> dict[str, Any]:
    return {
        "parameters": parameters,
        "macs": {
            "total": 41_253_000_000,
            "lr_size": [180, 320],
            "by_operator": {"convolution": 30_000_000_000, "matmul": 11_253_000_000},
            "zero_operators": ["add", "softmax"],
        },
        "activations": {"convolutions": 812_000_000, "products": 1_624_000_000},
        "measured": [
            {
                "implementation": "PyTorch",
                "lr_size": [180, 320],
                "macs": 41_253_000_000,
                "activations": {"convolutions": 812_000_000, "products": 1_624_000_000},
                "latency": {
                    "median_s": 1.2345, "low_s": 1.2, "high_s": 1.3, "rounds_s": [[1.2], [1.2345], [1.3]],
                    "warmup_s": 0.5, "dtype": "float32",
                },
                "memory": {"bytes": 734003200, "method": "synthetic"},
            }
        ],
        "machine": {"kind": "cpu", "name": "Synthetic CPU", "threads": 2},
    }  # fmt: skip


@pytest.fixture
def measured() -> Measured:
    return measurement()


@pytest.fixture
def reference(measured: Measured, tmp_path: Path) -> Reference:
    return references.store_reference("quick/full-x4-s0", measured, "first", root=tmp_path)
