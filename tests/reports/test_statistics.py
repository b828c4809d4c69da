"""Paired statistics against textbook values, scipy's own, plain definitions, and frames worked out by hand."""

from __future__ import annotations

import dataclasses
import math
from itertools import product
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

import ablations
from reports import study
from reports.contrasts import Contrast, against_reference, compute_contrasts
from reports.numbers import shown, signed
from reports.page import TEMPLATES
from reports.significance import Significance, significances
from reports.statistics import LEVEL, holm, interval, signed_rank
from results import COLUMNS, ResultsError

TABLE2 = ablations.load_experiment("table2")
DARWIN = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]  # maize, crossed minus self-fertilised; 1/8 inch
Image = tuple[str, int, str, str, float, float]  # variant, seed, set, image, psnr, ssim


def frame(*images: Image, scale: int = 4, origin: str = "stored", source: str = "run") -> pd.DataFrame:
    rows = [
        {
            "experiment": "table2", "protocol": "cpu", "variant": variant, "source": source, "scale": scale,
            "seed": seed, "ensemble": False, "dataset": dataset, "lr_origin": origin, "convention": convention,
            "image": image, "psnr": psnr + change, "ssim": ssim,
        }
        for variant, seed, dataset, image, psnr, ssim in images
        for convention, change in (("rcan", 0.0), ("float", 7.0))
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def series(variant: str, values: list[float], dataset: str = "Set14", seed: int = 0) -> list[Image]:
    return [
        (variant, seed, dataset, f"image{i:03}", 30 + value, 0.8 if math.isinf(value) else 0.8 + value / 100)
        for i, value in enumerate(values)
    ]


def one(table: pd.DataFrame, variant: str = "svq", metric: str = "psnr") -> pd.Series:
    found = table[(table.variant == variant) & (table.metric == metric)]
    assert len(found) == 1
    return found.iloc[0]


# the test


def test_darwins_maize_has_the_p_value_of_the_textbooks() -> None:
    """Fisher's example of paired differences; W = 24 and p = 0.0413 in R and in scipy's documentation."""
    assert signed_rank(DARWIN) == pytest.approx(0.041259765625, abs=1e-12)
    assert signed_rank([-d for d in DARWIN]) == signed_rank(DARWIN)


def plain_signed_rank(differences: list[float]) -> float:
    """The definition: the rank sum among those of all assignments of signs."""
    kept = [d for d in differences if d]
    ranks = stats.rankdata(np.abs(kept))
    sums = [
        sum(rank for rank, up in zip(ranks, signs, strict=True) if up) for signs in product((0, 1), repeat=len(kept))
    ]
    seen = sum(rank for rank, d in zip(ranks, kept, strict=True) if d > 0)
    tail = min(sum(s <= seen for s in sums), sum(s >= seen for s in sums)) / len(sums)
    return min(1.0, 2 * tail)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=8))
def test_small_samples_are_exact_with_ties_and_zeros(differences: list[int]) -> None:
    p = signed_rank(differences)
    if sum(d != 0 for d in differences) < 6:
        assert math.isnan(p)
    else:
        assert p == pytest.approx(plain_signed_rank([float(d) for d in differences]), abs=1e-12)


def test_there_is_no_p_value_where_none_could_be_significant() -> None:
    assert math.isnan(signed_rank([1.0, 2.0, 3.0, 4.0, 5.0]))  # as on Set5: the smallest is 2/32
    assert plain_signed_rank([1.0, 2.0, 3.0, 4.0, 5.0]) > LEVEL
    assert signed_rank([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == 2 / 64 < LEVEL
    assert math.isnan(signed_rank([0.0] * 20))


def test_long_samples_are_those_of_scipy() -> None:
    generator = np.random.default_rng(1)
    for n in (14, 50, 51, 109):
        differences = generator.normal(0.2, 1, n)
        assert signed_rank(differences) == stats.wilcoxon(differences).pvalue
        assert signed_rank(np.round(differences, 1)) == stats.wilcoxon(np.round(differences, 1)).pvalue


# the correction


def test_holm_as_published_and_as_in_r() -> None:
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.0121, 0.0142, 0.1986, 0.0513]) == pytest.approx([0.0484, 0.0484, 0.1986, 0.1026])
    assert holm([0.9, 0.6]) == pytest.approx([1, 1])
    assert len(holm([])) == 0


