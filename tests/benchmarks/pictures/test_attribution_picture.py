"""The picture of local attribution maps: the command, what it stores, and its section of the page."""

from __future__ import annotations

import inspect
import json
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import models
import reports.pictures
from benchmarks.data.resize import imresize
from benchmarks.pictures import attribution as lam
from benchmarks.pictures.attribution import attribute, part_around, strongest_box
from foundation import SpinbenchError
from reports.numbers import shown, signed
from results import ResultsError, pictures
from results.attribution import AttributionMaps
from spinbench import pictures as cli_pictures
from spinbench.attribution import attribution
from tests.benchmarks.stored_runs import run_of


def seeded(name: str) -> nn.Module:
    torch.manual_seed(0)
    return models.build(name, 2)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """An HR image, and two networks' weights beside it."""
    rows, columns = np.mgrid[:152, :200]
    waves = np.stack([np.sin(columns * rows / period) for period in (300, 400, 500)], axis=-1)
    Image.fromarray(np.rint(127.5 + 100 * waves).astype(np.uint8)).save(tmp_path / "waves.png")
    for name in ("espcn", "srcnn"):
        safetensors.torch.save_file(seeded(name).state_dict(), tmp_path / f"{name}.safetensors")
    return tmp_path / "waves.png"


def command(*arguments: object) -> str:
    result = CliRunner().invoke(cli_pictures.app, ["attribution", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def stored(folder: Path) -> tuple[pictures.Picture, AttributionMaps]:
    (found,) = pictures.load_pictures(folder)
    return found, AttributionMaps.of(found)


def test_the_command_stores_maps_side_by_side(picture: Path, tmp_path: Path) -> None:
    names = ",".join(f"{name}={tmp_path / name}.safetensors" for name in ("espcn", "srcnn"))
    output = command(picture, "--networks", names, "--scale", 2, "--steps", 3, "--results", tmp_path, "--device", "cpu")
    found, facts = stored(tmp_path)
    with Image.open(picture) as image:
        hr = np.array(image)
    lr = imresize(hr, 1 / 2)
    assert facts.box == strongest_box(hr, 2)
    assert facts.part == part_around(facts.box, 100, 76, 2)
    assert (facts.sigma, facts.steps, facts.image) == (lam.SIGMA, 3, "waves.png")
    assert (found.name[:-8], found.kind) == ("attribution-waves.png-x2-", "attribution")
    inside = facts.box.model_copy(update={"x": facts.box.x - 2 * facts.part.x, "y": facts.box.y - 2 * facts.part.y})
    for panel, name in zip(facts.panels, ("espcn", "srcnn"), strict=True):
        expected = attribute(seeded(name), np.ascontiguousarray(lr[facts.part.place]), inside, steps=3)
        assert panel.name == name
        assert panel.source == str(tmp_path / f"{name}.safetensors")
        assert panel.diffusion_index == expected.diffusion_index
        assert panel.gini == pytest.approx(1 - panel.diffusion_index / 100)
        assert (panel.start, panel.end, panel.residual) == (expected.start, expected.end, expected.residual)
        assert panel.pixels == expected.area().sum()
        assert f"diffusion index {panel.diffusion_index:.2f}, residual {panel.residual:+.4g}" in output
        with Image.open(found.folder / panel.map) as image:
            heat = np.array(image)[::4, ::4].astype(int)  # a drawn pixel of every LR pixel
        outside = np.ones(heat.shape[:2], bool)
        outside[inside.y // 2 - 2 : inside.y // 2 + 11, inside.x // 2 - 2 : inside.x // 2 + 11] = False
        nothing = heat.sum(-1) <= 4  # the darkest colour is not quite black
        assert np.array_equal(nothing[outside], expected.amounts[outside] == 0) or name == "srcnn"
        assert nothing[outside].any()
    for file in facts.files:
        with Image.open(found.folder / file) as image:
            assert image.size == (4 * facts.part.width, 4 * facts.part.height)


def test_a_box_by_hand_is_drawn_where_it_is(picture: Path, tmp_path: Path) -> None:
    weights = f"espcn={tmp_path / 'espcn'}.safetensors"
    arguments = ["--scale", 2, "--steps", 1, "--results", tmp_path, "--name", "mine", "--device", "cpu"]
    command(picture, "--networks", weights, "--box", "91,40,21,10", *arguments)
    found, facts = stored(tmp_path)
    assert (found.name, str(facts.box), facts.box_rule) == ("mine", "91,40,21,10", "chosen by hand")
    with Image.open(found.folder / facts.lr) as image:
        drawn = np.array(image)
    left, top = 2 * (91 - 2 * facts.part.x), 2 * (40 - 2 * facts.part.y)
    frame = drawn[top - 1 : top + 21, left - 1 : left + 43]
    for edge in (frame[0], frame[-1], frame[:, 0], frame[:, -1]):
        assert (edge == 255).all()
    assert not (frame[1:-1, 1:-1] == 255).all(-1).any()


def test_defaults_of_the_command() -> None:
    defaults = {name: given.default for name, given in inspect.signature(attribution).parameters.items()}
    assert (defaults["sigma"], defaults["steps"]) == (lam.SIGMA, lam.STEPS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--networks", "espcm"], "unknown network 'espcm'"),
        (["--networks", "bicubic"], "bicubic: expected a network"),
        (["--networks", ","], "--networks: expected at least one"),
        (["--networks", "espcn={}", "--box", "1,2,3"], "--box 1,2,3: expected x,y,width,height"),
        (["--networks", "espcn={}", "--box", "190,0,16,16"], "waves: box 190,0,16,16: reaches outside of 200x152"),
        (["--networks", "espcn={}", "--box", "9,9,1,9"], "waves: box 9,9,1,9: expected at least 2x2 pixels"),
        (["--networks", "espcn={}", "--sigma", "0"], "espcn: sigma 0.0, 1 steps: expected both to be positive"),
        (["--networks", "espcn={}", "--name", "A/B"], "--name 'A/B': expected lower-case"),
    ],
)
def test_wrong_arguments_of_the_command(picture: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    given = [text.format(tmp_path / "espcn.safetensors") for text in arguments]
    with pytest.raises(SpinbenchError) as error:
        command(picture, "--scale", 2, "--steps", 1, "--results", tmp_path, "--device", "cpu", *given)
    assert words in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert pictures.load_pictures(tmp_path) == []


def test_a_run_is_attributed_as_what_it_is(picture: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "srcnn", 2)
    common = ["--steps", 1, "--results", tmp_path, "--device", "cpu"]
    command(picture, "--networks", f"srcnn={run}", *common)
    assert stored(tmp_path)[1].scale == 2  # the run's
    with pytest.raises(SpinbenchError, match=r"requested x4, but .*run\.yaml says x2"):
        command(picture, "--networks", f"srcnn={run}", "--scale", 4, *common)
    ensemble = run_of(tmp_path / "ensemble", "srcnn", 2, ensemble=True)
    with pytest.raises(SpinbenchError, match="srcnn: a self-ensemble has eight passes, expected a network with one"):
        command(picture, "--networks", f"srcnn={ensemble}", *common)


# the facts and the page

IMAGE = np.zeros((8, 12, 3), np.uint8)


def facts(**changes: object) -> dict:
    panel = {
        "name": "a", "label": "A <b>", "source": "a & b", "map": "m.png", "overlay": "o.png", "area": "a.png",
        "pixels": 3, "diffusion_index": 12.341, "gini": 0.87659, "start": 2.0, "end": 4.0, "residual": -0.05,
    }  # fmt: skip
    box = {"x": 4, "y": 8, "width": 16, "height": 16}
    return {
        "image": "Set<5>/x", "scale": 4, "lr_origin": "stored-replicate", "lr": "l.png", "box": box, "box_rule": "so",
        "part": {"x": 0, "y": 1, "width": 3, "height": 2}, "sigma": 1.2, "steps": 50, "gamma": 0.5, "share": 0.9,
        "panels": [panel, panel | {"label": "B", "end": 2.0, "residual": 0.5}],
    } | changes  # fmt: skip


def store(root: Path, content: dict) -> Path:
    images = dict.fromkeys(("l.png", "m.png", "o.png", "a.png"), IMAGE)
    return pictures.store_picture("x", "attribution", content, images, root)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"panels": []}, "panels: List should have at least 1 item"),
        ({"sigma": 0}, "sigma: Input should be greater than 0"),
        ({"lr": "absent.png"}, "its image 'absent.png' is not listed"),
        ({"surplus": 1}, "surplus: Extra inputs are not permitted"),
    ],
)
def test_damaged_facts_are_named(tmp_path: Path, change: dict[str, object], words: str) -> None:
    folder = store(tmp_path, facts(**change))
    (found,) = pictures.load_pictures(tmp_path)
    with pytest.raises(ResultsError) as error:
        AttributionMaps.of(found)
    assert str(error.value).startswith(f"{folder / 'picture.json'}: {words}")


