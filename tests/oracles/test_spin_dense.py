"""The plain SPIN against the golden cases of the published network, and against what its specification says."""

from __future__ import annotations

import runpy
from dataclasses import replace
from math import exp, prod, sqrt
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.oracles import spin_dense as spin


def random_state(scale: int, config: spin.Config, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Parameters that keep the features near 1."""
    noise = torch.Generator().manual_seed(scale)
    return {
        name: torch.randn(shape, generator=noise, dtype=torch.float64).to(dtype) / (2 * sqrt(prod(shape[1:])))
        for name, shape in spin.published_shapes(scale, config).items()
    }


def random_map(*shape: int, loudness: float = 1.0) -> Tensor:
    return loudness * torch.rand(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


@pytest.mark.parametrize("scale", [2, 4])
def test_golden(golden_folder: Path, scale: int) -> None:
    golden = runpy.run_path(str(golden_folder / "golden.py"))
    case = golden["load_case"](golden_folder / f"spin_x{scale}.npz")
    config = spin.Config()
    assert list(spin.published_shapes(scale, config).items()) == [(n, tuple(s)) for n, s, _ in case["state"]]
    state = {n: torch.from_numpy(v).requires_grad_() for n, v in golden["published_state"](case).items()}

    def deviation(ours: Tensor, name: str) -> float:
        ours = ours.detach()
        published = torch.from_numpy(case[name])
        assert ours.shape == published.shape
        return float((ours - published).abs().max() / published.abs().max())

    output = 255 * spin.forward(torch.from_numpy(case["input"]) / 255, state, scale, config)
    assert deviation(output, "output") < case["tolerance"]
    wanted = {"grad_first_conv": 2e-4, "grad_block0_spca_q": 5e-3}
    at = [state["first_conv.weight"], state["blocks.0.inter_layer.0.q.weight"]]
    gradients = torch.autograd.grad((output - 127.5).abs().mean(), at)
    for (name, tolerance), gradient in zip(wanted.items(), gradients, strict=True):
        assert deviation(gradient, name) < tolerance, name

    with torch.no_grad():  # the parts of the first block, each on the input it has in sequence
        params = spin.inside(state, "blocks.0")
        x = spin.conv(torch.from_numpy(case["input"]) / 255, spin.inside(state, "first_conv"))
        assert deviation(spin.block(x, params, 12, config), "block0_out") < case["tolerance"]
        association, rank = spin.associate(x, 12)
        assert deviation(association, "block0_affinity") < case["tolerance"]
        for layer, part, mix in [
            ("inter_layer", "block0_spca", lambda x, p: spin.spca(x, association, p)),
            ("intra_layer", "block0_ispa", lambda x, p: spin.ispa(x, spin.select(rank, 144), p)),
            ("local_layer", "block0_local", lambda x, p: spin.local(x, 12, p)),
        ]:
            mixed = mix(x, spin.inside(params, f"{layer}.0"))
            assert deviation(mixed, part) < case["tolerance"], part
            x = x + mixed
            x = x + spin.ffn(x, spin.inside(params, f"{layer}.1"))


@pytest.mark.parametrize(
    ("scale", "config", "count"),
    [
        (2, spin.VARIANTS["full"], 497_275),
        (3, spin.VARIANTS["full"], 569_475),
        (4, spin.VARIANTS["full"], 555_035),
        (4, spin.VARIANTS["only-ispa"], 605_115),
        (4, spin.VARIANTS["only-spca"], 616_635),
        (4, replace(spin.VARIANTS["only-ispa"], blocks=11), 564_499),
        (4, replace(spin.VARIANTS["only-spca"], blocks=11), 575_059),
        (4, spin.VARIANTS["parallel"], 555_035),
        (4, spin.VARIANTS["svq"], 555_035),
        (4, spin.VARIANTS["patch"], 558_171),
        (4, replace(spin.VARIANTS["patch"], blocks=8), 337_947),
        *[(4, spin.Config(blocks=k), 117_723 + 54_664 * k) for k in range(4, 11)],
    ],
)
def test_parameter_counts(scale: int, config: spin.Config, count: int) -> None:
    assert sum(prod(shape) for shape in spin.published_shapes(scale, config).values()) == count


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("form", ["softmax", "exp"])
@pytest.mark.parametrize("variant", spin.VARIANTS)
def test_variants_run(variant: str, form: str, scale: int) -> None:
    """A size no superpixel divides; the images of a batch do not meet; x stays as it was; float32 is near."""
    config = replace(spin.VARIANTS[variant], blocks=2, form=form)
    state = random_state(scale, config)
    x = random_map(2, 3, 27, 37)
    before = x.clone()
    output = spin.forward(x, state, scale, config)
    assert torch.equal(x, before)
    assert output.shape == (2, 3, 27 * scale, 37 * scale)
    torch.testing.assert_close(spin.forward(x[1:], state, scale, config), output[1:], rtol=1e-9, atol=1e-9)
    single = spin.forward(x.float(), {n: v.float() for n, v in state.items()}, scale, config)
    assert (single - output).abs().mean() < 1e-4  # a near-tie of the top-N may fall otherwise and change a few pixels


def test_too_small() -> None:
    with pytest.raises(ValueError, match=r"at least 24 pixels a side, not 23x40"):
        spin.forward(torch.zeros(1, 3, 23, 40), {}, 2, spin.Config())


@pytest.mark.parametrize("reach", ["neighbours", "all"])
@pytest.mark.parametrize("form", ["softmax", "exp"])
def test_association_pixel_by_pixel(form: str, reach: str) -> None:
    height, width, size = 9, 14, 2
    x = random_map(1, 3, height, width)
    rows, columns = height // size, width // size
    cells = [(r, c) for r in range(rows) for c in range(columns)]

    centroids = []
    for r, c in cells:  # adaptive pooling: from floor(r·H/rows) to ceil((r + 1)·H/rows)
        top, bottom = r * height // rows, -(-(r + 1) * height // rows)
        left, right = c * width // columns, -(-(c + 1) * width // columns)
        centroids.append(x[0, :, top:bottom, left:right].mean((1, 2)))
    for iteration in range(3):
        association = torch.zeros(len(cells), height * width, dtype=x.dtype)
        for pixel in range(height * width):
            i, j = divmod(pixel, width)
            for m, (r, c) in enumerate(cells):
                near = abs(i * rows // height - r) <= 1 and abs(j * columns // width - c) <= 1
                if near or reach == "all":
                    association[m, pixel] = exp(-((x[0, :, i, j] - centroids[m]) ** 2).sum())
        if form == "softmax":
            association /= association.sum(0)
        if iteration < 2:
            centroids = [(a * x[0].flatten(1)).sum(1) / (a.sum() + 1e-16) for a in association]

    ours, rank = spin.associate(x, size, form=form, reach=reach)
    torch.testing.assert_close(ours[0], association)
    torch.testing.assert_close(rank[0], association.log() if form == "exp" else association.logit())


@pytest.mark.parametrize(("height", "size"), [(74, 12), (62, 12), (50, 24), (97, 16)])
def test_home_cell(height: int, size: int) -> None:
    """The middle of the nine is the home cell: the r with r·H <= y·rows < (r + 1)·H."""
    rows = height // size
    for y, home in enumerate(spin.visible(height, 1, rows, 1, "neighbours")[4].tolist()):
        assert home * height <= y * rows < (home + 1) * height


def test_log_odds_neither_underflow_nor_saturate() -> None:
    logits = torch.tensor([[[0.0, 0.0], [-1000.0, -1001.0], [-4000.0, -4000.0]]])
    assert (logits.softmax(1)[0, 0] == 1).all()
    assert (logits.softmax(1)[0, 2] == 0).all()
    assert spin.log_odds(logits).tolist() == [[[1000, 1001], [-1000, -1001], [-4000, -4000]]]


def test_loud_features_select_as_in_float64() -> None:
    """Where the float32 association is all 0 and 1, its top-N would be arbitrary; the log-odds still tell."""
    x = random_map(1, 40, 30, 30, loudness=256.0).round().div(8)  # exact in float32
    association, rank = spin.associate(x.float(), 6)
    assert ((association == 0) | (association == 1)).double().mean() > 0.99
    ours, truth = spin.select(rank, 36), spin.select(spin.associate(x, 6)[1], 36)
    agreeing = sum(len(set(a) & set(b)) for a, b in zip(ours[0].tolist(), truth[0].tolist(), strict=True))
    assert agreeing >= 0.999 * truth.numel()


def test_select_takes_the_lower_index_among_equals() -> None:
    low = -torch.inf
    rank = torch.tensor([[[1.0, 3, 2, 3, 2, 2], [low, low, 5, 5, 5, 7]]])
    assert spin.select(rank, 3).tolist() == [[[1, 3, 2], [5, 2, 3]]]


def test_select_on_a_constant_image() -> None:
    """Only the number of superpixels that a pixel sees tells its associations apart; then raster order decides."""
    _, rank = spin.associate(torch.full((1, 2, 16, 16), 3.0), 4)
    corner = [y * 16 + x for y in range(4) for x in range(4)]  # these see 4 superpixels, so each of them has most
    assert spin.select(rank, 16)[0, 0].tolist() == corner
    edge = [y * 16 + x for y in range(2) for x in range(4, 12)]  # 6 superpixels
    assert spin.select(rank, 32)[0, 1].tolist() == corner + edge


@pytest.mark.parametrize("reach", ["neighbours", "all"])
def test_single_superpixel_takes_the_first_pixels(reach: str) -> None:
    association, rank = spin.associate(random_map(2, 40, 29, 47), 24, reach=reach)
    assert (association == 1).all()
    assert torch.equal(spin.select(rank, 576), torch.arange(576).expand(2, 1, 576))


def test_neighbours_are_all_on_a_grid_of_two_by_two() -> None:
    x = random_map(1, 40, 49, 71)
    for near, far in zip(spin.associate(x, 24), spin.associate(x, 24, reach="all"), strict=True):
        torch.testing.assert_close(near, far)


def test_intra_attention_shares_out() -> None:
    """A pixel chosen twice gets the mean of its value and both outputs, an ignored pixel keeps its value."""
    params = spin.inside(random_state(2, spin.Config(blocks=1)), "blocks.0.intra_layer.0")
    params["q.weight"] = torch.zeros_like(params["q.weight"])  # attention is then a plain mean
    x = random_map(1, 40, 2, 3, loudness=1e-3)  # so quiet that the epsilon of the normalisation counts
    norm = (params["norm.norm.weight"], params["norm.norm.bias"])
    values = F.layer_norm(x[0].flatten(1).T, (40,), *norm, eps=1e-6) @ params["v.weight"][:, :, 0, 0].T
    ours = spin.tokens(spin.ispa(x, torch.tensor([[[0, 4], [4, 2]]]), params))[0]
    first, second = values[[0, 4]].mean(0), values[[4, 2]].mean(0)
    expected = values.clone()
    expected[0] = (values[0] + first) / 2
    expected[2] = (values[2] + second) / 2
    expected[4] = (values[4] + first + second) / 3
    torch.testing.assert_close(ours, expected)


def test_local_attention_averages_overlaps() -> None:
    params = spin.inside(random_state(2, spin.Config(blocks=1)), "blocks.0.local_layer.0")
    params["attn.to_q.weight"] = torch.zeros(24, 40, dtype=torch.float64)  # attention is then a plain mean
    x = random_map(1, 40, 12, 22, loudness=1e-3)  # two windows; quiet as above
    norm = (params["norm.weight"], params["norm.bias"])
    values = F.layer_norm(x[0].permute(1, 2, 0), (40,), *norm, eps=1e-5) @ params["attn.to_v.weight"].T
    left, right = values[:, :12].mean((0, 1)), values[:, 10:].mean((0, 1))
    expected = torch.stack([left] * 10 + [(left + right) / 2] * 2 + [right] * 10, 1)
    torch.testing.assert_close(spin.local(x, 12, params)[0], expected[:, None].expand(-1, 12, -1))


def test_windows() -> None:
    assert spin.window_starts(24, 24) == [0]
    assert spin.window_starts(50, 12) == [0, 10, 20, 30, 38]
    assert spin.window_starts(62, 12) == [0, 10, 20, 30, 40, 50]  # none of them twice


def test_parallel_layers_read_the_block_input() -> None:
    config = replace(spin.VARIANTS["parallel"], blocks=1)
    params = spin.inside(random_state(2, config), "blocks.0")
    x = random_map(1, 40, 25, 26)
    association, rank = spin.associate(x, 12)
    a = spin.spca(x, association, spin.inside(params, "inter_layer.0"))
    b = spin.ispa(x, spin.select(rank, 144), spin.inside(params, "intra_layer.0"))
    y = x + a + spin.ffn(x + a, spin.inside(params, "inter_layer.1"))
    y = y + b + spin.ffn(x + b, spin.inside(params, "intra_layer.1"))
    y = y + spin.local(y, 12, spin.inside(params, "local_layer.0"))
    y = y + spin.ffn(y, spin.inside(params, "local_layer.1"))
    torch.testing.assert_close(spin.block(x, params, 12, config), y)
    assert not torch.allclose(spin.block(x, params, 12, replace(config, arrangement="sequential")), y)


@pytest.mark.parametrize("reach", ["neighbours", "all"])
@pytest.mark.parametrize("form", ["softmax", "exp"])
def test_gradient_of_the_association(form: str, reach: str) -> None:
    x = random_map(1, 2, 5, 7).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: spin.associate(x, 2, form=form, reach=reach)[0], x)


def test_gradient_switch() -> None:
    """It changes no output. With it the gradient is that of the output, without it a part is missing."""
    x = random_map(1, 40, 25, 26, loudness=10.0).requires_grad_()  # loud enough for the association to matter
    params = spin.inside(random_state(2, spin.Config(blocks=1)), "blocks.0")
    params |= {name: 2 * value for name, value in params.items() if name.startswith("inter_layer.0.")}
    output, linked = (spin.block(x, params, 12, spin.Config(gradient=switch)) for switch in (False, True))
    assert torch.equal(output, linked)
    cut, whole = (torch.autograd.grad(y.square().sum(), x)[0] for y in (output, linked))

    step = 1e-6 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    with torch.no_grad():
        ends = [spin.block(x + side * step, params, 12, spin.Config()).square().sum() for side in (-0.5, 0.5)]
    rise = ends[1] - ends[0]
    torch.testing.assert_close((whole * step).sum(), rise, rtol=1e-5, atol=0)
    assert abs((cut * step).sum() / rise - 1) > 0.1