probabilities = st.lists(st.one_of(st.just(math.nan), st.floats(0, 1)), max_size=12)


@given(probabilities, st.floats(0.001, 0.999))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values: list[float], level: float) -> None:
    tests = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    rejected = set()
    for step, (p, index) in enumerate(tests):
        bound = level / (len(tests) - step)
        assume(abs(p - bound) > 1e-12)
        if p > bound:
            break
        rejected.add(index)
    corrected = holm(p_values)
    assert {index for index, p in enumerate(corrected) if p <= level} == rejected
    assert [math.isnan(p) for p in corrected] == [math.isnan(p) for p in p_values]


# frames


def test_the_interval_is_the_same_each_time_and_alone_as_among_others() -> None:
    images = [
        *series("full", [0.0] * 15),
        *series("svq", [d / 100 for d in DARWIN]),
        *series("patch", [1.0, 2.0, 4.0] * 5),
    ]
    wanted = [Contrast(4, "Set14", name, "full", "psnr") for name in ("patch", "svq")]
    both, alone = compute_contrasts(frame(*images), wanted), compute_contrasts(frame(*images), wanted[1:])
    pd.testing.assert_series_equal(one(both), one(alone), check_names=False)
    pd.testing.assert_frame_equal(both, compute_contrasts(frame(*images), wanted), check_exact=True)
    assert (one(both).low, one(both).high) == pytest.approx(interval([d / 100 for d in DARWIN]), rel=1e-9)


def test_seeds_are_averaged_before_images_are_compared() -> None:
    seeds = [*series("svq", [1.0, 2.0, 3.0], seed=0), *series("svq", [3.0, 4.0, 5.0], seed=1)]
    images = frame(*seeds, *series("full", [0.0, 1.0, 5.0]))
    row = one(compute_contrasts(images, [Contrast(4, "Set14", "svq", "full", "psnr")]))
    assert (row.difference, row["median"]) == (pytest.approx(1.0), pytest.approx(2.0))  # of 2, 2 and -1
    assert row.sd_images == pytest.approx(math.sqrt(3))
    assert row.sd_seeds == pytest.approx(math.sqrt(2))  # set means 32 and 34
    assert (row.n_seeds, row.reference_seeds, row.n_images) == (2, 1, 3)
    assert math.isnan(row.reference_sd_seeds)


def test_a_seed_with_fewer_images_has_no_part() -> None:
    images = frame(*series("svq", [1.0, 2.0], seed=0), *series("svq", [9.0], seed=1), *series("full", [0.0, 0.0]))
    row = one(compute_contrasts(images, [Contrast(4, "Set14", "svq", "full", "psnr")]))
    assert (row.difference, row.n_seeds, row.n_unpaired) == (pytest.approx(1.5), 1, 0)


def test_only_pairs_count() -> None:
    images = frame(*series("svq", [1.0, 2.0, math.inf, 4.0]), *series("full", [0.0, 0.0, 0.0]))
    row = one(compute_contrasts(images, [Contrast(4, "Set14", "svq", "full", "psnr")]))
    assert (row.difference, row.n_images, row.n_infinite, row.n_unpaired) == (pytest.approx(1.5), 2, 1, 1)
    other = pd.concat([frame(*series("svq", [1.0])), frame(*series("full", [0.0]), origin="imresize-symmetric")])
    assert compute_contrasts(other, [Contrast(4, "Set14", "svq", "full", "psnr")]).empty
    assert compute_contrasts(
        images, [Contrast(4, "Set14", "patch", "full", "psnr"), Contrast(2, "Set5", "svq", "full", "ssim")]
    ).empty
    assert compute_contrasts(frame(), [Contrast(4, "Set14", "svq", "full", "psnr")]).empty


