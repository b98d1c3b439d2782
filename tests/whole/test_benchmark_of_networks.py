"""What benchmarks/real.py counts, and that its methods are settings of the recipe."""

from __future__ import annotations

import numpy as np
import pytest
from real_data import Scene
from real_figures import figures, matched, trees
from real_methods import METHODS, Method, common

from rasterloom.config.model import TrainingConfig, model_table


def scene(name: str, level: int, points: np.ndarray | None = None) -> Scene:
    """A scene of two channels; its left half is covered."""
    rng = np.random.default_rng(level)
    data = rng.normal(level, 5, (2, 32, 32)).round().astype(np.uint8)
    coverage = np.zeros((32, 32), np.uint8)
    coverage[:, :16] = 255
    return Scene(name, data, np.ones((1, 32, 32), np.uint8), coverage, 0, points)


def test_matched_pairs_each_point_once() -> None:
    truth = np.array([[0.0, 0.0], [4.0, 0.0]])
    assert matched(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), truth, 2.0) == 1, "the second is out of reach"
    assert matched(np.array([[2.0, 0.0], [-1.0, 0.0]]), truth, 2.5) == 2, "whoever is nearest goes to whom it must"
    assert matched(truth[:0], truth, 2.0) == 0


def test_trees_are_peaks_that_lie_near_the_truth() -> None:
    points = np.array([[8.5, 8.5], [24.5, 8.5], [8.5, 24.5]])
    probability = np.zeros((32, 32), np.float32)
    for x, y in [(8, 9), (24, 8), (24, 24)]:
        probability[y - 2 : y + 3, x - 2 : x + 3] = 0.9
    found = trees([scene("a", 100, points)], {"a": probability})
    assert found["precision"] == found["recall"] == found["f"] == pytest.approx(2 / 3)


def test_figures_pool_the_pixels_of_scenes_at_one_threshold() -> None:
    scenes = [scene("a", 100), scene("b", 150)]
    right, half = (np.zeros((32, 32), np.float32) for _ in range(2))
    right[:, :16] = 0.8
    half[:, :8] = 0.4
    found = figures(scenes, {"a": right, "b": half})
    assert found["jaccard"] == pytest.approx(24 / 32) and found["threshold"] < 0.4
    assert found["jaccard_half"] == pytest.approx(16 / 32)


def test_scenes_are_normalised_by_themselves_or_together() -> None:
    scenes = [scene("a", 100), scene("b", 150)]
    own, together = (
        Method(normalise_by=by).normalisation(scenes[1], scenes).apply(scenes[1].data, scenes[1].valid)
        for by in ("scene", "dataset")
    )
    assert abs(float(own.mean())) < 1e-3 and own.std() == pytest.approx(1, abs=0.05)
    assert 0.9 < float(together.mean()) < 1.1
    assert (common(scenes, within=True).sd < 0.3 * common(scenes, within=False).sd).all()


@pytest.mark.parametrize("name", METHODS)
def test_method_is_a_recipe_that_differs_from_the_defaults(name: str) -> None:
    method = METHODS[name]
    recipe = TrainingConfig.model_validate(dict(method.training))
    if method.model["kind"] != "smp":
        assert model_table(method.model).kind == method.model["kind"]
    assert (method == Method()) == (name == "rasterloom")
    assert (recipe == TrainingConfig()) == (not method.training), "settings that are named change something"
