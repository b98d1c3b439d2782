"""Polygons under matrices, and polygons that every scorer accepts as valid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import LabelError
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


def polygonal(geometries: Any) -> NDArray[np.object_]:
    """The polygons and multipolygons among geometries, without None and empty ones.

    Parameters
    ----------
    geometries : shapely geometry, or (N,) sequence or array of them

    Returns
    -------
    (M,) object array

    Raises
    ------
    LabelError
        If a geometry is neither polygon nor multipolygon.
    """
    import shapely

    found = np.array([geometries] if isinstance(geometries, shapely.Geometry) else list(geometries), dtype=object)
    found = found[~(shapely.is_missing(found) | shapely.is_empty(found))] if found.size else found
    wrong = ~np.isin(shapely.get_type_id(found), (3, 6)) if found.size else np.zeros(0, np.bool_)
    if wrong.any():
        raise LabelError(
            f"a label is a {found[wrong][0].geom_type}: only Polygon and MultiPolygon cover an area; "
            "buffer lines and points, or leave them out"
        )
    return found


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
