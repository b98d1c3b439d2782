"""Trees and regressions as plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rasterloom.config.model import TrainingConfig
from rasterloom.config.pixel_models import BoostingConfig, ForestConfig, LinearConfig, LogisticConfig
from rasterloom.errors import RasterloomError, StoreError
from rasterloom.learning import pixel_models as pixelmodels
from rasterloom.learning.augment import Normalisation, TrainingScene
from rasterloom.learning.pixel_features import PixelFeatures
from rasterloom.learning.pixel_models import (
    PIXEL_MODELS,
    allot,
    fit,
    fit_boosting,
    fit_forest,
    fit_linear,
    fit_logistic,
    predict_pixels,
    sample_pixels,
    threads_matter,
)
from rasterloom.learning.sampling import generator, index_scene, pixel_set
from rasterloom.store.digest import array_digest


def problem(count: int = 400, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features and a target that is a step of the second one."""
    features = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    return features, (features[:, 1] > 0.3).astype(np.float32)


def pixel_scene(seed: int, shape: tuple[int, int] = (300, 20)) -> TrainingScene:
    """Channel 0 is the pixel's number, channel 1 its coverage; column 0 is invalid."""
    rng = np.random.default_rng(seed)
    coverage = ((rng.random(shape) < 0.1) * 255).astype(np.uint8)
    data = np.stack([np.arange(coverage.size).reshape(shape), coverage]).astype(np.uint16)
    valid = np.full((1, *shape), 255, np.uint8)
    valid[:, :, 0] = 0

    def read(y0: int, y1: int, x0: int, x1: int) -> Any:
        return data[:, y0:y1, x0:x1], valid[:, y0:y1, x0:x1], coverage[y0:y1, x0:x1]

    return TrainingScene(str(seed), index_scene(lambda a, b: (coverage[a:b], valid[0, a:b]), shape[0]), read, PLAIN)


PLAIN = Normalisation(np.zeros(2, np.float32), np.ones(2, np.float32), np.array([0, 0]))
CHANNELS = PixelFeatures(np.zeros((0, 4), np.int32), ())


@pytest.mark.parametrize(
    ("counts", "total", "expected"),
    [
        ([100, 400], 30, [10, 20]),
        ([5, 400], 100, [5, 95]),
        ([3, 2], 100, [3, 2]),
        ([0, 9], 4, [0, 4]),
        ([9, 9, 9], 2, [1, 1, 0]),
        ([4, 4], 0, [0, 0]),
        ([], 7, []),
    ],
)
def test_allot(counts: list[int], total: int, expected: list[int]) -> None:
    assert allot(counts, total) == expected


def test_allot_always_gives_all_it_can() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        counts = rng.integers(0, 50, rng.integers(1, 8)).tolist()
        total = int(rng.integers(0, 200))
        given = allot(counts, total)
        assert sum(given) == min(total, sum(counts))
        assert all(0 <= g <= c for g, c in zip(given, counts, strict=True))


def test_draw_pixels_without_repetition() -> None:
    ranks = pixelmodels.draw_pixels(pixel_set(np.ones((9, 9), np.bool_)), 81, generator(0, 0, 0))
    assert ranks.tolist() == list(range(81))


def test_sample_pixels_is_balanced_and_takes_the_right_pixels() -> None:
    scenes = [pixel_scene(0), pixel_scene(1)]
    features, target = sample_pixels(scenes, 200, 0, CHANNELS)
    assert features.shape == (200, 2)
    assert np.array_equal(features[:, 1], np.round(target * 255))  # features and target are of one pixel
    assert 100 <= (target == 1).sum() < 125  # half, and what chance adds
    assert not (features[:, 0] % 20 == 0).any()  # nothing invalid
    again = sample_pixels(scenes, 200, 0, CHANNELS)
    assert array_digest({"f": features, "t": target}) == array_digest(dict(zip("ft", again, strict=True)))


