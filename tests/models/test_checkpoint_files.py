"""Checkpoints as every trainer writes them: what is taken, what is said of it, and what is refused."""

from __future__ import annotations

import argparse
import collections
import io
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import models
from models.weights import WeightsError, read_checkpoint, read_weights

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return models.build("espcn", 4)


@pytest.fixture(scope="module")
def state(net: nn.Module) -> State:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def zeros(state: State) -> State:
    return {name: torch.zeros_like(value) for name, value in state.items()}


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def taken(file: Path, model: str = "espcn", scale: int = 4) -> tuple[State, str]:
    """The values of a network that a file gave, and the remark on them without the file's name."""
    network = models.build(model, scale)
    remark = models.fill(network, model, scale, {}, read_checkpoint(file))
    return dict(network.state_dict()), remark.removeprefix(f"{file}: ")


def same(found: State, expected: State) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


# What trainers write, and what is said of it: nothing where there was no choice.
WRITTEN: dict[str, tuple[Callable[[State], Any], str]] = {
    "BasicSR": (lambda s: {"params": s}, ""),
    "BasicSR, averaged": (lambda s: {"params": zeros(s), "params_ema": s}, "taken: params_ema; also there: params"),
    "hyphens": (lambda s: {"params-ema": s}, ""),
    "timm": (
        lambda s: {"epoch": 3, "arch": "espcn", "state_dict": zeros(s), "state_dict_ema": s, "metric": 30.1},
        "taken: state_dict_ema; also there: state_dict",
    ),
    "timm, older": (lambda s: {"model": zeros(s), "model_ema": s}, "taken: model_ema; also there: model"),
    "deep": (lambda s: {"trainer": {"best": {"net": s}}, "note": "x"}, ""),
    "Lightning": (
        lambda s: {
            "epoch": 1, "global_step": 9, "pytorch-lightning_version": "2.4", "state_dict": under("model.", s),
            "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1}}}}, "callbacks": {},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}], "lr_schedulers": [],
            "hyper_parameters": {"scale": 4},
        },
        "",
    ),
    "Lightning, GAN": (
        lambda s: {"state_dict": {**under("net_d.", zeros(s)), **under("net_g.", s)}},
        "taken: state_dict (net_g.*); also there: state_dict (net_d.*)",
    ),
    "Lightning, perceptual loss": (
        lambda s: {"state_dict": {**under("model.", s), "loss.vgg.0.weight": torch.ones(3, 3)}},
        "taken: state_dict (model.*); also there: state_dict (loss.*)",
    ),
    "GAN": (lambda s: {"net_d": zeros(s), "net_g": s}, "taken: net_g; also there: net_d"),
    "GAN, letters": (lambda s: {"D": zeros(s), "G": zeros(s), "G_ema": s}, "taken: G_ema; also there: G, D"),
    "DDP": (lambda s: under("module.", s), ""),
    "DDP twice": (lambda s: under("module.module.", s), ""),
    "compiled": (lambda s: {"state_dict": under("_orig_mod.", s)}, ""),
    "compiled, DDP": (lambda s: under("module._orig_mod.", s), ""),
    "compiled in part": (
        lambda s: {re.sub(r"^(\w+)\.", r"net.\1._orig_mod.", name): value for name, value in s.items()}, ""
    ),
    "averaged model": (lambda s: {"n_averaged": torch.tensor(5), **under("module.", s)}, ""),
    "Parameters": (lambda s: {name: nn.Parameter(value) for name, value in s.items()}, ""),
    "with an entry": (lambda s: {**s, "pro": 1}, ""),
    "means": (
        lambda s: {"mean": torch.ones(3), "state_dict": s}, "taken: state_dict; also there: the top level"
    ),
    "NumPy number": (
        lambda s: {"state_dict": s, "best": np.float64(32.1)},
        "taken: state_dict; objects left unread: numpy._core.multiarray.scalar, numpy.dtype",
    ),
    "arguments": (
        lambda s: {"state_dict": s, "args": argparse.Namespace(scale=4), "log": collections.defaultdict(list, a=[1])},
        "taken: state_dict; objects left unread: argparse.Namespace, collections.defaultdict, builtins.list",
    ),
}  # fmt: skip


@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("trainer", WRITTEN)
def test_the_network_of_every_trainer_is_found(tmp_path: Path, state: State, trainer: str, old: bool) -> None:
    write, remark = WRITTEN[trainer]
    torch.save(write(state), tmp_path / "a.pth", _use_new_zipfile_serialization=not old)
    found, said = taken(tmp_path / "a.pth")
    assert same(found, state)
    assert said == remark


