"""The paper's tables as stored: complete, as printed, and where their marks differ from their numbers."""

from __future__ import annotations

import pandas as pd
import pytest

import ablations
import results
from reports.tables import METRICS, marks

SETS = ["Set5", "Set14", "BSDS100", "Urban100", "Manga109"]
WITHOUT_MANGA109 = {"MADNet", "GLADSR", "LatticeNet+", "DRSAN", "LatticeNet-CL"}


def test_table_1_is_complete_but_for_the_missing_cells() -> None:
    table = results.published("table1.csv")
    assert table.method.nunique() == 15
    for scale in (2, 3, 4):
        rows = table[table.scale == scale]
        expected = {(method, name) for method in table.method for name in SETS}
        expected -= {(method, "Manga109") for method in WITHOUT_MANGA109}
        assert set(zip(rows.method, rows.dataset, strict=True)) == expected
        assert len(rows) == len(expected) == 70
    assert table.groupby(["method", "scale"]).params.nunique().eq(1).all()


def test_what_is_unknown_or_from_elsewhere_says_so() -> None:
    table = results.published("table1.csv")
    noted = table[table.note != ""].set_index("scale")
    assert list(zip(noted.method, noted.dataset, strict=True)) == 3 * [("SPIN", "Manga109")]
    assert table.psnr.isna().sum() == table.ssim.isna().sum() == noted.psnr.isna().sum() == 2
    assert "lost in the transcription" in noted.note[2] == noted.note[3]
    full = results.published("table2.csv").set_index(["method", "dataset"]).loc[("Full", "Manga109")]
    assert (noted.psnr[4], noted.ssim[4]) == (full.psnr, full.ssim) == (30.98, 0.9156)
    assert "Table 2" in noted.note[4]
    assert (noted[["psnr_mark", "ssim_mark"]] == "").all(axis=None)


def test_table_2_is_complete() -> None:
    table = results.published("table2.csv")
    assert list(table.method.unique()) == ["Only ISPA", "Only SPCA", "Parallel", "SVQ", "Patch", "Full"]
    assert table.groupby("method", sort=False).dataset.agg(list).map(lambda sets: sets == SETS).all()
    assert (table.scale == 4).all()
    assert table.params.isna().all()


@pytest.mark.parametrize("name", ["table1.csv", "table2.csv"])
def test_values_keep_the_printed_digits(name: str) -> None:
    text = pd.read_csv(results.PUBLISHED / name, dtype=str)
    text = text[~text.note.fillna("").str.startswith("lost")]
    assert text.psnr.str.fullmatch(r"\d\d\.\d\d").all()
    assert text.ssim.str.fullmatch(r"0\.\d{4}").all()
    assert set(text.psnr_mark.dropna()) | set(text.ssim_mark.dropna()) <= {"bold", "underline"}
    assert not text.duplicated(["method", "scale", "dataset"]).any()


@pytest.mark.parametrize(
    ("name", "method", "scale", "dataset", "params", "psnr", "ssim"),
    [
        ("table1.csv", "CARN", 2, "Set5", 1592, 37.76, 0.9590),
        ("table1.csv", "SPIN", 2, "Set14", 497, 33.90, 0.9215),
        ("table1.csv", "SPIN", 3, "Urban100", 569, 28.71, 0.8627),
        ("table1.csv", "SwinIR-light", 4, "Manga109", 897, 30.92, 0.9151),
        ("table1.csv", "LatticeNet+", 4, "Set5", 777, 32.30, 0.8962),
        ("table2.csv", "Full", 4, "Set5", None, 32.48, 0.8983),
        ("table2.csv", "SVQ", 4, "Manga109", None, 30.59, 0.9104),
    ],
)
def test_spot_values(
    name: str, method: str, scale: int, dataset: str, params: int | None, psnr: float, ssim: float
) -> None:
    table = results.published(name).set_index(["method", "scale", "dataset"])
    row = table.loc[(method, scale, dataset)]
    assert (row.psnr, row.ssim) == (psnr, ssim)
    assert pd.isna(row.params) if params is None else row.params == params


