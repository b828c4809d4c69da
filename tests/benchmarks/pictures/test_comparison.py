"""Comparisons of networks on an image: which image, which box, and what stands under each crop."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import results
from benchmarks.data import datasets
from benchmarks.data.images import DataError
from benchmarks.data.resize import imresize
from benchmarks.measure import evaluation
from benchmarks.measure.quality import eight_bit, psnr, ssim
from benchmarks.networks import Network
from benchmarks.pictures import comparison
from benchmarks.pictures.comparison import COLOURS, EDGE, LEAST, VIEW, differing_box, differing_image, draw_comparison
from benchmarks.pictures.named import PictureError, image_pair, picture_name
from results import pictures
from results.comparison import Box
from tests.benchmarks.pictures.noise import CPU, SCALE, noise, pair_of, shown

# The box


@given(st.integers(0, 96 - 8 - 10), st.integers(0, 120 - 8 - 12))
def test_the_box_holds_a_planted_difference(down: int, right: int) -> None:
    hr = noise(0, 96, 120)
    same, other, bicubic = hr.copy(), hr.copy(), 255 - hr  # all of bicubic differs, which does not count
    y, x = SCALE + down, SCALE + right
    other[y : y + 10, x : x + 12] ^= 64
    box, rule = differing_box(
        pair_of(hr), SCALE, [shown("bicubic", bicubic), shown("imdn", same), shown("carn", other)]
    )
    assert (box.width, box.height) == (EDGE, EDGE)
    assert box.x <= x and x + 12 <= box.x + box.width
    assert box.y <= y and y + 10 <= box.y + box.height
    assert box.x >= SCALE and box.x + box.width <= 120 - SCALE
    assert box.y >= SCALE and box.y + box.height <= 96 - SCALE
    assert "networks differ most" in rule


def test_differences_in_the_border_do_not_count() -> None:
    hr = noise(0, 100, 100)
    other = hr.copy()
    other[:SCALE] ^= 255
    other[80, 80] ^= 1
    box, _ = differing_box(pair_of(hr), SCALE, [shown("imdn", hr), shown("carn", other)])
    assert 80 in range(box.x, box.x + box.width) and 80 in range(box.y, box.y + box.height)


@pytest.mark.parametrize("edge", [11, 12, 30])
def test_the_box_is_the_best_of_all(monkeypatch: pytest.MonkeyPatch, edge: int) -> None:
    monkeypatch.setattr(comparison, "EDGE", edge)
    hr = noise(0, 40, 36)
    networks = [noise(seed, 40, 36) for seed in (1, 2, 3)]
    luma = np.array([65.481, 128.553, 24.966]) / 255
    variance = np.var([network @ luma for network in networks], axis=0)
    height, width = min(edge, 40 - 2 * SCALE), min(edge, 36 - 2 * SCALE)
    means = {
        (y, x): variance[y : y + height, x : x + width].mean()
        for y in range(SCALE, 40 - SCALE - height + 1)
        for x in range(SCALE, 36 - SCALE - width + 1)
    }
    y, x = max(means, key=lambda place: means[place])
    one = [shown(f"n{number}", network) for number, network in enumerate(networks)]
    assert differing_box(pair_of(hr), SCALE, one)[0] == Box(x=x, y=y, width=width, height=height)


@pytest.mark.parametrize("names", [("imdn",), ("bicubic",), ("bicubic", "imdn")])
def test_a_single_network_is_shown_where_it_errs_most(names: tuple[str, ...]) -> None:
    hr = noise(0, 96, 120)
    sr = hr.copy()
    sr[30:40, 100:110] ^= 32
    others = [shown(name, noise(1, 96, 120)) for name in names[:-1]]
    box, rule = differing_box(pair_of(hr), SCALE, [*others, shown(names[-1], sr)])
    assert box.x <= 100 and box.x + box.width >= 110
    assert box.y <= 30 and box.y + box.height >= 40
    assert "difference to HR is largest" in rule


def test_boxes_that_do_not_fit_are_refused() -> None:
    one = pair_of(noise(0, 40, 48))
    with pytest.raises(PictureError, match=r"box 40,0,11,11: reaches outside of x, 48x40 pixels"):
        comparison.check_crop(Box(x=40, y=0, width=11, height=11), one, [])
    with pytest.raises(PictureError, match=r"box 0,0,11,10: expected at least 11x11 pixels"):
        comparison.check_crop(Box(x=0, y=0, width=11, height=10), one, [])
    comparison.check_crop(Box(x=37, y=29, width=11, height=11), one, [])
    with pytest.raises(PictureError, match="48x36 pixels"):  # a result that covers less
        comparison.check_crop(Box(x=37, y=29, width=11, height=11), one, [shown("smsr", noise(0, 36, 48))])
    with pytest.raises(PictureError, match="16x40 pixels, expected at least 19"):
        small = pair_of(noise(0, 40, 16))
        differing_box(small, SCALE, [shown("imdn", small.hr)])


# What stands under the crops


def test_values_are_those_of_the_benchmark() -> None:
    hr, sr = noise(0, 80, 96), noise(1, 80, 96)
    narrow = noise(2, 72, 88)  # a network that takes a multiple of pixels only
    box = Box(x=13, y=22, width=31, height=17)
    facts, images = draw_comparison(
        "Set5/x", "by hand", pair_of(hr), SCALE,
        [shown("imdn", sr), shown("smsr", narrow), shown("carn", hr.copy())], box, "by hand",
    )  # fmt: skip
    part = np.s_[22:39, 13:44]
    whole = [(panel.whole.psnr, panel.whole.ssim) for panel in facts.panels]
    crop = [(panel.part.psnr, panel.part.ssim) for panel in facts.panels]
    assert whole[0] == (psnr(sr, hr, SCALE), ssim(sr, hr, SCALE))
    assert whole[1] == (psnr(narrow, hr[:72, :88], SCALE), ssim(narrow, hr[:72, :88], SCALE))
    assert crop[0] == (psnr(sr[part], hr[part], 0), ssim(sr[part], hr[part], 0))
    assert crop[1] == (psnr(narrow[part], hr[part], 0), ssim(narrow[part], hr[part], 0))
    assert whole[2] == crop[2] == (None, pytest.approx(1))
    assert np.array_equal(images[facts.crop], hr[part])
    assert np.array_equal(images[facts.panels[1].crop], narrow[part])
    assert set(facts.files) == set(images)
    assert facts.size == (96, 80)


@given(st.integers(4, 160), st.integers(4, 160), st.data())
def test_the_view_is_the_whole_image_or_a_part_around_the_box(height: int, width: int, data: st.DataObject) -> None:
    height, width = 4 * height, 4 * width
    box_height, box_width = (data.draw(st.integers(min(16, side), side)) for side in (height, width))
    y, x = data.draw(st.integers(0, height - box_height)), data.draw(st.integers(0, width - box_width))
    box = Box(x=x, y=y, width=box_width, height=box_height)
    hr = np.zeros((height, width, 3), np.uint8)
    shown_part = comparison._around(box, pair_of(hr), [shown("imdn", hr)])
    for start, length, around, shown_length, side in (
        (x, box_width, shown_part.x, shown_part.width, width), (y, box_height, shown_part.y, shown_part.height, height)
    ):  # fmt: skip
        assert 0 <= around <= start and start + length <= around + shown_length <= side
        assert shown_length == min(side, max(length, VIEW))


def test_views_and_the_crop_of_lr() -> None:
    hr, sr = noise(0, 80, 640), noise(1, 80, 640)
    box = Box(x=303, y=22, width=31, height=17)
    facts, images = draw_comparison("x", "", pair_of(hr), SCALE, [shown("imdn", sr)], box, "")
    assert str(facts.shown) == "62,0,512,80" and not facts.is_whole
    assert np.array_equal(images[facts.view], hr[:, 62:574])
    assert np.array_equal(images[facts.panels[0].view], sr[:, 62:574])
    rows, columns = np.arange(22, 39) // SCALE, np.arange(303, 334) // SCALE
    assert np.array_equal(images[facts.lr_crop], pair_of(hr).lr[np.ix_(rows, columns)])


def test_errors_share_their_scale() -> None:
    hr = np.full((80, 80, 3), 100, np.uint8)
    near, far = hr.copy(), hr.copy()
    near[20:40, 20:40] += 20  # grey: Y changes by 219/255 of it
    far[20:40, 20:40] += 60
    box = Box(x=16, y=16, width=32, height=32)
    facts, images = draw_comparison("x", "", pair_of(hr), SCALE, [shown("imdn", near), shown("carn", far)], box, "")
    assert facts.largest_error == math.ceil(60 * 219 / 255)
    nothing, end = (np.array(COLOURS(value, bytes=True)[:3]) for value in (0.0, 60 * 219 / 255 / facts.largest_error))
    third = np.array(COLOURS(20 * 219 / 255 / facts.largest_error, bytes=True)[:3])
    weak, strong = (images[panel.error] for panel in facts.panels)
    assert (weak[0, 0] == nothing).all() and (strong[0, 0] == nothing).all()
    assert (weak[10, 10] == third).all() and (strong[10, 10] == end).all()
    legend = images[facts.legend].astype(int) @ [299, 587, 114]
    assert np.diff(legend[0]).min() > -1000  # readable in grey: it never falls by a level of 255
    assert legend[0, 0] < 0.02 * legend[0, -1]


def test_the_overview_is_reduced_and_marks_the_box() -> None:
    hr = np.full((400, 1000, 3), 128, np.uint8)
    facts, images = draw_comparison(
        "x", "", pair_of(hr), SCALE, [shown("imdn", hr)], Box(x=500, y=100, width=200, height=50), ""
    )
    overview = images[facts.overview]
    assert overview.shape == (160, 400, 3)
    rows, columns = np.nonzero((overview == 255).all(axis=2))
    assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == (199, 281, 39, 61)  # a pixel around it
    assert (overview[42:58, 202:278] == 128).all()  # nothing inside is covered


# The image


def quality(rows: list[tuple[str, str, float]], **others: object) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["variant", "image", "psnr"])
    return frame.assign(**{"scale": SCALE, "convention": "rcan", "dataset": "Set5", "ssim": 0.9, **others})


def test_the_image_where_networks_are_furthest_apart() -> None:
    frame = pd.concat(
        [
            quality([("bicubic", "a", 10), ("imdn", "a", 30), ("carn", "a", 30.5)]),
            quality([("bicubic", "b", 29), ("imdn", "b", 30), ("carn", "b", 31.25)]),
            quality([("imdn", "c", 20), ("other", "c", 50)]),  # carn was not measured on it
            quality([("imdn", "d", 30), ("carn", "d", math.inf)]),
            quality([("imdn", "a", 1), ("carn", "a", 50)], scale=2),
            quality([("imdn", "a", 1), ("carn", "a", 50)], convention="float"),
        ]
    )
    image, rule = differing_image(frame, SCALE, ["bicubic", "imdn", "carn", "absent"])
    assert image == "Set5/b"
    assert rule == "of 2 measured images, the one on which 2 methods are furthest apart (1.25 dB of PSNR)"
    assert differing_image(frame, SCALE, ["bicubic", "imdn"])[0] == "Set5/a"
    for names in (["imdn"], ["imdn", "absent"], ["other", "carn"]):
        with pytest.raises(PictureError, match="expected an image to be named"):
            differing_image(frame, SCALE, names)
    with pytest.raises(PictureError, match="no image has measured results"):
        differing_image(pd.DataFrame(columns=results.COLUMNS), SCALE, ["imdn", "carn"])


def test_pairs_come_from_sets_and_files(tmp_path: Path) -> None:
    title, one = image_pair("embedded-test/coffee", 2)
    assert title == "embedded-test/coffee"
    assert np.array_equal(one.lr, datasets.get("embedded-test").pair("coffee", 2).lr)
    hr = noise(0, 41, 39)
    Image.fromarray(hr).save(tmp_path / "x.y.png")
    title, one = image_pair(str(tmp_path / "x.y.png"), SCALE)
    assert title == "x.y.png"
    assert np.array_equal(one.hr, hr[:40, :36])
    assert np.array_equal(one.lr, imresize(hr[:40, :36], 1 / SCALE))
    assert image_pair(f"{tmp_path}/x.y", SCALE)[0] == f"folder:{tmp_path.name}/x.y"
    with pytest.raises(PictureError, match=r"image 'absent.png': no such file, expected one, or SET/NAME"):
        image_pair("absent.png", SCALE)
    with pytest.raises(DataError, match="embedded-test has no image 'tea'"):
        image_pair("embedded-test/tea", SCALE)
    with pytest.raises(DataError, match="no data set or folder 'Set6'"):
        image_pair("Set6/img_001", SCALE)


@given(st.text(), st.text())
def test_stored_names_are_plain(one: str, other: str) -> None:
    assert pictures._PLAIN_NAME.fullmatch(picture_name("c", one, other))


def test_a_network_is_shown_as_it_is_measured() -> None:
    network, lr = Network("espcn", 2, ensemble=True, multiple=4), noise(0, 31, 27)
    expected = evaluation.self_ensemble(evaluation.network_upscale(network.module(), CPU))(lr[:28, :24])
    assert np.array_equal(comparison.upscale_image(network, lr, CPU).sr, eight_bit(expected))


def test_the_least_box_is_the_window_of_ssim() -> None:
    hr = noise(0, 60, 60)
    assert ssim(hr[:LEAST, :LEAST], hr[:LEAST, :LEAST], 0) == pytest.approx(1)
    with pytest.raises(ValueError, match="SSIM needs"):
        ssim(hr[: LEAST - 1], hr[: LEAST - 1], 0)
