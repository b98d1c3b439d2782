"""Models that look at one pixel at a time: random forest, gradient boosting, linear and logistic regression.

Water has a characteristic spectrum, so such models find it without any context; other classes need the means around
the pixel (see `rasterloom.learning.pixel_features`). All are plain arrays: trees are trained by scikit-learn and
predicted by code of our own.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from rasterloom.config.model import TrainingConfig, model_table
from rasterloom.config.pixel_models import BoostingConfig, ForestConfig, LinearConfig, LogisticConfig
from rasterloom.errors import RasterloomError, StoreError
from rasterloom.learning.augment import TrainingScene
from rasterloom.learning.checkpoint import Arrays
from rasterloom.learning.pixel_features import PixelFeatures
from rasterloom.learning.sampling import PixelSet, generator, scene_weights
from rasterloom.learning.windows import Floats

BLOCK_PIXELS = 16_384
"""Pixels that the forest predicts at a time: their features stay in the processor's cache."""

SAMPLE_ROWS = 128
"""Rows of a scene that are read at a time."""


SAMPLES_OF_LEAF = 5
"""Sampled pixels that each leaf of a forest holds at least."""

LEAVES = 31
"""Leaves of a tree of boosting at most: many small trees correct each other better than few large ones."""

LOOKED_AT = 200
"""Sampled pixels whose prediction is compared with the library's before boosting is kept."""

