"""Contours as contourpy traces them."""

from typing import Any

import numpy as np
import shapely
from contourpy import FillType, contour_generator
from numpy.typing import NDArray


def traced(values: NDArray[np.uint8], level: float) -> NDArray[np.object_]:
    """Polygons of an image that goes on by half a pixel beyond the samples on its borders."""
    y, x = (np.concatenate([[0.0], np.arange(size) + 0.5, [float(size)]]) for size in values.shape)
    z = np.pad(values, 1, mode="edge").astype(np.float64)
    generator: Any = contour_generator(x, y, z, fill_type=FillType.OuterOffset)
    shapes, offsets = generator.filled(level, np.inf)
    # Rounded as ours are, so that the least vertex of a ring is the same one.
    exact = [np.round(shape * 2.0**20) / 2.0**20 for shape in shapes]
    rings = [np.split(shape, own[1:-1]) for shape, own in zip(exact, offsets, strict=True)]
    return np.array([shapely.Polygon(own[0], own[1:]) for own in rings], dtype=object)


def objects(plain: NDArray[np.uint8], values: NDArray[np.uint8], level: float, peak: float) -> NDArray[np.object_]:
    """Those of `values` in which a sample of `plain` lies that exceeds a peak."""
    found = traced(values, level)
    row, column = np.nonzero(plain > peak)
    points = shapely.points(column + 0.5, row + 0.5)
    return found[np.unique(shapely.STRtree(found).query(points, predicate="within")[1])]
