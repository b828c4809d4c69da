"""The noun Network: a model with its configuration, scale and weights, and how it upscales.

A Network has the weights of a run or of a file, published weights or random weights, or is bicubic interpolation.
Weights are described by the run.yaml beside them or by the metadata of their file, and every argument has to agree with
this description.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import ablations
import models
from ablations import Variant
from benchmarks.data.images import read_image
from benchmarks.data.published import checkpoint, unavailable
from benchmarks.data.sources import Local, Source
from benchmarks.descriptions import Description, NetworkError, description_of, file_of, full_configuration
from benchmarks.measure import devices, evaluation
from benchmarks.measure.cost import Subject, costs
from benchmarks.measure.evaluation import Upscale
from benchmarks.measure.latency import REPEATS
from benchmarks.measure.quality import eight_bit
from benchmarks.measure.tiling import Fitted, Tile
from foundation import registered, spelled
from models.initialisation import by_name
from models.weights import read_checkpoint
from results import BASELINE, ROOT, plain
from results.references import NetworkRecord

__all__ = [
    "SCALE", "Description", "Network", "NetworkError", "bicubic", "description_of", "full_configuration", "given",
    "load", "of_weights", "pretrained", "published", "stored", "untrained",
]  # fmt: skip

SCALE = 4  # the default

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Network:
    """A model of the registry, or bicubic interpolation, with everything that determines its SR images.

    `config` overrides the model's defaults. Without `weights`, the model is initialised from `seed`. With `ensemble`,
    SR is the mean over the 8 symmetries of the square. LR is first cropped to a multiple of `multiple` pixels.
    `training` is the digest of the configuration under which the weights were trained, if it is known. For `by_name`,
    see `models.initialisation`.
    """

    model: str
    scale: int
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: Source | None = None
    ensemble: bool = False
    multiple: int = 1
    seed: int = 0
    by_name: bool = False
    training: str | None = None
    name: str = ""  # as the user gave it
    label: str = ""  # shown to users
    source: str = ""  # of the weights, in words

    @property
    def summary(self) -> str:
        """One line with the model, the settings that differ from its defaults, and the source of its weights."""
        usual = {} if self.model == BASELINE else models.configuration(self.model)
        own = [f"{key} {value}" for key, value in self.config.items() if plain(value) != plain(usual.get(key))]
        differs = f" ({', '.join(own)})" if own else ""
        cropped = f", LR cropped to a multiple of {self.multiple}" if self.multiple > 1 else ""
        return f"{self.model}{'+' * self.ensemble} x{self.scale}{differs}, {self.source}{cropped}"

    def module(self) -> nn.Module:
        """The network on the CPU; the global random generator keeps its state.

        Raises NetworkError for a configuration that cannot be built and for bicubic; DataError and models.WeightsError
        for weights that are unavailable, damaged or those of another network.
        """
        if self.model == BASELINE:
            raise NetworkError(f"{BASELINE}: interpolation, expected a network")
        try:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(self.seed)
                build = partial(models.build, self.model, self.scale, **self.config)
                model = by_name(build, self.seed) if self.by_name else build()
        except ValueError as error:
            raise NetworkError(str(error)) from error
        if self.weights is None:
            return model
        file = self.weights.locate()
        remark = models.fill(model, self.model, self.scale, self.config, read_checkpoint(file))
        if isinstance(self.weights, Local):  # there is no choice in a registered file
            _tell(remark)
        return model.eval()

    def upscaler(
        self,
        device: torch.device,
        *,
        tile: Tile = "off",
        say: Callable[[str], None] = lambda manner: None,
        on_tile: Callable[[int, int], None] | None = None,
    ) -> Upscale:
        """The upscaler that every measurement uses. LR is cropped at bottom and right; the network, or each pass of its
        ensemble, then takes it whole or in tiles (`tile`, see `tiling.Fitted`). Raises the errors of `module`.
        """
        upscale: Upscale
        if self.model == BASELINE:
            upscale = evaluation.bicubic_upscale(self.scale)
        else:
            least = models.describe(self.model).smallest_input
            upscale = Fitted(self.module(), self.scale, device, least=least, tile=tile, say=say, on_tile=on_tile)
        if self.ensemble:
            upscale = evaluation.self_ensemble(upscale)
        return evaluation.of_multiple(upscale, self.multiple)

    def upscale(
        self, image: str | Path | NDArray[np.uint8], device: str = "auto", tile: Tile = "auto"
    ) -> NDArray[np.uint8]:
        """SR, uint8 RGB (scale·H, scale·W, 3), of an image file or of an array, uint8 RGB (H, W, 3).

        For `device` see `devices.device`, for `tile` see `tiling.Fitted`. Raises NetworkError for another array,
        DataError for a file that is no image, ValueError for an unknown device, and the errors of `module`.
        """
        lr = image if isinstance(image, np.ndarray) else read_image(Path(image))
        if lr.dtype != np.uint8 or lr.ndim != 3 or lr.shape[2] != 3:
            raise NetworkError(f"an image of {lr.dtype} {lr.shape}, expected uint8 (H, W, 3)")
        return eight_bit(self.upscaler(devices.device(device), tile=tile)(lr))

    def cost(
        self,
        device: str = "auto",
        lr_size: tuple[int, int] | None = None,
        *,
        repeats: int = REPEATS,
        memory: bool = False,
    ) -> dict[str, Any]:
        """Parameters, MACs, activations, latency and, if wanted, peak memory, as `cost.costs` has them.

        Latency is that of an image of `lr_size` (H, W), by default the one for an output of 1280x720.
        """
        subject = Subject(self.model, self.scale, self.config)
        return costs([subject], devices.device(device), lr_size=lr_size, repeats=repeats, memory=memory)[0]

    def record(self) -> NetworkRecord:
        """The record of this network in a stored measurement. Raises DataError for an unreadable file of weights."""
        return NetworkRecord(
            model=self.model,
            scale=self.scale,
            config=plain(dict(self.config)),
            weights=self.weights.content if self.weights else None,
            training=self.training,
            ensemble=self.ensemble,
            multiple=self.multiple,
        )


def load(
    name: str | Path,
    weights: str | Path | None = None,
    *,
    scale: int | None = None,
    config: Mapping[str, Any] | None = None,
    root: Path = ROOT,
) -> Network:
    """A network by any name: a run (its folder, or its name as "quick/full-x4-s0"), a file of weights, a network of the
    registry, a class in a file ("net.py:Net"), or "bicubic".

    The last three of these say nothing about weights: `weights` is a file, a run's folder, "published",
    "pretrained" for those that come with the suite, or "untrained" for random ones (seed 0). `scale` is 4 and
    `config` the network's own, unless given or described by the weights.
    Raises NetworkError for weights that are missing, unwanted or contradicted; and the errors of `of_weights`.
    """
    if place := stored(name, root):
        if weights is not None:
            raise NetworkError(f"{name}: has its own weights, expected no others ({weights})")
        return of_weights(place, scale=scale, config=config)
    model = str(name)
    if registered(model) == BASELINE:
        if weights is not None or config:
            raise NetworkError(f"{model}: interpolation, expected no weights and no configuration")
        return bicubic(scale)
    full_configuration(model, config)  # an unknown name is reported first
    if weights is None:
        raise NetworkError(f'{model}: expected weights: a file, a run, "published", or "untrained" for random ones')
    if weights == "published":
        return published(model, scale, config)
    if weights == "pretrained":
        return pretrained(model, scale, config)
    if weights == "untrained":
        return untrained(model, scale, config)
    return of_weights(stored(weights, root) or Path(weights), model=model, scale=scale, config=config)


def stored(name: str | Path, root: Path = ROOT) -> Path | None:
    """The folder or file of weights that is named: a path, or a run's name. None for the names of networks."""
    if str(name) in (BASELINE, *models.names()):
        return None
    places = Path(name), root / "runs" / name
    return next((place for place in places if place.exists()), None)


