"""The regression check on the reference that is committed: planted faults are found, what is no fault stays quiet."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

import models
import results
from benchmarks.data import datasets
from benchmarks.data.resize import imresize
from benchmarks.data.sources import Local
from benchmarks.measure import memory, quality
from benchmarks.measure.cost import Latency
from benchmarks.networks import Network, NetworkError
from benchmarks.regression import calibration, checks
from benchmarks.regression.references import TargetError, find
from models import native
from models.weights import read_weights
from reports.regression import Check, compare
from results import ResultsError, references
from results.references import Measured, Reference
from spinbench import check as cli_check
from tests.benchmarks.stored_runs import file_of, run_of

CPU = torch.device("cpu")
NAME = "quick/full-x4-s0"


def watch(part: str) -> Callable[[int, int, str], None]:
    return lambda done, total, note: None


class Remembered(nn.Module):
    """A network that works out each image once, so that faults behind it cost nothing."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.known = network, dict[bytes, Tensor]()

    def forward(self, image: Tensor) -> Tensor:
        key = image.numpy().tobytes()
        if key not in self.known:
            self.known[key] = self.network(image)
        return self.known[key].clone()


class After(nn.Module):
    """A network with something done to its output."""

    def __init__(self, network: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.change = network, change

    def forward(self, image: Tensor) -> Tensor:
        return self.change(self.network(image))


@pytest.fixture(scope="module")
def reference() -> Reference:
    return references.load(NAME)


class Planted(Network):
    """A network whose module is another one."""

    @classmethod
    def as_of(cls, network: Network, module: nn.Module) -> Network:
        planted = cls(**{field.name: getattr(network, field.name) for field in dataclasses.fields(network)})
        object.__setattr__(planted, "planted", module)
        return planted

    def module(self) -> nn.Module:
        return self.planted


@pytest.fixture(scope="module")
def network() -> nn.Module:
    ((network, _),) = find([], reference=NAME)
    return Remembered(network.module())


@pytest.fixture
def checked(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> Callable[[nn.Module], Check]:
    """The comparison of a network with the reference, but for its costs."""
    monkeypatch.setattr(checks, "comparable_costs", lambda *arguments: None)
    ((network, _),) = find([], reference=NAME)

    def run(model: nn.Module) -> Check:
        measured = checks.measured(Planted.as_of(network, model), ["embedded-test"], CPU, watch)
        return compare("planted", reference, measured)

    return run


def worse(found: Check) -> set[str]:
    return {line.quantity.partition(",")[0] for line in found.lines if line.verdict == "worse"}


# what must be found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda sr: sr[:, [2, 1, 0]], {"PSNR", "SSIM", "change of SR"}),
        (lambda sr: sr.roll(1, 3), {"PSNR", "SSIM", "change of SR"}),
        (lambda sr: (255 * sr).round().remainder(256) / 255, {"PSNR", "SSIM", "change of SR"}),
        (lambda sr: 1.01 * sr, {"PSNR", "change of SR"}),
    ],
    ids=["channels-swapped", "shifted-by-a-pixel", "wrapped-around", "brighter"],
)
def test_faults_of_the_output(
    network: nn.Module, checked: Callable[..., Check], change: Callable[[Tensor], Tensor], expected: set[str]
) -> None:
    assert worse(checked(After(network, change))) >= expected


def test_weights_with_one_per_cent_of_noise(
    reference: Reference, checked: Callable[..., Check], tmp_path: Path
) -> None:
    """After 60 steps of training the noise may as well raise the PSNR: the pixels tell."""
    assert reference.weights is not None
    random = torch.Generator().manual_seed(1)
    noisy = {
        name: value * (1 + 0.01 * torch.randn(value.shape, generator=random))
        for name, value in read_weights(reference.weights).items()
    }
    file = tmp_path / "noisy.safetensors"
    safetensors.torch.save_file(noisy, file)
    ((network, _),) = find([str(file)], reference=NAME)
    assert "change of SR" in worse(checked(network.module()))


