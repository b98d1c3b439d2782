"""Models that look at one pixel at a time: a random forest and a linear regression on the normalised
channels.

Water has a characteristic spectrum, so such models find it without any context. Both are plain arrays: the
forest is trained by scikit-learn and predicted by code of our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import ConfigError, StoreError
from rasterloom.learning.augment import Floats, Normalisation, TrainingScene
from rasterloom.learning.checkpoint import Arrays
from rasterloom.learning.sampling import PixelSet, generator, scene_weights

BLOCK_PIXELS = 16_384
"""Pixels that the forest predicts at a time: their features stay in the processor's cache."""

SAMPLE_ROWS = 128
"""Rows of a scene that are read at a time."""


@dataclass(frozen=True)
class PixelRecipe:
    """How a pixel model is trained.

    Attributes
    ----------
    kind : forest or linear.
    samples : pixels to train on, over all scenes, half of them positive.
    seed : of the sample and of the forest.
    threads : compute threads.
    trees, depth : forest: number of trees, and their largest depth.
    leaf : forest: samples in a leaf at least.
    """

    kind: Literal["forest", "linear"]
    samples: int = 200_000
    seed: int = 0
    threads: int = 1
    trees: int = 40
    depth: int = 12
    leaf: int = 5

    @classmethod
    def of(cls, model: Mapping[str, Any], training: Mapping[str, Any]) -> PixelRecipe:
        """The recipe of a spec's ``model`` and ``training`` tables; missing keys take the values above."""
        if model["kind"] not in ("forest", "linear"):
            raise ConfigError(f"model kind {model['kind']!r} given; a pixel model is a forest or linear.")
        numbers = {k: int(model[k]) for k in ("samples", "trees", "depth", "leaf") if k in model}
        common = {k: int(training[k]) for k in ("seed", "threads") if k in training}
        return cls(kind=model["kind"], **numbers, **common)


def allot(counts: Sequence[int], total: int) -> list[int]:
    """Divide a sample among scenes, by the square root of their pixels and never more than they have.

    Parameters
    ----------
    counts : pixels of each scene.
    total : wanted sample.

    Returns
    -------
    list of numbers, each 0..count, summing to ``min(total, sum(counts))``.
    """
    left = np.asarray(counts, dtype=np.int64).copy()
    given = np.zeros_like(left)
    remaining = min(total, int(left.sum()))
    while remaining:
        weights = np.where(left > 0, scene_weights([int(c) for c in counts]), 0.0)
        share = np.minimum(np.floor(weights / weights.sum() * remaining).astype(np.int64), left)
        if not share.any():  # fewer than one each: the heaviest first
            order = np.argsort(-weights, kind="stable")[:remaining]
            share[order] = np.minimum(1, left[order])
        given, left = given + share, left - share
        remaining -= int(share.sum())
    return [int(n) for n in given]


