"""The kernels for a CPU: values and gradients of the plain formulas in float64, at every size and number of threads."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import models
from models.spin import cpu, ops
from models.spin.configuration import Configuration
from models.spin.cpu import functions, memory
from models.spin.cpu.kernels import Kernels
from models.spin.grid import grid
from models.spin.network import Block
from models.spin.superpixels import Association, associate
from models.upsampling import Upsampler

CPU = torch.device("cpu")
sizes = st.tuples(st.integers(1, 3), st.integers(12, 40), st.integers(12, 40))  # B, H, W; not multiples of any tile


@pytest.fixture(autouse=True)
def there_are_kernels() -> None:
    if cpu.kernels() is None:
        pytest.skip("needs the kernels (a C++ compiler, and SPINBENCH_NATIVE not 0)")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the kernels that were called."""
    names: list[str] = []
    call = Kernels._call

    def noted(self: Kernels, name: str, *arguments: Any) -> None:
        names.append(name)
        call(self, name, *arguments)

    monkeypatch.setattr(Kernels, "_call", noted)
    return names


def tensor(*shape: int, seed: int = 0, spread: float = 1.0) -> Tensor:
    return spread * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def results(module: nn.Module | None, run: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """Output, and gradients of inputs and parameters, for a loss with a different weight for every number."""
    inputs = tuple(part.detach().clone().requires_grad_() for part in inputs)
    output = run(module, *inputs) if module else run(*inputs)
    weight = tensor(*output.shape, seed=7).to(output.dtype)
    parameters = list(module.parameters()) if module else []
    wanted = [*inputs, *parameters]
    gradients = torch.autograd.grad((output * weight).sum(), wanted, allow_unused=True, materialize_grads=True)
    return [output.detach(), *gradients]


def compare(run: Callable[..., Tensor], *inputs: Tensor, module: nn.Module | None = None) -> None:
    """In float32, by the kernels, against float64, which they do not take."""
    found = results(module, run, *inputs)
    exact = results(copy.deepcopy(module).double() if module else None, run, *(part.double() for part in inputs))
    for ours, theirs in zip(found, exact, strict=True):
        assert ours.dtype == torch.float32 and theirs.dtype == torch.float64
        assert (ours - theirs).abs().max() <= 3e-5 * max(0.1, float(theirs.abs().max()))


def block(seed: int = 0, size: int = 12) -> Block:
    torch.manual_seed(seed)
    made = Block(Configuration(), size)
    for parameter in made.parameters():  # biases and LayerNorms too
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made


# Values and gradients


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(1, 130), st.integers(1, 130), st.integers(0, 9))
def test_attention(batch: int, length: int, sources: int, seed: int) -> None:
    query, key, value = tensor(batch, length, 24), tensor(batch, sources, 24, seed=seed), tensor(batch, sources, 40)
    compare(lambda *parts: ops.attend(*parts, 24**-0.5), query, key, value)


@pytest.mark.parametrize(("length", "sources"), [(25, 1700), (1700, 25), (513, 512)])
def test_attention_of_many(length: int, sources: int) -> None:
    """The longer side is cut into parts."""
    query, key, value = tensor(2, length, 24), tensor(2, sources, 24, seed=1), tensor(2, sources, 40, seed=2)
    compare(lambda *parts: ops.attend(*parts, 24**-0.5), query, key, value)


@settings(max_examples=15)
@given(sizes, st.integers(0, 9))
def test_local_attention(size: tuple[int, int, int], seed: int) -> None:
    batch, height, width = size
    compare(
        lambda part, x: part(x, height, width), tensor(batch, height * width, 40, seed=seed), module=block(seed).local
    )


@settings(max_examples=15)
@given(sizes, st.integers(0, 9))
def test_superpixel_attentions(size: tuple[int, int, int], seed: int) -> None:
    batch, height, width = size
    x, made = tensor(batch, height * width, 40, seed=seed), block(seed)
    superpixels = associate(x, grid(height, width, 12, CPU))
    with torch.no_grad():
        exact = Association(superpixels.grid, superpixels.weights.double(), superpixels.scores)
    compare(
        lambda part, x: part(x, superpixels if x.dtype == torch.float32 else exact), x, module=made.spca
    )  # fmt: skip
    selected = superpixels.top(12**2)
    compare(lambda part, x: part(x, selected, superpixels.reach), x, module=made.ispa)


@settings(max_examples=15)
@given(st.integers(1, 3), st.integers(1, 2100), st.floats(0.01, 10), st.integers(0, 9))
def test_feed_forward(batch: int, pixels: int, spread: float, seed: int) -> None:
    compare(lambda part, x: part(x), tensor(batch, pixels, 40, seed=seed, spread=spread), module=block(seed).spca_ffn)


