"""Stage register: where each sensor of a scene lies on the reference, how sure that is, and what the files hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.digest import digest
from rasterloom.errors import InputError, StoreError
from rasterloom.files import write_json
from rasterloom.georeference import (
    apply,
    contest_transform,
    grid_extent,
    ground_distance,
    nominal_matrix,
)
from rasterloom.grid import Matrix, compose, invert
from rasterloom.job import Job, Wanted
from rasterloom.rasters import RasterInfo, SensorReader
from rasterloom.scan import Scan, scan_sensor
from rasterloom.store import Writing

VERSION = 4

MINIMUM_CONFIDENCE = 0.3
"""An estimate below it is not used: images of different places reach 0.28."""

WORKING_SIDE = 2048
"""Pixels a side at most of the grid on which images are compared."""

COARSER = 2.5
"""The grid's pixels are this much smaller than the coarser image's: the finer is averaged, the coarser enlarged."""

BLUR = 1.0
"""Deviation, in pixels of that grid, of the Gaussian that brings both images to one resolution."""

BRIDGE = 1.5
"""A registered sensor helps with a coarser one if its pixels lie between in size, at least by this factor."""


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests that the stage reads: none, it reads source files."""
    return []


def run(job: Job) -> None:
    """Register one scene; see the module `rasterloom.register`."""
    import cv2

    cv2.setNumThreads(1)

    def make(want: Wanted, work: Writing) -> None:
        scans, extent = want.work
        registration = register_scene(job.spec, job.sources["sensors"], scans, extent)
        for name, sensor in registration["sensors"].items():
            if sensor["fallback"]:
                job.log(f"register: {want.name}, {name}: {sensor['fallback']}")
        write_json(work.path, registration)
        work.digest = digest(registration)
        work.parts = {name: digest(sensor) for name, sensor in registration["sensors"].items()}

    job.finish(job.obtain(wanted(job), ".registration.json", make))


def wanted(job: Job) -> Iterator[Wanted]:
    """The registration of the job's scene; its sources are read once, to digest them."""
    spec, scene = job.spec, job.spec["scene"]
    scans = {name: _scan(job, name) for name in _ordered(spec)}
    extent = grid_extent(Path(job.sources["grid"]["path"]), scene) if spec["layout"] == "dstl" else None
    recipe = {key: spec[key] for key in ("reference", "sensors", "layout", "gsd")}
    sources = {"sensors": {name: scan.digest for name, scan in scans.items()}, "grid": extent}
    yield Wanted(scene, job.key(recipe, sources), recipe, sources, (scans, extent))


def _ordered(spec: Mapping[str, Any]) -> list[str]:
    """Sensors of a scene, the reference first."""
    reference = spec["reference"]
    if reference not in spec["sensors"]:
        raise InputError(
            f"scene {spec['scene']} has no image of the reference sensor {reference}: every scene needs one; "
            "add it, or leave the scene out"
        )
    return [reference, *(name for name in spec["sensors"] if name != reference)]


def _scan(job: Job, name: str) -> Scan:
    nodata = job.spec["sensors"][name]["nodata"]
    files = job.sources["sensors"][name]
    return scan_sensor(files, nodata, f"scene {job.spec['scene']}, sensor {name}", job.store.root / "sources")