RIDGE = 1.0
"""Weight of half the squared coefficients in the loss of a logistic regression, as scikit-learn has it."""


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
    scenes: Sequence[TrainingScene], samples: int, seed: int, features: PixelFeatures
) -> tuple[Floats, Floats]:
    """Features and targets of a balanced sample.

    Parameters
    ----------
    scenes : labelled scenes; at least one has positive pixels.
    samples : how many pixels.
    seed : decides which.
    features : which ones are wanted.

    Returns
    -------
    features : (n, F) float32.
    target : (n,) float32, coverage 0..1.
        Positive pixels are half of the wanted sample, or all there are; as many again are drawn from all
        valid ground. So n is at most `samples`.

    Notes
    -----
    Memory: the sample, and 128 rows of a scene with those that their neighbourhood needs.
    """
    positive = allot([s.index.positive.count for s in scenes], samples // 2)
    ground = allot([s.index.ground.count for s in scenes], sum(positive))
    parts: list[tuple[Floats, Floats]] = []
    for i, scene in enumerate(scenes):
        sets = (scene.index.positive, positive[i]), (scene.index.ground, ground[i])
        ranks = [draw_pixels(pixels, number, generator(seed, i, which)) for which, (pixels, number) in enumerate(sets)]
        parts += _scene_pixels(scene, ranks, features)
    found, target = zip(*parts, strict=True)
    return np.concatenate(found), np.concatenate(target)


def _scene_pixels(
    scene: TrainingScene, ranks: Sequence[NDArray[np.int64]], features: PixelFeatures
) -> list[tuple[Floats, Floats]]:
    """Features and targets of the chosen pixels of one scene, in strips of rows."""
    height, width = scene.index.shape
    sets = (scene.index.positive, scene.index.ground)
    parts: list[tuple[Floats, Floats]] = []
    for top in range(0, height, SAMPLE_ROWS):
        bottom = min(height, top + SAMPLE_ROWS)
        places = np.concatenate([_places(pixels, r, top, bottom) for pixels, r in zip(sets, ranks, strict=True)])
        if not len(places):
            continue
        first, last, inner = features.around(top, bottom, height)
        data, valid, coverage = scene.read(first, last, 0, width)
        rows, columns = np.divmod(places + inner.start * width, width)
        target = (coverage[rows, columns] / np.float32(255)).astype(np.float32)
        if not features.widths:  # a pixel for itself: the others are not needed
            data, valid = data[:, rows, columns][:, None], valid[:, rows, columns][:, None]
            rows, columns = np.zeros_like(rows), np.arange(len(rows))
        picked = [plane[rows, columns] for plane in features.planes(data, valid, scene.normalisation)]
        parts.append((np.column_stack(picked), target))
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


def fit_linear(features: Floats, target: Floats, model: LinearConfig, training: TrainingConfig) -> Arrays:
    """Least squares with an intercept, in double precision.

    Parameters
    ----------
    features : (n, C) float32.
    target : (n,) float32, 0..1.
    model, training : ``threads`` counts alone.

    Returns
    -------
    ``linear.coefficients`` (C,) float32 and ``linear.intercept`` (1,) float32.
    """

    with threadpool_limits(training.threads):
        solution = np.linalg.lstsq(_with_ones(features), target.astype(np.float64), rcond=None)[0]
    return _coefficients("linear", solution)


def _with_ones(features: Floats) -> NDArray[np.float64]:
    return np.column_stack([features.astype(np.float64), np.ones(len(features))])


def _coefficients(kind: str, solution: NDArray[Any]) -> Arrays:
    found = solution.astype(np.float32)
    return {f"{kind}.coefficients": found[:-1], f"{kind}.intercept": found[-1:]}


def fit_forest(features: Floats, target: Floats, model: ForestConfig, training: TrainingConfig) -> Arrays:
    """A random forest that regresses the coverage, as plain arrays.

    Parameters
    ----------
    features : (n, C) float32.
    target : (n,) float32, 0..1.
    model : number and largest depth of the trees.
    training : ``seed``, and ``threads``, which change nothing in the trees.

    Returns
    -------
    ``forest.roots`` (T,) int32: first node of each tree; ``forest.depth`` (1,) int32: levels to descend;
    ``forest.children`` (K, 2) int32: the node where the feature is at most the threshold, and the other one
    (a leaf is its own child); ``forest.feature`` (K,) int32; ``forest.threshold`` and ``forest.value`` (K,)
    float32.
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        n_estimators=model.trees,
        max_depth=model.max_depth,
        min_samples_leaf=SAMPLES_OF_LEAF,
        max_features="sqrt",
        n_jobs=training.threads,
        random_state=training.seed % 2**32,
    ).fit(features, target)
    trees = [tree.tree_ for tree in forest.estimators_]
    nodes = [(t.children_left, t.children_right, t.feature, t.threshold, t.value[:, 0, 0]) for t in trees]
    return _tree_arrays("forest", nodes, [max(tree.max_depth for tree in trees)])


def fit_boosting(features: Floats, target: Floats, model: BoostingConfig, training: TrainingConfig) -> Arrays:
    """Gradient boosting of the logistic loss against the coverage, as plain arrays.

    Parameters
    ----------
    features : (n, F) float32.
    target : (n,) float32, 0..1; a pixel counts as positive to that part, and as negative for the rest.
    model : number and largest depth of the trees.
    training : ``seed``, and ``threads``, which change nothing in the trees.

    Returns
    -------
    As of `fit_forest`, named ``boosting.*``, but with the depth of each tree; and ``boosting.baseline`` (1,) float32,
    what the values of the trees are added to.

    Raises
    ------
    RasterloomError
        If the installed scikit-learn keeps its trees in another way than this code reads.
    """
    import sklearn
    from sklearn.ensemble import HistGradientBoostingClassifier

    positive, negative = np.flatnonzero(target > 0), np.flatnonzero(target < 1)
    rows = np.concatenate([positive, negative if len(negative) else positive[:1]])  # of weight 0: two kinds are needed
    label = np.arange(len(rows)) < len(positive)
    booster = HistGradientBoostingClassifier(
        max_iter=model.trees,
        max_depth=model.max_depth,
        max_leaf_nodes=LEAVES,
        early_stopping=False,
        random_state=training.seed % 2**32,
    )
    with threadpool_limits(training.threads):
        booster.fit(features[rows], label, sample_weight=np.where(label, target[rows], 1 - target[rows]))
        theirs = booster.decision_function(features[:LOOKED_AT])
    try:
        trees = [tree.nodes for (tree,) in booster._predictors]  # scikit-learn has no public way to them
        nodes = [(t["left"], t["right"], t["feature_idx"], t["num_threshold"], t["value"]) for t in trees]
        arrays = _tree_arrays("boosting", nodes, [int(t["depth"].max()) for t in trees])
        arrays["boosting.baseline"] = booster._baseline_prediction.astype(np.float32).reshape(1)
        same = np.allclose(_boosted(arrays, features[:LOOKED_AT].T), theirs, rtol=1e-3, atol=1e-3)
    except (AttributeError, TypeError, ValueError, IndexError):
        same = False
    if not same:
        raise RasterloomError(
            f"kind boosting: scikit-learn {sklearn.__version__} keeps its trees in another way than is known here; "
            "install the version of requirements.lock, or use kind forest"
        )
    return arrays


def fit_logistic(features: Floats, target: Floats, model: LogisticConfig, training: TrainingConfig) -> Arrays:
    """Logistic regression of the coverage with an intercept, in double precision.

    Parameters
    ----------
    features : (n, F) float32.
    target : (n,) float32, 0..1; a pixel counts as positive to that part, and as negative for the rest.
    model, training : ``threads`` counts alone.

    Returns
    -------
    ``logistic.coefficients`` (F,) float32 and ``logistic.intercept`` (1,) float32.

    Notes
    -----
    Memory: three copies of the features in double precision.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    matrix, wanted = _with_ones(features), target.astype(np.float64)
    ridge = np.append(np.full(features.shape[1], RIDGE), 0.0)

    def loss(found: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        score = matrix @ found
        total = (np.logaddexp(0.0, score) - wanted * score).sum() + 0.5 * (ridge * found**2).sum()
        return float(total), matrix.T @ (expit(score) - wanted) + ridge * found

    def curvature(found: NDArray[np.float64]) -> NDArray[np.float64]:
        score = matrix @ found
        weighted = matrix * (expit(score) * expit(-score))[:, None]
        return np.asarray(matrix.T @ weighted + np.diag(ridge))

    options = {"gtol": 1e-8 * len(features), "maxiter": 200}
    with threadpool_limits(training.threads):
        start = np.zeros(matrix.shape[1])
        found = minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options=options).x
    return _coefficients("logistic", found)


def _tree_arrays(kind: str, trees: Sequence[Sequence[NDArray[Any]]], depth: Sequence[int]) -> Arrays:
    """Arrays of trees, each given by the left and right child, feature, threshold and value of its nodes.

    What a leaf has for children are not nodes below it, that is, not of a higher number.
    """
    left, right, feature, threshold, value = (np.concatenate(parts) for parts in zip(*trees, strict=True))
    counts = [len(tree[0]) for tree in trees]
    roots = np.cumsum([0, *counts])[:-1]
    own = np.concatenate([np.arange(count) for count in counts])[:, None]
    pair = np.column_stack([left, right]).astype(np.int64)
    return {
        f"{kind}.roots": roots.astype(np.int32),
        f"{kind}.depth": np.array(depth, dtype=np.int32),
        f"{kind}.children": (np.where(pair <= own, own, pair) + np.repeat(roots, counts)[:, None]).astype(np.int32),
        f"{kind}.feature": np.maximum(feature, 0).astype(np.int32),
        f"{kind}.threshold": _rounded_down(threshold),
        f"{kind}.value": value.astype(np.float32),
    }


def _rounded_down(numbers: NDArray[np.float64]) -> Floats:
    """The largest float32 not above each number: comparisons with float32 features stay what they were."""
    near = numbers.astype(np.float32)
    return np.where(near.astype(np.float64) > numbers, np.nextafter(near, np.float32(-np.inf)), near)


def predict_pixels(model: Mapping[str, NDArray[Any]], features: Floats, threads: int) -> Floats:
    """Probability of every pixel.

    Parameters
    ----------
    model : arrays of a kind's `fit`.
    features : (C, n) float32, normalised channels (channels first, unlike in `fit`).
    threads : results do not depend on it.

    Returns
    -------
    (n,) float32, 0..1.

    Raises
    ------
    StoreError
        If the arrays are those of no kind of model.

    Notes
    -----
    Memory: a few arrays of 16,384 numbers a thread.
    """
    held = {name.partition(".")[0] for name in model}
    predict = next((kind.predict for name, kind in PIXEL_MODELS.items() if name in held), None)
    if predict is None:
        raise StoreError(
            f"a pixel model holds {', '.join(sorted(model)) or 'nothing'}; arrays of one of the kinds "
            f"{', '.join(PIXEL_MODELS)} are needed. Remove it with `rasterloom verify --mend` and run again."
        )
    blocks = [features[:, i : i + BLOCK_PIXELS] for i in range(0, features.shape[1], BLOCK_PIXELS)]
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(lambda block: predict(model, block), blocks))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def _boosted(model: Mapping[str, NDArray[Any]], features: Floats) -> Floats:
    """The logit of each pixel."""
    return _descended(model, "boosting", features) + np.float32(model["boosting.baseline"][0])


