"""Polygons under matrices, and polygons that every scorer accepts as valid."""

from __future__ import annotations

from typing import Any

import numpy as np

from rasterloom.raster.grid import IDENTITY, Matrix


def transformed(geometries: Any, matrix: Matrix) -> Any:
    """Geometries (array) with a 2 x 3 matrix applied to every vertex."""
    import shapely

    if matrix == IDENTITY:
        return geometries
    linear, offset = np.array(matrix)[:, :2], np.array(matrix)[:, 2]
    return shapely.transform(geometries, lambda points: points @ linear.T + offset)


def strictly_valid(polygons: Any) -> bool:
    """Whether polygons together form a valid multipolygon whose rings do not touch, not even at a point.

    Parameters
    ----------
    polygons : sequence or array of shapely Polygons

    Notes
    -----
    The standard lets rings touch at points, and validators (GEOS, JTS, NTS) differ in how they see such points.
    """
    import shapely

    parts = np.asarray(polygons, dtype=object)
    if not parts.size:
        return True
    whole = shapely.multipolygons(parts)
    return bool(shapely.is_valid(whole)) and bool(shapely.is_simple(shapely.boundary(whole)))
