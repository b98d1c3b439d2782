"""Confidence: the chance that an object matches a true one, from its mean probability and its area."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rasterloom.polygons.geometry import Polygons, transformed
from rasterloom.raster.grid import Matrix, invert

Floats = NDArray[np.float64]

STRIP_PIXELS = 20_000_000
"""Pixels in which objects are drawn at a time."""

RIDGE = 1.0
"""Weight of half the squared coefficients in the loss: few objects tell little."""


def mean_probabilities(probability: NDArray[np.uint8], polygons: Polygons, matrix: Matrix) -> Floats:
    """The mean probability, 0..1, of the pixels that each polygon touches.

    Parameters
    ----------
    probability : (H, W) uint8 array
    polygons : (N,) array of shapely Polygons that do not overlap
    matrix : 2 x 3 list of rows
        From the edge coordinates of the array's grid to those of the polygons.
    """
    import shapely
    from rasterio import Affine
    from rasterio.features import rasterize

    own = transformed(polygons, invert(matrix))
    _, top, _, bottom = shapely.bounds(own).reshape(-1, 4).T
    sums, rows = np.zeros((2, polygons.size + 1)), max(1, STRIP_PIXELS // probability.shape[1])
    for start in range(0, probability.shape[0], rows):
        strip = probability[start : start + rows]
        touching = np.flatnonzero((bottom >= start) & (top <= start + len(strip)))
        if touching.size:
            shapes = zip(own[touching], (touching + 1).tolist(), strict=True)
            place = Affine.translation(0.0, float(start))
            number = rasterize(shapes, strip.shape, transform=place, all_touched=True, dtype="int32").ravel()
            sums += [np.bincount(number, values, polygons.size + 1) for values in (strip.ravel(), None)]
    return np.asarray(sums[0, 1:] / np.maximum(sums[1, 1:], 1) / 255)


def _features(mean: Floats, area: Floats) -> Floats:
    """(N, 4): what the chance depends on, each about -1 to 1."""
    size = np.log(np.maximum(area, 1e-9)) / 5 - 1
    return np.stack([np.ones(len(mean)), 4 * mean - 3, size, size**2], axis=1)


def fitted(mean: Floats, area: Floats, matched: NDArray[np.bool_]) -> list[float] | None:
    """Coefficients of a logistic regression of whether objects match; None unless some do and some do not.

    Parameters
    ----------
    mean, area : (N,) float arrays
        Of the objects: `mean_probabilities`, square reference pixels.
    matched : (N,) bool array
    """
    if matched.all() or not matched.any():
        return None
    features = _features(mean, area)
    weights = np.zeros(features.shape[1])
    for _ in range(25):
        chance = 1 / (1 + np.exp(-features @ weights))
        slope = features.T @ (chance - matched) + RIDGE * weights
        curve = (features * (chance * (1 - chance))[:, None]).T @ features + RIDGE * np.eye(len(weights))
        weights = weights - np.linalg.solve(curve, slope)
    return [round(float(weight), 6) for weight in weights]


def confidences(mean: Floats, area: Floats, weights: Sequence[float] | None) -> Floats:
    """The chance, 0..1, that each object matches, by what `fitted` gave; NaN without."""
    if weights is None:
        return np.full(len(mean), np.nan)
    return np.asarray(np.round(1 / (1 + np.exp(-_features(mean, area) @ np.asarray(weights))), 4))
