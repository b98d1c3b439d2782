"""The kinds of models: every one of the configuration can be built, and costs what is said."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rasterloom.config.model import MODELS, NetworkConfig, is_network
from rasterloom.learning.networks import NETWORKS, build, multiply_adds, network_bytes, network_parameters
from rasterloom.learning.pixel_models import PIXEL_MODELS

NETWORK_MODELS = [
    {"kind": "unet", "width": 5, "depth": 1, "convs_per_block": 1},
    {"kind": "unet", "width": 4, "depth": 3, "convs_per_block": 2},
    {"kind": "unet", "width": 3, "depth": 2, "convs_per_block": 3},
]


@pytest.mark.parametrize("model", NETWORK_MODELS)
@pytest.mark.parametrize("channels", [1, 7])
def test_network_parameters_equals_torch(model: dict[str, Any], channels: int) -> None:
    assert network_parameters(model, channels) == sum(p.numel() for p in build(model, channels).parameters())


@pytest.mark.parametrize("model", NETWORK_MODELS)
@pytest.mark.parametrize("shape", [(16, 16), (17, 24)])
def test_multiply_adds_equals_what_a_forward_pass_does(model: dict[str, Any], shape: tuple[int, int]) -> None:
    network, counted = build(model, 2), [0]

    def count(layer: Any, _: Any, output: Any) -> None:
        counted[0] += output[0].numel() * layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]

    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 2, *shape))
    assert multiply_adds(model, 2, *shape) == counted[0]


@pytest.mark.parametrize("model", NETWORK_MODELS)
def test_network_bytes_equals_torch(model: dict[str, Any]) -> None:
    tensors = build(model, 3).state_dict().values()
    assert network_bytes(model, 3) == sum(value.numel() * value.element_size() for value in tensors)


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