def of_weights(
    weights: Path,
    *,
    model: str | None = None,
    scale: int | None = None,
    config: Mapping[str, Any] | None = None,
    ensemble: bool | None = None,
    multiple: int | None = None,
) -> Network:
    """The network of a run's folder or a file of weights. Arguments supply what the description does not contain.

    `model` may also be the variant of the run. `ensemble` and `multiple`, which do not belong to the weights, override
    the description. A run with published weights or of bicubic interpolation has no file of weights.
    Raises NetworkError for an argument that contradicts the description, a model that neither of them names, an invalid
    configuration and a missing file; and the errors of `description_of`.
    """
    file, known = file_of(weights), description_of(weights)
    if not file.is_file() and (known is None or known.source == "run"):
        raise NetworkError(f"{file}: no such file, expected weights")
    if known is None:
        if model is None or registered(model) == BASELINE:
            raise NetworkError(f"{file}: does not name its network, expected a model")
        full, scale = full_configuration(model, config), SCALE if scale is None else scale
        known = Description(str(file), registered(model), scale, full)
    of_variant = model is not None and known.variant is not None and spelled(model) == spelled(known.variant)
    known.check(f"{weights}: requested", None if of_variant else model, scale, config)
    if known.source == "baseline":
        found = bicubic(known.scale)
    elif known.source == "published weights":
        found = published(known.model, known.scale, known.config)
    else:
        source = f"{weights} (run {known.run})" if known.run and known.place == str(file) else str(weights)
        found = Network(known.model, known.scale, known.config, Local(file), training=known.training, source=source)
    return replace(
        found,
        ensemble=bool(known.ensemble if ensemble is None else ensemble),
        multiple=(known.multiple if multiple is None else multiple) or 1,
        label=known.label or _title(known.model),
    )


