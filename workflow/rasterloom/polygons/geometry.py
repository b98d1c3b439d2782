"""Polygons under matrices, and polygons that every scorer accepts as valid."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rasterloom.errors import LabelError
from rasterloom.raster.grid import IDENTITY, Matrix

Polygons = NDArray[np.object_]
"""(N,) array of shapely Polygons."""


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
    found = np.asarray(geometries, dtype=object)
    if matrix == IDENTITY or not found.size:
        return found
    linear, offset = np.array([row[:2] for row in matrix]), np.array([row[2] for row in matrix])
    with np.errstate(all="ignore"):  # infinite coordinates of labels are looked for later
        return np.asarray(shapely.transform(found, lambda points: points @ linear.T + offset), dtype=object)


def from_rings(points: NDArray[np.float64], rings: NDArray[np.int64], parts: NDArray[np.int64]) -> Polygons:
    """Polygons, (N,) object array, of rings that do not return to their first vertices.

    Parameters
    ----------
    points : (M, 2) float64 array
        Vertices, ring after ring.
    rings : (R + 1,) int64 array
        Where each ring starts among the vertices.
    parts : (N + 1,) int64 array
        Where each polygon starts among the rings, its shell first.
    """
    closed = np.insert(points, rings[1:], points[rings[:-1]], axis=0)
    offsets = (rings + np.arange(rings.size), parts)
    return np.asarray(shapely.from_ragged_array(shapely.GeometryType.POLYGON, closed, offsets), dtype=object)


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
    The standard lets rings touch at points, and validators (GEOS, JTS, NTS) differ in how they see such points. Time
    is nearly linear; GEOS's own check takes it with the square of the number of holes of a polygon.
    """
    parts = np.asarray(polygons, dtype=object)
    parts = parts[~shapely.is_empty(parts)] if parts.size else parts
    if not parts.size or not np.isfinite(shapely.get_coordinates(parts)).all():
        return not parts.size
    rings, owner = shapely.get_rings(parts, return_index=True)
    whole, shells = shapely.polygons(rings), np.searchsorted(owner, np.arange(parts.size))
    if not (shapely.is_simple(shapely.multilinestrings(rings)) and (shapely.area(whole) > 0).all()):
        return False
    # As rings do not meet, a ring lies as a whole where its first point does.
    tree = shapely.STRtree(shapely.get_point(rings, 0))
    outer, inner = tree.query(whole, predicate="contains")
    depth = np.bincount(inner, minlength=rings.size)
    at_home = np.zeros(rings.size, np.bool_)
    at_home[inner[outer == shells[owner[inner]]]] = True
    hole = np.arange(rings.size) != shells[owner]
    return bool(np.all(np.where(hole, at_home & (depth == depth[shells[owner]] + 1), depth % 2 == 0)))
