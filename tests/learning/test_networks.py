"""The kinds of models: every one of the configuration can be built, and costs what is said."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rasterloom.config.model import MODELS, is_network
from rasterloom.config.networks import NetworkConfig
from rasterloom.learning.networks import NETWORKS, build, parameters
from rasterloom.learning.pixel_models import PIXEL_MODELS

NETWORK_MODELS = [
    {"kind": "unet", "width": 5, "depth": 1, "convs_per_block": 1},
    {"kind": "unet", "width": 4, "depth": 3, "convs_per_block": 2},
    {"kind": "unet", "width": 3, "depth": 2, "convs_per_block": 3},
]


@pytest.mark.parametrize("model", NETWORK_MODELS)
@pytest.mark.parametrize("channels", [1, 7])
def test_parameters_equals_torch(model: dict[str, Any], channels: int) -> None:
    assert parameters(model, channels) == sum(p.numel() for p in build(model, channels).parameters())


def test_every_kind_of_the_configuration_is_registered() -> None:
    networks = {kind for kind, table in MODELS.items() if issubclass(table, NetworkConfig)}
    assert networks == NETWORKS.keys() == {kind for kind in MODELS if is_network({"kind": kind})}
    assert MODELS.keys() - networks == PIXEL_MODELS.keys()


@pytest.mark.parametrize("kind", NETWORKS)
def test_network_gives_one_logit_for_each_pixel(kind: str) -> None:
    model = {"kind": kind}
    assert {layer["kind"] for layer in NETWORK_MODELS} == NETWORKS.keys(), "add a small one of the new kind above"
    with torch.inference_mode():
        assert build(model, 3).eval()(torch.zeros(1, 3, 33, 40)).shape == (1, 1, 33, 40)