def test_sample_pixels_few_positives_make_a_small_sample() -> None:
    scene = pixel_scene(0)
    positive = scene.index.positive.count
    features, target = sample_pixels([scene], 100_000, 0, CHANNELS)
    assert len(features) == 2 * positive
    assert (target == 1).sum() >= positive


@pytest.mark.parametrize("rows", [7, 128])
def test_sample_pixels_with_a_neighbourhood_is_that_of_the_whole_scene(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, features = pixel_scene(0), PixelFeatures(np.array([[0, 1, -1, -1]], np.int32), (3, 31))
    data, valid, coverage = scene.read(0, 300, 0, 20)
    whole = np.stack(list(features.planes(data, valid, PLAIN)))
    monkeypatch.setattr(pixelmodels, "SAMPLE_ROWS", rows)
    found, target = sample_pixels([scene], 100, 3, features)
    places = np.divmod(found[:, 0].astype(int), 20)  # channel 0 is the pixel's number
    assert found.shape == (len(target), 7)
    assert np.array_equal(found, whole[:, *places].T)
    assert np.array_equal(np.round(target * 255), coverage[places])


def test_fit_linear_finds_the_plane() -> None:
    features, _ = problem()
    target = (features @ np.array([0.1, -0.2, 0.3], np.float32) + 0.5).astype(np.float32)
    model = fit_linear(features, target, LinearConfig(kind="linear"), TrainingConfig())
    assert np.allclose(model["linear.coefficients"], [0.1, -0.2, 0.3], atol=1e-6)
    assert model["linear.intercept"][0] == pytest.approx(0.5, abs=1e-6)
    assert np.allclose(predict_pixels(model, features.T, 1), np.clip(target, 0, 1), atol=1e-5)


def test_fit_linear_with_a_constant_channel() -> None:
    features, target = problem()
    features[:, 2] = 0.0
    assert all(
        np.isfinite(value).all()
        for value in fit_linear(features, target, LinearConfig(kind="linear"), TrainingConfig()).values()
    )


@pytest.mark.parametrize("max_depth", [1, 4, 12])
def test_forest_predicts_what_scikit_learn_predicts(max_depth: int) -> None:
    from sklearn.ensemble import RandomForestRegressor

    features, target = problem()
    target = np.clip(target + features[:, 0] / 5, 0, 1)
    model = fit_forest(
        features, target, ForestConfig(kind="forest", trees=7, max_depth=max_depth), TrainingConfig(seed=3, threads=1)
    )
    theirs = RandomForestRegressor(7, max_depth=max_depth, min_samples_leaf=5, max_features="sqrt", random_state=3).fit(
        features, target
    )
    fresh = np.concatenate([problem(seed=9)[0], features])
    assert np.allclose(predict_pixels(model, fresh.T, 1), theirs.predict(fresh), atol=1e-6)


def fractional(count: int = 600, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features and a coverage that is often 0 or 1 and often between."""
    features, step = problem(count, seed)
    return features, np.clip(0.7 * step + features[:, 0] * features[:, 2] / 4 + 0.1, 0, 1).astype(np.float32)


def twofold(target: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.float32]]:
    """Every pixel as a positive one and as a negative one: rows, labels and weights."""
    label = np.repeat([True, False], len(target))
    return np.tile(np.arange(len(target)), 2), label, np.concatenate([target, 1 - target])


@pytest.mark.parametrize("max_depth", [1, 8])
def test_boosting_predicts_what_scikit_learn_predicts(max_depth: int) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    features, target = fractional()
    rows, label, weight = twofold(target)
    kept = weight > 0  # pixels of weight 0 count in the library's leaves
    theirs = HistGradientBoostingClassifier(max_iter=20, max_depth=max_depth, early_stopping=False, random_state=3).fit(
        features[rows[kept]], label[kept], sample_weight=weight[kept]
    )
    model = fit_boosting(
        features, target, BoostingConfig(kind="boosting", trees=20, max_depth=max_depth), TrainingConfig(seed=3)
    )
    fresh = np.concatenate([fractional(seed=9)[0], features])
    assert np.allclose(predict_pixels(model, fresh.T, 1), theirs.predict_proba(fresh)[:, 1], atol=1e-6)


def test_boosting_refuses_trees_that_it_does_not_read_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """As another version of the library may hold them."""
    monkeypatch.setattr(pixelmodels, "_rounded_down", lambda numbers: -numbers.astype(np.float32))
    with pytest.raises(RasterloomError, match=r"scikit-learn \d.*requirements\.lock"):
        fit_boosting(*fractional(300), BoostingConfig(kind="boosting", trees=3), TrainingConfig(threads=1))


def test_boosting_refuses_trees_that_it_does_not_find(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    monkeypatch.setattr(HistGradientBoostingClassifier, "_predictors", property(lambda _: [[]], lambda *_: None), False)
    with pytest.raises(RasterloomError, match="kind forest"):
        fit_boosting(*fractional(300), BoostingConfig(kind="boosting", trees=3), TrainingConfig(threads=1))


def test_logistic_predicts_what_scikit_learn_predicts() -> None:
    from sklearn.linear_model import LogisticRegression

    features, target = fractional()
    rows, label, weight = twofold(target)
    theirs = LogisticRegression(tol=1e-10, max_iter=1000).fit(
        features[rows].astype(np.float64), label, sample_weight=weight
    )
    model = fit_logistic(features, target, LogisticConfig(kind="logistic"), TrainingConfig(threads=1))
    assert np.allclose(predict_pixels(model, features.T, 1), theirs.predict_proba(features)[:, 1], atol=1e-5)


@pytest.mark.parametrize("kind", PIXEL_MODELS)
def test_fit_where_the_class_is_everywhere(kind: str) -> None:
    features, _ = problem(100)
    model = fit(features, np.ones(100, np.float32), {"kind": kind}, {"threads": 1})
    assert (predict_pixels(model, features.T, 1) > 0.99).all()


def test_forest_thresholds_compare_as_in_double_precision() -> None:
    exact = np.array([0.1, -0.1, 1.0, 1 + 2**-30, -1 - 2**-30])
    rounded = pixelmodels._rounded_down(exact)
    assert (rounded.astype(np.float64) <= exact).all()
    assert (np.nextafter(rounded, np.float32(np.inf)).astype(np.float64) > exact).all()


@pytest.mark.parametrize("kind", ["forest", "boosting"])
def test_trees_learn_and_are_reproducible(kind: str) -> None:
    features, target = problem(2000)
    model, other = (fit(features, target, {"kind": kind, "trees": 10}, {"threads": n}) for n in (1, 2))
    assert array_digest(model) == array_digest(other)
    assert not threads_matter({"kind": kind})
    fresh, wanted = problem(500, 1)
    assert ((predict_pixels(model, fresh.T, 1) > 0.5) == (wanted > 0.5)).mean() > 0.95
    assert {value.dtype.kind for value in model.values()} <= {"i", "f"}


@pytest.mark.parametrize("kind", PIXEL_MODELS)
def test_predict_pixels_same_for_any_blocks_and_threads(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    features, target = problem()
    model = fit(features, target, {"kind": kind}, {})
    whole = predict_pixels(model, features.T, 1)
    assert whole.dtype == np.float32
    assert whole.min() >= 0
    assert whole.max() <= 1
    monkeypatch.setattr(pixelmodels, "BLOCK_PIXELS", 7)
    assert np.array_equal(predict_pixels(model, features.T, threads=3), whole)
    assert np.array_equal(predict_pixels(model, features.T[:, :1], 1), whole[:1])
    assert predict_pixels(model, features.T[:, :0], 1).shape == (0,)


def test_predict_pixels_refuses_other_arrays() -> None:
    with pytest.raises(StoreError, match=r"holds network\.x"):
        predict_pixels({"network.x": np.zeros(1)}, np.zeros((2, 3), np.float32), 1)