def published(model: str, scale: int | None = None, config: Mapping[str, Any] | None = None) -> Network:
    """A network with its published weights. Raises NetworkError if none are registered or available, and if `config`
    differs from the configuration of the checkpoint.
    """
    scale = SCALE if scale is None else scale
    own = Description("its published checkpoint", registered(model), scale, full_configuration(model))
    model = own.model
    own.check(f"{model} x{scale}: requested", config=config)
    if reason := unavailable(model, scale):
        raise NetworkError(f"{model} x{scale}: {reason}")
    weights = checkpoint(model, scale)
    return Network(model, scale, own.config, weights, label=_title(model), source="published weights")


def pretrained(model: str, scale: int | None = None, config: Mapping[str, Any] | None = None) -> Network:
    """A network with the weights that come with the suite. Raises NetworkError where there are none."""
    try:
        file = models.pretrained_file(model, SCALE if scale is None else scale)
    except ValueError as error:
        raise NetworkError(str(error)) from error
    found, about = of_weights(file, model=model, scale=scale, config=config), description_of(file)
    training = ablations.load_protocol(about.protocol).training if about and about.protocol else None
    steps = f"{training.iterations:,} steps, far from converged" if training else "far from converged"
    return replace(found, source=f"trained with this suite ({steps})")


def given(variant: Variant, scale: int) -> Network | None:
    """The network of a variant that has a checkpoint of the user, or the weights that come with the suite; else None.

    Raises NetworkError and models.WeightsError for weights that do not fit.
    """
    if variant.weights == "pretrained":
        return pretrained(str(variant.model), scale, variant.config)
    if variant.checkpoint is None:
        return None
    return of_weights(variant.checkpoint, model=str(variant.model), scale=scale, config=variant.config)


def untrained(model: str, scale: int | None = None, config: Mapping[str, Any] | None = None, seed: int = 0) -> Network:
    """A network with random weights. Raises NetworkError for an invalid configuration."""
    scale, config = SCALE if scale is None else scale, full_configuration(model, config)
    model = registered(model)
    return Network(model, scale, config, seed=seed, label=_title(model), source=f"untrained, seed {seed}")


def bicubic(scale: int | None = None) -> Network:
    """MATLAB's bicubic interpolation."""
    return Network(BASELINE, SCALE if scale is None else scale, label=_title(BASELINE), source="baseline")


@cache
def _tell(remark: str) -> None:
    """Tell of a file what was taken from it, once."""
    if remark:
        log.info("%s", remark)


def _title(model: str) -> str:
    return "Bicubic" if model == BASELINE else models.describe(model).title