def test_output_that_is_not_clamped(
    network: nn.Module, checked: Callable[..., Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unclamped(sr: NDArray[Any], rounded: bool) -> NDArray[np.float64]:
        return np.rint(255 * sr.astype(np.float64)).astype(np.int64).astype(np.uint8).astype(np.float64)

    monkeypatch.setattr(quality, "_from_unit_range", unclamped)
    assert worse(checked(network)) == {"PSNR", "SSIM", "change of SR"}


def test_a_changed_border_of_the_measure(
    network: nn.Module, checked: Callable[..., Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = dataclasses.replace(quality.CONVENTIONS["rcan"], cut_border=False)
    monkeypatch.setattr(quality, "CONVENTIONS", {"rcan": whole})
    found = checked(network)
    assert worse(found) == {"PSNR", "SSIM"}
    assert found.lines[0].change > 0  # a higher PSNR of the same weights is no improvement


def test_a_changed_border_of_the_network(reference: Reference, checked: Callable[..., Check]) -> None:
    ((network, _),) = find([], reference=NAME)
    model = network.module()
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.padding == (1, 1):
            module.padding_mode, module._reversed_padding_repeated_twice = "reflect", [1, 1, 1, 1]
    assert "change of SR" in worse(checked(model))


def pillow(image: NDArray[np.uint8], factor: float, border: str) -> NDArray[np.uint8]:
    size = [round(factor * side) for side in image.shape[1::-1]]
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


@pytest.mark.parametrize("wrong", [pillow, lambda *arguments: imresize(*arguments[:2], "replicate")])
@pytest.mark.parametrize("name", [NAME, "quick/bicubic-x4-s0"])
def test_wrong_lr(
    wrong: Callable[..., Any], name: str, checked: Callable[..., Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "imresize", wrong)
    stored = references.load(name)
    ((network, _),) = find([], reference=name)
    measured = checks.measured(network, ["embedded-test"], CPU, watch)
    assert "change of SR" in worse(compare("planted", stored, measured))


def test_one_per_cent_of_noise_lowers_the_psnr_of_a_well_trained_network(
    mirror_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As other weights, judged by quality alone."""
    monkeypatch.setattr(checks, "comparable_costs", lambda *arguments: None)
    ((network, reference),) = find(["imdn"])
    model = network.module()
    same = Planted.as_of(network, model)
    measured = checks.measured(same, ["Set5"], CPU, watch)
    stored = references.store(reference, measured, "first", root=tmp_path)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + 0.01 * torch.randn(parameter.shape, generator=random))
    noisy = checks.measured(same, ["Set5"], CPU, watch)
    assert "PSNR" in worse(compare("noisy", stored, noisy, retrained=True))
    assert compare("same", stored, measured).verdict == "equal"


# what must stay quiet


def test_the_same_weights_again(network: nn.Module, checked: Callable[..., Check]) -> None:
    found = checked(network)
    assert found.verdict == "equal"
    assert {line.quantity.partition(",")[0] for line in found.lines} == {"PSNR", "SSIM", "change of SR"}


def test_another_number_of_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "comparable_costs", lambda *arguments: None)
    (tmp_path / "crops").mkdir()
    for name in datasets.get("embedded-test").hr_names():
        crop = datasets.get("embedded-test").hr(name, 4)[:160, :200]
        Image.fromarray(crop).save(tmp_path / "crops" / f"{name}.png")
    ((network, _),) = find([], reference=NAME)
    before, measured = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            measured.append(checks.measured(network, [str(tmp_path / "crops")], CPU, watch))
    finally:
        torch.set_num_threads(before)
    stored = references.store(NAME, measured[0], "first", root=tmp_path)
    assert [compare("now", stored, now).verdict for now in measured[1:]] == ["equal", "equal"]


# what is measured


def test_costs(reference: Reference) -> None:
    ((network, _),) = find([], reference=NAME)
    model = network.module()
    stored = reference.measured.cost
    assert stored is not None
    assert len(stored.timing.forward_s) == len(stored.timing.calibration_s) == checks.REPEATS
    assert stored.parameters == sum(parameter.numel() for parameter in model.parameters())
    with native.off():
        assert stored.memory_bytes == memory.live_bytes(model, checks.LR_SIZE, CPU)


def test_the_grid_reaches_from_edge_to_edge() -> None:
    image = np.arange(100 * 37 * 3, dtype=np.uint32).reshape(100, 37, 3).astype(np.uint8)
    pixels = checks.sampled_pixels(image)
    assert len(pixels) == checks.GRID**2
    assert (pixels["row"].min(), pixels["row"].max()) == (0, 99)
    assert (pixels["column"].min(), pixels["column"].max()) == (0, 36)
    for row, column, *rgb in pixels.to_numpy().tolist():
        assert image[row, column].tolist() == rgb
    # an image smaller than the grid: some pixels twice
    assert len(checks.sampled_pixels(image[:5, :3])) == checks.GRID**2


def test_calibration_in_turn_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    network, calls = nn.Conv2d(3, 3, 3), list[tuple[str, int]]()

    def latency(model: nn.Module, lr_size: Any, device: Any, repeats: int, warmup: int) -> Latency:
        calls.append((type(model).__name__, torch.get_num_threads()))
        assert (lr_size, device, repeats, warmup) == ((16, 16), CPU, 1, 0)
        seconds = float(len(calls))
        return Latency(seconds, seconds, seconds, (seconds,), 1, 0, lr_size, "float32", "cpu", "a CPU", 1)

    monkeypatch.setattr(calibration, "latency", latency)
    torch.set_num_threads(before := torch.get_num_threads())
    timing = calibration.timing(network, (16, 16), CPU, 3)
    assert calls == [("Workload", 1), ("Conv2d", 1)] * 5
    assert timing.calibration_s == (5, 7, 9)  # the first two of each are not counted
    assert timing.forward_s == (6, 8, 10)
    assert torch.get_num_threads() == before


def test_the_workload_gives_numbers_and_takes_no_random_ones() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with torch.inference_mode():
        first, second = (calibration.Workload()(torch.full((1, 3, 16, 24), 0.5)) for _ in range(2))
    assert first.shape == (1, calibration.WIDTH, 16, 24)
    assert torch.isfinite(first).all()
    assert first.std() > 0.1  # neither dead nor denormal
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


class Steps(nn.Module):
    """Holds 3 images more at the most: the sum, its double and their product; a view and work in place add nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1000))

    def forward(self, image: Tensor) -> Tensor:
        total = image + self.weight[0]
        double = 2 * total
        product = (total * double).flatten(1).relu_()
        del total, double
        return product + 1


def test_memory_of_tensors_held_at_once() -> None:
    assert memory.live_bytes(Steps(), (8, 16), CPU) == 3 * (4 * 3 * 8 * 16)


# what is asked to be checked


@pytest.fixture
def run(reference: Reference, tmp_path: Path) -> Path:
    """A run's folder with a copy of the reference's weights, below a folder of results of its own."""
    folder = tmp_path / "runs" / "quick" / "full-x4-s0"
    folder.mkdir(parents=True)
    assert reference.weights is not None
    (folder / "weights.safetensors").write_bytes(reference.weights.read_bytes())
    train = {"model": "spin", "scale": 4, "config": reference.measured.network.config, "seed": 0}
    header = {"protocol": "quick", "variant": "full", "scale": 4, "seed": 0, "stages": {"train": train}}
    (folder / "run.yaml").write_text(yaml.safe_dump(header))
    (folder / "quality.csv").write_text("")
    return folder


def test_a_run_by_its_folder_or_its_weights(reference: Reference, run: Path) -> None:
    for target in (run, run / "weights.safetensors"):
        ((network, name_of_reference),) = find([str(target)])
        assert (network.name, name_of_reference) == (NAME, NAME)
        assert network.weights == Local(run / "weights.safetensors")
        found = network.record()
        assert (found.weights, found.config) == (reference.measured.network.weights, reference.measured.network.config)
        assert found.training not in (None, reference.measured.network.training)


def test_weights_say_what_they_are(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "spin", 2, {"blocks": 1})
    file = file_of(tmp_path / "copy.safetensors", "spin", 2, {"blocks": 1})
    for target, name in ((run, "quick/mine-x2-s0"), (file, "quick/mine-x2-s3")):
        ((network, name_of_reference),) = find([str(target)])
        assert (network.name, name_of_reference) == (name, name)
        assert (network.scale, network.config["blocks"]) == (2, 1)
        assert network.record().training
        with pytest.raises(NetworkError, match=r"requested x3, but .* says x2"):
            find([str(target)], scale=3)
        with pytest.raises(NetworkError, match=r"requested imdn, but .* says spin"):
            find([str(target)], model="imdn")


def test_an_experiment_by_its_runs_that_have_a_reference(run: Path, reference: Reference, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="none of 1 finished runs of table2 has a reference"):
        find(["table2"], root=tmp_path)
    assert [network.name for network, _ in find(["table2"], new=True, root=tmp_path)] == [NAME]
    references.store(NAME, reference.measured, "first", root=tmp_path)
    assert [network.name for network, _ in find(["table2"], root=tmp_path)] == [NAME]


def test_published_weights_by_the_network(mirror_folder: Path) -> None:
    ((network, reference),) = find(["imdn"], scale=2)
    assert reference == "published/imdn-x2-s0"
    assert network.scale == 2
    with torch.no_grad():
        model = network.module()
        assert network.weights is not None
        expected = models.load_published("imdn", 2, network.weights.locate())
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))


@pytest.mark.parametrize(
    ("targets", "options", "error", "message"),
    [
        (["nothing"], {}, TargetError, "nothing: expected weights, a run's folder, an experiment or a network"),
        (["{file}"], {}, TargetError, f"expected a reference .stored: .*{NAME}"),
        (
            ["{file}"],
            {"reference": "quick/new"},
            TargetError,
            "quick/new is new, its model is not given: expected one",
        ),
        (["{file}"], {"reference": NAME, "model": "imdn"}, TargetError, "model imdn: .* is of spin"),
        (["{file}"], {"reference": NAME, "scale": 2}, TargetError, "scale 2: .* is of x4"),
        (["{file}"], {"reference": NAME, "protocol": "cpu"}, TargetError, "protocol cpu: does not apply to .*w.safe"),
        (["{folder}"], {"reference": NAME}, NetworkError, "weights.safetensors: no such file"),
        (["imdn"], {"model": "carn"}, TargetError, "model carn: does not apply to imdn"),
        (["table2"], {"scale": 2}, TargetError, "scale 2: does not apply to the runs of table2"),
        (["table2"], {"reference": NAME}, TargetError, f"reference {NAME}: does not apply to the runs of table2"),
        ([], {"scale": 2}, TargetError, "scale 2: does not apply to stored references"),
        (["a", "b"], {"reference": NAME}, TargetError, "expected one network to compare with it, not 2"),
        ([], {"reference": "quick/other"}, ResultsError, "no reference 'quick/other', expected one of quick/bicubic"),
        (["table2"], {"protocol": "paper"}, ResultsError, "none of 0 finished runs of table2 has a reference"),
        (["srcnn"], {}, NetworkError, "srcnn x4: no published checkpoint is registered"),
    ],
)
def test_what_cannot_be_checked(
    tmp_path: Path, targets: list[str], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    safetensors.torch.save_file({}, tmp_path / "w.safetensors")
    (tmp_path / "empty").mkdir()
    named = [target.format(file=tmp_path / "w.safetensors", folder=tmp_path / "empty") for target in targets]
    with pytest.raises(error, match=message):
        find(named, **options)


def test_a_damaged_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("protocol: quick\n")
    with pytest.raises(
        NetworkError, match=r"run\.yaml: cannot be used \(stages: expected a mapping of stages to settings\)"
    ):
        find([str(tmp_path)])


# the command


@pytest.fixture
def spinbench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, str]]]:
    threads = torch.get_num_threads()

    def command(*arguments: object) -> tuple[int, str]:
        found = CliRunner().invoke(cli_check.app, [*map(str, arguments)])
        return found.exit_code, found.output

    yield command
    torch.set_num_threads(threads)


