"""MATLAB's bicubic: equal to the stored LR images, and to its description read literally."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmarks.data import datasets
from benchmarks.data.images import read_image
from benchmarks.data.resize import Border, imresize
from tests.oracles import imresize_direct

FACTORS = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(2), Fraction(3), Fraction(4)]
OTHER_FACTORS = [Fraction(2, 3), Fraction(3, 2), Fraction(37, 100), Fraction(1), Fraction(1, 7)]


STORED = [
    (name, scale)
    for name in ["Set5", "Set5-symmetric", "Set14", "BSDS100", "Urban100"]
    for scale in sorted(datasets.get(name).lr_sources)
]


@pytest.mark.parametrize(("name", "scale"), STORED)
def test_stored_lr_images_are_met_byte_for_byte(mirror_folder: Path, name: str, scale: int) -> None:
    dataset = datasets.get(name)
    missing = dataset.missing(scale)
    if len(missing) == len(dataset.hr_names()):
        pytest.skip(f"the mirror holds no images of {name} x{scale}")
    compared = 0
    for pair in dataset.pairs(scale):
        assert pair.lr_origin == f"stored-{dataset.border}"
        np.testing.assert_array_equal(imresize(pair.hr, 1 / scale, dataset.border), pair.lr, err_msg=pair.name)
        compared += 1
    assert compared == len(dataset.hr_names()) - len(missing)


def test_the_two_borders_differ_at_the_border_only(mirror_folder: Path) -> None:
    hr = datasets.get("Set5").hr("img_001", 4)
    differs = (imresize(hr, 1 / 4, "symmetric") != imresize(hr, 1 / 4, "replicate")).any(axis=2)
    assert differs.any()
    assert not differs[2:-2, 2:-2].any()


images = hnp.arrays(np.uint8, st.one_of(hnp.array_shapes(min_dims=2, max_dims=2, max_side=13), st.just((5, 4, 3))))


@settings(max_examples=80, deadline=None)
@given(
    image=images, factor=st.sampled_from(FACTORS + OTHER_FACTORS), border=st.sampled_from(["symmetric", "replicate"])
)
def test_equals_the_description_read_literally(image: np.ndarray, factor: Fraction, border: Border) -> None:
    expected = imresize_direct.imresize(image, factor, border)
    for given_as in (factor, float(factor)):
        resized = imresize(image, given_as, border)
        assert resized.dtype == np.uint8
        assert resized.flags.c_contiguous
        np.testing.assert_array_equal(resized, expected)


@pytest.mark.parametrize("border", ["symmetric", "replicate"])
@pytest.mark.parametrize("factor", FACTORS[:3])
@pytest.mark.parametrize("shape", [(50, 213, 3), (213, 50)])
def test_equals_the_reference_it_is_timed_against(shape: tuple[int, ...], factor: Fraction, border: Border) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    direct = imresize_direct.imresize_by_lines(image, factor, border)
    np.testing.assert_array_equal(imresize(image, factor, border), direct)
    np.testing.assert_array_equal(imresize_direct.imresize(image, factor, border), direct)


@given(
    n=st.integers(1, 5000),
    factor=st.fractions(min_value=Fraction(1, 12), max_value=4, max_denominator=12).filter(lambda f: f > 0),
)
@settings(max_examples=50, deadline=None)
def test_size_is_the_exact_ceiling_also_of_a_float(n: int, factor: Fraction) -> None:
    resized = imresize(np.zeros((n, 1), np.uint8), float(factor))
    assert len(resized) == -(-n * factor.numerator // factor.denominator)


@given(value=st.integers(0, 255), factor=st.sampled_from(FACTORS + OTHER_FACTORS))
def test_a_flat_image_stays_flat(value: int, factor: Fraction) -> None:
    assert (imresize(np.full((9, 7), value, np.uint8), factor) == value).all()


def test_blocks_of_columns_do_not_show() -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 700, 3), dtype=np.uint8)
    left = imresize(image[:, :640], 1 / 4)
    np.testing.assert_array_equal(imresize(image, 1 / 4)[:, :157], left[:, :157])


def test_grey_equals_its_rgb_form(mirror_folder: Path) -> None:
    grey = read_image(datasets.get("Set14").hr_source("img_003", 3).locate())
    assert (grey == grey[:, :, :1]).all()
    np.testing.assert_array_equal(imresize(grey, 1 / 3)[:, :, 1], imresize(grey[:, :, 1], 1 / 3))


@pytest.mark.parametrize(
    ("image", "factor", "border", "message"),
    [
        (np.zeros((4, 4)), 0.5, "symmetric", "dtype float64, expected uint8"),
        (np.zeros(4, np.uint8), 0.5, "symmetric", "shape"),
        (np.zeros((0, 4), np.uint8), 0.5, "symmetric", "not empty"),
        (np.zeros((4, 4), np.uint8), 0.0, "symmetric", "factor 0.0, expected a positive"),
        (np.zeros((4, 4), np.uint8), float("nan"), "symmetric", "factor nan"),
        (np.zeros((4, 4), np.uint8), float("inf"), "symmetric", "factor inf"),
        (np.zeros((4, 4), np.uint8), 0.5, "reflect", "border 'reflect', expected one of symmetric, replicate"),
    ],
)
def test_bad_input_is_named(image: np.ndarray, factor: float, border: Border, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        imresize(image, factor, border)
