"""Scenes to train on that have no labels: what a member is sure of there."""

from __future__ import annotations

import numpy as np

from rasterloom.learning.augment import TrainingScene
from rasterloom.learning.batches import make_batch
from rasterloom.learning.sampling import SceneIndex, pixel_set
from rasterloom.learning.scenes import PseudoLabels
from small_training import NORMALISATION, recipe


def test_pseudo_labels_are_probabilities_near_0_and_1() -> None:
    one = np.array([[0, 25, 26], [229, 230, 255]], np.uint8)
    other = np.array([[255, 128, 0], [255, 255, 255]], np.uint8)
    assert PseudoLabels([one]).shape == (2, 3)
    assert PseudoLabels([one])[:].tolist() == [[0, 0, 0], [0, 255, 255]]
    assert PseudoLabels([one], known=True)[:].tolist() == [[255, 255, 0], [0, 255, 255]]
    assert PseudoLabels([one, other], known=True)[:].tolist() == [[255, 0, 0], [0, 255, 255]]
    assert PseudoLabels([one], known=True)[1:, 1:].tolist() == [[255, 255]]


def test_undecided_pixels_do_not_count() -> None:
    shape, known = (40, 40), np.zeros((40, 40), np.uint8)
    known[:, 20:] = 255
    coverage = np.stack([np.full(shape, 255, np.uint8), known])
    data, valid = np.full((4, *shape), 500, np.uint16), np.full((3, *shape), 255, np.uint8)
    everywhere = pixel_set(known > 0)
    scene = TrainingScene(
        "x",
        SceneIndex((everywhere,), everywhere),
        lambda y0, y1, x0, x1: (data[:, y0:y1, x0:x1], valid[:, y0:y1, x0:x1], coverage[:, y0:y1, x0:x1]),
        NORMALISATION,
    )
    still = {"augment": {"flips": False, "rotation": False, "colour": 0.0}, "patch": 40}
    batch = make_batch([scene], recipe(**still), 0)
    assert batch.target.shape == (2, 40, 40)
    assert (batch.target == 1).all()
    assert np.array_equal(batch.weight, np.stack([known > 0] * 2))
    turned = make_batch([scene], recipe(patch=16), 0)
    assert 0 < turned.weight.mean() < 1
    assert set(np.unique(turned.weight)) == {0.0, 1.0}
