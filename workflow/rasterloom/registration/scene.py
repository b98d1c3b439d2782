"""Registering the sensors of one scene: estimates, plausibility, fall-backs, and the record of all that."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

from rasterloom.raster.contest_grid import Extent, contest_transform
from rasterloom.raster.files import RasterInfo
from rasterloom.raster.georeference import ground_distance, nominal_matrix, squared
from rasterloom.raster.grid import IDENTITY, Matrix
from rasterloom.raster.scan import Scan
from rasterloom.raster.sensor import SensorReader
from rasterloom.registration.motions import pixel_sides
from rasterloom.registration.search import Placed, locate
from rasterloom.registration.table import LABELS


def ordered(spec: Mapping[str, Any]) -> list[str]:
    """Sensors of a scene, the reference first."""
    return sorted(spec["sensors"], key=lambda name: bool(name != spec["reference"]))


def register_scene(
    spec: Mapping[str, Any], files: Mapping[str, Any], scans: Mapping[str, Scan], extent: Extent | None = None
) -> dict[str, Any]:
    """Register the sensors of a scene.

    Parameters
    ----------
    spec : mapping
        ``scene``, ``reference``, ``gsd`` and ``sensors``: each with ``registration`` (``auto``, ``none``,
        ``{"shift": [dx, dy]}`` or ``{"matrix": 2 x 3}``), ``motion``, ``bands``, ``nodata`` and ``max_shift``.
    files : mapping
        The source files of each sensor.
    scans : mapping
        Their `Scan`.
    extent : Extent or None
        The contest's grid.

    Returns
    -------
    dict
        The registration: ``reference`` and, by sensor:

        - ``matrix``, reference to sensor edge coordinates; ``nominal``, the same as the files have it, by ``origin``:
          ``georeference``, or ``size`` (of the images: square pixels of a likely ratio, upper left corners together, or
          one stretched over the other); ``pixel``, the sides (x, y) of the sensor's pixel in reference pixels, and
          ``scale``, what they rest on;
        - ``shift`` in reference pixels, at the middle of the scene: of a ``motion`` ``translation`` matrix(x) is
          nominal(x + shift);
        - ``method``: ``identity`` (the reference, or images laid over each other), ``none``, ``given``, ``ecc``,
          ``phase``, ``regression``, or ``georeference``; ``accepted``, whether it was given, or found with
          ``confidence`` (0..1, see `registration.confidence`); ``error``, its standard error (x, y) in reference
          pixels; ``fallback``, why it is not the first method's;
        - ``apart``, what each band is off beyond that, or nothing; ``against``, what was compared; ``consistency``,
          reference pixels between both ways; ``attempts``, every estimate, with the reason if it was refused;
        - ``moments``, ``facts`` (`rasterloom.raster.scan.BandFacts` of each band) and what the file says.

    Notes
    -----
    Memory: see `rasterloom.registration.search.locate`; it does not grow with the scene.
    """
    reference, *others = ordered(spec)
    with ExitStack() as opened:
        readers = {name: opened.enter_context(_opened(spec, files, name)) for name in (reference, *others)}
        info = readers[reference].info
        nominal = {name: nominal_matrix(info, readers[name].info, _label(spec, name)) for name in others}
        stretches = {name: nominal[name] for name in others if not _located(info, readers[name].info)}
        size = info.width, info.height
        nominal |= {name: _square(spec, name, size, readers[name].info) or nominal[name] for name in stretches}
        placed = locate(reference, readers, nominal, size, spec["sensors"], stretches)
    sensors = {}
    for name, reader in readers.items():
        origin = "georeference" if _located(info, reader.info) else "size"
        place = _fallen_back(placed[name], origin)
        sensors[name] = {
            **_of_files(reader.info, scans[name]),
            **_of_place(place, nominal.get(name, IDENTITY)),
            "origin": origin,
            "motion": str(spec["sensors"][name]["motion"]) if place.attempts else "translation",
        }
    return {"reference": _reference(spec, info, extent), "sensors": sensors}


def register_labels(
    spec: Mapping[str, Any], files: Mapping[str, Any], align: Callable[[SensorReader], Placed | None]
) -> dict[str, Any]:
    """What the registration of a scene says of its labels, by name `LABELS`, if there are any.

    ``spec`` and ``files`` are those of `register_scene`; ``align`` places labels on the reference, if there are any.
    """
    with _opened(spec, files, spec["reference"]) as reader:
        place, origin = align(reader), "size" if reader.info.transform is None else "georeference"
    if place is None:
        return {}
    found = _of_place(_fallen_back(place, origin), IDENTITY)
    return {LABELS: {**found, "origin": origin, "motion": "translation", "moments": [], "facts": []}}


def _label(spec: Mapping[str, Any], name: str) -> str:
    return f"scene {spec['scene']}, sensor {name}"


def _located(reference: RasterInfo, sensor: RasterInfo) -> bool:
    """Whether the files say where a sensor lies."""
    return reference.transform is not None and sensor.transform is not None


def _square(spec: Mapping[str, Any], name: str, size: tuple[int, int], info: RasterInfo) -> Matrix | None:
    """The place of a sensor by the size of its pixels, where that is known; see `squared`."""
    return squared(size, (info.width, info.height), spec["sensors"][name]["pixel"])


def _opened(spec: Mapping[str, Any], files: Mapping[str, Any], name: str) -> SensorReader:
    options = spec["sensors"][name]
    reader = SensorReader(files[name], options["bands"], options["nodata"], _label(spec, name))
    if options["bands"] is None:
        reader.refuse_unclear_alpha()
    return reader


def _reference(spec: Mapping[str, Any], info: RasterInfo, extent: Extent | None) -> dict[str, Any]:
    transform = info.transform if extent is None else contest_transform(extent, info.width, info.height)
    return {
        "sensor": spec["reference"],
        "width": info.width,
        "height": info.height,
        "transform": transform,
        "crs": None if extent is not None else info.crs,
        "gsd": spec["gsd"] if spec["gsd"] is not None else ground_distance(info),
    }


def _of_files(info: RasterInfo, scan: Scan) -> dict[str, Any]:
    return {
        "width": info.width,
        "height": info.height,
        "bands": info.bands,
        "dtype": scan.dtype,
        "source": scan.digest,
        "nodata": info.nodata,
        "moments": [asdict(band) for band in scan.moments],
        "facts": [asdict(band) for band in scan.facts],
    }


def _of_place(place: Placed, nominal: Matrix) -> dict[str, Any]:
    found = asdict(place)
    attempts = [{key: value for key, value in attempt.items() if key != "matrix"} for attempt in found["attempts"]]
    return {**found, "attempts": attempts, "nominal": nominal, "pixel": pixel_sides(place.matrix)}


def _fallen_back(place: Placed, origin: str) -> Placed:
    """A place that was not found with confidence, named after what it rests on instead."""
    if place.accepted:
        return place
    if origin == "georeference":
        return replace(place, method=origin, fallback=f"{place.fallback}: the georeference of the files is used")
    fallback = f"{place.fallback}: the image is laid over the reference's as it is"
    return replace(place, method="identity", fallback=fallback)
