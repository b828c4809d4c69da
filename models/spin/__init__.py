"""SPIN (ICCV 2023): superpixels, attention, network, and the names of its published parameters."""

from models.info import ModelInfo
from models.spin import published
from models.spin.configuration import Configuration
from models.spin.network import SPIN

INFO = ModelInfo(
    name="spin",
    title="SPIN",
    paper="Lightweight Image Super-Resolution with Superpixel Token Interaction",
    venue="ICCV",
    year=2023,
    repository="https://github.com/ArcticHare105/SPIN",
    licence="MIT",
    published_parameters={2: 497_000, 3: 569_000, 4: 555_000},
    counted_parameters={2: 497_275, 3: 569_475, 4: 555_035},
    smallest_input=Configuration().smallest_input,
    training="DIV2K 1-800, LR patches of 64, batch 64, 1000 epochs of 1000 iterations, L1, Adam at 2e-4 "
    "(paper: 5e-4) halved at epochs 250, 400, 450, 475 and 500; no weights are published",
    network=SPIN,
    configuration=Configuration,
    published_names=published.names,
    published_convolutions=published.CONVOLUTIONS,
)
