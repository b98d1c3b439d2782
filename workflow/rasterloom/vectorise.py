"""Vectorising: an ensemble's probabilities become polygons in pixel and map coordinates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.digest import canonical
from rasterloom.job import Job, Wanted, scene_manifests
from rasterloom.mask import read_plane
from rasterloom.outlines import Polygons, decimals_for, on_map, outlines
from rasterloom.store import Writing

VERSION = 1


def morphology(probability: NDArray[np.uint8], dilate: int, erode: int) -> NDArray[np.uint8]:
    """Grey-scale dilation, then erosion, by discs: outlines move but stay sub-pixel.

    Parameters
    ----------
    probability : (H, W) uint8 array, 0..255
    dilate, erode : int
        Radii in pixels of the array; 0 does nothing. Equal radii close gaps.

    Returns
    -------
    (H, W) uint8 array
        What lies beyond the image neither grows into it nor eats it.
    """
    if not (dilate or erode):
        return probability
    import cv2

    found = probability
    if dilate:
        found = np.asarray(cv2.dilate(found, _disc(dilate)), dtype=np.uint8)
    if erode:
        found = np.asarray(cv2.erode(found, _disc(erode)), dtype=np.uint8)
    return found


def _disc(radius: int) -> NDArray[np.uint8]:
    offsets = np.arange(-radius, radius + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= (radius + 0.5) ** 2).astype(np.uint8)


def table_digest(scene: str, name: str, crs: str | None, *columns: Any) -> str:
    """Digest of a table of polygons: scene, class, CRS, and the WKB of each geometry in order.

    The bytes of a Parquet file depend on the version of its writer; these do not.
    """
    import shapely

    total = hashlib.sha256(canonical([scene, name, crs, [len(column) for column in columns]]).encode())
    for column in columns:
        for wkb in shapely.to_wkb(np.asarray(column, dtype=object), byte_order=1, output_dimension=2):
            total.update(len(wkb).to_bytes(8, "little"))
            total.update(wkb)
    return total.hexdigest()


def polygons_of(
    probability: NDArray[np.uint8], threshold: float, reference: Mapping[str, Any], settings: Mapping[str, Any]
) -> tuple[Polygons, Polygons]:
    """Polygons of one class on one scene.

    Parameters
    ----------
    probability : (H, W) uint8 array
    threshold : float
        n + 0.5 on 0..255.
    reference : mapping
        ``width`` and ``height`` of the reference image and its ``transform`` (pixel to map, 2 x 3 rows, or None).
    settings : mapping
        ``dilate``, ``erode``, ``min_area``, ``min_hole``, ``simplify``.

    Returns
    -------
    (N,) array of shapely Polygons, twice
        In reference pixel coordinates, and in map coordinates rounded to as many decimals as keep them within
        0.003 pixels (pixel coordinates again if there is no transform).
    """
    height, width = probability.shape
    grid = [[reference["width"] / width, 0.0, 0.0], [0.0, reference["height"] / height, 0.0]]
    pixel = outlines(
        morphology(probability, settings["dilate"], settings["erode"]),
        threshold,
        grid,
        min_area=settings["min_area"],
        min_hole=settings["min_hole"],
        simplify=settings["simplify"],
    )
    if reference["transform"] is None:
        return pixel, pixel
    return pixel, on_map(pixel, reference["transform"], decimals_for(reference["transform"]))


def write_polygons(path: Path, scene: str, name: str, pixel: Polygons, mapped: Polygons, crs: str | None) -> str:
    """Write a polygons artifact (GeoParquet: scene, class, geometry on the map, pixel) and give its digest."""
    import geopandas

    count = len(pixel)
    table = geopandas.GeoDataFrame(
        {
            "scene": np.full(count, scene, dtype=object),
            "class": np.full(count, name, dtype=object),
            "geometry": geopandas.GeoSeries(mapped, crs=crs),
            "pixel": geopandas.GeoSeries(pixel),
        },
        geometry="geometry",
        crs=crs,
    ).astype({"scene": "str", "class": "str"})
    table.to_parquet(path, index=False)
    return table_digest(scene, name, crs, mapped, pixel)


def read_polygons(path: Path) -> Any:
    """The GeoDataFrame of a polygons artifact: scene, class, geometry (map coordinates), pixel."""
    import geopandas

    return geopandas.read_parquet(path)


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: the ensembles of the batch, the class's tuning, the scenes' registrations."""
    return [
        f"ensembles/{spec['class']}/{spec['batch']}.json",
        f"tuning/{spec['class']}.json",
        *scene_manifests("registration", spec["scenes"]),
    ]


def run(job: Job) -> None:
    """Vectorise a class on the scenes of a batch."""
    name, settings = job.spec["class"], job.spec["polygons"]

    def make(want: Wanted, work: Writing) -> None:
        reference = want.inputs["reference"]
        image = read_plane(job.store.open_path(want.work), "probability")
        pixel, mapped = polygons_of(image, want.recipe["threshold"], reference, settings)
        work.digest = write_polygons(work.path, want.name, name, pixel, mapped, reference["crs"])

    job.finish(job.obtain(wanted(job), ".parquet", make, total=len(job.spec["scenes"])))


def wanted(job: Job) -> Iterator[Wanted]:
    """The polygons of each scene of the batch."""
    from rasterloom.tune import read_tuning, threshold_of

    name, scenes, settings = job.spec["class"], list(job.spec["scenes"]), job.spec["polygons"]
    ensembles, registrations = job.items(f"ensembles/{name}", scenes), job.items("registration", scenes)
    tuned = read_tuning(job, name)
    for scene in scenes:
        reference = read_reference(job.store.open_path(registrations[scene]))
        recipe = {"class": name, "scene": scene, "polygons": settings, "threshold": threshold_of(tuned, scene)}
        given = {"ensemble": ensembles[scene].digest, "reference": reference}
        yield Wanted(scene, job.key(recipe, given), recipe, given, ensembles[scene])


def read_reference(registration: Path) -> dict[str, Any]:
    """What decides polygons in a registration: the reference's size, transform and CRS."""
    reference = json.loads(registration.read_text(encoding="utf-8"))["reference"]
    return {key: reference.get(key) for key in ("width", "height", "transform", "crs")}
