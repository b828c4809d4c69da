"""The verdicts on the claims of the paper, by its own numbers."""

from __future__ import annotations

import pandas as pd
import pytest

import results
from reports.claims import Judgement, judge_study
from reports.study import load_study


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judgement]:
    root = tmp_path_factory.mktemp("nothing")
    studies = [load_study(name, "published", root) for name in ("table1", "table2", "fig7", "related")]
    return {judgement.id: judgement for one in studies for judgement in judge_study(one)}


def test_the_papers_claims_in_its_own_numbers(verdicts: dict[str, Judgement]) -> None:
    assert {name: one.published.word for name, one in verdicts.items()} == {
        "transformers-lead": "contradicted",  # ESRT is behind CNNs
        "best-or-second": "undecided",  # Manga109 is unknown at x2 and x3
        "best": "contradicted",  # ELAN-light leads on Set14 at x2
        "smallest-transformer": "supported",
        "trade-off": "supported",
        "favourable-lightweight": "undecided",  # no MACs are printed
        "printed-parameters": "undecided",
        "crop-148026": "undecided",
        "crop-img020": "undecided",
        "both-modules": "supported",
        "sequential": "undecided",  # Parallel equals Full on Set14
        "parallel-before-one": "supported",
        "superpixels-before-svq": "supported",
        "superpixels-before-patches": "supported",
        "similar-parameters": "undecided",
        "parallel-slightly-behind": "supported",
        "parallel-largely-better": "supported",
        "svq-slightly-behind": "contradicted",  # by more than Parallel "largely" outperforms
        "neighbours-save-macs": "undecided",
        "neighbours-save-memory": "undecided",
        "shared-key": "undecided",
        "ignored-pixels": "undecided",
        "precise-boundaries": "undecided",
        "long-range": "undecided",
        "printed-marks": "contradicted",
        "eight-blocks": "undecided",  # a picture
        "too-deep": "undecided",
        "late-upsampling": "undecided",
        "group-convolutions": "undecided",
        "group-convolutions-impair": "undecided",
        "separable-convolutions": "undecided",
        "separable-parameters": "undecided",
        "bsrn-better": "undecided",
        "elan-efficient": "undecided",
        "elan-memory": "undecided",
    }
    assert all(one.measured.word == "undecided" for one in verdicts.values())


def test_where_transformers_do_not_lead(verdicts: dict[str, Judgement]) -> None:
    """Counted again, without the suite's machinery."""
    table = results.published("table1.csv")
    cnns = ["CARN", "IMDN", "AWSRN-M", "MADNet", "LAPAR-A", "RFDN", "GLADSR"]
    ours = table[table.method.isin(["SwinIR-light", "ESRT", "ELAN-light"])]
    pairs = ours.merge(table[table.method.isin(cnns)], on=["scale", "dataset"], suffixes=("", "_cnn"))
    leads = pd.concat([pairs.psnr - pairs.psnr_cnn, pairs.ssim - pairs.ssim_cnn])
    behind = pd.concat([pairs[pairs.psnr < pairs.psnr_cnn], pairs[pairs.ssim < pairs.ssim_cnn]])
    assert set(behind.method) == {"ESRT"}
    assert verdicts["transformers-lead"].published.reason == (
        f"{(leads > 0).sum()} of {len(leads)} comparisons hold, {len(behind)} contrary, "
        f"{(leads == 0).sum()} tied at the printed precision."
    )
    assert "×4 Set5 SSIM: ESRT 0.8947, AWSRN-M 0.8954" in verdicts["transformers-lead"].published.evidence


def test_what_decides_in_the_papers_numbers(verdicts: dict[str, Judgement]) -> None:
    assert verdicts["best"].published.evidence == ["×2 Set14 PSNR: SPIN 33.90, ELAN-light 33.94"]
    assert verdicts["sequential"].published.evidence == ["×4 Set14 PSNR: Full 28.80, Parallel 28.80"]
    assert verdicts["best-or-second"].published.evidence == [
        "SPIN: unknown here, lost in the transcription, at ×2 Manga109, ×3 Manga109",
    ]
    assert verdicts["smallest-transformer"].published.evidence[0] == "×3 parameters: SPIN 569K, ELAN-light 590K"
    assert verdicts["eight-blocks"].published.reason == "The paper shows this only as a figure."
