"""Polygons under matrices, and polygons that every scorer accepts as valid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.raster.grid import IDENTITY, Matrix


def transformed(geometries: Any, matrix: Matrix) -> NDArray[np.object_]:
    """Geometries with a matrix applied to every vertex.

    Parameters
    ----------
    geometries : (N,) sequence or array of shapely geometries or None
    matrix : 2 x 3 list of rows
        Acts on (x, y, 1).

    Returns
    -------
    (N,) object array
        None stays None.
    """
    import shapely

    found = np.asarray(geometries, dtype=object)
    if matrix == IDENTITY or not found.size:
        return found
    linear, offset = np.array([row[:2] for row in matrix]), np.array([row[2] for row in matrix])
    with np.errstate(all="ignore"):  # infinite coordinates of labels are looked for later
        return np.asarray(shapely.transform(found, lambda points: points @ linear.T + offset), dtype=object)


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
