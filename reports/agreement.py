"""Whether published checkpoints give the values of the official code here (results/published/official.csv)."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

# Tolerances of PSNR (dB) and of SSIM, by the number of decimals of the official PSNR.
TOLERANCES = {2: (0.006, 0.0002), 3: (0.003, 0.0001)}
_KEYS = ["variant", "scale", "convention", "dataset"]


def agreement(frame: pd.DataFrame, official: pd.DataFrame, full: Mapping[str, int]) -> pd.DataFrame:
    """A row per value of the official code that was also measured here on the whole set, and whether they agree.

    `frame` is of `results.load`, `official` of `results.official`, `full` the number of images of whole sets.
    Columns: variant, scale, convention, dataset, official_psnr, official_ssim, psnr, ssim, psnr_tolerance,
    ssim_tolerance, agrees. Values are compared as printed, with a tolerance in units of their last digit.
    """
    measured = frame[frame["source"] == "published weights"].groupby(_KEYS, as_index=False)
    means = measured.agg(psnr=("psnr", "mean"), ssim=("ssim", "mean"), images=("image", "nunique"))
    means = means[means["images"] == means["dataset"].map(full)].drop(columns="images")
    decimals = official["psnr"].str.partition(".")[2].str.len()
    table = official.rename(columns={"psnr": "official_psnr", "ssim": "official_ssim"})
    table = table.astype({"official_psnr": float, "official_ssim": float}).assign(
        psnr_tolerance=[TOLERANCES[count][0] for count in decimals],
        ssim_tolerance=[TOLERANCES[count][1] for count in decimals],
    )
    table = table.merge(means, on=_KEYS)
    psnr = (table["psnr"] - table["official_psnr"]).abs() <= table["psnr_tolerance"]
    ssim = (table["ssim"].round(4) - table["official_ssim"]).abs() <= table["ssim_tolerance"] + 1e-9
    return table.assign(agrees=psnr & ssim)
