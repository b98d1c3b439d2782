"""Confidence: the chance that an object matches, from its mean probability and its area."""

from __future__ import annotations

import numpy as np
import pytest
from shapely import box

from rasterloom.polygons import confidence
from rasterloom.polygons.confidence import confidences, fitted, mean_probabilities


def test_mean_probabilities_are_those_of_the_pixels_that_an_object_touches(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((6, 8), np.uint8)
    image[1:3, 1:3], image[4:, 5:] = 255, 51
    shapes = np.array([box(2, 2, 6, 6), box(10, 8, 16, 12), box(3.1, 9, 3.2, 9.1)], object)
    matrix = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    found = mean_probabilities(image, shapes, matrix)
    np.testing.assert_allclose(found, [1, 0.2, 0])
    monkeypatch.setattr(confidence, "STRIP_PIXELS", 16)
    np.testing.assert_allclose(mean_probabilities(image, shapes, matrix), found)
    assert mean_probabilities(image, shapes[:0], matrix).size == 0


def test_fitted_chances_are_those_of_the_objects() -> None:
    rng = np.random.default_rng(0)
    mean, area = rng.uniform(0.4, 1, 4000), np.exp(rng.uniform(0, 8, 4000))
    chance = 1 / (1 + np.exp(-8 * (mean - 0.7) - 0.5 * (np.log(area) - 4)))
    weights = fitted(mean, area, rng.random(4000) < chance)
    found = confidences(mean, area, weights)
    assert np.abs(found - chance).max() < 0.06 and ((found > 0) & (found < 1)).all()


def test_fitted_of_what_tells_nothing() -> None:
    for matched in (np.ones(3, np.bool_), np.zeros(3, np.bool_), np.zeros(0, np.bool_)):
        assert fitted(np.ones(len(matched)), np.ones(len(matched)), matched) is None
    assert np.isnan(confidences(np.ones(2), np.ones(2), None)).all()


def test_fitted_of_two_objects_that_a_line_separates_stays_finite() -> None:
    found = confidences(
        np.array([0.5, 0.9]), np.ones(2), fitted(np.array([0.5, 0.9]), np.ones(2), np.array([False, True]))
    )
    assert 0.1 < found[0] < 0.5 < found[1] < 0.9
