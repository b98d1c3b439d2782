"""Areas in square metres, and where objects lie on the earth."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import shapely
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
        Of the map; areas are those on its ellipsoid. Of a system that is tied to no place on the Earth: in the plane.
    gsd : float or None
        Metres a pixel, used without CRS.
    transform : 2 x 3 rows or None
        Pixel to map; a CRS without it says nothing about `mapped`.

    Returns
    -------
    (N,) float64 array, or None if neither CRS nor ground sampling distance is known
    """
    if crs is None or transform is None:
        return None if gsd is None else np.asarray(shapely.area(pixel) * gsd**2, dtype=np.float64)
    return np.asarray(shapely.area(equal_area(np.asarray(mapped, dtype=object), crs)), dtype=np.float64)


def equal_area(mapped: Any, crs: Any, middle: tuple[float, float] | None = None) -> NDArray[np.object_]:
    """Geometries on a plane whose square metres are those on the ellipsoid (Lambert's azimuthal equal-area projection).

    Parameters
    ----------
    mapped : (N,) array of shapely geometries
        In map coordinates; their edges are straight there.
    crs : pyproj CRS, WKT or other name of one
        Of a system that is tied to no place on the Earth, or with coordinates that are not numbers, the plane is the
        map's own, in metres.
    middle : (x, y) or None
        Map coordinates of the plane's origin; None: the middle of the geometries.

    Notes
    -----
    Edges longer than a hundredth of the extent are divided, as they are bent on the plane.
    """
    from pyproj import CRS, Transformer

    system, (x, y), shape = CRS.from_user_input(crs), middle or (np.nan, np.nan), ""
    points = shapely.get_coordinates(mapped)
    if system.ellipsoid is not None and points.size and np.isfinite(points).all():
        (west, south), (east, north) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        shape = f"+a={system.ellipsoid.semi_major_metre!r} +b={system.ellipsoid.semi_minor_metre!r} +no_defs"
        x, y = middle or ((west + east) / 2, (south + north) / 2)
        x, y = Transformer.from_crs(system, f"+proj=longlat {shape}", always_xy=True).transform(x, y)
    if not shape or not np.isfinite((x, y)).all():
        factor = system.axis_info[0].unit_conversion_factor if system.axis_info else 1.0
        return np.asarray(shapely.transform(mapped, lambda points: points * factor), dtype=object)
    plane = f"+proj=laea +lat_0={y!r} +lon_0={x!r} {shape}"
    way = Transformer.from_crs(system, plane, always_xy=True)
    longest = max(east - west, north - south) / 100
    divided = shapely.segmentize(mapped, longest) if longest > 0 else mapped
    moved = shapely.transform(divided, lambda points: np.column_stack(way.transform(*points.T)))
    return np.asarray(moved, dtype=object)


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