def read_registration(path: Path) -> dict[str, Any]:
    """The registration of a scene; StoreError if the file is not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} is not a registration ({error}): run `rasterloom verify --mend`") from None
    if not isinstance(value, dict) or not {"reference", "sensors"} <= value.keys():
        raise StoreError(f"{path} is not a registration: run `rasterloom verify --mend`")
    return value


@dataclass(frozen=True)
class Placed:
    """Where a sensor lies: its matrix (reference to sensor edge coordinates) and how that was found."""

    matrix: Matrix
    shift: tuple[float, float]
    confidence: float
    method: str
    fallback: str | None = None
    accepted: bool = True


def register_scene(
    spec: Mapping[str, Any],
    files: Mapping[str, Any],
    scans: Mapping[str, Scan],
    extent: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Register the sensors of a scene.

    Parameters
    ----------
    spec : mapping
        ``scene``, ``reference``, ``gsd`` and ``sensors``: each with ``registration`` (``auto``, ``none``,
        ``{"shift": [dx, dy]}`` or ``{"matrix": 2 x 3}``), ``bands``, ``nodata`` and ``max_shift``.
    files : mapping
        The source files of each sensor.
    scans : mapping
        Their `Scan`.
    extent : (Xmax, Ymin) or None
        The contest's grid.

    Returns
    -------
    dict
        The registration: ``reference`` and, by sensor, ``matrix``, ``shift`` (reference pixels, so that
        matrix(x) = nominal(x + shift)), ``confidence`` (0..1), ``method``, ``fallback``, ``moments``, ``facts``
        (`rasterloom.scan.BandFacts` of each band) and what the file says.

    Notes
    -----
    Memory: a grid of at most `WORKING_SIDE` pixels a side, whatever the size of the scene.
    """
    readers: dict[str, SensorReader] = {}
    names = _ordered(spec)
    try:
        for name in names:
            options = spec["sensors"][name]
            label = f"scene {spec['scene']}, sensor {name}"
            readers[name] = SensorReader(files[name], options["bands"], options["nodata"], label)
            if options["bands"] is None:
                readers[name].refuse_unclear_alpha()
        placed = _place_all(spec, readers)
    finally:
        for reader in readers.values():
            reader.close()
    infos = {name: reader.info for name, reader in readers.items()}
    return {
        "reference": _reference(spec, infos[names[0]], extent),
        "sensors": {name: _entry(infos[name], scans[name], placed[name], infos[names[0]]) for name in names},
    }


def _reference(spec: Mapping[str, Any], info: RasterInfo, extent: tuple[float, float] | None) -> dict[str, Any]:
    transform = info.transform if extent is None else contest_transform(extent, info.width, info.height)
    return {
        "sensor": spec["reference"],
        "width": info.width,
        "height": info.height,
        "transform": transform,
        "crs": None if extent is not None else info.crs,
        "gsd": spec["gsd"] if spec["gsd"] is not None else ground_distance(info),
    }


def _entry(info: RasterInfo, scan: Scan, placed: Placed, reference: RasterInfo) -> dict[str, Any]:
    nominal = compose(placed.matrix, [[1.0, 0.0, -placed.shift[0]], [0.0, 1.0, -placed.shift[1]]])
    georeferenced = info.transform is not None and reference.transform is not None
    method = placed.method
    if placed.fallback is not None and not placed.accepted:
        method = "georeference" if georeferenced else "identity"
    return {
        "nominal": nominal,
        "origin": "georeference" if georeferenced else "size",
        "pixel": round(pixel_ratio(nominal), 4),
        "motion": "translation",
        "accepted": placed.accepted,
        "against": None,
        "consistency": None,
        "attempts": [],
        "width": info.width,
        "height": info.height,
        "bands": info.bands,
        "dtype": scan.dtype,
        "source": scan.digest,
        "nodata": info.nodata,
        "matrix": placed.matrix,
        "shift": list(placed.shift),
        "confidence": placed.confidence,
        "method": method,
        "fallback": placed.fallback,
        "moments": [asdict(band) for band in scan.moments],
        "facts": [asdict(band) for band in scan.facts],
    }


def _place_all(spec: Mapping[str, Any], readers: Mapping[str, SensorReader]) -> dict[str, Placed]:
    """Finer sensors first, so that they can help with coarser ones."""
    reference = spec["reference"]
    size = readers[reference].info
    identity: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    placed = {reference: Placed(identity, (0.0, 0.0), 1.0, "identity")}
    nominal = {
        name: nominal_matrix(size, reader.info, f"scene {spec['scene']}, sensor {name}")
        for name, reader in readers.items()
        if name != reference
    }
    for name in sorted(nominal, key=lambda name: (pixel_ratio(nominal[name]), name)):
        method = spec["sensors"][name]["registration"]
        if method == "auto":
            limit = float(spec["sensors"][name]["max_shift"])
            placed[name] = _estimated(name, reference, readers, placed, nominal[name], limit)
        else:
            placed[name] = given(method, nominal[name], (size.width, size.height))
    return placed


