"""The network: its size, the shapes it takes, its initial weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rasterloom.learning.networks import build, initialise, parameters
from rasterloom.learning.windows import reflected

SMALL = {"kind": "unet", "width": 4, "depth": 3, "convs_per_block": 1}


@pytest.mark.parametrize(
    ("model", "expected"),
    [({"convs_per_block": 2, "depth": 4}, 0.79e6), ({"convs_per_block": 2, "depth": 6}, 1.16e6), ({}, 1.64e6)],
)
def test_parameters_of_the_readings(model: dict[str, Any], expected: float) -> None:
    assert parameters({"kind": "unet", **model}, 20) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (5, 3), (8, 8), (13, 40), (64, 7)])
def test_forward_any_size(shape: tuple[int, int]) -> None:
    network = build(SMALL, 3).eval()
    with torch.inference_mode():
        assert network(torch.randn(2, 3, *shape)).shape == (2, 1, *shape)


def test_forward_padding_equals_reflection() -> None:
    network = build(SMALL, 2).eval()
    image = torch.randn(1, 2, 6, 7)
    rows, columns = (reflected(np.arange(8), length) for length in (6, 7))
    with torch.inference_mode():
        expected = network(image[:, :, rows][:, :, :, columns])[..., :6, :7]
        assert torch.equal(network(image), expected)


def test_initialise_depends_on_the_seed_alone() -> None:
    networks = [build(SMALL, 2) for _ in range(3)]
    for network, seed, noise in zip(networks, (5, 5, 6), (1, 2, 3), strict=True):
        torch.manual_seed(noise)
        initialise(network, seed)
    weights = [torch.cat([p.flatten() for p in network.parameters()]) for network in networks]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
