"""How far the PSNR of networks with published weights is from the published PSNR, set by set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from reports.numbers import signed
from reports.reasons import TOLERANCE, exceeds
from reports.study import Study
from reports.tables import PUBLISHED_WEIGHTS


class Deviation(NamedTuple):
    """Measured minus published PSNR in dB of a network on a whole set."""

    label: str
    scale: int
    dataset: str
    difference: float


class Deviations(NamedTuple):
    """The deviations of an experiment's networks, in the order of its table."""

    title: str
    values: Sequence[Deviation]

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(one.label for one in self.values))

    @property
    def scales(self) -> list[int]:
        return sorted({one.scale for one in self.values})

    @property
    def datasets(self) -> list[str]:
        return list(dict.fromkeys(one.dataset for one in self.values))

    @property
    def within(self) -> int:
        """How many are within TOLERANCE, to which published values are rounded."""
        return sum(not exceeds(one.difference) for one in self.values)

    @property
    def sentence(self) -> str:
        """The agreement with the paper in a sentence."""
        largest = max(self.values, key=lambda one: abs(one.difference))
        place = f"{largest.label} at ×{largest.scale} on {largest.dataset}"
        if len(self.values) == 1:
            return f"{place}, with published weights, is {signed(largest.difference, 3)} dB from the paper's PSNR."
        count = len(self.values)
        which = f"All {count}" if self.within == count else f"{self.within} of {count}"
        names = f" ({', '.join(self.labels)})" if len(self.labels) < 5 else ""
        met = f"{which} PSNR values with published weights that the paper has as well{names} are within {TOLERANCE} dB"
        return f"{met}; the largest difference is {signed(largest.difference, 3)} dB ({place})."


def load_deviations(study: Study) -> Deviations | None:
    """The deviations of a study; None where nothing measured with published weights has a published value."""
    table = study.table
    rows = table[(table.source == PUBLISHED_WEIGHTS) & (table.metric == "psnr") & table.difference.notna()]
    if rows.empty:
        return None
    values = zip(rows.label, rows.scale, rows.dataset, rows.difference, strict=True)
    return Deviations(study.experiment.title, [Deviation(*value) for value in values])
