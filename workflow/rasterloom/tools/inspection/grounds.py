"""Where scenes lie on the ground: footprints by georeference, and which scenes show the same ground."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rasterloom.raster.files import RasterInfo

SAME = 0.05
"""Scenes that share more than this of the smaller one's area show the same ground; tiles that abut do not."""

LONGITUDE_LATITUDE = "EPSG:4326"


def footprint(info: RasterInfo) -> Any | None:
    """Outline of an image in longitude and latitude, in its own map coordinates without CRS; None if it has none."""
    import shapely

    if info.transform is None:
        return None
    corners = np.array([[0, info.width, info.width, 0], [0, 0, info.height, info.height], [1, 1, 1, 1]])
    x, y = np.array(info.transform) @ corners
    if info.crs is not None:
        from pyproj import Transformer
        from pyproj.exceptions import ProjError

        try:
            x, y = Transformer.from_crs(info.crs, LONGITUDE_LATITUDE, always_xy=True).transform(x, y)
        except ProjError:  # a system that is tied to no place on the Earth
            return None
    if not np.isfinite([x, y]).all():
        return None
    return shapely.Polygon(np.stack([x, y], axis=1))


def same_ground(footprints: Mapping[str, Any]) -> dict[str, str]:
    """For each scene that shares ground with another: the first scene, by name, of those it is connected with.

    Examples
    --------
    >>> from shapely import box
    >>> same_ground({"a": box(0, 0, 2, 2), "b": box(1, 0, 3, 2), "c": box(3, 0, 5, 2)})
    {'a': 'a', 'b': 'a'}
    """
    import shapely

    names = sorted(footprints)
    shapes = np.array([footprints[name] for name in names], dtype=object)
    first = {name: name for name in names}

    def root(name: str) -> str:
        while first[name] != name:
            name = first[name]
        return name

    tree = shapely.STRtree(shapes)
    for i, j in np.transpose(tree.query(shapes, predicate="intersects")) if names else ():
        if i < j:
            shared = shapely.area(shapely.intersection(shapes[i], shapes[j]))
            if shared > SAME * min(shapely.area(shapes[i]), shapely.area(shapes[j])):
                low, high = sorted((root(names[i]), root(names[j])))
                first[high] = low
    roots = {name: root(name) for name in names}
    counts = list(roots.values())
    return {name: top for name, top in roots.items() if counts.count(top) > 1}
