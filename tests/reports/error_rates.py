"""How often verdicts and intervals are wrong, by simulation: `python -m tests.reports.error_rates`, or fewer in a test.

An experiment is simulated with the networks and the comparing claims of Table 2, one set, PSNR and SSIM. The PSNR of
an image is the sum of the effects of the network, the image, the training, and their interaction; deviations are those
measured between short trainings of SPIN's variants (between trainings about 0.011 dB on Set5 and 0.017 dB on Set14;
between images of a difference about 0.1 dB).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

import ablations
from ablations import Better
from reports.outcomes import is_sure
from reports.statistics import FEWEST, Trainings, _intervals, crossed, holm
from tests.reports import check_rates

TABLE2 = ablations.load_experiment("table2")
NETWORKS = list(TABLE2.variants)
IMAGES_SD, REST_SD = 0.1, 0.03  # of a difference, in dB
CLAIMS = {  # by id: the better network and the other, as indices
    name: [(NETWORKS.index(one), NETWORKS.index(other)) for one in claim.variants for other in claim.others or ()]
    for name, claim in TABLE2.claims.items()
    if isinstance(claim, Better)
}
FULL, ONE_CONTRAST = NETWORKS.index("full"), "sequential"
SEED_SDS = (0.0, 0.01, 0.015, 0.03)
GAPS = (0.02, 0.07, 0.15)
WRONG_PER_CLAIM, WRONG_PER_EXPERIMENT = 0.06, 0.07
COVERAGE = (0.93, 0.97)


class Rates(NamedTuple):
    """Shares of experiments with a verdict other than undecided on a claim (the largest over claims) and on any claim,
    and of verdicts "supported" on a claim of a single contrast."""

    claim: float
    any_claim: float
    supported: float


def verdicts(count: int, images: int, seeds: int, seed_sd: float, gap: float = 0.0, seed: int = 0) -> Rates:
    """Simulate experiments in which Full is better than all others by `gap` dB, and nothing else is true."""
    generator = np.random.default_rng(seed)
    pairs = list(dict.fromkeys(pair for contrasts in CLAIMS.values() for pair in contrasts))
    decided, supported, claims = 0, 0, dict.fromkeys(CLAIMS, 0)
    for _ in range(count):
        psnr = _measured(generator, images, seeds, seed_sd)
        psnr[FULL] += gap
        ssim = psnr / 40 + generator.normal(0, 0.0005, psnr.shape)
        tested = [_test(values, *pair) for values in (psnr, ssim) for pair in pairs]
        outcomes: dict[tuple[int, int], list[int]] = {pair: [] for pair in pairs}
        for row, p, pair in zip(tested, holm([row.p for row in tested]), [*pairs, *pairs], strict=True):
            sure = is_sure(row._replace(p_holm=p))
            outcomes[pair].append(int(math.copysign(1, row.difference)) if sure else 0)
        found = {
            name: -1 if min(signs) < 0 else int(min(signs) > 0)
            for name, contrasts in CLAIMS.items()
            for signs in [[sign for pair in contrasts for sign in outcomes[pair]]]
        }
        for name, verdict in found.items():
            claims[name] += verdict != 0
        decided += any(found.values())
        supported += found[ONE_CONTRAST] > 0
    return Rates(max(claims.values()) / count, decided / count, supported / count)


def _measured(generator: np.random.Generator, images: int, seeds: int, seed_sd: float) -> np.ndarray:
    """PSNR (networks, images, seeds) of networks of the same quality."""
    of_image = generator.normal(30, 3, (1, images, 1))
    of_network = generator.normal(0, IMAGES_SD / math.sqrt(2), (len(NETWORKS), images, 1))
    of_training = generator.normal(0, seed_sd, (len(NETWORKS), 1, seeds))
    rest = generator.normal(0, REST_SD / math.sqrt(2), (len(NETWORKS), images, seeds))
    return of_image + of_network + of_training + rest


class Row(NamedTuple):
    """What `outcomes.is_sure` asks of a row of `contrasts.compute_contrasts`."""

    low: float
    high: float
    difference: float
    median: float
    p: float
    p_holm: float = math.nan


def _test(values: np.ndarray, one: int, other: int) -> Row:
    """A difference as `contrasts.compute_contrasts` tests it, without the frames that take most of its time."""
    of_trainings = values.mean(axis=1).var(axis=1, ddof=1).mean()
    between = Trainings(2 * float(of_trainings), len(values) * (values.shape[2] - 1))
    d = values[one] - values[other]
    low, high, p, _ = map(float, crossed(d, between))
    return Row(low, high, float(d.mean()), float(np.median(d.mean(axis=1))), p)


SHAPES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda generator, shape: generator.normal(0, 1, shape),
    "heavy tails (t, 5)": lambda generator, shape: generator.standard_t(5, shape),
    "skewed (gamma, 9)": lambda generator, shape: (generator.gamma(9, 1, shape) - 9) / 3,
}


def coverage_of_images(count: int, images: int, shape: str, seed: int = 0) -> float:
    """How often the interval of one training holds the true mean over images, 0."""
    rows = SHAPES[shape](np.random.default_rng(seed), (count, images))
    low, high = _intervals(rows).T  # `interval` of each row
    return float(np.mean((low <= 0) & (high >= 0)))


def coverage_of_trainings(count: int, images: int, seeds: int, seed_sd: float, seed: int = 0) -> float:
    """How often the interval of several trainings holds the true difference of two of the networks, 0."""
    generator = np.random.default_rng(seed)
    held = 0
    for _ in range(count):
        row = _test(_measured(generator, images, seeds, seed_sd), 0, 1)
        held += row.low <= 0 <= row.high
    return held / count


def slack(bound: float, count: int) -> float:
    """What a rate of `bound` reaches in `count` simulations by chance, once in a thousand."""
    return float(stats.binom.ppf(0.999, count, bound)) / count


def main(count: int = 2000) -> int:
    """Print all rates; 1 where one is out of its bounds."""
    console, failures = Console(width=120), []

    def bounded(value: float, low: float, high: float) -> str:
        good = 1 - slack(1 - low, count) <= value <= slack(high, count) if low else value <= slack(high, count)
        if not good:
            failures.append(value)
        return f"{value:.3f}" if good else f"[red]{value:.3f}[/red]"

    wrong = Table(
        "images", "trainings", "deviation between trainings, dB", f"wrong on a claim (≤ {WRONG_PER_CLAIM})",
        f"wrong in an experiment (≤ {WRONG_PER_EXPERIMENT})", title=f"Nothing is true: {count} experiments each",
    )  # fmt: skip
    for images in (14, 100):
        for seeds in (3, 5):
            for sd in SEED_SDS:
                found = verdicts(count, images, seeds, sd)
                rates = bounded(found.claim, 0, WRONG_PER_CLAIM), bounded(found.any_claim, 0, WRONG_PER_EXPERIMENT)
                wrong.add_row(str(images), str(seeds), f"{sd:g}", *rates)
    console.print(wrong)
    power = Table("gap, dB", "trainings", "supported", title="Power at 100 images, 0.015 dB between trainings")
    for gap in GAPS:
        for seeds in (3, 5):
            power.add_row(f"{gap:g}", str(seeds), f"{verdicts(count // 4, 100, seeds, 0.015, gap).supported:.2f}")
    console.print(power)
    low, high = COVERAGE
    cover = Table("images", "trainings", "differences", f"coverage ({low:.0%} to {high:.0%})", title="95% intervals")
    for images in (FEWEST, 14, 30, 100):
        for shape in SHAPES:
            cover.add_row(str(images), "1", shape, bounded(coverage_of_images(count, images, shape), low, high))
    for images in (14, 100):
        for seeds in (3, 5):
            for sd in SEED_SDS:
                rate = coverage_of_trainings(count, images, seeds, sd)
                cover.add_row(str(images), str(seeds), f"normal, {sd:g} dB", bounded(rate, low, high))
    console.print(cover)
    console.print("One training of each network decides nothing: no verdict can be wrong.")
    check = Table(
        "", "sets", "trainings of the reference", "between trainings, dB", "between images, dB", "change, dB", "worse",
        "bound", title="The regression check of a retrained network",
    )  # fmt: skip
    for row in check_rates.table(thorough=True):
        rate, bound = row["share"], row["bound"]
        alarm = row["kind"] == "false alarms"
        shown = "" if bound is None else f"{'≤' if alarm else '≥'} {bound:.0%}"
        missed = bound is not None and (rate > slack(bound, row["experiments"]) if alarm else rate < bound)
        failures += [rate] * missed
        numbers = (row[name] for name in ("trainings", "seed_sd", "image_sd", "change"))
        check.add_row(row["kind"], row["sets"], *(f"{number:g}" for number in numbers), f"{rate:.3f}", shown)
    console.print(check)
    if failures:
        console.print(f"{len(failures)} rates are out of their bounds, by more than chance.")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