@pytest.fixture
def measures(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> Callable[[Measured], None]:
    """Decides what is measured."""

    def decide(measured: Measured) -> None:
        monkeypatch.setattr(checks, "measured", lambda *arguments: measured)

    decide(reference.measured)
    return decide


def slower(measured: Measured, forward: float, calibration: float = 1) -> Measured:
    assert measured.cost is not None
    timing = measured.cost.timing
    timing = replace(
        timing,
        forward_s=tuple(forward * seconds for seconds in timing.forward_s),
        calibration_s=tuple(calibration * seconds for seconds in timing.calibration_s),
    )
    return replace(measured, cost=replace(measured.cost, timing=timing))


def test_bicubic_passes_for_real(spinbench: Callable[..., tuple[int, str]]) -> None:
    code, output = spinbench("--reference", "quick/bicubic-x4-s0")
    assert code == 0, output
    assert "regression check: equal" in output


def test_exit_codes_and_files(
    reference: Reference,
    spinbench: Callable[..., tuple[int, str]],
    measures: Callable[[Measured], None],
    tmp_path: Path,
) -> None:
    arguments = ["--reference", NAME, "--json", tmp_path / "c" / "check.json", "--markdown", tmp_path / "check.md"]
    for measured, expected in (
        (reference.measured, 0),
        (slower(reference.measured, 1.5), 1),
        (slower(reference.measured, 3, 3), 0),
    ):
        measures(measured)
        code, output = spinbench(*arguments)
        assert code == expected, output
        verdict = json.loads((tmp_path / "c" / "check.json").read_text())["verdict"]
        assert verdict != "worse" if code == 0 else verdict == "worse"
        assert f"### Regression check: {verdict}" in (tmp_path / "check.md").read_text()
        assert f"regression check: {verdict}" in output
        assert "latency / calibration" in output


@pytest.mark.usefixtures("measures")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--update"], "error: --update: expected --reason with it"),
        (["--reason", "r"], "error: --reason: expected --update with it"),
        (
            ["--update", "--reason", "r", "--json", "j", "--psnr", "1"],
            "compared, expected no --psnr and --json with it",
        ),
        (["--data", "embedded-test,embedded-test"], "expected each set once"),
        (["--reference", NAME, "--data", "Set5"], f"error: --data Set5: not in the reference {NAME}"),
        (["nothing"], "error: nothing: expected weights"),
        (["--device", "abacus"], "error: unknown device 'abacus'"),
        (["--psnr", "much"], "--psnr"),
    ],
)
def test_an_error_is_no_verdict(spinbench: Callable[..., tuple[int, str]], arguments: list[str], message: str) -> None:
    code, output = spinbench(*arguments)
    assert code == 2
    assert message in output
    assert "Traceback" not in output