def pixel_ratio(matrix: Matrix) -> float:
    """Side of a sensor's pixel in reference pixels, by the matrix from the reference to the sensor."""
    return float(abs(np.linalg.det(np.array(matrix)[:, :2])) ** -0.5)


def given(method: Any, nominal: Matrix, size: tuple[int, int]) -> Placed:
    """The place that the configuration gives: ``none``, ``{"shift": [dx, dy]}`` or ``{"matrix": 2 x 3}``."""
    if method == "none":
        return Placed(nominal, (0.0, 0.0), 1.0, "none")
    if "shift" in method:
        shift = (float(method["shift"][0]), float(method["shift"][1]))
        return Placed(shifted(nominal, shift), shift, 1.0, "given")
    matrix = [[float(v) for v in row] for row in method["matrix"]]
    centre = (size[0] / 2, size[1] / 2)
    there = apply(compose(invert(nominal), matrix), centre)
    return Placed(matrix, (round(float(there[0] - centre[0]), 4), round(float(there[1] - centre[1]), 4)), 1.0, "given")


def shifted(nominal: Matrix, shift: tuple[float, float]) -> Matrix:
    """The matrix x -> nominal(x + shift)."""
    return compose(nominal, [[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])


def _estimated(
    name: str,
    reference: str,
    readers: Mapping[str, SensorReader],
    placed: Mapping[str, Placed],
    nominal: Matrix,
    max_shift: float,
) -> Placed:
    """Estimate the shift of a sensor; the nominal place, with the reason, if that fails."""
    from rasterloom.alignment import View, estimate_shift

    info = readers[reference].info
    ratio = pixel_ratio(nominal)
    step = max(1.0, ratio / COARSER, max(info.width, info.height) / WORKING_SIDE)
    shape = max(1, round(info.height / step)), max(1, round(info.width / step))
    grid: Matrix = [[info.width / shape[1], 0.0, 0.0], [0.0, info.height / shape[0], 0.0]]
    helpers = [
        other
        for other, place in placed.items()
        if other == reference
        or (place.confidence >= MINIMUM_CONFIDENCE and BRIDGE <= pixel_ratio(place.matrix) <= ratio / BRIDGE)
    ]
    views = [View(*working_image(readers[other], compose(placed[other].matrix, grid), shape)) for other in helpers]
    own = View(*working_image(readers[name], compose(nominal, grid), shape))
    found = estimate_shift(views, own, BLUR, max_shift / min(grid[0][0], grid[1][1]))
    shift = (round(found.shift[0] * grid[0][0], 4), round(found.shift[1] * grid[1][1], 4))
    sure = round(found.confidence, 4)
    if sure < MINIMUM_CONFIDENCE:
        reason = f"no shift was found with confidence ({sure:.2f}, {MINIMUM_CONFIDENCE} is needed)"
    elif max(abs(shift[0]), abs(shift[1])) > max_shift:
        reason = f"the shift found, {shift[0]:.1f}, {shift[1]:.1f} pixels, is beyond max_shift {max_shift:g}"
    else:
        return Placed(shifted(nominal, shift), shift, sure, found.method, found.note)
    return Placed(nominal, (0.0, 0.0), sure, "identity", f"{reason}: the files' own place is used", False)


def working_image(
    reader: SensorReader, matrix: Matrix, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A sensor on a small grid: (bands, H, W) float32 values and (H, W) validity."""
    from rasterloom.resample import resample_bands

    bands = np.empty((reader.info.bands, *shape), np.float32)
    valid = np.empty(shape, np.bool_)
    for row, values, good in resample_bands(reader.read, reader.shape, matrix, shape):
        bands[:, row : row + values.shape[1]] = values
        valid[row : row + values.shape[1]] = good > 0
    return bands, valid
