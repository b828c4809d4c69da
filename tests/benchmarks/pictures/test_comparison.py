"""Comparisons of networks on an image: whose weights, which image, which box, and what stands under each crop."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
import typer.testing
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import models
import results
from benchmarks.data import datasets
from benchmarks.data.datasets import Pair
from benchmarks.data.images import DataError
from benchmarks.data.resize import imresize
from benchmarks.data.sources import Local
from benchmarks.measure import evaluation
from benchmarks.measure.quality import eight_bit, psnr, ssim
from benchmarks.networks import Network, NetworkError
from benchmarks.pictures import PictureError, common_scale, comparison, pair, stored_name
from benchmarks.pictures import network as named
from benchmarks.pictures.comparison import COLOURS, EDGE, LEAST, Shown, compare, differing_box, differing_image
from foundation import SpinbenchError
from results import Run, pictures
from results.comparison import Box, Comparison
from results.quality import QUALITY_COLUMNS
from spinbench import pictures as cli_pictures
from tests.benchmarks.stored_runs import run_of

CPU = torch.device("cpu")
SCALE = 4
RGB = NDArray[np.uint8]


def noise(seed: int, height: int, width: int) -> RGB:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pair_of(hr: RGB) -> Pair:
    return Pair("x", hr, imresize(hr, 1 / SCALE), "imresize-symmetric")


def shown(name: str, sr: RGB) -> Shown:
    return Shown(Network(name, SCALE, name=name, label=name.upper(), source="published weights"), sr)


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
        comparison.check_box(Box(x=40, y=0, width=11, height=11), one, [])
    with pytest.raises(PictureError, match=r"box 0,0,11,10: expected at least 11x11 pixels"):
        comparison.check_box(Box(x=0, y=0, width=11, height=10), one, [])
    comparison.check_box(Box(x=37, y=29, width=11, height=11), one, [])
    with pytest.raises(PictureError, match="48x36 pixels"):  # a result that covers less
        comparison.check_box(Box(x=37, y=29, width=11, height=11), one, [shown("smsr", noise(0, 36, 48))])
    with pytest.raises(PictureError, match="16x40 pixels, expected at least 19"):
        small = pair_of(noise(0, 40, 16))
        differing_box(small, SCALE, [shown("imdn", small.hr)])


# What stands under the crops


def test_values_are_those_of_the_benchmark() -> None:
    hr, sr = noise(0, 80, 96), noise(1, 80, 96)
    narrow = noise(2, 72, 88)  # a network that takes a multiple of pixels only
    box = Box(x=13, y=22, width=31, height=17)
    facts, images = compare(
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


def test_errors_share_their_scale() -> None:
    hr = np.full((80, 80, 3), 100, np.uint8)
    near, far = hr.copy(), hr.copy()
    near[20:40, 20:40] += 20  # grey: Y changes by 219/255 of it
    far[20:40, 20:40] += 60
    box = Box(x=16, y=16, width=32, height=32)
    facts, images = compare("x", "", pair_of(hr), SCALE, [shown("imdn", near), shown("carn", far)], box, "")
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
    facts, images = compare(
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
    title, one = pair("embedded-test/coffee", 2)
    assert title == "embedded-test/coffee"
    assert np.array_equal(one.lr, datasets.get("embedded-test").pair("coffee", 2).lr)
    hr = noise(0, 41, 39)
    Image.fromarray(hr).save(tmp_path / "x.y.png")
    title, one = pair(str(tmp_path / "x.y.png"), SCALE)
    assert title == "x.y.png"
    assert np.array_equal(one.hr, hr[:40, :36])
    assert np.array_equal(one.lr, imresize(hr[:40, :36], 1 / SCALE))
    assert pair(f"{tmp_path}/x.y", SCALE)[0] == f"folder:{tmp_path.name}/x.y"
    with pytest.raises(PictureError, match=r"image 'absent.png': no such file, expected one, or SET/NAME"):
        pair("absent.png", SCALE)
    with pytest.raises(DataError, match="embedded-test has no image 'tea'"):
        pair("embedded-test/tea", SCALE)
    with pytest.raises(DataError, match="no data set or folder 'Set6'"):
        pair("Set6/img_001", SCALE)


@given(st.text(), st.text())
def test_stored_names_are_plain(one: str, other: str) -> None:
    assert pictures._PLAIN_NAME.fullmatch(stored_name("c", one, other))


# Whose weights


def trained(root: Path, protocol: str, seed: int = 0) -> Run:
    run = Run(protocol, "full", SCALE, seed, root)
    run_of(run.folder, "spin", SCALE, {"blocks": 8}, protocol=protocol, variant="full", seed=seed)
    return run


def test_weights_of_runs(tmp_path: Path) -> None:
    run = trained(tmp_path, "quick")
    one = named("full", SCALE, "table2", "quick", tmp_path)
    assert (one.model, one.source) == ("spin", "run quick/full-x4-s0")
    assert one.weights == Local(run.path("weights.safetensors"))
    assert "protocol" not in one.label
    state = safetensors.torch.load_file(run.path("weights.safetensors"))
    for name, tensor in one.module().state_dict().items():
        assert torch.equal(tensor, state[name])
    # where nothing is trained, those of another protocol stand in under its name
    one = named("full", SCALE, "table1", "published", tmp_path)
    assert (one.label, one.source) == ("SPIN (protocol quick)", "run quick/full-x4-s0")
    with pytest.raises(PictureError, match=r"full x4: no trained weights, expected .*runs/cpu/full-x4-s0/weights"):
        named("full", SCALE, "table2", "cpu", tmp_path)
    with pytest.raises(PictureError, match="full x2: no trained weights"):
        named("full", 2, "table2", "quick", tmp_path)


def test_published_weights_and_named_files(tmp_path: Path, mirror_folder: Path) -> None:
    one = named("imdn", SCALE, "table1", "published", tmp_path)
    assert (one.label, one.source) == ("IMDN", "published weights")
    assert named("hpinet_m", SCALE, "table2", "quick", tmp_path).source == "published weights"
    file = tmp_path / "mine.safetensors"
    torch.manual_seed(3)
    own = models.build("espcn", SCALE)
    safetensors.torch.save_file(own.state_dict(), file)
    one = named(f"espcn={file}", SCALE, "table1", "published", tmp_path)
    assert (one.source, one.weights) == (str(file), Local(file))
    assert one.label.endswith("(mine.safetensors)")
    x = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        assert torch.equal(one.module()(x), own(x))


def test_named_weights_are_what_they_say(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "spin", 2, {"blocks": 1})
    for name in ("spin", "mine"):  # the model, the run's variant
        one = named(f"{name}={run}", 2, "table1", "published", tmp_path)
        assert (one.name, one.label, one.scale, one.config["blocks"]) == (name, "Mine (run)", 2, 1)
    with pytest.raises(NetworkError, match=r"run: asked for blocks 8, but .*run\.yaml says blocks 1"):
        named(f"full={run}", 2, "table1", "published", tmp_path)  # a variant that is defined otherwise
    with pytest.raises(NetworkError, match=r"run: asked for x4, but .*run\.yaml says x2"):
        named(f"spin={run}", 4, "table1", "published", tmp_path)
    with pytest.raises(PictureError, match=r"bicubic=.*run: interpolation has no weights"):
        named(f"bicubic={run}", 2, "table1", "published", tmp_path)
    assert common_scale(["imdn", f"spin={run}"], None) == 2
    assert common_scale(["imdn", f"spin={run}"], 3) == 3
    assert common_scale(["imdn"], None) == 4


def test_a_run_of_another_definition_is_not_the_variant_s(tmp_path: Path) -> None:
    run_of(tmp_path / "runs" / "quick" / "full-x4-s0", "spin", SCALE, {"blocks": 1}, variant="full")
    told = r"no trained weights \(full-x4-s0: of another definition \(config.blocks: 1 -> 8\)\), expected"
    with pytest.raises(PictureError, match=told):
        named("full", SCALE, "table2", "quick", tmp_path)


def test_a_network_is_shown_as_it_is_measured() -> None:
    network, lr = Network("espcn", 2, ensemble=True, multiple=4), noise(0, 31, 27)
    expected = evaluation.self_ensemble(evaluation.network_upscale(network.module(), CPU))(lr[:28, :24])
    assert np.array_equal(comparison.upscaled(network, lr, CPU).sr, eight_bit(expected))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("imdm", "unknown network 'imdm'; did you mean 'imdn'"),
        ("madnet", "madnet: its architecture is not documented"),
        ("carn", "carn x4: no published checkpoint is registered; name a file as carn=FILE"),
        ("spin", "spin x4: no published checkpoint is registered; name a file as spin=FILE"),
    ],
)
def test_networks_without_weights_say_so(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(PictureError) as error:
        named(name, SCALE, "table1", "published", tmp_path)
    assert words in str(error.value)


def test_a_checkpoint_that_is_not_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))
    with pytest.raises(PictureError, match="imdn x4: its checkpoint is not in the mirror"):
        named("imdn", SCALE, "table1", "published", tmp_path)


# The command

Picture = Callable[..., tuple[str, BaseException | None]]


@pytest.fixture
def picture() -> Picture:
    """Output of `spinbench picture` in this process, and what stopped it."""

    def run(*arguments: object) -> tuple[str, BaseException | None]:
        threads = torch.get_num_threads()
        found = typer.testing.CliRunner().invoke(cli_pictures.app, [str(each) for each in arguments])
        torch.set_num_threads(threads)
        return " ".join(found.output.split()), found.exception

    return run


@pytest.fixture
def espcn(tmp_path: Path) -> list[str]:
    """Two ESPCN x2 of random weights, as a user names them."""
    files = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        file = tmp_path / f"espcn-{seed}.safetensors"
        safetensors.torch.save_file(models.build("espcn", 2).state_dict(), file)
        files.append(f"espcn={file}")
    return files


def test_compare(picture: Picture, espcn: list[str], tmp_path: Path) -> None:
    networks = ["--networks", f"bicubic,{espcn[0]}", "--networks", espcn[1]]
    common = ["--image", "embedded-test/chelsea", "--scale", 2, "--results", tmp_path, "--device", "cpu"]
    output, error = picture("compare", *networks, *common)
    assert error is None, error
    (stored,) = pictures.load_pictures(tmp_path)
    assert stored.name == "comparison-embedded-test-chelsea-x2"
    facts = Comparison.of(stored)
    assert facts.image == "embedded-test/chelsea"
    assert [panel.name for panel in facts.panels] == ["bicubic", "espcn", "espcn"]
    assert facts.panels[1].crop != facts.panels[2].crop
    assert f"box {facts.box}: {facts.box_rule}" in output
    assert "[3/3]" in output
    # the values are those of an evaluation of the set
    upscale = evaluation.network_upscale(named(espcn[0], 2, "table1", "published").module(), CPU)
    for panel, upscaler in zip(facts.panels, (evaluation.bicubic_upscale(2), upscale), strict=False):
        rows = evaluation.evaluate(upscaler, datasets.get("embedded-test"), 2, limit=1)
        (row,) = rows[rows.image == "chelsea"].to_dict("records")
        assert (panel.whole.psnr, panel.whole.ssim) == (row["psnr"], row["ssim"])
    one = datasets.get("embedded-test").pair("chelsea", 2)
    with Image.open(stored.folder / facts.panels[1].crop) as image:
        assert np.array_equal(np.array(image), eight_bit(upscale(one.lr))[facts.box.place])

    output, error = picture("compare", *networks, *common, "--box", "10,20,30,40", "--name", "mine")
    assert error is None, error
    mine = next(each for each in pictures.load_pictures(tmp_path) if each.name == "mine")
    assert Comparison.of(mine).box == Box(x=10, y=20, width=30, height=40)
    assert Comparison.of(mine).box_rule == "chosen by hand"


def test_the_image_and_the_networks_are_found(
    picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything by default, where the weights of a single variant are at hand."""
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))
    trained(tmp_path, "quick")
    for variant, chelsea in {"bicubic": 28.0, "full": 27.0}.items():
        rows = pd.DataFrame({"image": ["chelsea", "coffee"], "psnr": [chelsea, 30.0]})
        rows = rows.assign(dataset="embedded-test", lr_origin="imresize-symmetric", convention="rcan", ssim=0.9)
        run = Run("quick", variant, SCALE, 0, tmp_path)
        if variant == "bicubic":
            run.describe({"source": "baseline"}, {})
        run.write("quality.csv", rows[QUALITY_COLUMNS].to_csv(index=False))
    monkeypatch.setattr(  # a small part of the set: SPIN takes its time
        datasets.Dataset, "pair", lambda self, image, scale: Pair(image, *_small(), "imresize-symmetric")
    )
    output, error = picture("compare", "table2", "--protocol", "quick", "--results", tmp_path, "--device", "cpu")
    assert error is None, error
    (stored,) = pictures.load_pictures(tmp_path)
    facts = Comparison.of(stored)
    assert facts.image == "embedded-test/chelsea"
    assert facts.image_rule.startswith("of 2 measured images, the one on which 2 methods are furthest apart (1.00 dB")
    assert [panel.name for panel in facts.panels] == ["bicubic", "full"]
    assert facts.panels[1].source == "run quick/full-x4-s0"
    assert "left out: svq x4: no trained weights" in output


