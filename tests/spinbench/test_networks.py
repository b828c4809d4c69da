"""Commands on networks as a user meets them: upscale, evaluate in tiles, export, fetch and speed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image

import models
from benchmarks.data import published
from benchmarks.data.images import DataError
from benchmarks.measure import growth, tiling
from benchmarks.measure.evaluation import bicubic_upscale, network_upscale, self_ensemble
from benchmarks.measure.macs import CostError
from benchmarks.measure.peak import Memory
from benchmarks.measure.quality import eight_bit
from tests.spinbench import commands

CPU = torch.device("cpu")
Spinbench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def spinbench() -> Spinbench:
    return commands.spinbench


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A run's folder with ESPCN x2."""
    torch.manual_seed(0)
    folder = tmp_path / "run"
    folder.mkdir()
    safetensors.torch.save_file(models.build("espcn", 2).state_dict(), folder / "weights.safetensors")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    random = np.random.default_rng(0)
    paths = [tmp_path / "a.png", tmp_path / "b.bmp"]
    for path, size in zip(paths, [(30, 41, 3), (17, 12, 3)], strict=True):
        Image.fromarray(random.integers(0, 256, size, dtype=np.uint8)).save(path)
    return paths


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.array(image)


# upscale


@pytest.mark.parametrize("tile", ["auto", "off", 16])
@pytest.mark.parametrize("ensemble", [False, True])
def test_upscale(
    spinbench: Spinbench, weights: Path, pictures: list[Path], tmp_path: Path, tile: object, ensemble: bool
) -> None:
    output = tmp_path / "new" / "folder"
    options = ["--weights", weights, "--scale", 2, "--tile", tile, "--output", output]
    code, out, err = spinbench(
        "upscale", *pictures, "--model", "espcn", *options, *["--self-ensemble"][: int(ensemble)]
    )
    assert (code, err) == (0, "")
    assert sorted(path.name for path in output.iterdir()) == ["a.png", "b.png"]
    network = models.build("espcn", 2)
    network.load_state_dict(safetensors.torch.load_file(weights / "weights.safetensors"))
    upscale = network_upscale(network, CPU)
    upscale = self_ensemble(upscale) if ensemble else upscale
    for path in pictures:
        expected, found = eight_bit(upscale(read(path))), read(output / f"{path.stem}.png")
        if tile == 16:  # where a value lies between two, tiles may round the other way
            assert np.abs(expected.astype(int) - found).max() <= 1
            assert np.mean(expected != found) < 1e-3
        else:
            assert np.array_equal(found, expected)
    assert ("images are processed in tiles of 16x16, halo 4" if tile == 16 else "images are processed whole") in out
    assert "[1/2]" in out
    assert f"{output / 'b.png'} 34x24" in out


def test_bicubic_needs_no_weights(spinbench: Spinbench, pictures: list[Path], tmp_path: Path) -> None:
    assert spinbench("upscale", pictures[0], "--model", "bicubic", "--scale", 3, "--output", tmp_path / "o")[0] == 0
    assert np.array_equal(read(tmp_path / "o" / "a.png"), eight_bit(bicubic_upscale(3)(read(pictures[0]))))