def test_spin_of_table_1_is_full_of_table_2() -> None:
    spin = results.published("table1.csv").query("method == 'SPIN' and scale == 4").set_index("dataset")
    full = results.published("table2.csv").query("method == 'Full'").set_index("dataset")
    pd.testing.assert_frame_equal(spin[["psnr", "ssim"]], full.loc[spin.index, ["psnr", "ssim"]])


def test_experiments_name_methods_and_sets_that_exist() -> None:
    for name in ablations.experiment_names():
        experiment = ablations.load_experiment(name)
        if experiment.published is None:
            continue
        table = results.published(experiment.published)
        named = {variant.published for variant in experiment.variants.values()} - {None}
        assert named <= set(table.method)
        assert set(experiment.datasets) <= set(table.dataset)


def _disagreements(name: str) -> set[tuple[int, str, str, str, str, str]]:
    """Scale, set, metric, method, the paper's mark, the mark of its numbers."""
    found = set()
    table = results.published(name)
    words = {"best": "bold", "second": "underline", "": ""}
    for (scale, dataset), column in table.groupby(["scale", "dataset"]):
        if column.psnr.isna().any():  # no ranks where a value is unknown
            continue
        for key, metric in METRICS.items():
            printed = column[f"{key}_mark"].fillna("")
            computed = [words[mark] for mark in marks(list(column[key]), metric.decimals)]
            for method, theirs, ours in zip(column.method, printed, computed, strict=True):
                if theirs != ours and not (column.note[column.method == method] != "").any():
                    found.add((scale, dataset, key, method, theirs, ours))
    return found


def test_table_2_marks_no_second_best_and_misses_a_tie() -> None:
    """Parallel is second everywhere, but for PSNR on Set14, where it equals Full and nobody is second."""
    expected = {(4, name, key, "Parallel", "", "underline") for name in SETS for key in METRICS}
    expected -= {(4, "Set14", "psnr", "Parallel", "", "underline")}
    expected |= {(4, "Set14", "psnr", "Parallel", "", "bold")}
    assert _disagreements("table2.csv") == expected


def test_table_1_marks_that_are_not_those_of_its_numbers() -> None:
    swin, elan = "SwinIR-light", "ELAN-light"
    assert _disagreements("table1.csv") == {
        (2, "Set5", "psnr", elan, "", "underline"),
        (2, "Set5", "ssim", elan, "", "underline"),
        (2, "Set5", "ssim", swin, "", "underline"),
        (2, "Set14", "psnr", "SPIN", "bold", "underline"),
        (2, "Set14", "ssim", elan, "bold", "underline"),
        (2, "BSDS100", "psnr", elan, "underline", ""),  # two are best: nobody is second
        (2, "BSDS100", "ssim", swin, "bold", "underline"),
        (2, "Urban100", "psnr", swin, "bold", "underline"),
        (2, "Urban100", "psnr", elan, "bold", "underline"),
        (2, "Urban100", "psnr", "ESRT", "underline", ""),
        (2, "Urban100", "ssim", "ESRT", "underline", ""),
        (3, "Set5", "psnr", swin, "underline", ""),
        (3, "Set5", "psnr", elan, "", "underline"),
        (3, "Set14", "psnr", swin, "underline", ""),
        (3, "BSDS100", "psnr", swin, "underline", ""),
        (3, "BSDS100", "ssim", elan, "underline", ""),
        (3, "Urban100", "psnr", swin, "underline", ""),
        (4, "Set14", "psnr", swin, "underline", ""),
        (4, "Set14", "psnr", elan, "", "underline"),
        (4, "Set14", "ssim", elan, "", "underline"),
        (4, "BSDS100", "ssim", "ESRT", "underline", ""),
        (4, "Manga109", "ssim", elan, "underline", ""),
    }
