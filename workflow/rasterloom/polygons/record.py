"""Reading and writing polygons, the artifacts of the stage vectorise."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.polygons.confidence import mean_probabilities
from rasterloom.polygons.geometry import Polygons
from rasterloom.polygons.morphology import morphology
from rasterloom.polygons.outlines import ROUNDING, decimals_for, on_map, outlines, parted, unit_of
from rasterloom.raster.grid import Matrix
from rasterloom.store.digest import canonical
from rasterloom.store.job import Job, batch_manifests
from rasterloom.store.store import Item


def table_digest(scene: str, name: str, crs: str | None, *columns: Any) -> str:
    """Digest of a table of polygons: scene, class, CRS, the WKB of each geometry in order, numbers as float64.

    The bytes of a Parquet file depend on the version of its writer; these do not.
    """
    import shapely

    total = hashlib.sha256(canonical([scene, name, crs, [len(column) for column in columns]]).encode())
    for column in map(np.asarray, columns):
        if column.dtype == np.float64:
            total.update(column.tobytes())
            continue
        for wkb in shapely.to_wkb(column.astype(object), byte_order=1, output_dimension=2):
            total.update(len(wkb).to_bytes(8, "little"))
            total.update(wkb)
    return total.hexdigest()


def polygons_of(
    probability: NDArray[np.uint8], reference: Mapping[str, Any], settings: Mapping[str, Any]
) -> tuple[Polygons, Polygons]:
    """Polygons of one class on one scene.

    Parameters
    ----------
    probability : (H, W) uint8 array
    reference : mapping
        ``width`` and ``height`` of the reference image and its ``transform`` (pixel to map, 2 x 3 rows, or None).
    settings : mapping
        ``threshold`` (n + 0.5 on 0..255), ``open``, ``close``, ``min_area``, ``max_area``, ``min_hole``, ``min_peak``,
        ``divide``, ``simplify``, ``shape``.

    Returns
    -------
    (N,) array of shapely Polygons, twice
        In reference pixel coordinates, and in map coordinates rounded to as many decimals as keep them within
        0.003 pixels (pixel coordinates again if there is no transform).
    """
    (pixel,) = divisions_of(probability, reference, settings, [settings["divide"]])
    if reference["transform"] is None:
        return pixel, pixel
    decimals = decimals_for(reference["transform"], ROUNDING * unit_of(_grid(probability, reference)))
    return pixel, on_map(pixel, reference["transform"], decimals)


def divisions_of(
    probability: NDArray[np.uint8], reference: Mapping[str, Any], settings: Mapping[str, Any], depths: Sequence[float]
) -> list[Polygons]:
    """Polygons in reference pixel coordinates as of `polygons_of`, for each of several depths in place of ``divide``.

    They are drawn once and then divided anew.
    """
    grid = _grid(probability, reference)
    names = ("min_area", "max_area", "min_hole", "min_peak", "simplify", "shape")
    options = {name: settings[name] for name in names}
    changed = morphology(probability, settings["open"] / grid[0][0], settings["close"] / grid[0][0])
    given = (changed, settings["threshold"], grid)
    whole = outlines(*given, **options)
    return [parted(whole, *given, depth, settings["min_area"]) if depth > 0 else whole for depth in depths]


def _grid(probability: NDArray[np.uint8], reference: Mapping[str, Any]) -> Matrix:
    height, width = probability.shape
    return [[reference["width"] / width, 0.0, 0.0], [0.0, reference["height"] / height, 0.0]]


def means_of(probability: NDArray[np.uint8], reference: Mapping[str, Any], pixel: Polygons) -> NDArray[np.float64]:
    """`mean_probabilities` of polygons, (N,) in reference pixels, on a scene of `reference` as in `polygons_of`."""
    return mean_probabilities(probability, pixel, _grid(probability, reference))


def write_polygons(
    path: Path,
    scene: str,
    name: str,
    pixel: Polygons,
    mapped: Polygons,
    crs: str | None,
    confidence: NDArray[np.float64],
) -> str:
    """Write a polygons artifact and give its digest.

    Parameters
    ----------
    path : Path
        A GeoParquet file to create: scene, class, geometry (on the map), pixel, confidence.
    scene, name : str
        The scene and the class.
    pixel, mapped : (N,) object arrays of shapely Polygons
        The same polygons in reference pixel and in map coordinates.
    crs : str or None
        WKT of the map's coordinate system.
    confidence : (N,) float64 array
        The chance that each is a true object; NaN where it is unknown.
    """
    import geopandas

    names = {"scene": np.full(len(pixel), scene, dtype=object), "class": np.full(len(pixel), name, dtype=object)}
    shapes = {"geometry": geopandas.GeoSeries(mapped, crs=crs), "pixel": geopandas.GeoSeries(pixel)}
    table = geopandas.GeoDataFrame({**names, **shapes, "confidence": confidence}, crs=crs).astype(
        {"scene": "str", "class": "str"}
    )
    table.to_parquet(path, index=False)
    return table_digest(scene, name, crs, mapped, pixel, confidence)


def read_polygons(path: Path) -> Any:
    """The GeoDataFrame of a polygons artifact: scene, class, geometry (map coordinates), pixel, confidence."""
    import geopandas

    return geopandas.read_parquet(path)


def polygon_items(job: Job, scenes: list[str]) -> dict[str, dict[str, Item]]:
    """Per class of the spec: the polygons artifact of each scene."""
    return {name: job.items(f"polygons/{name}", scenes) for name in job.spec["classes"]}


def polygon_manifests(spec: Mapping[str, Any]) -> list[str]:
    """Manifests of the polygons of every class and batch of a spec."""
    return [path for name in spec["classes"] for path in batch_manifests(f"polygons/{name}", spec)]
