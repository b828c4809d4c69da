"""The layout of results on disk, defined here alone. Reading results needs neither torch nor a network.

`run` is a run's folder and its files, `state` what is left to do of it, `progress` why one has no result yet, `current`
which runs count under a definition, `definitions` which protocol and experiments a folder belongs to, `quality` the
rows of single images.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from foundation import nearest, write
from results.cells import as_csv
from results.current import (
    BASELINE,
    COLUMNS,
    STATES,
    Collected,
    LeftOut,
    State,
    all_runs,
    collect,
    collect_as,
    collect_elsewhere,
    stored_runs,
)
from results.definitions import protocols
from results.run import MEASURED, PACKAGE, ROOT, STAGES, ResultsError, Run, changed_settings, digest, plain, sha256

__all__ = [
    "BASELINE",
    "COLUMNS",
    "MEASURED",
    "PACKAGE",
    "PUBLISHED",
    "ROOT",
    "STAGES",
    "STATES",
    "Collected",
    "LeftOut",
    "ResultsError",
    "Run",
    "State",
    "all_runs",
    "as_csv",
    "changed_settings",
    "collect",
    "collect_as",
    "collect_elsewhere",
    "digest",
    "load",
    "official",
    "plain",
    "protocols",
    "published",
    "runs",
    "sha256",
    "stored_runs",
    "write",
]

PUBLISHED = PACKAGE / "published"


def load(experiment: str, protocol: str, convention: str | None = "rcan", *, root: Path = ROOT) -> pd.DataFrame:
    """Quality of every image of an experiment's current runs under a protocol, with the bicubic baseline.

    Of one convention, or of all with None. Columns: experiment, protocol, variant, source (run, published weights or
    baseline), scale, seed, ensemble, dataset, lr_origin, convention, image, psnr (dB), ssim. Empty if nothing was
    measured yet; runs of another definition and damaged ones are left out (`collect` names them). Raises
    ablations.AblationError.
    """
    frame = collect(experiment, protocol, root).frame
    return frame if convention is None else frame[frame.convention == convention].reset_index(drop=True)


def runs(experiment: str, protocol: str, root: Path = ROOT) -> list[Run]:
    """The current runs of an experiment under a protocol, in the experiment's order."""
    return collect(experiment, protocol, root).runs


def published(name: str) -> pd.DataFrame:
    """A published table: method, scale, params (thousands), dataset, psnr (dB), ssim, psnr_mark, ssim_mark, note.

    What the paper does not print has no row. A row without numbers is printed, but unknown here; its note says why.
    Marks and notes are texts, which may be empty. Raises ResultsError for a table that is not there.
    """
    known = sorted(file.name for file in PUBLISHED.glob("*.csv"))
    if name not in known:
        raise ResultsError(f"published: no table {name!r} in {PUBLISHED}; {nearest(name, known)}")
    texts = ("psnr_mark", "ssim_mark", "note")
    return pd.read_csv(PUBLISHED / name, dtype=dict.fromkeys(texts, str)).fillna(dict.fromkeys(texts, ""))


def official() -> pd.DataFrame:
    """Figures of published checkpoints in the official modules: variant, scale, convention, dataset, psnr, ssim.

    The last two are text, since it matters how many decimals are known.
    """
    return pd.read_csv(PUBLISHED / "official.csv", dtype={"psnr": str, "ssim": str})