def test_even_a_bug_is_no_verdict(spinbench: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "measured", lambda *arguments: 1 / 0)
    code, output = spinbench()
    assert code == 2
    assert "ZeroDivisionError" in output


def test_a_reference_is_written_only_when_told(
    reference: Reference,
    run: Path,
    spinbench: Callable[..., tuple[int, str]],
    measures: Callable[[Measured], None],
    tmp_path: Path,
) -> None:
    there = ["--results", tmp_path]
    assert spinbench(run, *there)[0] == 2  # there is none yet
    assert references.names(tmp_path) == []
    assert spinbench(run, *there, "--update", "--reason", "first")[0] == 0
    before = (tmp_path / "reference" / NAME / "reference.json").read_bytes()
    measures(slower(reference.measured, 1.5))
    assert spinbench(run, *there)[0] == 1
    assert (tmp_path / "reference" / NAME / "reference.json").read_bytes() == before
    assert spinbench(run, *there, "--update", "--reason", "a better layer")[0] == 0
    assert spinbench(run, *there)[0] == 0
    assert [record["reason"] for record in references.load(NAME, tmp_path).history] == ["first", "a better layer"]


def test_tolerances_can_be_given(
    reference: Reference, spinbench: Callable[..., tuple[int, str]], measures: Callable[[Measured], None]
) -> None:
    quality = reference.measured.quality
    measures(replace(reference.measured, quality=quality.assign(psnr=quality["psnr"] - 0.01)))
    assert spinbench("--reference", NAME)[0] == 1
    assert spinbench("--reference", NAME, "--psnr", 0.02)[0] == 0


def test_the_committed_reference_is_whole() -> None:
    """Its weights are those that its numbers come from."""
    for name in references.names():
        stored = references.load(name)
        if stored.weights:
            ((network, _),) = find([], reference=name)
            ((rehashed, _),) = find([str(stored.weights)], reference=name)
            assert rehashed.record() == network.record() == stored.measured.network
    assert {NAME, "quick/bicubic-x4-s0"} <= set(references.names(results.ROOT))
