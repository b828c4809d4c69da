"""Sentences that compare no variants: marks and counts of the paper, parts of networks, stored pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import results
from reports.claims import Judgement, judge_study
from reports.pictures import PagePicture
from reports.study import load_study
from results.attribution import AttributionMaps
from results.comparison import Comparison
from results.pictures import Picture
from results.superpixels import BlockFacts, SuperpixelFacts
from tests.reports.claim_cases import experiment, only, stored
from tests.reports.conftest import replace

Store = Callable[..., results.Run]


def judged(root: Path, experiment: str, protocol: str = "published", pictures: Any = ()) -> dict[str, Judgement]:
    return {one.id: one for one in judge_study(load_study(experiment, protocol, root), pictures)}


def test_printed_marks_beside_those_of_the_printed_numbers(tmp_path: Path) -> None:
    found = judged(tmp_path, "table1")["printed-marks"].published
    assert found.word == "contradicted"
    wrong = set(found.evidence)
    assert "×2 Set14 PSNR: SPIN 33.90 is printed bold, by its rank underlined" in wrong
    assert "×2 BSDS100 PSNR: ELAN-light 32.30 is printed underlined, by its rank plain" in wrong  # after two firsts
    assert not any("×2 Manga109" in line or "×3 Manga109" in line for line in wrong)  # no ranks without SPIN's
    assert not any("Manga109" in line and "SPIN" in line for line in wrong)  # its mark is unknown at x4
    assert judged(tmp_path, "table1")["printed-marks"].measured.reason == "This is about the printed numbers alone."
    (line,) = judged(tmp_path, "table2")["printed-marks"].published.evidence  # which underlines nothing
    assert line == "×4 Set14 PSNR: Parallel 28.80 is printed plain, by its rank bold"


def test_printed_parameters_beside_counted_ones(store: Store, tmp_path: Path) -> None:
    store("imdn", "published", weights=True, parameters=715_999)  # cut off
    store("carn", "published", weights=True, parameters=1_591_963)  # rounded
    found = judged(tmp_path, "table1")["printed-parameters"].measured
    assert (found.word, found.evidence) == ("supported", [])
    assert found.reason == (
        "2 of 2 printed numbers are those counted, in thousands. 43 are of networks that are not counted."
    )
    store("swinir-light", "published", weights=True, parameters=929_628)
    found = judged(tmp_path, "table1")["printed-parameters"].measured
    assert found.word == "contradicted"
    assert found.evidence == ["×4 SwinIR-light: 897K printed, 929,628 counted (+32,628)"]
    assert judged(tmp_path / "none", "table1")["printed-parameters"].measured.reason == "Nothing is counted yet."


def test_a_part_is_counted_by_the_modules_that_hold_it(store: Store, tmp_path: Path) -> None:
    run = store("full")
    assert judged(tmp_path, "table2", "quick")["shared-key"].measured.reason.startswith("Parameters are not counted by")
    parts = {"blocks.0.spca.superpixels": 640, "blocks.1.spca.superpixels": 640, "blocks.1.ispa.pixels.key": 640}
    replace(run, "cost.json", json.dumps((run.cost() or {}) | {"parameters": 128_000, "parameters_by_module": parts}))
    found = judged(tmp_path, "table2", "quick")["shared-key"].measured
    assert found.word == "supported"
    assert found.evidence == ["×4 Full: 1,280 of 128,000 parameters (1.0%) in 2 modules spca.superpixels"]


def test_what_cannot_be_measured_says_what_is_missing() -> None:
    found = only(stored(experiment({"check": "unmeasured", "missing": "a ruler"})))
    assert found.published.word == found.measured.word == "undecided"
    assert found.measured.reason == "Nothing measured here can decide this. Missing: a ruler."


def page_picture(kind: Any, facts: Any, tmp_path: Path) -> PagePicture:
    return PagePicture(Picture("a", kind, {}, (), tmp_path), facts)


def comparison(image: str, **psnr: float) -> Comparison:
    """Panels of which the crop has that PSNR, and the whole image 1 dB more."""
    panels: list[Any] = [
        {
            "name": name, "label": name.upper(), "source": "published weights", "view": "x.png", "crop": "x.png",
            "error": "x.png",
            "part": {"psnr": value, "ssim": 0.7}, "whole": {"psnr": value + 1, "ssim": 0.8},
        }
        for name, value in psnr.items()
    ]  # fmt: skip
    box = {"x": 0, "y": 0, "width": 16, "height": 16}
    return Comparison.model_validate(
        {
            "image": image, "image_rule": "", "scale": 4, "lr_origin": "stored", "size": [32, 32], "box": box,
            "box_rule": "", "shown": box, "overview": "x.png", "view": "x.png", "crop": "x.png", "lr_crop": "x.png",
            "legend": "x.png", "largest_error": 1, "panels": panels,
        }
    )  # fmt: skip


def test_crops_are_described_and_decide_nothing(tmp_path: Path) -> None:
    shown = [
        page_picture("comparison", comparison("BSDS100/img_021", full=25.0, carn=24.0, bsrn=23.0), tmp_path),
        page_picture("comparison", comparison("Set5/img_001", full=25.0), tmp_path),
    ]
    found = judged(tmp_path, "table1", pictures=shown)
    assert found["crop-148026"].published.reason == "The paper shows this only as a figure."
    assert found["crop-148026"].measured.word == "undecided"
    assert found["crop-148026"].measured.evidence == [
        "BSDS100/img_021 ×4, FULL (published weights): crop 25.00/0.7000, image 26.00/0.8000",
        "BSDS100/img_021 ×4, CARN (published weights): crop 24.00/0.7000, image 25.00/0.8000",
    ]
    assert found["crop-img020"].measured.reason == (
        "No such picture of Urban100/img_020 is stored; make one with spinbench picture compare."
    )


def superpixels(network: str, *ignored: float | None) -> SuperpixelFacts:
    facts: dict[str, Any] = {
        "image": "Set5/img_003", "scale": 4, "lr_origin": "stored", "network": network, "source": "run", "depth": 8,
        "size": (32, 32), "zoom": 1, "at": (0, 0), "at_rule": "", "legend": "x.png", "marked_colour": "#000000",
        "ignored_colour": "#000000",
    }  # fmt: skip
    return SuperpixelFacts.model_construct(**facts, blocks=[BlockFacts.model_construct(ignored=one) for one in ignored])


def test_the_share_of_ignored_pixels_is_a_range_over_blocks(tmp_path: Path) -> None:
    shown = [
        page_picture("superpixels", superpixels(network, *shares), tmp_path)
        for network, shares in (("Full (protocol cpu)", (0.01, 0.12)), ("Patch", (0.5,)), ("Full", (None,)))
    ]
    found = judged(tmp_path, "table2", pictures=shown)["ignored-pixels"].measured
    assert found.evidence == [
        "Set5/img_003 ×4, Full (protocol cpu): 1.0% to 12.0% of the pixels ignored, over 2 blocks"
    ]


def attribution(image: str, **indices: float) -> AttributionMaps:
    panels: list[Any] = [
        {
            "name": name, "label": name, "source": "run", "map": "x.png", "overlay": "x.png", "area": "x.png",
            "pixels": 9, "diffusion_index": index, "gini": 0.9, "start": 0.0, "end": 1.0, "residual": 0.0,
        }
        for name, index in indices.items()
    ]  # fmt: skip
    box = {"x": 0, "y": 0, "width": 16, "height": 16}
    return AttributionMaps.model_validate(
        {
            "image": image, "scale": 4, "lr_origin": "stored", "lr": "x.png", "box": box, "box_rule": "", "part": box,
            "sigma": 1.2, "steps": 50, "gamma": 0.5, "share": 0.95, "panels": panels,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("images", "evidence"),
    [
        (
            [("a", {"full": 12.0, "only-ispa": 5.0})],
            ["Full: diffusion index 12.00, a", "Only ISPA: diffusion index 5.00, a"],
        ),
        (
            [("a", {"full": 12.0, "only-ispa": 5.0}), ("b", {"full": 10.0, "only-ispa": 7.0}), ("c", {"full": 99.0})],
            [
                "Full: diffusion index 11.00 (10.00 to 12.00), mean of 2 images",
                "Only ISPA: diffusion index 6.00 (5.00 to 7.00), mean of 2 images",
            ],
        ),
    ],
)
def test_the_diffusion_index_is_a_mean_over_images_that_show_both(
    tmp_path: Path, images: list[tuple[str, dict[str, float]]], evidence: list[str]
) -> None:
    shown = [page_picture("attribution", attribution(name, **indices), tmp_path) for name, indices in images]
    found = judged(tmp_path, "table2", pictures=shown)["long-range"].measured
    assert (found.word, found.evidence) == ("undecided", evidence)