def test_published_names_are_found_the_same_way(tmp_path: Path) -> None:
    network = models.build("imdn", 2)
    published = models.published_state("imdn", network)
    torch.save({"net": under("module.", published)}, tmp_path / "a.pth")
    assert same(taken(tmp_path / "a.pth", "imdn", 2)[0], dict(network.state_dict()))
    assert same(dict(models.load_published("imdn", 2, tmp_path / "a.pth").state_dict()), dict(network.state_dict()))
    torch.save(network.state_dict(), tmp_path / "own.pth")
    with pytest.raises(WeightsError, match="unexpected"):  # only published names, as ever
        models.load_published("imdn", 2, tmp_path / "own.pth")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float64])
def test_weights_in_other_precisions_are_converted_and_said(tmp_path: Path, state: State, dtype: torch.dtype) -> None:
    stored = {name: value.to(dtype) for name, value in state.items()}
    torch.save({"params": stored}, tmp_path / "a.pth")
    safetensors.torch.save_file(stored, tmp_path / "b.safetensors")
    for file, place in (("a.pth", "params"), ("b.safetensors", "the top level")):
        found, said = taken(tmp_path / file)
        assert same(found, {name: value.to(torch.float32) for name, value in stored.items()})
        assert said == f"taken: {place}; stored in {str(dtype).removeprefix('torch.')}"


def test_the_content_tells_the_format(tmp_path: Path, state: State) -> None:
    safetensors.torch.save_file(state, tmp_path / "a.pth")
    torch.save(state, tmp_path / "b.safetensors")
    torch.save(state, tmp_path / "c.safetensors", _use_new_zipfile_serialization=False)
    torch.save(state, tmp_path / "d")
    for file in tmp_path.iterdir():
        assert same(taken(file)[0], state), file


def test_the_weights_of_an_interrupted_training(tmp_path: Path, net: nn.Module, state: State) -> None:
    """The parts of `checkpoint.pt`: the average is taken, the optimiser's tensors are no weights."""
    averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    optimiser = torch.optim.Adam(net.parameters())
    net(torch.rand(1, 3, 8, 8)).mean().backward()
    optimiser.step()
    content = {
        "model": net.state_dict(), "optimiser": optimiser.state_dict(), "scaler": {}, "fingerprint": "0", "rows": [],
        "generators": {"torch": torch.get_rng_state(), "python": (3, (1, 2), None)},
    }  # fmt: skip
    torch.save(content, tmp_path / "plain.pt")
    torch.save({**content, "averaged": averaged.state_dict()}, tmp_path / "averaged.pt")
    found, said = taken(tmp_path / "plain.pt")
    assert same(found, dict(net.state_dict())) and said == ""
    found, said = taken(tmp_path / "averaged.pt")
    assert same(found, state) and said == "taken: averaged; also there: model"
    net.load_state_dict(state)


def test_what_is_not_a_number_is_loaded_as_it_is(tmp_path: Path, state: State) -> None:
    """A network propagates NaN, so that it is seen; training and evaluation tell of it."""
    first = next(iter(state))
    torch.save({**state, first: torch.full_like(state[first], float("nan"))}, tmp_path / "a.pth")
    assert taken(tmp_path / "a.pth")[0][first].isnan().all()


def archive(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/"), content)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("open('executed', 'w')",))


def damaged(path: Path, state: State) -> None:
    torch.save(state, path)
    content = bytearray(path.read_bytes())
    place = content.index(next(iter(state.values())).numpy().tobytes()[:16])
    content[place] ^= 1
    path.write_bytes(bytes(content))


def repacked(path: Path, state: State) -> None:
    """As zip and unzip leave it."""
    file = io.BytesIO()
    torch.save(state, file)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))


def scripted(path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)


def first_as(state: State, change: Callable[[Tensor], Tensor]) -> State:
    first = next(iter(state))
    return {**state, first: change(state[first])}