def test_facts_are_read_as_they_were_written(tmp_path: Path) -> None:
    folder = store(tmp_path, facts())
    maps = AttributionMaps.of(pictures.load_pictures(tmp_path)[0])
    assert maps.model_dump() == facts() == json.loads((folder / "picture.json").read_text())["facts"]


class Page(HTMLParser):
    """Texts, images and attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert not {"style", "onclick"} & set(found)
        assert tag not in ("b", "script", "style")  # what data say is text
        if tag == "img":
            self.images.append(found)
        self.ids += [str(found["id"])] if "id" in found else []
        self.labels += [str(found["aria-labelledby"])] if "aria-labelledby" in found else []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_section_of_the_page(tmp_path: Path) -> None:
    store(tmp_path, facts())
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(reports.pictures.TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"shown": shown, "signed": signed}
    section = environment.get_template("attribution.html").module.section
    page = Page(str(section(reports.pictures.load_page_pictures(tmp_path)[0])))
    text = " ".join(" ".join(page.texts).split())
    assert "A <b>" in text
    assert "a & b" in text
    assert "Set<5>/x, ×4" in text
    assert "DI 12.34" in text
    for words in ("0.8766", "2.00", "4.00", "−2.5 %", "–", "holds 90 % of", "σ = 1.2 pixels and has 50 steps"):
        assert words in text
    assert len(page.images) == 1 + 2 * 3
    assert all(image["alt"] and str(image["src"]).startswith("data:image/png;base64,") for image in page.images)
    assert {(image["width"], image["height"]) for image in page.images} == {("12", "8")}
    assert "A <b>, area of contribution: 3 of 6 LR pixels" in [image["alt"] for image in page.images]
    assert set(page.labels) == set(page.ids)
    assert len(page.ids) == len(set(page.ids)) == 2
