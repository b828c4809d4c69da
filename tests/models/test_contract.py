"""What holds for every network of the registry."""

from __future__ import annotations

import io
import re
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import models
from models.spin import cpu
from tests.models.shallow import shorten

SCALES = models.SCALES


@pytest.fixture(scope="module", params=[*models.names(), "carn_single"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@torch.no_grad()
def network(name: str, scale: int, seed: int = 0, whole: bool = True) -> nn.Module:
    torch.manual_seed(seed)
    model = models.build(name, scale)
    if not whole:
        shorten(model, name)
    for buffer in model.buffers():
        if buffer.isnan().any():  # LAPAR's dictionary, where its file is not at hand
            buffer.normal_()
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        model(torch.rand(2, 3, 48, 48))  # statistics as a training leaves them
    return model.eval()


@pytest.mark.parametrize("scale", SCALES)
@torch.no_grad()
def test_output_shape_for_any_size(name: str, scale: int) -> None:
    least = models.describe(name).smallest_input
    model = network(name, scale)
    for height, width in [(least, least), (least + 1, least + 6), (least + 13, least + 4)]:
        assert model(torch.rand(1, 3, height, width)).shape == (1, 3, scale * height, scale * width)


@torch.no_grad()
def test_too_small_an_input_is_refused(name: str) -> None:
    least = models.describe(name).smallest_input
    if least == 1:
        return
    with pytest.raises(ValueError, match=rf"{least}.*not {least - 1}x{least}"):
        network(name, 4, whole=False)(torch.rand(1, 3, least - 1, least))


@torch.no_grad()
def test_input_stays_as_it_was(name: str) -> None:
    x = torch.rand(2, 3, 50, 51)
    before = x.clone()
    network(name, 4, whole=False)(x)
    assert torch.equal(x, before)


@torch.no_grad()
def test_a_batch_equals_its_images(name: str) -> None:
    model, x = network(name, 2, whole=name != "rcan"), torch.rand(3, 3, 37, 50)
    together = model(x)
    for image, result in zip(x, together, strict=True):
        torch.testing.assert_close(model(image[None])[0], result, rtol=0, atol=2e-5)


@torch.no_grad()
def test_double_precision_agrees(name: str) -> None:
    model, x = network(name, 3, whole=name != "rcan"), torch.rand(1, 3, 48, 49)
    single = model(x)
    torch.testing.assert_close(model.double()(x.double()).float(), single, rtol=0, atol=1e-4)


@torch.no_grad()
def test_results_repeat_to_the_bit(name: str) -> None:
    model, x = network(name, 4, whole=False), torch.rand(1, 3, 48, 49)
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("path", ["with kernels", "without kernels", "in float64", "in bfloat16", "in training"])
@torch.no_grad()
def test_a_pixel_that_is_not_a_number_stays_so(name: str, path: str) -> None:
    """Its square in the output is NaN, whatever computes it; the other image of the batch is not touched."""
    model, x = network(name, 2, whole=False).train(path == "in training"), small_input(name).repeat(2, 1, 1, 1)
    if path == "in float64":
        model, x = model.double(), x.double()
    height, width = x.shape[-2:]
    y, column = (height - 1, width - 1) if path == "with kernels" else (height // 2, width // 3)
    x[1, 1, y, column] = torch.nan
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=path == "in bfloat16")
    with autocast, cpu.off() if path == "without kernels" else nullcontext():
        output = model(x)
    assert output[1, :, 2 * y : 2 * y + 2, 2 * column : 2 * column + 2].isnan().all()
    assert output[0].isfinite().all() or path == "in training"  # where statistics are those of the batch


UNUSED = {  # parameters that take no part at x2, and so may be anything
    "carn": r"upsamplers\.[34]\..*",
    "carn_m": r"upsamplers\.[34]\..*",
    "esrt": r".*\.unused",
}


@torch.no_grad()
def test_a_weight_that_is_not_a_number_is_seen(name: str) -> None:
    """A number in the middle of a parameter, or all slopes of a PReLU; in the last layer of every kind."""
    model, x = network(name, 2, whole=False), small_input(name)
    kinds: dict[str, torch.Tensor] = {}
    for prefix, module in model.named_modules():
        for key, parameter in module.named_parameters(prefix, recurse=False):
            if not re.fullmatch(UNUSED.get(name, ""), key):
                middle = ... if isinstance(module, nn.PReLU) else tuple(size // 2 for size in parameter.shape)
                kinds[re.sub(r"\d+", "#", key)] = parameter[middle]
    for context in (nullcontext, cpu.off) if name == "spin" else (nullcontext,):
        with context():
            for kind, part in kinds.items():
                kept = part.clone()
                part.fill_(torch.nan)
                assert model(x).isnan().any(), kind
                part.copy_(kept)
            assert model(x).isfinite().all()


def small_input(name: str) -> torch.Tensor:
    """Little more than the smallest that the network takes."""
    least = max(9, models.describe(name).smallest_input)
    return torch.rand(1, 3, least, least + 3)


def test_every_parameter_learns(name: str) -> None:
    """At one of three initialisations, as a few units behind a ReLU may all be off in one."""
    silent: set[str] | None = None
    for seed in range(3):
        model = network(name, 4, seed, whole=name != "rcan").train()
        (model(torch.rand(1, 3, 48, 49)) - 0.5).abs().mean().backward()
        learning = {key: value.grad for key, value in model.named_parameters() if value.requires_grad}
        off = {key for key, gradient in learning.items() if gradient is None or not gradient.any()}
        silent = off if silent is None else silent & off
        if not silent:
            break
    assert not silent


@torch.no_grad()
def test_state_survives_a_file(name: str) -> None:
    model, x = network(name, 2), small_input(name)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    torch.manual_seed(1)
    other = models.build(name, 2).eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), model(x))


def published(name: str, scale: int) -> dict[str, np.ndarray]:
    model = network(name, scale)
    names = models.describe(name).published_names(model)
    return {names[key]: value.numpy() for key, value in model.state_dict().items() if key in names}


@torch.no_grad()
def test_published_weights_load(name: str, tmp_path: Path) -> None:
    state, x = published(name, 4), small_input(name)
    expected = network(name, 4)(x)
    assert torch.equal(models.load_published(name, 4, state)(x), expected)
    wrapped = {"epoch": 3, "model_state_dict": {f"module.{key}": torch.from_numpy(v) for key, v in state.items()}}
    torch.save(wrapped, tmp_path / "checkpoint.pth")
    assert torch.equal(models.load_published(name, 4, tmp_path / "checkpoint.pth")(x), expected)


def test_weights_that_do_not_fit_are_named(name: str) -> None:
    state = published(name, 4)
    first = next(iter(state))
    without = {key: value for key, value in state.items() if key != first}
    with pytest.raises(models.WeightsError, match=rf"1 missing \({first}\)"):
        models.load_published(name, 4, without)
    with pytest.raises(models.WeightsError, match=r"1 unexpected \(surplus\)"):
        models.load_published(name, 4, {**state, "surplus": np.zeros(1)})
    with pytest.raises(models.WeightsError, match=rf"1 shapes \({first} is \(7,\) instead of"):
        models.load_published(name, 4, {**state, first: np.zeros(7)})


def test_the_descriptor_is_true(name: str) -> None:
    info = models.describe(name)
    assert info.name == name
    for scale in info.scales:
        count = sum(p.numel() for p in models.build(name, scale).parameters())
        assert count == info.counted_parameters[scale]
        if scale in info.published_parameters and not info.parameters_note:
            assert abs(count - info.published_parameters[scale]) <= 500  # published in thousands


def test_it_can_be_exported_and_used_afterwards(name: str) -> None:
    if name == "smsr":
        pytest.skip("its masks decide which channels are computed: no fixed graph")
    model, x = network(name, 4, whole=False), small_input(name)
    with torch.no_grad():
        program = torch.export.export(model, (x,), strict=False)
        torch.testing.assert_close(program.module()(x), model(x), rtol=0, atol=2e-5)


class Bomb:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("executed"),))


def test_a_checkpoint_is_never_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Bomb()}, "bomb.pth")
    Path("empty.pth").write_bytes(b"")
    Path("noise.pth").write_bytes(bytes(range(256)) * 8)
    Path("noise.safetensors").write_bytes(bytes(range(256)) * 8)
    torch.save([1, 2], "list.pth")
    for file in ("bomb.pth", "empty.pth", "noise.pth", "noise.safetensors", "list.pth", "absent.pth"):
        with pytest.raises(models.WeightsError, match=file):
            models.load_published("spin", 4, file)
    assert not Path("executed").exists()


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="did you mean 'spin'"):
        models.build("spim", 4)
    with pytest.raises(ValueError, match="scale must be one of 2, 3, 4, not 5"):
        models.build("spin", 5)
