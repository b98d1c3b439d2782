"""Where images lie on the ground: outlines by georeference, and which scenes show the same ground."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rasterloom.labels.files import transformed
from rasterloom.raster.files import RasterInfo
from rasterloom.raster.grid import Matrix

SAME = 0.05
"""Scenes that share more than this of the smaller one's area show the same ground; tiles that abut do not."""

LONGITUDE_LATITUDE = "EPSG:4326"


def outline(info: RasterInfo, matrix: Matrix) -> Any:
    """The corners of an image, carried by a matrix from its pixel edge coordinates, as a polygon."""
    import shapely

    return transformed([shapely.box(0, 0, info.width, info.height)], matrix)[0]


def coverage(matrix: Matrix, reference: RasterInfo, sensor: RasterInfo) -> float:
    """Share of the reference's area that a sensor covers; `matrix`: reference to sensor edge coordinates."""
    import shapely

    moved = outline(reference, matrix)
    return float(moved.intersection(shapely.box(0, 0, sensor.width, sensor.height)).area / moved.area)


def footprint(info: RasterInfo) -> Any | None:
    """Outline of an image in longitude and latitude, in its own map coordinates without CRS; None if it has none."""
    import geopandas
    import shapely
    from pyproj.exceptions import ProjError

    if info.transform is None:
        return None
    shape = geopandas.GeoSeries([outline(info, info.transform)], crs=info.crs)
    try:
        shape = shape.to_crs(LONGITUDE_LATITUDE) if info.crs else shape
    except ProjError:  # a system that is tied to no place on the Earth
        return None
    return shape[0] if np.isfinite(shapely.get_coordinates(shape[0])).all() else None


def same_ground(footprints: Mapping[str, Any]) -> dict[str, str]:
    """For each scene that shares ground with another: the first scene, by name, of those it is connected with.

    Examples
    --------
    >>> from shapely import box
    >>> same_ground({"a": box(0, 0, 2, 2), "b": box(1, 0, 3, 2), "c": box(3, 0, 5, 2)})
    {'a': 'a', 'b': 'a'}
    """
    import shapely
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = sorted(footprints)
    if not names:
        return {}
    shapes = np.array([footprints[name] for name in names], dtype=object)
    areas = shapely.area(shapes)
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    shared = shapely.area(shapely.intersection(shapes[one], shapes[other])) > SAME * np.minimum(
        areas[one], areas[other]
    )
    joined = coo_array((shared[shared], (one[shared], other[shared])), shape=[len(names)] * 2)
    groups = connected_components(joined)[1]
    return {
        name: names[int(np.argmax(groups == group))]
        for name, group in zip(names, groups, strict=True)
        if (groups == group).sum() > 1
    }