@settings(max_examples=15)
@given(st.sampled_from([2, 3, 4]), st.integers(1, 2), st.integers(1, 40), st.integers(1, 70))
def test_upsampler(scale: int, batch: int, height: int, width: int) -> None:
    torch.manual_seed(scale)
    both = nn.Sequential(Upsampler(40, scale), nn.Conv2d(40, 3, 3, padding=1))
    for stage in both[0].stages():  # far from the bend of the LeakyReLU, on both sides of it
        stage.conv.bias.data = torch.tensor([6.0, -6.0]).repeat(len(stage.conv.bias) // 2)
    x = tensor(batch, 40, height, width).to(memory_format=torch.channels_last)
    compare(lambda part, x: ops.upsample(x, part[0], part[1]), x, module=both)


@settings(max_examples=15)
@given(st.integers(1, 2), st.integers(1, 40), st.integers(1, 70))
def test_convolution(batch: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(40, 40, 3, padding=1)
    compare(lambda part, x: ops.convolution(x, part), tensor(batch, 40, height, width), module=conv)


@settings(max_examples=25)
@given(sizes, st.sampled_from([0.01, 0.3, 1.0, 20.0]), st.integers(0, 9))
def test_association(size: tuple[int, int, int], spread: float, seed: int) -> None:
    batch, height, width = size
    cells = grid(height, width, 12, CPU)
    x = tensor(batch, height * width, 40, seed=seed, spread=spread)
    rounding = 2**-24 * float(x.abs().max()) * tensor(*x.shape, seed=seed + 1).double()
    with torch.no_grad():
        found, exact = associate(x, cells), associate(x.double(), cells)
        moved = [associate(x.double() + each, cells) for each in (rounding, -rounding)]
        with cpu.off():
            plain = associate(x, cells)
    finite = exact.scores.isfinite()
    assert torch.equal(found.scores[~finite].double(), exact.scores[~finite])

    def errors(result: Association) -> list[float]:
        pairs = (result.weights, exact.weights), (result.scores[finite], exact.scores[finite])
        return [float((part - truth).abs().max()) if len(truth) else 0 for part, truth in pairs]

    # As exact as float32 is otherwise, and as its rounding of the features allows: large ones lose much
    usual = [max(each) for each in zip(*map(errors, [plain, *moved]), strict=True)]
    assert all(error <= 5 * most + 1e-5 for error, most in zip(errors(found), usual, strict=True))
    # The same scores are ranked in the same way
    assert torch.equal(found.top(144), Association(cells, found.weights, found.scores.double()).top(144))


def test_equal_scores_go_to_the_lower_index() -> None:
    cells = grid(36, 50, 12, CPU)
    shape = 2, cells.cells, 9, cells.pixels.shape[1]
    scores = torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(0)).float() * 0.5
    scores[0, 0] = -0.0
    if cells.inside is not None:
        scores = scores.masked_fill(~cells.inside[:, None], -torch.inf)
    single = Association(cells, torch.zeros(shape), scores).top(100)
    assert torch.equal(single, Association(cells, torch.zeros(shape), scores.double()).top(100))


def test_the_whole_network_calls_them_all(counted: list[str]) -> None:
    torch.manual_seed(0)
    model = models.build("spin", 4)
    model(torch.rand(1, 3, 30, 28)).abs().mean().backward()
    forward = {"attend", "attend_groups", "normalise_and_project", "feed_forward", "superpixel_mean"}
    gradients = {f"{name}_gradient" for name in forward | {"convolution", "enlarge"}}
    assert set(counted) == forward | gradients | {"associate", "top_pixels", "convolve", "convolve_to_few"}
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


# What else they promise


def everything() -> list[Tensor]:
    made, x, cells = block(), tensor(2, 45 * 50, 40), grid(45, 50, 12, CPU)
    superpixels = associate(x, cells)
    selected = superpixels.top(144)
    features, conv = x.view(2, 45, 50, 40).permute(0, 3, 1, 2), Upsampler(40, 2).stages()[0].conv
    nn.init.constant_(conv.weight, 0.01)
    kernels = cpu.kernels()
    assert kernels is not None
    return [
        superpixels.weights,
        superpixels.scores,
        selected,
        *results(None, lambda *parts: ops.attend(*parts, 0.2), x[..., :24], x[:, :70, :24], x[:, 50:120]),
        *results(made.local, lambda part, x: part(x, 45, 50), x),
        *results(made.ispa, lambda part, x: part(x, selected, superpixels.reach), x),
        *results(made.spca_ffn, lambda part, x: part(x), x),
        functions.enlarge(kernels, features, conv.weight.detach(), torch.zeros(160), 2, 1, 0.1),
        *kernels.convolution_gradient(features, tensor(2, 40, 45, 50)),
        kernels.convolve_to_few(features, tensor(3, 40, 3, 3), tensor(3), 1),
    ]


def test_the_number_of_threads_changes_nothing() -> None:
    """Bit by bit, forward and backward: sums are taken in an order that does not depend on it."""
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(everything())
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(one, same) for one, same in zip(found[0], other, strict=True))