def test_bad_images_do_not_stop_the_others(
    spinbench: Spinbench, weights: Path, pictures: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(pictures[0].read_bytes()[:-40])
    images = [bad, tmp_path / "absent.png", *pictures]
    output = tmp_path / "out"
    code, out, _ = spinbench(
        "upscale", *images, "--model", "espcn", "--weights", weights, "--scale", 2, "--output", output
    )
    assert code == 1
    assert sorted(path.name for path in output.iterdir()) == ["a.png", "b.png"]
    assert f"failed: {bad}: damaged or unreadable image" in out
    assert f"failed: {tmp_path / 'absent.png'}: no such file" in out
    assert "failed: 2 of 4 images" in out


def test_images_that_a_network_cannot_take(
    spinbench: Spinbench, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    file = tmp_path / "spin.safetensors"
    safetensors.torch.save_file(models.build("spin", 2).state_dict(), file)
    code, out, _ = spinbench(
        "upscale", pictures[1], "--model", "spin", "--weights", file, "--scale", 2, "--output", tmp_path / "out"
    )
    assert code == 1
    assert f"failed: {pictures[1]}: SPIN needs an input of at least 24 pixels" in out

    monkeypatch.setitem(tiling.Fitted.__init__.__kwdefaults__, "memory", lambda device: 200_000)
    code, out, _ = spinbench(
        "upscale", pictures[0], "--model", "espcn", "--weights", weights, "--scale", 2, "--output", tmp_path / "out"
    )
    assert code == 1
    assert f"failed: {pictures[0]}: 30x41 at x2: the result takes" in out
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(spinbench: Spinbench, pictures: list[Path], tmp_path: Path) -> None:
    before = [path.read_bytes() for path in pictures]
    code, _, err = spinbench("upscale", *pictures, "--model", "bicubic", "--output", tmp_path)
    assert code == 1
    assert err == f"error: {tmp_path / 'a.png'}: exists already, expected a folder without it\n"
    twin = tmp_path / "other" / "a.tif"
    code, _, err = spinbench("upscale", *pictures, twin, "--model", "bicubic", "--output", tmp_path / "out")
    assert code == 1
    assert err.startswith(f"error: {twin}: another image is also written to {tmp_path / 'out' / 'a.png'}")
    assert [path.read_bytes() for path in pictures] == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["upscale", "x.png", "--model", "espcn"], "espcn: expected --weights or --published"),
        (["upscale", "x.png", "--model", "espcm", "--published"], "unknown network 'espcm'; did you mean 'espcn'"),
        (["upscale", "x.png", "--model", "espcn", "--published"], "espcn x4: no published checkpoint"),
        (["upscale", "x.png", "--model", "espcn", "--published", "--weights", "y"], "expected one of them"),
        (["upscale", "x.png", "--model", "bicubic", "--tile", "0"], "--tile 0: expected auto, off, or the edge"),
        (["upscale", "x.png", "--model", "bicubic", "--tile", "big"], "--tile big: expected auto, off, or the edge"),
        (["export-published", "absent.pth", "new.pth", "--model", "espcn"], "absent.pth: no such file"),
        (["speed", "--models", "espcn,espcm"], "unknown network 'espcm'"),
        (["speed", "--lr", "64"], "--lr 64: expected height x width, such as 64x64"),
    ],
)
def test_wrong_arguments_get_one_clear_line(
    spinbench: Spinbench, tmp_path: Path, arguments: list[str], words: str
) -> None:
    place = {"upscale": ["--output", tmp_path / "out"], "speed": ["--csv", tmp_path / "speed.csv"]}
    code, _, err = spinbench(*arguments, *place.get(arguments[0], []))
    assert code == 1
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert words in err
    assert list(tmp_path.iterdir()) == []


# evaluate


def test_evaluate_in_tiles_and_as_an_ensemble(spinbench: Spinbench, weights: Path, tmp_path: Path) -> None:
    rows = {}
    for name, options in {"whole": [], "tiles": ["--tile", 40], "ensemble": ["--self-ensemble"]}.items():
        csv = tmp_path / f"{name}.csv"
        common = ["--data", "embedded-test", "--weights", weights, "--scale", 2, "--csv", csv]
        code, out, err = spinbench("evaluate", "espcn", *common, *options)
        assert code == 0, err
        assert ("tiles of 40x40, halo 4" in out) == (name == "tiles")
        assert ("espcn+ x2" in out) == (name == "ensemble")
        rows[name] = pd.read_csv(csv)
    np.testing.assert_allclose(rows["tiles"]["psnr"], rows["whole"]["psnr"], rtol=0, atol=1e-3)
    assert (np.abs(rows["ensemble"]["psnr"] - rows["whole"]["psnr"]) > 1e-3).all()


def test_evaluate_a_published_checkpoint(spinbench: Spinbench, mirror_folder: Path, tmp_path: Path) -> None:
    csv = tmp_path / "rows.csv"
    code, _, err = spinbench("evaluate", "imdn", "--published", "--data", "Set5", "--csv", csv)
    assert code == 0, err
    assert pd.read_csv(csv)["psnr"].mean() == pytest.approx(32.21, abs=0.01)  # Table 1


