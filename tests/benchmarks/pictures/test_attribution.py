"""Local attribution maps: known answers, what they leave alone, and every network of the registry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

import models
from benchmarks.pictures import attribution as lam
from benchmarks.pictures.attribution import attribute, gini, part_around, strongest_box
from results.comparison import Box


class Bilinear(nn.Module):
    """A linear network: what it draws on is known."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Small(nn.Module):
    """Not linear, and smooth."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 12, 3, padding=1))
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.dropout(self.body(x)), 2)


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def seeded(name: str, scale: int) -> nn.Module:
    torch.manual_seed(0)
    model = models.build(name, scale)
    for buffer in model.buffers():
        if buffer.isnan().any():  # LAPAR's dictionary, where its file is not at hand
            buffer.normal_()
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        with torch.no_grad():
            model(torch.rand(2, 3, 48, 48))  # statistics as a training leaves them
    return model


# known answers


@pytest.mark.parametrize("steps", [1, 7])
def test_a_linear_network_on_a_ramp(steps: int) -> None:
    """Where the result rises to the right everywhere, its gradient in a box is its right end less its left one.

    The detector is linear there, so each attribution is its coefficient times what the blur has taken from the pixel.
    """
    height, width, box = 12, 20, Box(x=14, y=8, width=10, height=6)
    ramp = np.linspace(0, 1, width) ** 3
    lr = np.rint(255 * ramp * np.ones((height, 1))).astype(np.uint8)[..., None].repeat(3, axis=2)
    assert (np.diff(lr[0, 5:15, 0].astype(int)) > 0).all()

    rows, columns = box.place
    basis = torch.eye(height * width, dtype=torch.float64).reshape(-1, 1, height, width)
    response = Bilinear()(basis)[:, 0, rows, columns].numpy()  # of every pixel of the result to every one of the image
    coefficients = (response[:, :-1, -1] - response[:, :-1, 0]).sum(1).reshape(height, width)
    image = lr.transpose(2, 0, 1) / 255
    change = image - gaussian_filter(image, (0, lam.SIGMA, lam.SIGMA))

    found = attribute(Bilinear(), lr, box, steps=steps)
    np.testing.assert_allclose(found.signed, coefficients * change, rtol=0, atol=1e-6)
    assert found.residual == pytest.approx(0, abs=1e-5)
    assert found.end - found.start == pytest.approx((coefficients * change).sum(), abs=1e-5)


def test_attributions_add_up_to_what_the_detector_gains() -> None:
    torch.manual_seed(0)
    model, lr, box = Small(), noise(12, 13), Box(x=6, y=4, width=8, height=10)
    shares = [abs(found.residual / (found.end - found.start)) for found in
              (attribute(model, lr, box, steps=steps) for steps in (2, 20, 200))]  # fmt: skip
    assert shares[0] > 1e-3
    assert shares[1] < shares[0] / 5
    assert shares[2] < 1e-4


def test_the_gain_is_that_of_the_network() -> None:
    torch.manual_seed(0)
    model, lr, box = Small().eval(), noise(12, 13), Box(x=6, y=4, width=8, height=10)
    found = attribute(model, lr, box, sigma=2, steps=3)
    for value, image in ((found.end, lr / 255), (found.start, gaussian_filter(lr / 255, (2, 2, 0)))):
        with torch.no_grad():
            sr = model(torch.from_numpy(image).permute(2, 0, 1)[None].float())[0].permute(1, 2, 0).numpy()
        crop = sr[box.place]
        down, right = np.diff(crop, axis=0)[:, :-1], np.diff(crop, axis=1)[:-1]
        assert value == pytest.approx(np.hypot(down, right).sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ([1, 1, 1, 1], 0),
        ([0, 0, 0, 7], 3 / 4),
        ([1, 2, 3, 4, 5], 4 / 15),  # (n² - 1) / 3n over the mean, for 1 to n
        ([5, 1, 4, 2, 3], 4 / 15),
        ([0, 1], 1 / 2),
    ],
)
def test_gini(amounts: list[float], expected: float) -> None:
    assert gini(np.array(amounts, float)) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=30).filter(lambda amounts: sum(amounts) > 1e-3))
def test_gini_is_the_mean_difference_of_all_pairs(amounts: list[float]) -> None:
    values = np.array(amounts)
    direct = np.abs(values[:, None] - values).mean() / (2 * values.mean())
    assert gini(values) == pytest.approx(direct, abs=1e-9)
    assert gini(values.reshape(1, -1)) == gini(values[::-1].copy()) == pytest.approx(gini(10 * values))


def test_amounts_diffusion_and_area() -> None:
    signed = np.zeros((3, 2, 4))
    signed[:, 0, 1] = [1, -2, 3]
    signed[0, 1, 3] = -3
    signed[2, 1, 0] = 1
    found = lam.Attribution(signed, start=1, end=0.5)
    assert found.amounts.tolist() == [[0, 6, 0, 0], [1, 0, 0, 3]]
    assert found.residual == pytest.approx(0.5)
    assert found.diffusion_index == pytest.approx(100 * (1 - gini(found.amounts)))
    assert found.area(0.6).tolist() == [[False, True, False, False], [False] * 4]
    assert found.area(0.61).tolist() == [[False, True, False, False], [False, False, False, True]]
    assert found.area(0.99).sum() == 3


# what counts, and what does not


@pytest.mark.parametrize(("name", "enlarged_reach", "reach"), [("espcn", 0, 4), ("srcnn", 8, 2)])
def test_nothing_counts_outside_of_the_receptive_field(name: str, enlarged_reach: int, reach: int) -> None:
    """ESPCN: kernels of 5, 3, 3 on the LR image; SRCNN: of 9, 5, 5 on the enlarged one, which a cubic made (2)."""
    scale, box = 3, Box(x=30, y=36, width=7, height=6)
    model, lr = seeded(name, scale), noise(30, 32)
    found = attribute(model, lr, box, steps=2).amounts != 0
    x = np.flatnonzero(found.any(0))
    y = np.flatnonzero(found.any(1))
    for places, start, length in ((x, box.x, box.width), (y, box.y, box.height)):
        first = (start - enlarged_reach) // scale - reach
        last = (start + length - 1 + enlarged_reach) // scale + reach
        assert first <= places[0]
        assert places[-1] <= last
        if name == "espcn":  # a cubic has zeros, where it meets a pixel exactly
            assert (places[0], places[-1]) == (first, last)
        else:
            assert places[0] - first <= 1
            assert last - places[-1] <= 1


# These choose pixels, patches or masks, and jump where the choice changes.
CHOOSING = {"spin", "hpinet_m", "smsr"}


@pytest.mark.parametrize("name", models.names())
def test_every_network(name: str) -> None:
    """Its derivatives are right: on a path as short as this one, nothing but they decides what the detector gains."""
    model = seeded(name, 4)
    side = max(models.describe(name).smallest_input, 16)
    box = Box(x=2 * side - 8, y=2 * side - 8, width=16, height=16)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    needed = [parameter.requires_grad for parameter in model.parameters()]
    lr = noise(side, side)
    before = lr.copy()
    found = attribute(model, lr, box, sigma=0.25, steps=1)

    assert np.isfinite(found.signed).all()
    assert 0 < found.diffusion_index < 100
    middle = found.amounts[side // 2 - 3 : side // 2 + 3, side // 2 - 3 : side // 2 + 3]
    assert middle.mean() > found.amounts.mean()  # the box counts for more than the rest
    assert abs(found.residual) < 0.1 * abs(found.end - found.start) or name in CHOOSING
    assert np.array_equal(lr, before)
    assert model.training
    assert [parameter.requires_grad for parameter in model.parameters()] == needed
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_the_same_again_and_in_any_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    model, lr, box = seeded("espcn", 2), noise(12, 13), Box(x=6, y=4, width=8, height=10)
    done: list[tuple[int, int]] = []
    sizes: list[int] = []
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    first = attribute(model, lr, box, steps=10, progress=lambda now, total, note: done.append((now, total)))
    assert np.array_equal(attribute(model, lr, box, steps=10).signed, first.signed)
    assert sizes[:3] == [1, 1, 10]
    assert done == [(10, 10)]
    sizes.clear()
    for pixels, expected in ((4 * 12 * 13, [1, 1, 4, 4, 2]), (1, [1] * 12)):
        monkeypatch.setattr(lam, "PASS_PIXELS", pixels)
        sizes.clear()
        np.testing.assert_allclose(attribute(model, lr, box, steps=10).signed, first.signed, rtol=0, atol=1e-6)
        assert sizes == expected


def test_modes_of_modules_are_kept() -> None:
    model = Small().eval()
    model.dropout.train()
    attribute(model, noise(8, 8), Box(x=2, y=2, width=6, height=6), steps=1)
    assert [module.training for module in (model, model.body, model.dropout)] == [False, False, True]


# where to look


def test_the_strongest_box() -> None:
    hr = np.full((60, 70, 3), 90, np.uint8)
    hr[24:40, 33:49] = noise(16, 16)
    for scale in (2, 3, 4):
        box = strongest_box(hr, scale)
        assert (box.x % scale, box.y % scale, box.width, box.height) == (0, 0, 16, 16)
        assert abs(box.y - 24) < scale
        assert abs(box.x - 33) < scale

    def strength(x: int, y: int) -> float:
        crop = hr[y : y + 16, x : x + 16].astype(float)
        return float(np.hypot(np.diff(crop, axis=0)[:, :-1], np.diff(crop, axis=1)[:-1]).sum())

    places = [(x, y) for y in range(0, 60 - 15, 4) for x in range(0, 70 - 15, 4)]
    best = max(places, key=lambda place: strength(*place))
    assert (box.x, box.y) == best


def test_of_equal_boxes_the_first() -> None:
    assert strongest_box(np.full((40, 40, 3), 9, np.uint8), 4) == Box(x=0, y=0, width=16, height=16)
    stripes = np.tile(np.array([0, 200], np.uint8), 20)[None, :, None].repeat(40, 0).repeat(3, 2)
    assert strongest_box(stripes, 4) == Box(x=0, y=0, width=16, height=16)
    with pytest.raises(ValueError, match="40x15 pixels: expected at least 16x16"):
        strongest_box(np.zeros((15, 40, 3), np.uint8), 4)


@given(st.integers(2, 4), st.integers(8, 150), st.integers(8, 150), st.data())
def test_the_part_holds_the_box(scale: int, width: int, height: int, data: st.DataObject) -> None:
    box_width, box_height = (data.draw(st.integers(2, scale * side)) for side in (width, height))
    box = Box(
        x=data.draw(st.integers(0, scale * width - box_width)),
        y=data.draw(st.integers(0, scale * height - box_height)),
        width=box_width,
        height=box_height,
    )
    part = part_around(box, width, height, scale)
    for start, size, whole, of, length in (
        (part.x, part.width, width, box.x, box.width),
        (part.y, part.height, height, box.y, box.height),
    ):
        assert 0 <= start <= start + size <= whole
        assert scale * start <= of
        assert of + length <= scale * (start + size)
        assert size >= min(whole, lam.SIDE)
        if length <= scale * (lam.SIDE - 2):
            assert size == min(whole, lam.SIDE)
        if 0 < start < whole - size:  # in the middle, to half a pixel of the two grids
            assert abs(2 * of + length - scale * (2 * start + size)) <= 3 * scale


# what cannot be attributed


def test_bad_input_is_told() -> None:
    model, lr = seeded("espcn", 2), noise(10, 12)
    for box, words in (
        (Box(x=20, y=0, width=8, height=8), "box 20,0,8,8: reaches outside of 24x20 pixels"),
        (Box(x=0, y=19, width=8, height=2), "reaches outside of 24x20 pixels"),
        (Box(x=0, y=0, width=1, height=8), "box 0,0,1,8: expected at least 2x2"),
    ):
        with pytest.raises(ValueError, match=words):
            attribute(model, lr, box)
    box = Box(x=2, y=2, width=8, height=8)
    with pytest.raises(ValueError, match="sigma 0, 50 steps: expected both to be positive"):
        attribute(model, lr, box, sigma=0)
    with pytest.raises(ValueError, match=r"0 steps"):
        attribute(model, lr, box, steps=0)
    with pytest.raises(ValueError, match=r"sigma nan"):
        attribute(model, lr, box, sigma=float("nan"))
    with pytest.raises(ValueError, match="box 2,2,8,8: SR has no gradient there"):
        attribute(Bilinear(), np.full((10, 12, 3), 128, np.uint8), box)
    with pytest.raises(ValueError, match="SPIN needs an input of at least 24 pixels"):
        attribute(seeded("spin", 2), lr, box)
    with torch.no_grad():
        model.conv3.bias.fill_(torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        attribute(model, lr, box, steps=1)
