"""ELAN-light: half precision, and what its checkpoints hold beside parameters."""

from __future__ import annotations

import pytest
import torch

import models
from models.elan_light import attend


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_beyond_the_range_of_a_half(dtype: torch.dtype) -> None:
    query = torch.tensor([[200.0, 200.0], [200.0, 201.0]], dtype=dtype)  # logits of 80 000 and more
    with torch.autocast("cpu", torch.bfloat16):
        weights = attend(query)
    expected = (query.double() @ query.double().T).softmax(-1)
    torch.testing.assert_close(weights.double(), expected, rtol=0, atol=1e-6)


def test_running_statistics_are_loaded_and_constants_rebuilt() -> None:
    model = models.build("elan_light", 2)
    with torch.no_grad():
        model(torch.rand(2, 3, 32, 32))  # the statistics move
    names = models.describe("elan_light").published_names(model)
    state = {names[key]: value for key, value in model.state_dict().items()}
    constants = {
        "sub_mean.weight": torch.eye(3)[..., None, None],
        "add_mean.bias": torch.ones(3),
        "body.11.modules_lfe.lfe_1.conv1.shift_conv.weight": torch.zeros(120, 1, 3, 3),
    }
    loaded = models.load_published("elan_light", 2, state | constants)
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    x = torch.rand(1, 3, 20, 17)
    assert torch.equal(loaded(x), model.eval()(x))
