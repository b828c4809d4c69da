"""Weights as runs leave them: in a folder with a run.yaml, and in a file that says what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import yaml

import models
from models.weights import ENTRY, tensors_digest


def state(model: str, scale: int, **config: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return models.build(model, scale, **config).state_dict()


def run_yaml(model: str, scale: int, config: dict[str, Any], **header: Any) -> dict[str, Any]:
    stage = {"model": model, "scale": scale, "config": models.configuration(model, **config)}
    stages = {"evaluate": stage} if header.get("source") == "published weights" else {"train": stage}
    named = {"protocol": "quick", "variant": "mine", "label": "Mine", "scale": scale, "seed": 0, "source": "run"}
    return {**named, **header, "stages": stages}


def run_of(place: Path, model: str, scale: int, config: dict[str, Any] | None = None, **header: Any) -> Path:
    """The folder of a run that was trained."""
    place.mkdir(parents=True)
    content = json.loads(json.dumps(run_yaml(model, scale, config or {}, **header)))  # tuples are lists there
    (place / "run.yaml").write_text(yaml.safe_dump(content))
    safetensors.torch.save_file(state(model, scale, **(config or {})), place / "weights.safetensors")
    return place


def file_of(place: Path, model: str, scale: int, config: dict[str, Any] | None = None, **other: Any) -> Path:
    """A file of weights that says what it is."""
    said = {"fingerprint": "f" * 64, "model": model, "scale": scale, "ensemble": False, "multiple": 1}
    tensors = state(model, scale, **(config or {}))
    said |= {"config": models.configuration(model, **(config or {})), "tensors": tensors_digest(tensors)}
    said |= {"protocol": "quick", "variant": "mine", "seed": 3, **other}
    safetensors.torch.save_file(tensors, place, {ENTRY: json.dumps(said)})
    return place
