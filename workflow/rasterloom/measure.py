"""Measures: how many objects of each class a scene has, what area they cover, and where their middle is.

A row a scene and class. The place of every single object is in the GeoPackages that the stage `export` writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.job import Job, scene_manifests
from rasterloom.wkt import polygon_items, polygon_manifests

VERSION = 2

COLUMNS = ("scene", "class", "count", "area_px", "area_m2", "percent", "x", "y", "longitude", "latitude")
"""``x``, ``y``: middle of the class's objects, weighted by their area, in map coordinates (pixels of the reference
where a scene has none); ``longitude``, ``latitude``: the same in WGS 84 degrees. Empty without objects or without
a CRS."""

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
    counts = [int(band["count"]) for band in bands]
    return max(counts) if counts else int(reference["width"]) * int(reference["height"])


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
    if reference.get("crs") is None or reference.get("transform") is None:
        return lambda x, y: None
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        transformer = Transformer.from_crs(reference["crs"], "EPSG:4326", always_xy=True)
    except ProjError:  # a system that is tied to no place on the Earth
        return lambda x, y: None

    def locate(x: float, y: float) -> tuple[float, float] | None:
        longitude, latitude = transformer.transform(x, y)
        return (float(longitude), float(latitude)) if np.isfinite([longitude, latitude]).all() else None

    return locate


def row(scene: str, name: str, polygons: Any, registration: Mapping[str, Any], locate: Locate) -> list[str]:
    """The row, as in `COLUMNS`, of a class's polygons (a polygons artifact as a GeoDataFrame) on a scene."""
    import shapely

    reference = registration["reference"]
    pixel, mapped = polygons["pixel"].to_numpy(), polygons.geometry.to_numpy()
    area = float(shapely.area(pixel).sum())
    square = areas_m2(mapped, pixel, reference.get("crs"), reference.get("gsd"), reference.get("transform"))
    valid = valid_pixels(registration)
    metres = "" if square is None else f"{float(square.sum()):.2f}"
    percent = f"{100 * area / valid:.4f}" if valid else ""
    middle = centre(mapped)
    place = None if middle is None else locate(*middle)
    # Twelve digits: grid units of the contest need as many behind the point as metres before and behind it.
    cells = ["", ""] if middle is None else [f"{value:.12g}" for value in middle]
    cells += ["", ""] if place is None else [f"{value:.7f}" for value in place]
    return [scene, name, str(len(pixel)), f"{area:.2f}", metres, percent, *cells]


def table(found: Iterable[list[str]]) -> str:
    """Tab-separated text with the header."""
    return "".join("\t".join(cells) + "\n" for cells in [list(COLUMNS), *found])


def read_registration(path: Path) -> dict[str, Any]:
    """A registration artifact."""
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: the polygons of every class and batch, and the registrations."""
    return [*polygon_manifests(spec), *scene_manifests("registration", spec["scenes"])]


def run(job: Job) -> None:
    """Write the summary: a row for every scene and class."""
    from rasterloom.vectorise import read_polygons

    scenes = list(job.spec["scenes"])
    items, registrations = polygon_items(job, scenes), job.items("registration", scenes)
    found = []
    for number, scene in enumerate(scenes, 1):
        registration = read_registration(job.store.open_path(registrations[scene]))
        locate = locator(registration["reference"])
        for name in job.spec["classes"]:
            polygons = read_polygons(job.store.open_path(items[name][scene]))
            found.append(row(scene, name, polygons, registration, locate))
        job.progress(number, len(scenes), scene)
    job.write_output(lambda path: _write(path, table(found)))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")
