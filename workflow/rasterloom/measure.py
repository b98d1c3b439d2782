"""Measures: how many objects of each class a scene has, and what area they cover."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.job import Job, scene_manifests
from rasterloom.wkt import polygon_items, polygon_manifests

VERSION = 1

COLUMNS = ("scene", "class", "count", "area_px", "area_m2", "percent")


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


def row(scene: str, name: str, polygons: Any, registration: Mapping[str, Any]) -> list[str]:
    """The row, as in `COLUMNS`, of a class's polygons (a polygons artifact as a GeoDataFrame) on a scene."""
    import shapely

    reference = registration["reference"]
    pixel, mapped = polygons["pixel"].to_numpy(), polygons.geometry.to_numpy()
    area = float(shapely.area(pixel).sum())
    square = areas_m2(mapped, pixel, reference.get("crs"), reference.get("gsd"), reference.get("transform"))
    valid = valid_pixels(registration)
    metres = "" if square is None else f"{float(square.sum()):.2f}"
    return [scene, name, str(len(pixel)), f"{area:.2f}", metres, f"{100 * area / valid:.4f}" if valid else ""]


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
        for name in job.spec["classes"]:
            polygons = read_polygons(job.store.open_path(items[name][scene]))
            found.append(row(scene, name, polygons, registration))
        job.progress(number, len(scenes), scene)
    job.write_output(lambda path: _write(path, table(found)))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")