def _expit(logit: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(logit), dtype=np.float32)


def _weighted(model: Mapping[str, NDArray[Any]], kind: str, features: Floats) -> Floats:
    """The sum of all features of each pixel, weighted, and the intercept."""
    total = np.full(features.shape[1], model[f"{kind}.intercept"][0], dtype=np.float32)
    for coefficient, channel in zip(model[f"{kind}.coefficients"], features, strict=True):
        total += coefficient * channel  # channel by channel: no library chooses the order of the sum
    return total


def _descended(model: Mapping[str, NDArray[Any]], kind: str, features: Floats) -> Floats:
    """The sum of the values that all trees give each pixel.

    All pixels of a block descend a tree together, level by level; leaves lead to themselves.
    """
    count = features.shape[1]
    flat = np.ascontiguousarray(features).ravel()
    children = model[f"{kind}.children"].ravel()
    feature, threshold, value = (model[f"{kind}.{name}"] for name in ("feature", "threshold", "value"))
    offset = feature * np.int32(count)  # of the node's channel in `flat`
    pixel = np.arange(count, dtype=np.int32)
    total = np.zeros(count, dtype=np.float32)
    roots = model[f"{kind}.roots"]
    for root, depth in zip(roots, np.broadcast_to(model[f"{kind}.depth"], roots.shape), strict=True):
        node = np.full(count, root, dtype=np.int32)
        for _ in range(int(depth)):
            right = flat.take(offset.take(node) + pixel) > threshold.take(node)
            node = children.take(2 * node + right)
        total += value.take(node)
    return total


