"""Pictures of images and networks: which image, whose weights, and the name under which a picture is stored."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from torch import nn

import ablations
import models
from ablations import Experiment, Variant
from benchmarks import options, published
from benchmarks.data import datasets
from benchmarks.data.datasets import Dataset, Pair
from benchmarks.data.sources import Local
from benchmarks.options import UsageError
from foundation import nearest
from results import BASELINE, ROOT, Run, protocols, runs
from results.comparison import Box


@dataclass(frozen=True)
class Contestant:
    """A network and where its weights come from, or bicubic interpolation."""

    name: str
    variant: Variant
    source: str  # "published weights", "baseline", a run's name under its protocol, or a file
    weights: Path | None = None  # a run's folder or a file

    @property
    def model(self) -> str:
        """Its name in `models`, or "bicubic"."""
        return str(self.variant.model)

    def network(self, scale: int) -> nn.Module:
        """The network with its weights, on the CPU. Raises DataError, WeightsError, UsageError; not for bicubic."""
        return options.network(self.model, scale, self.variant.config, self.weights, self.weights is None)


def contestant(text: str, scale: int, experiment: str, protocol: str, root: Path = ROOT) -> Contestant:
    """A network as a user names it: a variant of the experiment, a network's name, or either as NAME=WEIGHTS.

    A variant that is trained has the weights of its run under the protocol (the first seed); where the protocol
    trains nothing, those of another one, which its label then names. A network's bare name means its published
    weights. Raises UsageError for an unknown name, or weights that are not at hand.
    """
    name, given, file = text.partition("=")
    definition = ablations.load_experiment(experiment)
    variant = _variant(name, definition, "trained" if given else "published")
    if given:
        named = variant.model_copy(update={"label": f"{variant.label} ({Path(file).name})"})
        return Contestant(name, named, file, Path(file))
    if variant.model == BASELINE:
        return Contestant(name, variant, "baseline")
    if variant.status:
        raise UsageError(f"{name}: {variant.status}")
    if variant.weights == "published":
        checkpoint = published.checkpoint(str(variant.model), scale)
        if checkpoint is None:
            raise UsageError(f"{name} x{scale}: no published checkpoint is registered; name a file as {name}=FILE")
        if not checkpoint.available():
            raise UsageError(f"{name} x{scale}: its checkpoint is not in the mirror ({Path(checkpoint.path).name})")
        return Contestant(name, variant, "published weights")
    own = Path(protocol).stem
    trains = ablations.load_protocol(protocol).training is not None
    for other in [own] if trains else [own, *(each for each in protocols(root) if each != own)]:
        for run in runs(experiment, other, root):
            if (run.variant, run.scale) == (name, scale) and run.path("weights.safetensors").is_file():
                label = variant.label if other == own else f"{variant.label} (protocol {other})"
                named = variant.model_copy(update={"label": label})
                return Contestant(name, named, f"run {other}/{run.name}", run.folder)
    wanted = Run(own, name, scale, 0, root).path("weights.safetensors")
    raise UsageError(f"{name} x{scale}: no trained weights, expected {wanted}, or a file named as {name}=FILE")


def pair(image: str, scale: int) -> tuple[str, Pair]:
    """An HR and LR pair with its full name, from SET/NAME or an image file, whose LR is then made by `imresize`.

    Raises UsageError for a text that is neither, DataError for an unknown set or image or a damaged file.
    """
    path = Path(image)
    if path.is_file():
        alone = Dataset(path.name, {0: {path.stem: Local(path)}}, {}, "symmetric")
        return path.name, alone.pair(path.stem, scale)
    name, slash, single = image.rpartition("/")
    if not slash or not name or not single:
        raise UsageError(f"image {image!r}: no such file, expected one, or SET/NAME such as Set5/img_001")
    dataset = datasets.get(name)
    return f"{dataset.name}/{single}", dataset.pair(single, scale)


def box(text: str) -> Box:
    """A box from x,y,width,height in HR pixels. Raises UsageError for another text."""
    numbers = options.integers([text], "--box")
    if len(numbers) != 4 or 0 in numbers[2:]:
        raise UsageError(f"--box {text}: expected x,y,width,height, such as 40,120,64,64")
    return Box(**dict(zip(Box.model_fields, numbers, strict=True)))


def stored_name(*parts: str) -> str:
    """A picture's name in results/pictures, from texts of any kind: lower case, hyphens for what may not be in it."""
    return re.sub(r"[^a-z0-9._]+", "-", "-".join(parts).lower()).strip("-._")[:100]


def _variant(name: str, experiment: Experiment, weights: str) -> Variant:
    """The experiment's variant of this name, or a network of the registry."""
    if name == BASELINE:
        return Variant(label="Bicubic", model=BASELINE)
    if name in experiment.variants:
        return experiment.variants[name]
    if name not in models.names():
        known = dict.fromkeys([BASELINE, *experiment.variants, *models.names()])
        raise UsageError(f"unknown network {name!r}; {nearest(name, known)}")
    return Variant.model_validate({"label": models.describe(name).title, "model": name, "weights": weights})