def test_weights_of_another_scale_are_refused(spinbench: Spinbench, weights: Path) -> None:
    code, _, err = spinbench("evaluate", "espcn", "--data", "embedded-test", "--weights", weights, "--scale", 3)
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "weights.safetensors does not fit ESPCN" in err


# export-published


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_an_export_loads_as_a_published_checkpoint(
    spinbench: Spinbench, tmp_path: Path, suffix: str, weights: Path
) -> None:
    torch.manual_seed(1)
    trained, run, output = models.build("spin", 2).eval(), tmp_path / "spin", tmp_path / f"published{suffix}"
    run.mkdir()
    safetensors.torch.save_file(trained.state_dict(), run / "weights.safetensors")
    code, out, err = spinbench("export-published", run, output, "--model", "spin", "--scale", 2)
    assert code == 0, err
    state = safetensors.torch.load_file(output) if suffix == ".safetensors" else torch.load(output, weights_only=True)
    assert f"{len(state)} tensors" in out
    assert state["blocks.0.inter_layer.1.fc1.weight"].shape == (72, 80, 1, 1)
    x = torch.rand(1, 3, 24, 25)
    with torch.inference_mode():
        assert torch.equal(models.load_published("spin", 2, output)(x), trained(x))
    before = output.read_bytes()
    code, _, err = spinbench("export-published", weights, output, "--model", "espcn", "--scale", 2)
    assert (code, err) == (1, f"error: {output}: exists already, expected a new file\n")
    assert output.read_bytes() == before


def test_an_export_needs_a_known_suffix(spinbench: Spinbench, weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "espcn.onnx"
    code, _, err = spinbench("export-published", weights, output, "--model", "espcn", "--scale", 2)
    assert code == 1
    assert err == f"error: {output}: expected a name that ends in .pth, .pt or .safetensors\n"
    assert not output.exists()


# fetch weights


def test_fetch_weights(spinbench: Spinbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch_all(progress: Callable[[int, int, str], None]) -> int:
        progress(2, 2, "imdn x4")
        return 2

    monkeypatch.setattr(published, "fetch_all", fetch_all)
    code, out, _ = spinbench("fetch", "weights")
    assert code == 0
    assert "weights: 2 files available" in out

    def incomplete(progress: Callable[[int, int, str], None]) -> int:
        raise DataError("1 of 2 files are not in the mirror: some/file.pth")

    monkeypatch.setattr(published, "fetch_all", incomplete)
    code, _, err = spinbench("fetch", "weights")
    assert (code, err) == (1, "error: 1 of 2 files are not in the mirror: some/file.pth\n")


# speed


def test_speed_of_two_networks_and_a_failing_one(
    spinbench: Spinbench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def memory(name: str, scale: int, config: object, size: tuple[int, int], device: torch.device) -> Memory:
        if name == "srcnn":
            raise CostError("it died")
        return Memory(5 * 2**20, size, "m")

    monkeypatch.setattr(growth, "peak_memory", memory)
    csv = tmp_path / "speed.csv"
    options = ["--lr", "16x12", "--repeats", 2, "--csv", csv, "--device", "cpu"]
    code, out, _ = spinbench("speed", "--models", "espcn,srcnn", "--models", "fsrcnn", *options)
    assert code == 1
    assert "[2/3] srcnn failed: it died" in out
    assert "failed: srcnn" in out.splitlines()
    rows = pd.read_csv(csv)
    assert rows.groupby("network").size().to_dict() == {"espcn": 4, "fsrcnn": 4}
    for name in ("espcn", "fsrcnn"):
        (line,) = [line for line in out.splitlines() if line.startswith(f"│ {name}")]
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        (row,) = rows[(rows["network"] == name) & rows["memory_bytes"].notna()].to_dict("records")
        assert (row["lr_height"], row["lr_width"]) == (16, 12)
        assert cells[1:5] == [
            f"{row['median_s']:.4f}",
            f"{row['macs'] / 1e9:.2f}",
            f"{row['macs'] / 1e9 / row['median_s']:.1f}",
            "5",
        ]
        assert cells[6] == "1.00"
