"""What normalises a scene: shared statistics, or its own, bounded by what the model knows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rasterloom.errors import StoreError
from rasterloom.learning.augment import Normalisation
from rasterloom.learning.normalisation import (
    SHARE,
    Statistics,
    prediction_normalisation,
    scene_normalisation,
    statistics_manifests,
)

PLANES = np.array([0, 0, 1])
KEPT = Normalisation(np.array([10, 20, 30], np.float32), np.array([4, 8, 0], np.float32), PLANES)
READER: Any = SimpleNamespace(planes=PLANES, counts=[2, 1])


def statistics(mean: list[float], sd: list[float], count: list[float]) -> Statistics:
    return Statistics(np.array(mean), np.array(sd), np.array(count))


def blend(own: float, kept: float) -> float:
    return float(np.float32((SHARE * own**2 + (1 - SHARE) * kept**2) ** 0.5))


def test_scene_normalisation_takes_the_scenes_mean_and_blends_the_variance() -> None:
    own = scene_normalisation(KEPT, statistics([1, 2, 3], [3, 100, 5], [9, 9, 9]))
    assert (own.mean.tolist(), own.sd.tolist()) == ([1, 2, 3], [blend(3, 4), blend(100, 8), blend(5, 0)])
    assert own.mean.dtype == own.sd.dtype == np.float32 and own.planes is PLANES


def test_scene_normalisation_bounds_the_deviation_of_a_scene_that_shows_nothing() -> None:
    """Noise of .01 in a scene of water stays small: it is not stretched to a deviation of 1."""
    own = scene_normalisation(KEPT, statistics([1, 2, 3], [0.01, 0, 0], [9, 9, 9]))
    assert own.sd[0] > 0.7 * KEPT.sd[0] and own.sd.tolist() == [blend(0.01, 4), blend(0, 8), 0]


def test_scene_normalisation_without_a_valid_pixel_is_the_models() -> None:
    own = scene_normalisation(KEPT, statistics([1, 0, 0], [3, 0, 0], [9, 0, 0]))
    assert (own.mean.tolist(), own.sd.tolist()) == ([1, 20, 30], [blend(3, 4), 8, 0])


def test_prediction_normalisation_without_own_statistics_is_exactly_the_checkpoints() -> None:
    odd = np.array([0.1, 0.7, 1 / 3], np.float32)
    checkpoints = [{"normalisation.mean": odd, "normalisation.sd": odd}] * 3
    shared = prediction_normalisation(checkpoints, None, READER)
    assert np.array_equal(shared.mean, odd) and np.array_equal(shared.sd, odd)


def test_prediction_normalisation_blends_with_the_mean_of_checkpoints() -> None:
    checkpoints = [
        {"normalisation.mean": np.full(3, m, "f4"), "normalisation.sd": np.full(3, 2 * m, "f4")} for m in (2, 4)
    ]
    own = prediction_normalisation(checkpoints, statistics([1, 1, 0], [0, 9, 0], [5, 5, 0]), READER)
    assert own.mean.tolist() == [1, 1, 3]
    assert own.sd.tolist() == [blend(0, 6), blend(9, 6), 6]


def test_prediction_normalisation_refuses_other_channels() -> None:
    checkpoints = [{"normalisation.mean": np.zeros(4, "f4"), "normalisation.sd": np.zeros(4, "f4")}]
    with pytest.raises(StoreError, match="the checkpoint has 4 channels but the stack gives 3"):
        prediction_normalisation(checkpoints, None, READER)


def test_statistics_manifests() -> None:
    assert statistics_manifests({"scenes": ["a", "b"]}) == ["statistics/statistics.json"]
    spec: dict[str, Any] = {"scenes": ["a", "b", "c"], "normalise_by": "scene"}
    assert statistics_manifests(spec) == [f"registration/{scene}.json" for scene in "abc"]
    spec |= {"normalise_by": "acquisition", "units": {"a": "north", "b": "b", "c": "north"}}
    assert statistics_manifests(spec) == ["statistics/b.json", "statistics/north.json"]
