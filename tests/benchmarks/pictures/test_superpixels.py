"""What SPIN sees: values against the dense oracle and the network's own tensors, drawings, and the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

import ablations
import models
from benchmarks.data.datasets import Pair
from benchmarks.measure.evaluation import network_upscale
from benchmarks.pictures import superpixel_views
from benchmarks.pictures import superpixels as seen
from benchmarks.pictures.named import PictureError, image_pair
from foundation import SpinbenchError
from models.spin import quantisation
from models.spin.network import SPIN
from results import ResultsError, pictures
from results import superpixels as stored
from spinbench.superpixels import superpixels as command
from tests.benchmarks.stored_runs import run_of
from tests.oracles import spin_dense as dense

CPU = torch.device("cpu")
SIZES = (5, 7)
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "only-ispa": {"spca": False},
    "only-spca": {"ispa": False},
    "parallel": {"arrangement": "parallel"},
    "svq": {"reach": "all"},
    "exp": {"association": "exp"},
}


def network(variant: str, loudness: float = 3.0, **config: Any) -> SPIN:
    """A small SPIN. Loud features differ, so that associations do; in float64, as the oracle."""
    torch.manual_seed(1)
    config = {"blocks": 2, "superpixel_sizes": SIZES, **VARIANTS[variant], **config}
    model = models.build("spin", 2, **config).double()
    assert isinstance(model, SPIN)
    with torch.no_grad():
        model.first_conv.weight *= loudness
    return model


def picture(height: int = 23, width: int = 31, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def watched(model: SPIN, lr: NDArray[np.uint8]) -> list[seen.Observed]:
    """`watch` for a network in float64: the evaluation gives float32, so the first layer converts."""
    hook = model.register_forward_pre_hook(lambda _, given: (given[0].double(),))
    found = seen.observe(model, lr, CPU)
    hook.remove()
    return found


@pytest.fixture(params=list(VARIANTS))
def case(request: pytest.FixtureRequest) -> tuple[str, list[seen.Observed], list[dict[str, Any]]]:
    """A variant, what was watched in its blocks, and what the oracle says of them."""
    model, lr = network(request.param, 0.1 if request.param == "exp" else 3.0), picture()
    return request.param, watched(model, lr), list(oracle(model, lr))


def oracle(model: SPIN, lr: NDArray[np.uint8]) -> Iterator[dict[str, Any]]:
    """Association (M, N), selection (M, n) and SPCA's two attentions, (M, N) and (N, M), of every block."""
    config, state = model.config, models.published_state("spin", model)
    x = torch.from_numpy(lr.transpose(2, 0, 1)[None] / np.float32(255)).double()
    x = dense.conv(x, dense.inside(state, "first_conv"))
    plain = dense.Config(config.blocks, config.spca, config.ispa, config.arrangement, config.reach, config.association)
    for i in range(config.blocks):
        size = config.size(i)
        association, rank = dense.associate(x, size, form=config.association, reach=config.reach)
        found = {"association": association[0], "selected": dense.select(rank, size**2)[0]}
        if config.spca:
            params = dense.inside(state, f"blocks.{i}.inter_layer.0")
            pixels = dense.tokens(dense.layer_norm(x, dense.inside(params, "norm.norm"), 1e-6))
            query, key = (dense.project(pixels, params[f"{name}.weight"])[0] for name in "qk")
            anchor = dense.project(dense.aggregate(pixels, association), params["sp.weight"])[0]
            scale = anchor.shape[1] ** -0.5
            found |= {"reads": (scale * anchor @ key.T).softmax(1), "attends": (scale * query @ anchor.T).softmax(1)}
        yield found
        mixed = dense.block(x, dense.inside(state, f"blocks.{i}"), size, plain)
        x = x + dense.conv(mixed, dense.inside(state, f"mid_convs.{i}"))


def close(ours: NDArray[Any] | None, theirs: Tensor) -> None:
    assert ours is not None
    np.testing.assert_allclose(ours.ravel(), theirs.ravel().numpy(), rtol=1e-6, atol=1e-9)


# Against the oracle


def test_every_block_is_watched(case: Any) -> None:
    _, blocks, truth = case
    assert [(b.number, b.size, b.rows, b.columns) for b in blocks] == [(1, 5, 4, 6), (2, 7, 3, 4)]
    assert len(truth) == 2


