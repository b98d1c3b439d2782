"""Weights of members: pixels that are drawn, the search, and what comes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasterloom.polygons import weights as module
from rasterloom.polygons.thresholds import best_threshold, first_true, joint_histogram, split_counts
from rasterloom.polygons.weights import PARTS, Sample, sampled_scores, search, weigh, weights_of

Scene = tuple[Any, Any]
"""Probabilities (members, H, W) uint8, and coverage (H, W) uint8."""


def noisy(seed: int, spreads: list[float], shape: tuple[int, int] = (64, 64), share: float = 0.2) -> Scene:
    """A scene of which members see the truth under more or less noise, each its own."""
    rng = np.random.default_rng(seed)
    truth = rng.random(shape) < share
    seen = [80 + 100 * truth + spread * rng.standard_normal(shape) for spread in spreads]
    return np.clip(seen, 0, 255).astype(np.uint8), truth.astype(np.uint8) * 255


def sampled(scene: Scene) -> Any:
    sample = Sample(len(scene[0]))
    for row in range(0, scene[1].shape[0], 24):
        sample.add(scene[0][:, row : row + 24].astype(np.float32), scene[1][row : row + 24])
    return sample.pixels(first_true(joint_histogram(scene[0][0], scene[1])))


def weighed(ensemble: str, scenes: dict[str, Scene], ground: dict[str, str] | None = None) -> dict[str, Any]:
    members = range(len(next(iter(scenes.values()))[0]) if scenes else 2)
    counts = [
        {s: split_counts(joint_histogram(seen[m], truth)) for s, (seen, truth) in scenes.items()} for m in members
    ]
    return weigh(ensemble, counts, {s: sampled(scene) for s, scene in scenes.items()}, ground or {s: s for s in scenes})


def jaccard(scenes: list[Scene], weights: list[float]) -> float:
    """The best pixel Jaccard of a weighted mean, counted on every pixel."""
    means = [np.floor(np.tensordot(np.float32(weights), seen.astype(np.float32), 1) + 0.5) for seen, _ in scenes]
    counts = [split_counts(joint_histogram(m.astype(np.uint8), t)) for m, (_, t) in zip(means, scenes, strict=True)]
    return float(best_threshold(sum(counts[1:], counts[0]))[1] or 0.0)


# Samples ---------------------------------------------------------------------------------------------------


def test_sample_of_a_small_scene_is_every_pixel() -> None:
    scene = noisy(1, [20.0, 60.0])
    values, truth, sizes = sampled(scene)
    assert values.shape == (64 * 64, 2) and (sizes == 1).all()
    assert sorted(values[truth, 1]) == sorted(scene[0][1][scene[1] > 0])
    assert sorted(values[~truth, 0]) == sorted(scene[0][0][scene[1] == 0])


def test_sample_of_a_large_scene_keeps_small_objects_and_stands_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 300)
    seen, truth = noisy(2, [10.0, 40.0], (400, 300), share=0.002)
    seen[:, :200] = np.where(truth[:200] > 0, seen[:, :200], 3)  # dull, but for the objects
    values, true, sizes = sampled((seen, truth))
    assert true.sum() == (truth > 0).sum() and (sizes[true] == 1).all()  # each object pixel
    assert len(values) <= 4 * 300
    assert sizes.sum() == pytest.approx(400 * 300)
    assert sizes[values.max(axis=1) <= 3].sum() == pytest.approx((seen.max(axis=0) <= 3).sum())
    again = sampled((seen, truth))
    np.testing.assert_array_equal(again[0], values)


def test_sample_takes_the_largest_coverage_if_none_is_half() -> None:
    covered = np.zeros((30, 30), np.uint8)
    covered[:2], covered[2] = 30, 90
    _, truth, sizes = sampled((np.full((2, 30, 30), 9, np.uint8), covered))
    assert truth.sum() == 30 and sizes.sum() == 900


def test_sampled_scores_are_those_of_all_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = {name: noisy(seed, [30.0, 30.0, 60.0], (110, 100)) for seed, name in enumerate("ab")}
    exact = {s: sampled(scene) for s, scene in scenes.items()}
    monkeypatch.setattr(module, "MOST", 1000)
    fewer = {s: sampled(scene) for s, scene in scenes.items()}
    assert [sum(len(own[1]) for own in found.values()) for found in (exact, fewer)] == [22_000, 4005]
    ground = {"a": "a", "b": "b"}
    for parts in ((12, 12, 12), (36, 0, 0), (24, 9, 3)):
        without_a, without_b, every = sampled_scores(exact, ground, ["a", "b"])(parts)
        weights = [part / 36 for part in parts]
        assert every == pytest.approx(jaccard(list(scenes.values()), weights), abs=2e-4)
        assert without_a == pytest.approx(jaccard([scenes["b"]], weights), abs=2e-4)
        assert without_b == pytest.approx(jaccard([scenes["a"]], weights), abs=2e-4)
        assert sampled_scores(fewer, ground, ["a", "b"])(parts)[-1] == pytest.approx(every, abs=0.03)


# The search ------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=5).filter(any), st.integers(0, 9))
def test_search_comes_near_the_best_weights(goal: list[int], seed: int) -> None:
    aim = np.array(goal) / sum(goal)

    def score(parts: tuple[int, ...]) -> float:
        assert sum(parts) == PARTS * len(goal) and min(parts) >= 0
        return -float(np.abs(np.array(parts) / sum(parts) - aim).max())

    found = search(score, len(goal))
    assert -score(found) <= 0.26


def test_search_stays_at_the_mean_where_nothing_is_better() -> None:
    assert search(lambda parts: 0.5, 3) == (PARTS,) * 3
    assert search(lambda parts: float(parts[1] == 36), 3) == (0, 36, 0)


# Weights ---------------------------------------------------------------------------------------------------


def test_weigh_best_takes_the_member_with_the_highest_jaccard() -> None:
    scenes = {"a": noisy(1, [60.0, 20.0]), "b": noisy(2, [60.0, 20.0])}
    found = weighed("best", scenes)
    assert found["weights"] == [0.0, 1.0] and found["reason"] is None
    assert found["jaccards"][1] > found["jaccards"][0] > 0
    assert weights_of(found, "a") == [0.0, 1.0] == weights_of(found, "elsewhere")


def test_weigh_leaves_the_ground_of_a_scene_out() -> None:
    # The first member is the best on ground one, the second on ground two.
    scenes = {"a": noisy(1, [10.0, 90.0]), "b": noisy(2, [10.0, 90.0]), "c": noisy(3, [90.0, 10.0])}
    ground = {"a": "one", "b": "one", "c": "two"}
    for ensemble in ("best", "weighted"):
        found = weighed(ensemble, scenes, ground)
        first, second, third = (weights_of(found, scene) for scene in "abc")
        assert first == second
        assert first[1] > 0.6 and third[0] > 0.6, ensemble
    assert weights_of(weighed("best", scenes, ground), "elsewhere") == [1.0, 0.0]


def test_weigh_weighted_is_at_least_as_good_as_the_mean_and_each_member() -> None:
    scenes = {name: noisy(seed, [30.0, 45.0, 120.0]) for seed, name in enumerate("abc")}
    found = weighed("weighted", scenes)
    weights = found["weights"]
    assert sum(weights) == pytest.approx(1) and min(weights) >= 0
    assert weights[0] > weights[1] > weights[2]
    own = jaccard(list(scenes.values()), weights)
    assert own > jaccard(list(scenes.values()), [1 / 3] * 3) + 0.005
    assert own > max(found["jaccards"]) + 0.005


def test_weigh_mean_scores_the_members_and_weighs_them_alike() -> None:
    found = weighed("mean", {"a": noisy(1, [60.0, 20.0])})
    assert found["weights"] == [0.5, 0.5] and found["reason"] is None and found["scenes"] == {}
    assert found["jaccards"] == weighed("best", {"a": noisy(1, [60.0, 20.0])})["jaccards"]


@pytest.mark.parametrize("ensemble", ["best", "weighted"])
def test_weigh_without_truth_falls_back_to_the_mean_and_says_why(ensemble: str) -> None:
    for scenes in ({}, {"a": noisy(1, [20.0, 20.0], share=0.0)}):
        found = weighed(ensemble, scenes)
        assert found["weights"] == [0.5, 0.5] and found["jaccards"] == [None, None]
        assert "no truth pixel" in found["reason"]
    alone = weighed(ensemble, {"a": noisy(1, [60.0, 20.0])})
    assert alone["weights"][1] > alone["weights"][0] and alone["reason"] is None
    assert alone["scenes"]["a"]["weights"] == [0.5, 0.5] and "no truth pixel" in alone["scenes"]["a"]["reason"]
