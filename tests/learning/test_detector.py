"""A detector beside the workflow's own steps: normalisation of a scene, then the mean over networks and symmetries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rasterloom.config.model import Prediction
from rasterloom.learning.augment import Normalisation
from rasterloom.learning.detector import Detector, Way
from rasterloom.learning.inference import mean_forward
from rasterloom.learning.networks import build
from rasterloom.learning.networks.layers import Segmenter, initialise
from rasterloom.learning.normalisation import Statistics, scene_normalisation
from rasterloom.learning.outputs import ONE, Outputs

SIDE = 24
PLANES = np.array([0, 0, 1])
PLAIN: Way = (0, False, ONE, 0)
KEPT = Normalisation(np.array([90, 110, 4000], np.float32), np.array([20, 30, 500], np.float32), PLANES)


def networks(outputs: Outputs = ONE) -> list[Segmenter]:
    found = [build({"kind": "unet", "width": 4, "depth": 2, "convs_per_block": 1}, 3, outputs.logits) for _ in range(2)]
    for seed, network in enumerate(found):
        initialise(network.eval(), seed)
    return found


@pytest.fixture
def tile() -> NDArray[np.float32]:
    """Two bands of a sensor that is black in a corner, and one of a sensor that lacks some rows."""
    random = np.random.default_rng(0)
    numbers = np.stack([random.integers(1, high, (SIDE, SIDE)) for high in (255, 200, 9000)]).astype(np.float32)
    numbers[:2, :5, :7] = 0
    numbers[0, 10, 10] = 0  # a dark pixel of one band is none without data
    numbers[2, 20:] = 0
    return numbers


def expected(
    numbers: NDArray[np.float32], valid: NDArray[np.uint8], own: bool, symmetries: bool, outputs: Outputs = ONE
) -> NDArray[np.float32]:
    """What the workflow makes of a scene of one window."""
    count = np.array([valid[plane].sum() for plane in PLANES], float)
    seen = [band[valid[plane] > 0].astype(float) for band, plane in zip(numbers, PLANES, strict=True)]
    numbers_of = [np.array([getattr(band, name)() if band.size else 0 for band in seen]) for name in ("mean", "std")]
    normalisation = scene_normalisation(KEPT, Statistics(*numbers_of, count)) if own else KEPT
    settings = Prediction(window=SIDE, stride=SIDE, symmetries=symmetries, precision="float32")
    forward = mean_forward(networks(outputs), settings, "cpu", outputs)
    return forward(normalisation.apply(numbers, valid)[None])[0]


def found_by(detector: Detector, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        found: NDArray[np.float32] = detector.eval()(torch.from_numpy(numbers)[None]).numpy()
    assert found.shape == (1, 1, SIDE, SIDE)
    return found[0, 0]


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("symmetries", [True, False])
def test_detector_is_what_the_workflow_computes(tile: NDArray[np.float32], own: bool, symmetries: bool) -> None:
    valid = np.stack([tile[:2].any(axis=0), tile[2] > 0]).astype(np.uint8)
    theirs = expected(tile, valid, own, symmetries)
    assert np.ptp(theirs) > 0.05
    ours = found_by(Detector(networks(), KEPT, own, [0, 0], (0, symmetries, ONE, 0)), tile)
    assert np.abs(ours - theirs * valid[0]).max() < 1e-5
    other = found_by(Detector(networks(), KEPT, own, [0, 0], (1, symmetries, ONE, 0)), tile)
    assert np.abs(other - theirs * valid[1]).max() < 1e-5


def test_number_that_says_there_is_no_data_counts_in_any_band(tile: NDArray[np.float32]) -> None:
    tile[1, 12:15, 3:9] = 199.0003  # scaled and scaled back
    valid = np.stack([tile[:2].any(axis=0) & (tile[1].round() != 199) & (tile[0] != 199), tile[2] > 0]).astype(np.uint8)
    assert 18 <= np.count_nonzero(valid[0] == 0) - 35 <= 25
    ours = found_by(Detector(networks(), KEPT, True, [199, 0], PLAIN), tile)
    assert np.abs(ours - expected(tile, valid, True, False) * valid[0]).max() < 1e-5


def test_scaling_by_255_and_back_changes_nothing(tile: NDArray[np.float32]) -> None:
    detector = Detector(networks(), KEPT, True, [0, 0], PLAIN)
    fed = (np.float32(tile * 1.0 / 255.0) - np.float32(0)) / np.float32(1 / 255)
    assert np.abs(found_by(detector, fed) - found_by(detector, tile)).max() < 1e-4


@pytest.mark.parametrize("exclusive", [True, False])
def test_one_of_several_classes(tile: NDArray[np.float32], exclusive: bool) -> None:
    outputs, valid = Outputs(2, exclusive), np.ones((2, SIDE, SIDE), np.uint8)
    tile = np.maximum(tile, 1)
    both = expected(tile, valid, True, True, outputs)
    for plane in range(2):
        ours = found_by(Detector(networks(outputs), KEPT, True, [0, 0], (0, True, outputs, plane)), tile)
        assert np.abs(ours - both[..., plane]).max() < 1e-5


@pytest.mark.parametrize("own", [True, False])
def test_tile_without_data_is_nowhere_the_class(own: bool) -> None:
    assert not found_by(Detector(networks(), KEPT, own, [0, 0], PLAIN), np.zeros((3, SIDE, SIDE), np.float32)).any()