def draw_pixels(pixels: PixelSet, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Ranks of `number` pixels of a set, without repetition, ascending."""
    return np.sort(rng.choice(pixels.count, size=number, replace=False, shuffle=False)).astype(np.int64)


def sample_pixels(
    scenes: Sequence[TrainingScene], recipe: PixelRecipe, normalisation: Normalisation
) -> tuple[Floats, Floats]:
    """Features and targets of a balanced sample.

    Parameters
    ----------
    scenes : labelled scenes; at least one has positive pixels.
    recipe : how many pixels, and the seed.
    normalisation : of the channels.

    Returns
    -------
    features : (n, C) float32, normalised channels.
    target : (n,) float32, coverage 0..1.
        Positive pixels are half of the wanted sample, or all there are; as many again are drawn from all
        valid ground. So n is at most ``recipe.samples``.

    Notes
    -----
    Memory: the sample and 128 rows of a scene; every scene is read once.
    """
    positive = allot([s.index.positive.count for s in scenes], recipe.samples // 2)
    ground = allot([s.index.ground.count for s in scenes], sum(positive))
    features: list[Floats] = []
    target: list[Floats] = []
    for i, scene in enumerate(scenes):
        ranks = [
            draw_pixels(pixels, number, generator(recipe.seed, i, which))
            for which, (pixels, number) in enumerate(
                ((scene.index.positive, positive[i]), (scene.index.ground, ground[i]))
            )
        ]
        for part in _scene_pixels(scene, ranks, normalisation):
            features.append(part[0])
            target.append(part[1])
    return np.concatenate(features), np.concatenate(target)


def _scene_pixels(
    scene: TrainingScene, ranks: Sequence[NDArray[np.int64]], normalisation: Normalisation
) -> list[tuple[Floats, Floats]]:
    """Features and targets of the chosen pixels of one scene, in strips of rows."""
    height, width = scene.index.shape
    sets = (scene.index.positive, scene.index.ground)
    parts: list[tuple[Floats, Floats]] = []
    for top in range(0, height, SAMPLE_ROWS):
        bottom = min(height, top + SAMPLE_ROWS)
        chosen = [_places(pixels, r, top, bottom) for pixels, r in zip(sets, ranks, strict=True)]
        places = np.concatenate(chosen)
        if not len(places):
            continue
        data, valid, coverage = scene.read(top, bottom, 0, width)
        rows, columns = np.divmod(places, width)
        picked = normalisation.apply(data[:, rows, columns][:, None], valid[:, rows, columns][:, None])[:, 0]
        parts.append((np.ascontiguousarray(picked.T), (coverage[rows, columns] / np.float32(255)).astype(np.float32)))
    return parts


def _places(pixels: PixelSet, ranks: NDArray[np.int64], top: int, bottom: int) -> NDArray[np.int64]:
    """Positions, row by row from `top`, of the pixels with these ranks that lie in rows top..bottom."""
    before = int(pixels.ends[top - 1]) if top else 0
    first, last = np.searchsorted(ranks, [before, int(pixels.ends[bottom - 1])])
    wanted = ranks[first:last] - before
    if not len(wanted):
        return np.zeros(0, dtype=np.int64)
    flat = np.flatnonzero(np.unpackbits(pixels.bits[top:bottom], axis=1, count=pixels.width))
    return np.asarray(flat[wanted], dtype=np.int64)


def fit(features: Floats, target: Floats, recipe: PixelRecipe) -> Arrays:
    """Train a pixel model.

    Parameters
    ----------
    features : (n, C) float32.
    target : (n,) float32, 0..1.
    recipe : kind and size.

    Returns
    -------
    dict of arrays, see `fit_linear` and `fit_forest`.
    """
    if recipe.kind == "linear":
        return fit_linear(features, target, recipe.threads)
    return fit_forest(features, target, recipe)


def fit_linear(features: Floats, target: Floats, threads: int = 1) -> Arrays:
    """Least squares with an intercept, in double precision.

    Returns
    -------
    ``linear.coefficients`` (C,) float32 and ``linear.intercept`` (1,) float32.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    matrix = np.column_stack([features.astype(np.float64), np.ones(len(features))])
    with threadpool_limits(threads):
        solution = np.linalg.lstsq(matrix, target.astype(np.float64), rcond=None)[0].astype(np.float32)
    return {"linear.coefficients": solution[:-1], "linear.intercept": solution[-1:]}


def fit_forest(features: Floats, target: Floats, recipe: PixelRecipe) -> Arrays:
    """A random forest that regresses the coverage, as plain arrays.

    Returns
    -------
    ``forest.roots`` (T,) int32: first node of each tree; ``forest.depth`` (1,) int32: levels to descend;
    ``forest.children`` (K, 2) int32: the node where the feature is at most the threshold, and the other one
    (a leaf is its own child); ``forest.feature`` (K,) int32; ``forest.threshold`` and ``forest.value`` (K,)
    float32.
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        n_estimators=recipe.trees,
        max_depth=recipe.depth,
        min_samples_leaf=recipe.leaf,
        max_features="sqrt",
        n_jobs=recipe.threads,
        random_state=recipe.seed % 2**32,
    ).fit(features, target)
    trees = [tree.tree_ for tree in forest.estimators_]
    roots = np.cumsum([0] + [tree.node_count for tree in trees])[:-1]
    children: list[NDArray[Any]] = []
    for tree, root in zip(trees, roots, strict=True):
        own = np.arange(tree.node_count)[:, None]
        pair = np.column_stack([tree.children_left, tree.children_right])
        children.append(np.where(pair < 0, own, pair) + root)
    feature = np.concatenate([tree.feature for tree in trees])
    threshold = np.concatenate([tree.threshold for tree in trees])
    return {
        "forest.roots": roots.astype(np.int32),
        "forest.depth": np.array([max(tree.max_depth for tree in trees)], dtype=np.int32),
        "forest.children": np.concatenate(children).astype(np.int32),
        "forest.feature": np.maximum(feature, 0).astype(np.int32),
        "forest.threshold": _rounded_down(threshold),
        "forest.value": np.concatenate([tree.value[:, 0, 0] for tree in trees]).astype(np.float32),
    }


def _rounded_down(numbers: NDArray[np.float64]) -> Floats:
    """The largest float32 not above each number: comparisons with float32 features stay what they were."""
    near = numbers.astype(np.float32)
    return np.where(near.astype(np.float64) > numbers, np.nextafter(near, np.float32(-np.inf)), near)


def predict_pixels(model: Mapping[str, NDArray[Any]], features: Floats, threads: int = 1) -> Floats:
    """Probability of every pixel.

    Parameters
    ----------
    model : arrays of `fit`.
    features : (C, n) float32, normalised channels (channels first, unlike in `fit`).
    threads : results do not depend on it.

    Returns
    -------
    (n,) float32, 0..1.

    Raises
    ------
    StoreError
        If the arrays are those of neither model.

    Notes
    -----
    Memory: a few arrays of 16,384 numbers a thread.
    """
    if not {"linear.coefficients", "forest.roots"} & set(model):
        raise StoreError(
            f"a pixel model holds {', '.join(sorted(model)) or 'nothing'}; linear.* or forest.* is needed. "
            "Remove it with `rasterloom verify --mend` and run again."
        )
    starts = range(0, features.shape[1], BLOCK_PIXELS)
    blocks = [features[:, i : i + BLOCK_PIXELS] for i in starts]
    one = _linear if "linear.coefficients" in model else _forest
    if threads == 1 or len(blocks) == 1:
        parts = [one(model, block) for block in blocks]
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(lambda block: one(model, block), blocks))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def _linear(model: Mapping[str, NDArray[Any]], features: Floats) -> Floats:
    total = np.full(features.shape[1], model["linear.intercept"][0], dtype=np.float32)
    for coefficient, channel in zip(model["linear.coefficients"], features, strict=True):
        total += coefficient * channel  # channel by channel: no library chooses the order of the sum
    return np.clip(total, 0.0, 1.0)


def _forest(model: Mapping[str, NDArray[Any]], features: Floats) -> Floats:
    """All pixels of a block descend a tree together, level by level; leaves lead to themselves."""
    count = features.shape[1]
    flat = np.ascontiguousarray(features).ravel()
    children = model["forest.children"].ravel()
    feature, threshold, value = (model[f"forest.{name}"] for name in ("feature", "threshold", "value"))
    offset = feature * np.int32(count)  # of the node's channel in `flat`
    pixel = np.arange(count, dtype=np.int32)
    total = np.zeros(count, dtype=np.float32)
    for root in model["forest.roots"]:
        node = np.full(count, root, dtype=np.int32)
        for _ in range(int(model["forest.depth"][0])):
            right = flat.take(offset.take(node) + pixel) > threshold.take(node)
            node = children.take(2 * node + right)
        total += value.take(node)
    return total / np.float32(len(model["forest.roots"]))