REFUSED: dict[str, tuple[Callable[[Path, State], Any], str]] = {
    "web page": (lambda p, s: p.write_text("\n<!DOCTYPE html><title>Virus scan warning</title>"), "a web page; down"),
    "LFS": (
        lambda p, s: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
        "a Git LFS pointer.*git lfs pull",
    ),
    "empty": (lambda p, s: p.write_bytes(b""), "is empty"),
    "folder": (lambda p, s: p.mkdir(), "a folder, expected a checkpoint file"),
    "missing": (lambda p, s: None, "no such file"),
    "image": (lambda p, s: p.write_bytes(b"\x89PNG\r\n\x1a\n"), "an image"),
    "noise": (lambda p, s: p.write_bytes(bytes(range(256)) * 8), "not a readable checkpoint .no file of torch.save"),
    "TorchScript": (lambda p, s: scripted(p), "a TorchScript program; save its tensors with torch.save"),
    "whole module": (
        lambda p, s: torch.save(models.build("espcn", 4), p),
        r"a whole module was pickled \(models\.espcn\.ESPCN\).*; save its tensors with torch.save\(model.state_dict",
    ),
    "module in a mapping": (lambda p, s: torch.save({"model": nn.Conv2d(1, 1, 1)}, p), "a whole module was pickled"),
    "module, legacy": (
        lambda p, s: torch.save(nn.Conv2d(1, 1, 1), p, _use_new_zipfile_serialization=False),
        "a whole module was pickled",
    ),
    "NumPy": (lambda p, s: np.savez(p.open("wb"), a=np.ones(3)), r"a NumPy archive \(\.npz\).*save its tensors"),
    "other archive": (lambda p, s: archive(p, net__weights_pth=b"1"), r"an archive \(net/weights_pth\); unpack it"),
    "compressed": (repacked, "its tensors are compressed, expected a file as torch.save writes it"),
    "damaged": (damaged, "damaged: the checksum of .*/data/.* is wrong"),
    "plain pickle": (lambda p, s: p.write_bytes(pickle.dumps({"a": 1})), "not a readable checkpoint"),
    "executable": (lambda p, s: torch.save({"weight": Bomb()}, p), r"only running code could read \(builtins\.exec"),
    "optimiser": (
        lambda p, s: torch.save({"epoch": 1, "optimizers": [{"state": {0: {"exp_avg": torch.ones(3)}}}]}, p),
        "holds no mapping of names to tensors .found a mapping of epoch, optimizers",
    ),
    "list": (lambda p, s: torch.save([1], p), "holds no mapping of names to tensors .found a list"),
    "integers": (lambda p, s: torch.save(first_as(s, Tensor.int), p), r"1 kinds \(\S+ is int32 instead of float32\)"),
    "truths": (lambda p, s: torch.save(first_as(s, Tensor.bool), p), "is bool instead of float32"),
    "complex": (lambda p, s: torch.save(first_as(s, lambda x: x + 1j), p), "is complex64 instead of float32"),
    "sparse": (lambda p, s: torch.save(first_as(s, Tensor.to_sparse), p), "is sparse_coo, float32"),
    "no values": (lambda p, s: torch.save(first_as(s, lambda x: x.to("meta")), p), "is without values"),
    "one missing": (lambda p, s: torch.save(dict(list(s.items())[1:]), p), "1 missing .*; 0 unexpected$"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_checkpoint_is_named_in_one_line(
    tmp_path: Path, state: State, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write, reason = REFUSED[what]
    write(tmp_path / "a.pth", state)
    with pytest.raises(WeightsError) as caught:
        taken(tmp_path / "a.pth")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'a.pth'}") and "\n" not in message and "\x1b" not in message
    assert re.search(reason, message), message
    assert not re.search("weights_only|add_safe_globals|trust the source", message)
    assert not (tmp_path / "executed").exists()


def test_code_beside_weights_is_left_unread(tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for old in (False, True):
        torch.save({"state_dict": state, "bomb": Bomb()}, "a.pth", _use_new_zipfile_serialization=not old)
        found, said = taken(Path("a.pth"))
        assert same(found, state) and said == "taken: state_dict; objects left unread: builtins.exec"
        assert not Path("executed").exists()
    torch.load("a.pth", weights_only=False)
    assert Path("executed").exists()  # it would have worked


def test_own_names_are_missed_one_by_one(tmp_path: Path) -> None:
    """IMDN's own names are not the published ones: the nearest naming is told of."""
    own = models.build("imdn", 4).state_dict()
    last = list(own)[-1]
    torch.save({name: value for name, value in own.items() if name != last}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=rf"1 missing \({re.escape(last)}\); 0 unexpected$"):
        taken(tmp_path / "a.pth", "imdn")


def test_weights_of_another_scale_or_depth_are_named(tmp_path: Path) -> None:
    torch.save(models.published_state("imdn", models.build("imdn", 2)), tmp_path / "x2.pth")
    with pytest.raises(WeightsError, match=r"these weights are of x2, not x4$"):
        taken(tmp_path / "x2.pth", "imdn")
    with pytest.raises(WeightsError, match=r"these weights are of x2, not x4$"):
        models.load_published("imdn", 4, tmp_path / "x2.pth")
    for scale, told in ((4, "have 2 blocks, not 8"), (3, "are of x3, not x4 and have 2 blocks, not 8")):
        torch.save({"params": models.build("spin", scale, blocks=2).state_dict()}, tmp_path / "shallow.pth")
        with pytest.raises(WeightsError, match=rf"these weights {told}$"):
            taken(tmp_path / "shallow.pth", "spin")


@pytest.mark.parametrize("length", [31520, 23328])  # their bytes begin like JSON text: " {" and " ["
def test_a_header_of_safetensors_may_begin_like_anything(tmp_path: Path, length: int) -> None:
    tensors = {"a": torch.arange(4.0)}
    path = tmp_path / "a.pth"
    shortest = int.from_bytes(safetensors.torch.save(tensors, {"x": ""})[:8], "little")
    path.write_bytes(safetensors.torch.save(tensors, {"x": "y" * (length - shortest)}))
    assert int.from_bytes(path.read_bytes()[:8], "little") == length
    assert torch.equal(read_weights(path)["a"], tensors["a"])