@dataclass(frozen=True)
class PixelModel:
    """A kind of model per pixel.

    Attributes
    ----------
    fit : trains it: features (n, C), target (n,), its table and the settings of training to arrays.
    predict : probability (n,) of the features (C, n) of a block of pixels, from the arrays, whose names begin with the
        kind's.
    threads_matter : whether the number of threads changes what `fit` gives.
    """

    fit: Callable[[Floats, Floats, Any, TrainingConfig], Arrays]
    predict: Callable[[Mapping[str, NDArray[Any]], Floats], Floats]
    threads_matter: bool


PIXEL_MODELS: Mapping[str, PixelModel] = {
    "forest": PixelModel(
        fit_forest, lambda m, x: _descended(m, "forest", x) / np.float32(len(m["forest.roots"])), False
    ),
    "boosting": PixelModel(fit_boosting, lambda m, x: _expit(_boosted(m, x)), False),
    "linear": PixelModel(fit_linear, lambda m, x: np.clip(_weighted(m, "linear", x), 0.0, 1.0), True),
    "logistic": PixelModel(fit_logistic, lambda m, x: _expit(_weighted(m, "logistic", x)), True),
}
"""The kinds of models per pixel, by the `kind` of a model in the configuration. A new one is an entry here, and the
table of its keys in `rasterloom.config.model`."""


def fit(features: Floats, target: Floats, model: Mapping[str, Any], training: Mapping[str, Any]) -> Arrays:
    """Train a model per pixel.

    Parameters
    ----------
    features : (n, C) float32.
    target : (n,) float32, 0..1.
    model, training : a spec's tables.

    Returns
    -------
    dict of arrays, see the kind's function.
    """
    table = model_table(model)
    return PIXEL_MODELS[table.kind].fit(features, target, table, TrainingConfig.model_validate(training))


def threads_matter(model: Mapping[str, Any]) -> bool:
    """Whether the number of threads changes what the training of a model gives; it always does for a network."""
    return model["kind"] not in PIXEL_MODELS or PIXEL_MODELS[model["kind"]].threads_matter