def test_assignment(case: Any) -> None:
    variant, blocks, truth = case
    for block, own in zip(blocks, truth, strict=True):
        found, association = seen.assignment(block), own["association"]
        of_own = association.gather(0, torch.from_numpy(found.superpixel.reshape(1, -1)))[0]
        torch.testing.assert_close(of_own, association.amax(0), rtol=1e-9, atol=0)
        shares = (association / association.sum(0)).numpy()
        bits = -(shares * np.log2(shares, out=np.zeros_like(shares), where=shares > 0)).sum(0)
        close(found.entropy, torch.from_numpy(bits))
        assert found.entropy.max() <= np.log2(24 if variant == "svq" else 9) + 1e-6
        assert found.underflow == found.saturated == 0


def test_each_superpixel(case: Any) -> None:
    """Also its selected pixels, which are the set that ISPA gathered, and its attention, which fused kernels hide."""
    variant, blocks, truth = case
    for block, own in zip(blocks, truth, strict=True):
        belonging = seen.assignment(block)
        for number in np.unique(belonging.superpixel).tolist():
            found = seen.superpixel(block, belonging, number)
            close(found.association, own["association"][number])
            assert (found.in_reach.ravel() == (own["association"][number] > 0).numpy()).all()
            if variant == "only-spca":
                assert found.selected is None
            else:
                assert np.flatnonzero(found.selected).tolist() == sorted(own["selected"][number].tolist())
            if variant == "only-ispa":
                assert found.reads is None and found.attention is None
            else:
                close(found.reads, own["reads"][number])
                members = torch.from_numpy(belonging.superpixel.ravel() == number)
                close(found.attention, own["attends"][members].mean(0))


def test_ignored_pixels(case: Any) -> None:
    variant, blocks, truth = case
    for block, own in zip(blocks, truth, strict=True):
        left = seen.ignored(block)
        if variant == "only-spca":
            assert left is None
        else:
            assert set(np.flatnonzero(left)) == set(range(23 * 31)) - set(own["selected"].ravel().tolist())


# The pass itself


