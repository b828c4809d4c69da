"""Networks and images as a user names them, and the name under which a picture is stored."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ablations
import models
from ablations import Experiment, Variant
from benchmarks import networks
from benchmarks.data import datasets
from benchmarks.data.pairs import Dataset, Pair
from benchmarks.data.sources import LocalImage
from benchmarks.networks import Network, NetworkError
from foundation import SpinbenchError, meant, nearest, registered
from results import BASELINE, ROOT, Run, collect_as, collect_elsewhere, definitions


class PictureError(SpinbenchError):
    """A picture that cannot be made; one line with the request and what was expected."""


def named_network(text: str, scale: int, experiment: str, protocol: str, root: Path = ROOT) -> Network:
    """A network as a user names it: a variant of the experiment, a network's name, or either as NAME=WEIGHTS, a file or
    `pretrained`.

    A trained variant has the weights of its run under the protocol (the first seed), or, if the protocol trains
    nothing, those of a run under another protocol, which the label then names. The name of a network denotes its
    published weights. WEIGHTS are a file, the folder of a run, or "pretrained": those that come with the suite. Raises
    PictureError for an unknown name or unavailable weights, and NetworkError for weights of another network.
    """
    name, given, file = text.partition("=")
    definition = definitions.experiment(experiment, protocol, root)
    if given:
        return _with_weights(name, Path(file), scale, definition)
    name, variant = _variant(name, definition)
    if variant.model == BASELINE:
        return replace(networks.bicubic(scale), name=name)
    if not variant.trained:
        try:
            found = networks.given(variant, scale) or networks.published(str(variant.model), scale)
        except NetworkError as error:
            raise PictureError(f"{error}; name a file as {name}=FILE") from error
        return replace(found, name=name, label=variant.label, ensemble=variant.ensemble, multiple=variant.multiple)
    own, title = ablations.name_of(protocol), ablations.name_of(experiment)
    places = {own: collect_as(definition, title, protocol, root)}
    if definitions.protocol(protocol, root).training is None:
        places |= collect_elsewhere(definition, title, protocol, root)
    for other, found_there in places.items():
        for run in found_there.runs:
            if (run.variant, run.scale) == (name, scale) and run.path("weights.safetensors").is_file():
                label = variant.label if other == own else f"{variant.label} (protocol {other})"
                found = networks.of_weights(run.folder, scale=scale, **_as_defined(variant))
                return replace(found, name=name, label=label, source=f"run {other}/{run.name}")
    wanted = Run(own, name, scale, 0, root).path("weights.safetensors")
    left_out = [one for there in places.values() for one in there.left_out]
    others = [str(one) for one in left_out if (one.run.variant, one.run.scale) == (name, scale)]
    reasons = f" ({'; '.join(others)})" if others else ""
    raise PictureError(
        f"{name} x{scale}: no trained weights{reasons}, expected {wanted}, or a file named as {name}=FILE"
    )


def untrained_variant(name: str, scale: int, experiment: str) -> Network:
    """A variant of the experiment, or a network, with random weights. Raises PictureError for an unknown name."""
    name, variant = _variant(name, ablations.load_experiment(experiment))
    if variant.model == BASELINE:
        raise PictureError(f"{name}: interpolation, expected a network")
    found = networks.untrained(str(variant.model), scale, variant.config)
    return replace(found, name=name, label=f"{variant.label} (untrained)")


def common_scale(texts: Sequence[str], scale: int | None) -> int:
    """The given scale; by default that of the first NAME=WEIGHTS with a description, or 4."""
    if scale is not None:
        return scale
    files = [Path(file) for _, given, file in (text.partition("=") for text in texts) if given]
    known = (networks.description_of(file) for file in files)
    return next((each.scale for each in known if each), networks.SCALE)


def image_pair(image: str, scale: int) -> tuple[str, Pair]:
    """The full name and the HR and LR pair of SET/NAME or of an image file, whose LR image is made by `imresize`.

    Raises PictureError for any other text, DataError for an unknown set or image or a damaged file.
    """
    path = Path(image)
    if path.is_file():
        alone = Dataset(path.name, {0: {path.stem: LocalImage(path)}}, {}, "symmetric")
        return path.name, alone.pair(path.stem, scale)
    name, slash, single = image.rpartition("/")
    if not slash or not name or not single:
        raise PictureError(f"image {image!r}: no such file, expected one, or SET/NAME such as Set5/img_001")
    dataset = datasets.get(name)
    return f"{dataset.name}/{single}", dataset.pair(single, scale)


def own_image(title: str, pair: Pair) -> str:
    """A digest of an image of the user's, for the name of its picture, since others may be called the same.

    Empty for an image of a set of the suite; `title` is its full name, of `image_pair`.
    """
    if title.rpartition("/")[0] in datasets.SETS:
        return ""
    return hashlib.sha256(pair.hr.tobytes() + pair.lr.tobytes()).hexdigest()[:8]


def picture_name(*parts: str) -> str:
    """A name for a picture in results/pictures: the texts in lower case, with hyphens for disallowed characters.

    Of a long one the end is replaced by a digest of the whole.
    """
    text = "-".join(parts)
    plain = re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-._")
    return plain if len(plain) <= 100 else f"{plain[:91]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _with_weights(name: str, file: Path, scale: int, experiment: Experiment) -> Network:
    """The network of NAME=WEIGHTS, where NAME is a variant, a network, or the variant of the weights' run."""
    if registered(name) == BASELINE:
        raise PictureError(f"{name}={file}: interpolation has no weights")
    expected: dict[str, Any] = {"model": name}
    if meant(name, experiment.variants):  # not variant_named: `spin` may have weights of any configuration
        name, variant = _variant(name, experiment)
        expected = _as_defined(variant)
    if str(file) == "pretrained":  # those that come with the suite, as wherever weights are named
        found = networks.pretrained(str(expected["model"]), scale, expected.get("config"))
    else:
        found = networks.of_weights(file, scale=scale, **expected)
    label = experiment.variants[name].label if name in experiment.variants else found.label
    return replace(found, name=name, label=f"{label} ({file.name})")


def _variant(name: str, experiment: Experiment) -> tuple[str, Variant]:
    """The variant that a name means in the experiment, or else the network with its published weights, and its id."""
    network = registered(name)
    if network == BASELINE:
        return network, Variant(label="Bicubic", model=BASELINE)
    if found := experiment.variant_named(name):
        variant = experiment.variants[found]
        if variant.status:
            raise PictureError(f"{found}: {variant.status}")
        return found, variant
    if network not in models.names():
        known = dict.fromkeys([BASELINE, *experiment.variants, *models.names()])
        raise PictureError(f"unknown network {name!r}; {nearest(name, known)}")
    about = {"label": models.describe(network).title, "model": network, "weights": "published"}
    return network, Variant.model_validate(about)


def _as_defined(variant: Variant) -> dict[str, Any]:
    """The properties of a network that the definition of its variant fixes; its weights have to agree with them."""
    config = networks.full_configuration(str(variant.model), variant.config)
    return {"model": variant.model, "config": config, "ensemble": variant.ensemble, "multiple": variant.multiple}
