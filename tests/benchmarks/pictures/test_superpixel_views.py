"""Drawings of what SPIN sees, and the facts that are stored with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.data.pairs import Pair
from benchmarks.pictures import superpixel_views
from benchmarks.pictures import superpixels as seen
from benchmarks.pictures.named import PictureError
from results import ResultsError, pictures
from results import superpixels as stored
from tests.benchmarks.pictures.small_spin import CPU, VARIANTS, network, picture


@pytest.fixture
def pair() -> Pair:
    return Pair("p", picture(60, 70), picture(30, 35), "imresize-symmetric")


def drawn(
    pair: Pair, variant: str = "full", **options: Any
) -> tuple[stored.SuperpixelFacts, dict[str, NDArray[np.uint8]]]:
    model = network(variant).float()
    return superpixel_views.draw_superpixels(
        "a set/p", pair, 2, model, label=variant, source="a file", device=CPU, **options
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_facts_are_those_of_the_values(pair: Pair, variant: str) -> None:
    facts, images = drawn(pair, variant)
    assert set(facts.files) == set(images)
    assert (facts.size, facts.depth, facts.scale, facts.zoom) == ((35, 30), 2, 2, 8)
    blocks = seen.observe(network(variant).float(), pair.lr, CPU)
    first = seen.most_undecided(seen.assignment(blocks[0]))
    assert facts.at == first[::-1]
    for block, shown in zip(blocks, facts.blocks, strict=True):
        belonging = seen.assignment(block)
        number = belonging.superpixel[first]
        one, members = seen.superpixel(block, belonging, number), belonging.superpixel == number
        assert (shown.number, shown.size, shown.superpixels) == (block.number, block.size, block.rows * block.columns)
        assert divmod(number, block.columns) == (shown.marked.row, shown.marked.column)
        assert shown.marked.pixels == members.sum()
        assert shown.empty == shown.superpixels - len(set(belonging.superpixel.ravel()))
        assert shown.entropy == pytest.approx(belonging.entropy.mean())
        elsewhere = one.association[~members].sum() / one.association.sum()
        assert shown.marked.associated_elsewhere == pytest.approx(elsewhere, rel=1e-5)
        if variant == "only-spca":
            assert shown.top_n is shown.ignored is shown.files.selected is shown.files.ignored is None
        else:
            assert shown.top_n == shown.size**2 == one.selected.sum()
            assert shown.ignored == seen.ignored(block).mean()
            assert shown.marked.selected_elsewhere == (one.selected & ~members).sum()
        if variant == "only-ispa":
            assert shown.marked.most_read is shown.files.reads is shown.files.attention is None
        else:
            assert shown.marked.read_elsewhere == pytest.approx(1 - one.reads[members].sum(), rel=1e-4)
            assert shown.marked.attended_elsewhere == pytest.approx(1 - one.attention[number], rel=1e-4)
            assert (shown.marked.most_read, shown.marked.most_attended) == (one.reads.max(), one.attention.max())


def test_drawings_show_the_values(pair: Pair) -> None:
    """In the middle of every drawn LR pixel, where no line is: its colours by the value there."""
    facts, images = drawn(pair, at=(20, 11), blocks=(2,))
    (block,) = facts.blocks
    _, watched_block = seen.observe(network("full").float(), pair.lr, CPU)
    belonging = seen.assignment(watched_block)
    one = seen.superpixel(watched_block, belonging, belonging.superpixel[11, 20])
    middle = {view: images[file][4::8, 4::8] for view, file in block.files.model_dump().items()}
    assert all(
        image.shape == (8 * 30, 8 * 35, 3) and image.dtype == np.uint8
        for image in images.values()
        if image.shape[0] > 12
    )
    assert np.array_equal(middle["superpixels"], pair.lr)
    assert np.array_equal(middle["selected"][one.selected], pair.lr[one.selected])
    assert (np.ptp(middle["selected"][~one.selected], axis=-1) == 0).all()  # grey
    left = seen.ignored(watched_block)
    assert (np.ptp(middle["ignored"].astype(int), axis=-1) > 50).tolist() == left.tolist()
    scale = images[facts.legend][0]
    for view, values in [
        ("association", one.association),
        ("reads", one.reads),
        ("attention", one.attention[belonging.superpixel]),
    ]:
        level = np.abs(middle[view].astype(int)[..., None, :] - scale).sum(-1).argmin(-1) / 255
        inside = one.in_reach if view == "association" else np.ones_like(one.in_reach)
        np.testing.assert_allclose(level[inside], (values / values.max())[inside], atol=1 / 100)


def test_lines_follow_the_superpixels() -> None:
    labels = np.array([[0, 0, 1], [2, 2, 1]])
    canvas = superpixel_views._bordered(np.full((2, 3, 3), 128, np.uint8), labels, 4)[..., 0]
    assert (canvas[:, 7][:3] == 255).all() and (canvas[:, 8] == 0).all()  # between columns 1 and 2
    assert (canvas[3, :7] == 255).all() and (canvas[4, :7] == 0).all()  # between rows 0 and 1
    assert (canvas[:, 3:5][[0, 1, 6, 7]] == 128).all() and (canvas[3:5, 9:] == 128).all()  # none within a superpixel


def test_all_that_is_drawn_can_be_stored_and_read(pair: Pair, tmp_path: Path) -> None:
    facts, images = drawn(pair, "only-ispa")
    pictures.store_picture("p", "superpixels", facts.model_dump(), images, tmp_path)
    (found,) = pictures.load_pictures(tmp_path)
    assert stored.SuperpixelFacts.of(found) == facts
    assert sum(len(found.png(file)) for file in found.images) < 100_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"at": [35, 0]}, "pixel 35,0 lies outside of 35x30"),
        ({"blocks": []}, "blocks"),
        ({"marked_colour": "red;x"}, "marked_colour"),
        ({"legend": "other.png"}, "'other.png' is not listed"),
        ({"depth": float("1e3") + 0.5}, "depth"),
        ({"more": 1}, "more"),
    ],
)
def test_damaged_facts_are_told(pair: Pair, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    facts, images = drawn(pair)
    pictures.store_picture("p", "superpixels", facts.model_dump() | change, images, tmp_path)
    (found,) = pictures.load_pictures(tmp_path)
    with pytest.raises(ResultsError, match=words):
        stored.SuperpixelFacts.of(found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"at": (35, 0)}, "pixel 35,0: expected a pixel of the LR image, which is 35x30"),
        ({"at": (0, 30)}, "pixel 0,30"),
        ({"blocks": (1, 3)}, "block 3: expected 1 to 2"),
        ({"blocks": (0,)}, "block 0"),
    ],
)
def test_what_is_not_there(pair: Pair, options: dict[str, Any], words: str) -> None:
    with pytest.raises(PictureError, match=words):
        drawn(pair, **options)
