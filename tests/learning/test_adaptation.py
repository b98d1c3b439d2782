"""Batch normalisation that knows a scene: blended statistics, which windows, what stays as it was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from rasterloom.config.model import Prediction
from rasterloom.learning.adaptation import SHARE, adapted, sample_windows
from rasterloom.learning.augment import Normalisation
from rasterloom.learning.windows import window_starts

RNG = np.random.default_rng(0)
IMAGES = [RNG.normal(3, 2, (n, 2, 8, 8)).astype(np.float32) + n for n in (4, 4, 1)]


def two_layers() -> nn.Module:
    """Two layers of batch normalisation; the second gets what the first one makes, doubled."""
    between = nn.Conv2d(2, 2, 1, bias=False)
    nn.init.dirac_(between.weight)
    with torch.no_grad():
        between.weight *= 2
    return nn.Sequential(nn.BatchNorm2d(2), between, nn.BatchNorm2d(2)).eval()


def statistics(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    return layer.running_mean.numpy().astype(float), layer.running_var.numpy().astype(float)


def test_adapted_blends_the_moments_of_all_windows() -> None:
    network = two_layers()
    network[0].running_mean[:] = torch.tensor([1.0, 2.0])
    found = adapted(network, IMAGES, "cpu", "float32")
    pixels = np.concatenate(IMAGES).transpose(1, 0, 2, 3).reshape(2, -1).astype(float)
    mean, variance = statistics(found[0])
    np.testing.assert_allclose(mean, (1 - SHARE) * np.array([1, 2]) + SHARE * pixels.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(variance, (1 - SHARE) + SHARE * pixels.var(axis=1), rtol=1e-5)


def test_adapted_layers_see_what_adapted_layers_make() -> None:
    image = IMAGES[:1]  # one batch: what the first layer makes of it is final
    found = adapted(two_layers(), image, "cpu", "float32")
    mean, variance = statistics(found[0])
    given = 2 * (image[0] - mean[:, None, None]) / np.sqrt(variance + 1e-5)[:, None, None]
    mean, variance = statistics(found[2])
    np.testing.assert_allclose(mean, SHARE * given.mean(axis=(0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(variance, (1 - SHARE) + SHARE * given.var(axis=(0, 2, 3)), rtol=1e-4)


def test_adapted_leaves_the_network_as_it_was_and_repeats_itself() -> None:
    network = two_layers()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    one, other = (adapted(network, IMAGES, "cpu", "bfloat16") for _ in range(2))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(torch.equal(one.state_dict()[name], other.state_dict()[name]) for name in before)
    assert not one.training and not one[0]._forward_pre_hooks


def test_adapted_without_batch_normalisation_is_the_same_network() -> None:
    network = nn.Sequential(nn.GroupNorm(1, 2), nn.Conv2d(2, 1, 1))
    assert adapted(network, IMAGES, "cpu", "float32") is network


def test_adapted_without_windows_is_the_trained_network() -> None:
    found = adapted(two_layers(), [], "cpu", "float32")
    assert statistics(found[0])[0].tolist() == [0, 0]


def test_sample_windows_leaves_out_what_has_no_data() -> None:
    data = RNG.normal(size=(2, 100, 60)).astype(np.float32)
    valid = np.zeros((1, 100, 60), np.uint8)
    valid[:, :16] = 1
    reader: Any = SimpleNamespace(shape=(100, 60), rows=lambda a, b: (data[:, a:b], valid[:, a:b]))
    plain = Normalisation(np.zeros(2, np.float32), np.ones(2, np.float32), np.array([0, 0]))
    images = np.concatenate(
        list(sample_windows(reader, plain, Prediction(window=16, stride=8, symmetries=True, batch=3)))
    )
    assert np.array_equal(images[0], data[:, :16, :16])
    assert len(images) == len(window_starts(60, 16, 16))
