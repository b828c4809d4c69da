"""PSNR and SSIM against scikit-image and a plain reference, properties, conventions, faults."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmarks.measure.quality import CONVENTIONS, psnr, scores, ssim
from tests.oracles import quality_direct as direct

SCALE = 4
Uint8 = NDArray[np.uint8]
Case = tuple[Uint8, Uint8, int]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """SR, HR and border: colour or grey, unrelated, close, flat or saturated, down to the smallest size."""
    border = draw(st.integers(0, 4))
    height, width = (draw(st.integers(11, 40)) + 2 * border for _ in range(2))
    shape = (height, width, 3) if draw(st.booleans()) else (height, width)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    hr = random.integers(0, 256, shape, dtype=np.uint8)
    match draw(st.sampled_from(["unrelated", "close", "flat", "saturated"])):
        case "unrelated":
            sr = random.integers(0, 256, shape, dtype=np.uint8)
        case "close":
            sr = np.clip(hr + random.normal(0, 3, shape), 0, 255).astype(np.uint8)
        case "flat":
            hr = np.full(shape, random.integers(0, 256), np.uint8)
            sr = np.full(shape, random.integers(0, 256), np.uint8)
        case _:
            hr = np.where(hr > 127, 255, 0).astype(np.uint8)
            sr = np.where(random.random(shape) > 0.5, 255, 0).astype(np.uint8)
    return sr, hr, border


def pair(*shape: int, seed: int = 0) -> tuple[Uint8, Uint8]:
    random = np.random.default_rng(seed)
    sr, hr = random.integers(0, 256, (2, *shape), dtype=np.uint8)
    return sr, hr


def cut_luma(sr: Uint8, hr: Uint8, border: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return direct.cut(direct.luma(sr), border), direct.cut(direct.luma(hr), border)


@pytest.fixture(scope="module")
def photograph() -> tuple[NDArray[np.float64], Uint8]:
    """A blurred photograph in [0, 1], a little outside of it too, as a network gives, and the photograph."""
    hr = skimage.data.astronaut()[:256, 128:448]
    blurred = gaussian_filter(hr / 255, (1.5, 1.5, 0))
    return 1.04 * blurred - 0.02, hr


# Oracles


@settings(deadline=None)
@given(cases())
def test_scikit_image_agrees(case: Case) -> None:
    sr, hr, border = case
    sr_y, hr_y = cut_luma(sr, hr, border)
    _, full_map = structural_similarity(
        sr_y,
        hr_y,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        full=True,
    )
    assert ssim(sr, hr, border) == pytest.approx(full_map[5:-5, 5:-5].mean(), abs=1e-10)
    if not np.array_equal(sr_y, hr_y):
        assert psnr(sr, hr, border) == pytest.approx(peak_signal_noise_ratio(hr_y, sr_y, data_range=255), abs=1e-10)


@settings(deadline=None, max_examples=50)
@given(cases())
def test_plain_reference_agrees(case: Case) -> None:
    sr, hr, border = case
    planes = cut_luma(sr, hr, border)
    assert ssim(sr, hr, border) == pytest.approx(direct.ssim(*planes), abs=1e-10)
    if not np.array_equal(*planes):
        assert psnr(sr, hr, border) == pytest.approx(direct.psnr(*planes), abs=1e-10)


def test_each_convention_is_its_definition(photograph: tuple[NDArray[np.float64], Uint8]) -> None:
    sr, hr = photograph
    clamped = np.clip(255 * sr, 0, 255)
    rounded = np.round(clamped)
    inner = np.s_[SCALE:-SCALE, SCALE:-SCALE]
    sr_y, hr_y = direct.luma(rounded), direct.luma(hr)
    planes = {
        "rcan": [(sr_y[inner], hr_y[inner])],
        "float": [(direct.luma(clamped)[inner], hr_y[inner])],
        "y8": [(direct.luma_8_bit(rounded)[inner], direct.luma_8_bit(hr)[inner])],
        "rgb": [(rounded[inner][..., c], hr[inner][..., c].astype(np.float64)) for c in range(3)],
        "full-range": [((sr_y[inner] - 16) * 255 / 219, (hr_y[inner] - 16) * 255 / 219)],
        "no-border": [(sr_y, hr_y)],
    }
    assert set(planes) == set(CONVENTIONS)
    for name, channels in planes.items():
        error = np.mean([np.mean((a - b) ** 2) for a, b in channels])
        expected = 10 * np.log10(255**2 / error), np.mean([direct.ssim(a, b) for a, b in channels])
        assert scores(sr, hr, SCALE, name) == pytest.approx(expected, abs=1e-10), name


# Properties


@settings(deadline=None, max_examples=50)
@given(cases())
def test_symmetric_bounded_and_perfect_on_identical_images(case: Case) -> None:
    sr, hr, border = case
    assert psnr(sr, hr, border) == psnr(hr, sr, border)
    assert ssim(sr, hr, border) == ssim(hr, sr, border)
    assert -1 <= ssim(sr, hr, border) <= 1
    assert psnr(hr, hr, border) == math.inf
    assert ssim(hr, hr, border) == 1


@settings(deadline=None, max_examples=50)
@given(cases())
def test_flips_and_transposition_change_nothing(case: Case) -> None:
    sr, hr, border = case
    for turn in (np.flipud, np.fliplr, lambda image: image.swapaxes(0, 1)):
        assert psnr(turn(sr), turn(hr), border) == pytest.approx(psnr(sr, hr, border), abs=1e-10)
        assert ssim(turn(sr), turn(hr), border) == pytest.approx(ssim(sr, hr, border), abs=1e-10)


@settings(deadline=None, max_examples=50)
@given(cases(), st.integers(0, 2**32 - 1))
def test_border_does_not_matter_and_the_next_pixel_does(case: Case, seed: int) -> None:
    sr, hr, border = case
    noise = np.random.default_rng(seed).integers(0, 256, sr.shape, dtype=np.uint8)
    inside = np.s_[border : sr.shape[0] - border, border : sr.shape[1] - border]
    noise[inside] = sr[inside]
    assert (psnr(noise, hr, border), ssim(noise, hr, border)) == (psnr(sr, hr, border), ssim(sr, hr, border))
    changed = hr.copy()
    changed[border, border] = 0 if hr[border, border].mean() > 127 else 255
    assert psnr(changed, hr, border) < math.inf
    assert ssim(changed, hr, border) < 1


@given(st.integers(0, 255), st.integers(0, 255).filter(bool))
def test_flat_images_give_the_closed_form(level: int, step: int) -> None:
    other = level + step if level + step <= 255 else level - step
    if other < 0:
        other = (level + 1) % 256
    hr, sr = (np.full((24, 24, 3), value, np.uint8) for value in (level, other))
    difference = abs(level - other)
    assert psnr(sr, hr, 0) == pytest.approx(20 * math.log10(255 / (difference * 219 / 255)), abs=1e-9)
    assert scores(sr, hr, 1, "full-range")[0] == pytest.approx(20 * math.log10(255 / difference), abs=1e-9)
    assert scores(sr, hr, 1, "rgb")[0] == pytest.approx(20 * math.log10(255 / difference), abs=1e-9)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_grey_counts_as_equal_channels(convention: str) -> None:
    sr, hr = pair(31, 26)
    colour = [np.stack([image] * 3, axis=2) for image in (sr, hr)]
    assert scores(sr, hr, 2, convention) == pytest.approx(scores(*colour, 2, convention), abs=1e-10)


def test_inputs_stay_as_they_were() -> None:
    sr, hr = pair(24, 24, 3)
    before = sr.copy(), hr.copy()
    for convention in CONVENTIONS:
        scores(sr, hr, 2, convention)
        scores(sr / np.float32(255), hr, 2, convention)
    np.testing.assert_array_equal(before, (sr, hr))


# Conventions


def test_float_input_is_rounded_and_clipped() -> None:
    _, hr = pair(20, 20, 3)
    sr = np.random.default_rng(1).uniform(-0.5, 1.5, hr.shape).astype(np.float32)
    eight_bit = np.clip(np.floor(255 * sr.astype(np.float64) + 0.5), 0, 255).astype(np.uint8)
    assert scores(sr, hr, 2) == (psnr(eight_bit, hr, 2), ssim(eight_bit, hr, 2))
    assert scores(sr, hr, 2) == scores(eight_bit, hr, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_8_bit_value_survives_division_by_255(dtype: type) -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert scores(image / dtype(255), image, 1)[0] == math.inf


def test_departures_have_the_known_effects(photograph: tuple[NDArray[np.float64], Uint8]) -> None:
    sr, hr = photograph
    found = {name: scores(sr, hr, SCALE, name) for name in CONVENTIONS}
    effects = {name: score[0] - found["rcan"][0] for name, score in found.items() if name != "rcan"}
    assert all(found[name] != found["rcan"] for name in effects)
    assert effects["full-range"] == pytest.approx(20 * math.log10(219 / 255), abs=1e-9)  # -1.32 dB
    assert effects["rgb"] < -0.5
    # to leave one rounding out gains, to add one costs, both by hundredths of a dB
    assert 0 < effects["float"] < 0.1
    assert -0.1 < effects["y8"] < 0
    assert 1e-4 < abs(effects["no-border"]) < 0.5


def test_float_and_rcan_are_one_for_8_bit_sr() -> None:
    sr, hr = pair(24, 24, 3)
    assert scores(sr, hr, 2, "float") == scores(sr, hr, 2, "rcan")


# Faults


@pytest.mark.parametrize("function", [psnr, ssim])
@pytest.mark.parametrize(
    ("sr", "hr", "border", "message"),
    [
        (pair(20, 24, 3)[0], pair(24, 20, 3)[1], 0, "SR is 20x24x3 and HR is 24x20x3"),
        (pair(20, 24)[0], pair(20, 24, 3)[1], 0, "SR is 20x24 and HR is 20x24x3"),
        (pair(20, 24, 4)[0], pair(20, 24, 4)[1], 0, "images are 20x24x4"),
        (np.zeros((20, 24, 3)), pair(20, 24, 3)[1], 0, "SR is float64, expected uint8"),
        (pair(20, 24, 3)[0], np.zeros((20, 24, 3)), 0, "HR is float64, expected uint8"),
        (pair(20, 24, 3)[0].astype(np.int64), pair(20, 24, 3)[1], 0, "SR is int64"),
        (pair(20, 24, 3)[0], pair(20, 24, 3)[1], 10, "border of 10 pixels from images of 20x24x3"),
        (pair(20, 24, 3)[0], pair(20, 24, 3)[1], -1, "border of -1 pixels"),
    ],
)
def test_faults_are_named(function, sr, hr, border, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message) as caught:
        function(sr, hr, border)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(18, 30, 3), (30, 18, 3), (18, 18)])
def test_smaller_than_the_window_after_the_cut(shape: tuple[int, ...]) -> None:
    sr, hr = pair(*shape)
    assert ssim(sr, hr, 3) < 1  # 12 pixels are left
    left = "x".join(str(side - 8) for side in shape[:2])
    for function in (lambda: ssim(sr, hr, 4), lambda: scores(sr, hr, 4)):
        with pytest.raises(ValueError, match=f"SSIM needs 11x11 pixels, images are {left} after the cut"):
            function()


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(convention: str, value: float) -> None:
    sr, hr = np.zeros((24, 24, 3), np.float32), pair(24, 24, 3)[1]
    sr[0, :2, 1] = value  # in the border that most conventions cut
    with pytest.raises(ValueError, match="SR of 24x24x3 has 2 values that are NaN or infinite"):
        scores(sr, hr, 4, convention)


def test_unknown_convention_and_type() -> None:
    sr, hr = pair(24, 24, 3)
    with pytest.raises(ValueError, match="unknown convention 'matlab', expected one of rcan, float, y8"):
        scores(sr, hr, 2, "matlab")
    with pytest.raises(ValueError, match="SR is int16, expected uint8, or floating point"):
        scores(sr.astype(np.int16), hr, 2)