def test_a_missing_number_is_refused() -> None:
    with pytest.raises(ResultsError, match="no number"):
        compute_contrasts(frame(*series("svq", [math.nan])), [])


def test_the_table_corrects_over_all_its_rows() -> None:
    images = [*series("full", [0.0] * 15), *series("svq", [d / 100 for d in DARWIN])]
    images += [*series("patch", [float(i + 1) for i in range(15)]), *series("bicubic", [-d / 50 for d in DARWIN])]
    table = against_reference(TABLE2, frame(*images))
    assert list(table.variant[table.metric == "psnr"]) == ["bicubic", "svq", "patch"]
    psnr = table[table.metric == "psnr"].set_index("variant")
    assert psnr.p_holm.to_dict() == pytest.approx(  # of three variants in two metrics
        {"bicubic": 4 * psnr.p.svq, "svq": 4 * psnr.p.svq, "patch": 6 * 2 / 2**15}
    )
    assert (one(table).label, one(table).reference_label) == ("SVQ", "Full")
    assert set(table.reference) == {"full"}


def test_the_first_measured_variant_stands_in_for_the_reference() -> None:
    table1 = ablations.load_experiment("table1")
    images = pd.concat(
        [
            frame(*series("imdn", [1.0]), *series("bsrn", [2.0]), scale=2, source="published weights"),
            frame(*series("bsrn", [1.0]), *series("carn-m", [2.0]), scale=3, source="published weights"),
        ]
    )
    assert against_reference(table1, images).groupby("scale").reference.unique().map(list).to_dict() == {
        2: ["imdn"],
        3: ["carn-m"],
    }


def test_networks_trained_here_are_not_compared_with_published_weights() -> None:
    images = pd.concat([frame(*series("imdn", [1.0]), source="published weights"), frame(*series("full", [2.0]))])
    assert against_reference(ablations.load_experiment("table1"), images).empty


def page(found: list[Significance]) -> str:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"shown": shown, "signed": signed}
    return str(environment.get_template("statistics.html").module.section(found))


def test_the_page_tells_why_there_is_no_p_value_and_escapes_labels(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    variants = TABLE2.variants | {"svq": TABLE2.variants["svq"].model_copy(update={"label": evil})}
    images = [*series("full", [0.0] * 5, "Set5"), *series("svq", [0.1, 0.2, 0.3, 0.4, math.inf], "Set5")]
    empty = study.load_study("table2", "cpu", tmp_path)
    renamed = TABLE2.model_copy(update={"variants": variants})
    found = significances([dataclasses.replace(empty, experiment=renamed, frame=frame(*images)), empty])
    assert len(found) == 1
    assert found[0].notes[0].startswith("No test on Set5 (5 images)")
    assert f"{evil} on Set5: 1 image excluded, because PSNR" in found[0].notes[1]
    html = page(found)
    assert evil not in html
    assert "&lt;script&gt;" in html
    assert "<td>+0.250</td>" in html
    assert html.count("<td>–</td><td>–</td>") >= 2


def test_the_page_tells_of_a_stand_in_and_shows_seeds_where_there_are_several(tmp_path: Path) -> None:
    single = [*series("svq", [1.0, 2.0, 4.0]), *series("patch", [0.0, 1.0, 1.0])]
    several = [*single, *series("patch", [1.0, 1.0, 3.0], seed=1), *series("svq", [1.0, 2.0, 4.0], seed=1)]
    empty = study.load_study("table2", "cpu", tmp_path)
    found = significances([dataclasses.replace(empty, frame=frame(*several))])
    assert found[0].references == ["SVQ"]
    assert found[0].notes[0].startswith("Full was not measured at every scale")
    assert not any("another training" in note for note in found[0].notes)
    assert "<td>0.707 (2)</td>" in page(found)
    alone = significances([dataclasses.replace(empty, frame=frame(*single))])
    assert "over seeds</th>" not in page(alone)
    assert any("another training" in note for note in alone[0].notes)
