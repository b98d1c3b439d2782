"""Areas in square metres, and where objects lie on the earth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

Locate = Callable[[float, float], tuple[float, float] | None]
"""From map coordinates to longitude and latitude in degrees; None where there are none."""


def areas_m2(
    mapped: Any, pixel: Any, crs: Any | None, gsd: float | None, transform: Any | None = None
) -> NDArray[np.float64] | None:
    """Areas of polygons in square metres.

    Parameters
    ----------
    mapped, pixel : (N,) arrays of shapely Polygons
        The same polygons in map and in reference pixel coordinates.
    crs : pyproj CRS, WKT or None
        Of the map. Geographic: areas on the ellipsoid; projected: areas in the plane, in its unit of length.
    gsd : float or None
        Metres a pixel, used without CRS.
    transform : 2 x 3 rows or None
        Pixel to map; a CRS without it says nothing about `mapped`.

    Returns
    -------
    (N,) float64 array, or None if neither CRS nor ground sampling distance is known
    """
    import shapely

    if crs is None or transform is None:
        return None if gsd is None else np.asarray(shapely.area(pixel) * gsd**2, dtype=np.float64)
    from pyproj import CRS

    system = CRS.from_user_input(crs)
    if system.is_geographic:
        geod = system.get_geod()
        if geod is None:
            return None
        areas = [abs(geod.geometry_area_perimeter(shapely.orient_polygons(polygon))[0]) for polygon in mapped]
        return np.array(areas, dtype=np.float64)
    factor = float(system.axis_info[0].unit_conversion_factor) if system.axis_info else 1.0
    return np.asarray(shapely.area(mapped) * factor**2, dtype=np.float64)


def valid_pixels(registration: Mapping[str, Any]) -> int:
    """Pixels of a scene's reference that hold data, from the counts of a registration."""
    reference = registration["reference"]
    bands = registration["sensors"].get(reference["sensor"], {}).get("moments") or []
    return max((int(band["count"]) for band in bands), default=int(reference["width"]) * int(reference["height"]))


def centre(polygons: Any) -> tuple[float, float] | None:
    """The middle of polygons (an array of them), weighted by their area; None if they have none.

    Examples
    --------
    >>> from shapely import box
    >>> centre([box(0, 0, 3, 1), box(9, 0, 10, 1)])
    (3.5, 0.5)
    """
    import shapely

    weights = shapely.area(polygons)
    total = float(np.sum(weights))
    if not total > 0:
        return None
    points = shapely.get_coordinates(shapely.centroid(np.asarray(polygons, dtype=object)[weights > 0]))
    # Relative to one of them: map coordinates are large numbers.
    x, y = points[0] + (weights[weights > 0] / total) @ (points - points[0])
    return float(x), float(y)


def locator(reference: Mapping[str, Any]) -> Locate:
    """How map coordinates of a scene become longitude and latitude.

    Parameters
    ----------
    reference : mapping
        Of a registration: ``crs`` (WKT or None) and ``transform``; without one of them nothing can be located.
    """
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    transformer = None
    if reference.get("crs") is not None and reference.get("transform") is not None:
        with suppress(ProjError):  # a system that is tied to no place on the Earth
            transformer = Transformer.from_crs(reference["crs"], "EPSG:4326", always_xy=True)

    def locate(x: float, y: float) -> tuple[float, float] | None:
        place = (np.nan, np.nan) if transformer is None else transformer.transform(x, y)
        return (float(place[0]), float(place[1])) if np.isfinite(place).all() else None

    return locate
