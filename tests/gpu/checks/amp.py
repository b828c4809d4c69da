"""What reduced precision costs in quality: PSNR on Set5 x4 in each precision, less that in float32."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import results
from benchmarks import networks
from benchmarks.data import datasets
from benchmarks.data.fetch import mirror_folder
from benchmarks.data.pairs import Dataset, Pair
from benchmarks.data.published import checkpoint
from benchmarks.data.sources import Published, Source
from benchmarks.measure.precision import Precision, arithmetic
from benchmarks.measure.quality import scores
from benchmarks.networks import Network
from tests.gpu.session import Session

SCALE = 4
SET, INSTEAD = "Set5", "embedded-test"
PUBLISHED = ("imdn", "latticenet", "bsrn", "hpinet_m", "carn_m")  # SPIN has no published weights
OWN = results.PACKAGE / "reference" / "quick" / "full-x4-s0"  # of SPIN
PRECISIONS: tuple[Precision, ...] = ("tf32", "bfloat16", "float16")


def check(session: Session) -> dict[str, Any]:
    """Mean PSNR in float32 and the change in dB of each precision, by network; what is not available is named.

    A rehearsal uses a corner of one image and, where no mirror has the set, an embedded one and random weights.
    """
    here = not session.rehearsal or (mirror_folder() is not None and not datasets.get(SET).missing(SCALE))
    dataset = datasets.get(SET if here else INSTEAD)
    pairs = _pairs(session, dataset)
    precisions = session.sized(PRECISIONS, PRECISIONS[:2])  # few CPUs compute in float16
    rows: dict[str, dict[str, float]] = {}
    left_out: list[str] = []
    found = {"dataset": dataset.name, "scale": SCALE, "psnr": rows, "left_out": left_out}
    for name in ["spin, quick", *session.sized(PUBLISHED, PUBLISHED[:1])]:
        network = _network(name, here)
        if network is None:
            left_out.append(name)
            continue
        row = rows[name] = {"float32": _psnr(session, network, pairs, "float32")}
        for precision in precisions:
            row[precision] = round(_psnr(session, network, pairs, precision) - row["float32"], 5)
        session.keep(found)
    least = {precision: min(row[precision] for row in rows.values()) for precision in precisions}
    losses = ", ".join(f"{precision} {loss:+.4f}" for precision, loss in least.items())
    return found | {"summary": f"largest losses in dB on {dataset.name}: {losses}"}


def files() -> list[Published]:
    """What this check reads from a mirror: the images of the set, and the checkpoints."""
    dataset = datasets.get(SET)
    sources: list[Source | None] = [checkpoint(name, SCALE) for name in PUBLISHED]
    for image in dataset.hr_names():
        sources += [dataset.hr_source(image, SCALE), dataset.lr_source(image, SCALE)]
    return [source for source in sources if isinstance(source, Published)]


def _network(name: str, published: bool) -> Network | None:
    if name == "spin, quick":
        return networks.of_weights(OWN, model="spin", scale=SCALE)
    if not published:
        return networks.untrained(name, SCALE)
    try:
        return networks.published(name, SCALE)
    except networks.NetworkError:
        return None


def _pairs(session: Session, dataset: Dataset) -> list[Pair]:
    if not session.rehearsal:
        return list(dataset.pairs(SCALE))
    pair = dataset.pair(dataset.hr_names()[0], SCALE)
    return [replace(pair, lr=pair.lr[:24, :24], hr=pair.hr[: 24 * SCALE, : 24 * SCALE])]


def _psnr(session: Session, network: Network, pairs: list[Pair], precision: Precision) -> float:
    """Mean over the images."""
    upscale = network.upscaler(session.device)
    with arithmetic(session.device, precision):
        return round(statistics.mean(scores(upscale(pair.lr), pair.hr, SCALE)[0] for pair in pairs), 5)