def _small() -> tuple[RGB, RGB]:
    hr = noise(0, 128, 128)
    return hr, imresize(hr, 1 / SCALE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--image", "embedded-test/tea"], "has no image 'tea', expected one of chelsea, coffee"),
        (["--image", "absent.png"], "image 'absent.png': no such file"),
        (["--box", "1,2,3"], "--box 1,2,3: expected x,y,width,height, such as"),
        (["--box", "1,2,a,4"], "--box a: expected whole numbers"),
        (["--box", "1,2,0,40"], "--box 1,2,0,40: expected x,y,width,height"),
        (["--box", "440,0,20,20"], "box 440,0,20,20: reaches outside of chelsea, 448x300 pixels"),
        (["--networks", "spin"], "spin x4: no published checkpoint is registered"),
        (["--networks", "espcn=absent.safetensors"], "absent.safetensors: no such file"),
        (["--name", "My Picture"], "--name 'My Picture': expected lower-case letters"),
        (["--scale", "5"], "scale 5, expected one of 2, 3, 4"),
    ],
)
def test_wrong_arguments_get_one_clear_line(picture: Picture, tmp_path: Path, arguments: list[str], words: str) -> None:
    defaults = {"--image": "embedded-test/chelsea", "--networks": "bicubic", "--results": str(tmp_path)}
    options = {**defaults, **dict(zip(arguments[::2], arguments[1::2], strict=True))}
    _, error = picture("compare", *(word for option in options.items() for word in option))
    assert isinstance(error, SpinbenchError), error
    assert words in str(error)
    assert "\n" not in str(error)
    assert not (tmp_path / "pictures").exists()


def test_the_least_box_is_the_window_of_ssim() -> None:
    hr = noise(0, 60, 60)
    assert ssim(hr[:LEAST, :LEAST], hr[:LEAST, :LEAST], 0) == pytest.approx(1)
    with pytest.raises(ValueError, match="SSIM needs"):
        ssim(hr[: LEAST - 1], hr[: LEAST - 1], 0)