@pytest.mark.parametrize("variant", ["full", "svq", "only-ispa"])
def test_a_pass_that_is_watched_is_the_same(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, also afterwards; the hooks are gone; and what was watched are the tensors of that very pass."""
    model, lr = network(variant).float(), picture()
    before = network_upscale(model, CPU)(lr)
    during: list[NDArray[np.float32]] = []

    def listened(*arguments: Any) -> Any:
        upscale = network_upscale(*arguments)
        return lambda image: during.append(upscale(image))

    monkeypatch.setattr(seen, "network_upscale", listened)
    given: list[Any] = []
    for block in model.blocks:
        block.associate.register_forward_hook(lambda _, __, out: given.append(out))
    kept = seen.observe(model, lr, CPU)
    assert np.array_equal(during[0], before)
    assert np.array_equal(network_upscale(model, CPU)(lr), before)
    assert all(own.superpixels is one for own, one in zip(kept, given, strict=False))
    hooked = [each for each in model.modules() if each._forward_hooks or each._forward_pre_hooks]
    assert hooked == [block.associate for block in model.blocks]  # the test's own


def test_hooks_are_removed_after_an_error() -> None:
    model = network("full")
    with pytest.raises(ValueError, match=r"at least 7 pixels.*not 6x40"):
        seen.observe(model, picture(6, 40), CPU)
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())


def test_spca_reads_with_the_attention_shown() -> None:
    """Put together, the attentions that are shown are what the module gave."""
    model, lr = network("full"), picture()
    outputs: list[Tensor] = []
    model.blocks[0].spca.register_forward_hook(lambda _, given, out: outputs.append((out - given[0])[0]))  # no residual
    block = watched(model, lr)[0]
    belonging = seen.assignment(block)
    with torch.no_grad():
        _, _, value, _ = block.spca.projections(block.tokens, block.superpixels)
        ones = [seen.superpixel(block, belonging, number) for number in range(24) if number in belonging.superpixel]
        reads = torch.zeros(24, 23 * 31, dtype=torch.float64)
        for one in ones:
            reads[one.number] = torch.from_numpy(one.reads.ravel())
        assert len(ones) == 24
        for one in ones:
            members = torch.from_numpy(belonging.superpixel.ravel() == one.number)
            mixed = torch.from_numpy(one.attention) @ reads @ value[0]
            torch.testing.assert_close(mixed, outputs[0][members].mean(0))


def test_svq_is_looked_at_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, lr = network("svq"), picture()
    whole = watched(model, lr)[0]
    belonging = seen.assignment(whole)
    monkeypatch.setattr(quantisation, "CHUNK", 24 * 100)
    assert len(list(whole.superpixels.by_pixel())) == 8
    again = seen.assignment(whole)
    assert np.array_equal(again.superpixel, belonging.superpixel)
    np.testing.assert_allclose(again.entropy, belonging.entropy)
    close(
        seen.superpixel(whole, again, 3).association, torch.from_numpy(seen.superpixel(whole, belonging, 3).association)
    )


def test_patch_has_nothing_to_see() -> None:
    assert seen.observe(network("full", spca=False, ispa=False).float(), picture(), CPU) == []


# Associations at their limits, and the automatic choice


def test_loud_features_underflow_and_saturate() -> None:
    model, lr = network("full", 1e4).float(), picture()
    block = seen.observe(model, lr, CPU)[0]
    found = seen.assignment(block)
    (sight,) = block.superpixels.by_pixel()
    there = sight.superpixels >= 0
    assert found.underflow == pytest.approx(float((sight.weights[0][there] == 0).double().mean()))
    assert found.underflow > 0.8
    assert found.saturated == pytest.approx(float((sight.weights[0] == 1).any(1).double().mean()))
    assert found.saturated > 0.9
    assert found.entropy.mean() < 0.01


def test_a_single_superpixel() -> None:
    """An image of one cell: every association is 1, and the first pixels in raster order are selected."""
    block = seen.observe(network("full", superpixel_sizes=(12,)).float(), picture(13, 20), CPU)[0]
    found = seen.assignment(block)
    assert (found.superpixel == 0).all() and found.saturated == 1 and (found.entropy == 0).all()
    one = seen.superpixel(block, found, 0)
    assert np.flatnonzero(one.selected).tolist() == list(range(144))
    assert one.attention.tolist() == [1]
    assert seen.most_undecided(found) == (6, 9)


@settings(max_examples=40)
@given(st.integers(0, 99), st.booleans())
def test_most_undecided(seed: int, certain: bool) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 5, (6, 7))
    entropy = np.zeros((6, 7), np.float32) if certain else random.random((6, 7), np.float32)
    y, x = seen.most_undecided(seen.Assignment(labels, entropy, 0, 0))
    worth = {label: ((labels == label).sum() if certain else entropy[labels == label].sum()) for label in range(5)}
    assert worth[labels[y, x]] == pytest.approx(max(worth.values()))


# Pictures and facts


@pytest.fixture
def pair() -> Pair:
    return Pair("p", picture(60, 70), picture(30, 35), "imresize-symmetric")


def drawn(pair: Pair, variant: str = "full", **options: Any) -> tuple[stored.Superpixels, dict[str, NDArray[np.uint8]]]:
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
    pictures.store("p", "superpixels", facts.model_dump(), images, tmp_path)
    (found,) = pictures.load(tmp_path)
    assert stored.Superpixels.of(found) == facts
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
    pictures.store("p", "superpixels", facts.model_dump() | change, images, tmp_path)
    (found,) = pictures.load(tmp_path)
    with pytest.raises(ResultsError, match=words):
        stored.Superpixels.of(found)


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


# The command


class Spinbench:
    """`spinbench picture superpixels`, with results in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.app = typer.Typer()
        self.app.command()(command)

    def __call__(self, *arguments: object) -> str:
        threads = torch.get_num_threads()
        given = [*map(str, arguments), "--threads", "1", "--results", str(self.folder)]
        result = CliRunner().invoke(self.app, given)
        torch.set_num_threads(threads)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output


@pytest.fixture
def spinbench(tmp_path: Path) -> Spinbench:
    return Spinbench(tmp_path / "results")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "An image.png"
    Image.fromarray(picture(104, 120)).save(path)
    return path


def read(spinbench: Spinbench) -> stored.Superpixels:
    (found,) = pictures.load(spinbench.folder)
    return stored.Superpixels.of(found)


def test_untrained_is_said(spinbench: Spinbench, image: Path) -> None:
    output = spinbench(image, "--untrained", "--network", "svq", "--blocks", "1,4", "--at", "3,25")
    facts = read(spinbench)
    assert facts.source == "untrained, seed 0"
    assert (facts.network, facts.at, facts.size) == ("SVQ (untrained)", (3, 25), (30, 26))
    assert [block.number for block in facts.blocks] == [1, 4]
    assert "block 4: 1x1 superpixels, entropy 0.00 bits" in output


def test_weights_of_a_file_and_of_a_run(spinbench: Spinbench, image: Path) -> None:
    """The same network: named as a file of ours, as one under published names, and found as the variant's run."""
    torch.manual_seed(5)
    config = ablations.load_experiment("table2").variants["full"].config
    model = models.build("spin", 4, **config)
    run = spinbench.folder / "runs" / "quick" / "full-x4-s0"
    run_of(run, "spin", 4, dict(config), variant="full")
    published = spinbench.folder / "published.pth"
    torch.save(models.published_state("spin", model), published)
    save(model, run / "weights.safetensors")
    found = []
    for arguments in ([], ["--weights", run], ["--weights", published]):
        spinbench(image, "--blocks", "2", *arguments, "--name", f"n{len(found)}")
        found = [stored.Superpixels.of(one) for one in pictures.load(spinbench.folder)]
    assert [one.source for one in found] == ["run quick/full-x4-s0", str(run), str(published)]
    assert found[0].blocks == found[1].blocks == found[2].blocks
    assert np.isclose(found[0].blocks[0].entropy, expected_entropy(model, image))


def test_a_run_is_looked_at_as_what_it_is(spinbench: Spinbench, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(picture(60, 60)).save(path)
    run = run_of(tmp_path / "run", "spin", 2, {"blocks": 1, "arrangement": "parallel"})
    spinbench(path, "--weights", run)
    facts = read(spinbench)
    assert (facts.network, facts.source, facts.scale, facts.depth) == ("Mine (run)", str(run), 2, 1)
    for arguments, words in (
        (["--network", "full"], "requested blocks 8, arrangement sequential, but .* says blocks 1, arrangement par"),
        (["--network", "spin", "--scale", 4], "requested x4, but .* says x2"),
    ):
        with pytest.raises(SpinbenchError, match=words):
            spinbench(path, "--weights", run, *arguments, "--name", "other")


def save(model: nn.Module, path: Path) -> None:
    safetensors.torch.save_file(model.state_dict(), path)


def expected_entropy(model: nn.Module, image: Path) -> float:
    assert isinstance(model, SPIN)
    _, pair = image_pair(str(image), 4)
    return float(seen.assignment(seen.observe(model, pair.lr, CPU)[1]).entropy.mean(dtype=np.float64))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--untrained", "--weights", "w"], "expected one of them"),
        (["--untrained", "--protocol", "cpu"], "--protocol cpu: does not apply to --untrained"),
        (["--untrained", "--at", "3"], "expected x,y"),
        (["--untrained", "--at", "3,y"], "expected whole numbers"),
        (["--untrained", "--network", "patch"], "has no superpixels"),
        (["--untrained", "--network", "imdn"], "imdn: has no superpixels"),
        (["--network", "full"], "no trained weights"),
        (["--untrained", "--scale", "8"], "scale must be one of"),
        (["--untrained", "--name", "A/b"], "--name 'A/b'"),
    ],
)
def test_mistakes_are_told(spinbench: Spinbench, image: Path, arguments: list[str], words: str) -> None:
    with pytest.raises(SpinbenchError, match=words):
        spinbench(image, *arguments)
    assert pictures.load(spinbench.folder) == []


def test_a_small_image_is_told(spinbench: Spinbench, tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    Image.fromarray(picture(80, 120)).save(path)
    with pytest.raises(SpinbenchError, match=r"small.png: SPIN needs an input of at least 24.*not 20x30"):
        spinbench(path, "--untrained")
