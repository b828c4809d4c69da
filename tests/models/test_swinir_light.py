"""SwinIR-light: what its golden cases, one image in evaluation mode, do not reach."""

from __future__ import annotations

import pytest
import torch

import models
from models.swinir_light import Block, relations, windows

CPU = torch.device("cpu")


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 24), (24, 8), (16, 32)])
def test_shifted_windows_see_what_the_definition_allows(height: int, width: int) -> None:
    """The mask is 0 between tokens of one region of the rolled image, of which there are up to nine."""

    def bands(size: int) -> torch.Tensor:
        place = torch.arange(size)
        return (place >= size - 8).long() + (place >= size - 4).long()

    order = windows(height, width, CPU)
    places = order.split[order.shift].unflatten(0, (-1, 64))  # raster place of every token, by window
    row, column = places // width, places % width
    region = (3 * bands(height)[:, None] + bands(width))[(row - 4) % height, (column - 4) % width]
    masks = relations(CPU)[1].squeeze(1).repeat_interleave(torch.tensor(order.runs), dim=0)
    assert torch.equal(masks == 0, region[:, :, None] == region[:, None])
    assert masks.unique().tolist() == [-100, 0]


def test_orders_undo_each_other() -> None:
    order = windows(24, 16, CPU)
    raster = torch.arange(24 * 16)
    assert torch.equal(raster[order.split][order.shift][order.unshift], raster[order.split])
    assert torch.equal(raster[order.split][order.shift][order.join], raster)


@torch.no_grad()
def test_training_drops_residuals_of_whole_images() -> None:
    torch.manual_seed(0)
    block, residual = Block(drop=0.25), torch.ones(4000, 1, 1, 1)
    kept = block.train().sometimes(residual)
    assert set(kept.unique().tolist()) == {0, torch.tensor(1 / 0.75).item()}
    assert abs(kept.mean().item() - 1) < 0.05
    assert torch.equal(block.eval().sometimes(residual), residual)


def test_rates_of_dropping_rise_over_the_network() -> None:
    model = models.build("swinir_light", 2)
    rates = torch.tensor([module.drop for module in model.modules() if isinstance(module, Block)])
    torch.testing.assert_close(rates, torch.linspace(0, 0.1, 24))


@torch.no_grad()
def test_a_batch_equals_its_images_where_windows_are_cut() -> None:
    model, x = models.build("swinir_light", 2).eval(), torch.rand(2, 3, 8, 24)
    torch.testing.assert_close(model(x), torch.cat([model(image[None]) for image in x]), rtol=0, atol=1e-5)
