"""quality.csv: PSNR and SSIM of every image under every convention, validated on reading."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from results.cells import as_written
from results.run import ResultsError

_TEXTS = ("dataset", "lr_origin", "convention", "image")
QUALITY_COLUMNS = [*_TEXTS, "psnr", "ssim"]


def read_quality(path: Path) -> pd.DataFrame:
    """The rows of a quality.csv: dataset, lr_origin, convention, image (as text, NA and null too), psnr, ssim.

    Raises ResultsError for other columns, a missing or negative PSNR (infinite is allowed: SR equal to HR), an SSIM
    outside [-1, 1], a duplicate image, and for a file without rows.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False)
        if list(table.columns) != QUALITY_COLUMNS:
            raise ValueError(f"expected the columns {', '.join(QUALITY_COLUMNS)}")
        table = as_written(table, _TEXTS).astype({"psnr": float, "ssim": float})
        if table.empty:
            raise ValueError("it has no rows")
        wrong = table[~(table.psnr >= 0) | ~table.ssim.between(-1, 1)]
        for row in wrong.itertuples():
            raise ValueError(
                f"{row.dataset}, {row.image}: PSNR {row.psnr}, SSIM {row.ssim}; expected 0 or more, and -1 to 1"
            )
        if (twice := table[table.duplicated(["dataset", "convention", "image"])]).size:
            first = twice.iloc[0]
            raise ValueError(f"{first.dataset}, {first.image}: duplicate row")
        return table
    except (ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ResultsError(f"{path}: not a table of quality ({reason})") from error


def joined(parts: Iterable[Path]) -> str:
    """The content of one quality.csv over several of single sets, which have been read before."""
    lines = [part.read_text(encoding="utf-8").splitlines(keepends=True) for part in parts]
    return "".join([lines[0][0], *(line for part in lines for line in part[1:])])