def test_weights_beyond_float32_are_left_to_the_library(counted: list[str]) -> None:
    made, x = block(), tensor(1, 20 * 20, 40)
    made.local.pixels.query.weight.data *= 1e4
    with torch.no_grad():
        found = made.local(x, 20, 20)
        exact = copy.deepcopy(made.local).double()(x.double(), 20, 20)
    assert "attend_groups" in counted
    torch.testing.assert_close(found, exact.float(), rtol=1e-3, atol=1e-3)


def not_a_number(bits: int) -> Tensor:
    return torch.tensor([bits], dtype=torch.uint32).view(torch.float32)[0]


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF])
def test_what_is_not_a_number_stays_so(bits: int) -> None:
    """Whatever its bits: a file may hold any."""
    wrong = not_a_number(bits)
    made, x = block(), tensor(1, 30 * 30, 40)
    x[0, 0, 0] = wrong
    for output in (made.local(x, 30, 30), made.local_ffn(x)):
        assert output[0, 0].isnan().all()
    assert made.local(x, 30, 30)[0, -1].isfinite().all()
    upsampled = ops.upsample(
        x.view(1, 30, 30, 40).permute(0, 3, 1, 2), Upsampler(40, 2), nn.Conv2d(40, 3, 3, padding=1)
    )
    assert upsampled[..., :2, :2].isnan().all() and upsampled[..., 8:, :].isfinite().all()
    superpixels = associate(x.detach(), grid(30, 30, 12, CPU))
    assert superpixels.weights[0, 0, :, 0].isnan().any() and superpixels.mean(x)[0, 0].isnan().all()


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF])
@torch.no_grad()
def test_a_weight_that_is_not_a_number_is_seen(bits: int) -> None:
    made, x = block(), tensor(1, 12 * 12, 40)
    for name, parameter in made.local_ffn.named_parameters():
        kept = parameter.clone()
        parameter[tuple(size // 2 for size in parameter.shape)] = not_a_number(bits)
        assert made.local_ffn(x).isnan().any(), name
        parameter.copy_(kept)


@pytest.mark.parametrize("bits", [0x7FC00000, 0xFFFFFFFF])
@pytest.mark.parametrize("sources", [1, 2, 9, 64, 130])
def test_attention_to_what_is_not_a_number(bits: int, sources: int) -> None:
    wrong = not_a_number(bits)
    for place, seen in enumerate([[2], [0, 1, 2, 3], [0, 1, 2, 3]]):
        parts = tensor(2, 4, 24), tensor(2, sources, 24, seed=1), tensor(2, sources, 40, seed=2)
        parts[place][0, 2 if place == 0 else sources // 2, 7] = wrong
        found = ops.attend(*parts, 0.2)
        assert found[0, seen, 7].isnan().all() and found[1].isfinite().all()
        assert found[0, [row for row in range(4) if row not in seen]].isfinite().all()


def test_no_kernel_where_another_precision_or_a_graph_is_wanted(counted: list[str]) -> None:
    made, x = block(), tensor(1, 20 * 20, 40)
    with torch.autocast("cpu", torch.bfloat16):
        made.local_ffn(x)
    made.double().local_ffn(x.double())
    made.to("meta").local_ffn(x.to("meta"))
    assert counted == []


def test_memory_is_used_again_when_no_view_of_it_is_left() -> None:
    like = torch.empty(0)
    with torch.no_grad(), memory.reused():
        first = memory.empty(like, 6, 4)
        address, view = first.data_ptr(), first[2:]
        del first
        second = memory.empty(like, 6, 4)
        assert second.data_ptr() != address
        del view
        assert memory.empty(like, 3, 8).data_ptr() == address


def test_no_result_within_the_network_is_overwritten() -> None:
    torch.manual_seed(0)
    model, seen = models.build("spin", 2), []
    for module in model.modules():
        module.register_forward_hook(lambda _module, _given, out: seen.append((out, copy.deepcopy(out))))
    with torch.no_grad():
        output = model(torch.rand(2, 3, 30, 28, generator=torch.Generator().manual_seed(1)))
    assert output.isfinite().all() and len(seen) > 50
    for kept, then in seen:
        if isinstance(kept, Association):
            kept, then = kept.weights, then.weights
        assert torch.equal(kept, then)
