"""What the sensors of every scene hold, read as a run reads them, and what is odd about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from math import atan2, degrees, hypot
from pathlib import Path
from statistics import median, mode
from typing import Any

import numpy as np

from rasterloom.dataset import Dataset
from rasterloom.errors import RasterloomError
from rasterloom.raster.files import RasterInfo
from rasterloom.raster.georeference import nominal_matrix
from rasterloom.raster.scan import BandTally
from rasterloom.raster.sensor import SensorReader
from rasterloom.report.findings import Finding, sensor_findings
from rasterloom.store.digest import BLOCK_ROWS
from rasterloom.text import share
from rasterloom.tools.inspection.found import Found, refusing
from rasterloom.tools.inspection.grounds import coverage, footprint, same_ground

BUDGET = 2**28
"""Values (pixels x bands) that are read of a whole data set unless everything is asked for."""

STRIPS = 8
"""Strips of a sampled image: full width, spread evenly from its first row to its last."""

LEAST_ROWS = 32
"""Rows that are read of an image at least."""

SAMPLES = 400_000
"""Values of a band, over all scenes, that its percentiles are taken from."""

DARK = 0.01
"""Share of the pixels from which 0 in every band looks like no data."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Look:
    """What was seen of one sensor in one scene.

    Attributes
    ----------
    info : RasterInfo
        Of the sensor's bands together.
    files : list of RasterInfo
    rows : int
        Rows that were read, of `info.height`.
    black : int
        Pixels, of those read, that have data and are 0 in every band.
    bands : list of BandTally
    """

    info: RasterInfo
    files: list[RasterInfo]
    rows: int
    black: int
    bands: list[BandTally]

    @property
    def pixels(self) -> int:
        """Pixels that were read."""
        return self.rows * self.info.width

    @property
    def missing(self) -> int:
        """Pixels, of those read, without data."""
        return self.bands[0].missing

    @property
    def fingerprint(self) -> str:
        """The same text for the same values, as far as they were read; '' if each band holds a single one."""
        facts = [(band.low, band.high, band.missing, band.zeros, band.full) for band in self.bands]
        if all(low == high for low, high, *_ in facts):
            return ""
        sample = b"".join(part.tobytes() for band in self.bands for part in band.sample)
        return repr((self.info.width, self.info.height, facts, sha256(sample).hexdigest()))


@dataclass
class Survey:
    """What was seen of a data set.

    Attributes
    ----------
    looks : dict of str to dict of str to Look
        By sensor and scene; files that could not be read are not in it.
    covers : dict of str to dict of str to float
        By sensor (but the reference) and scene: the share of the reference that the sensor covers.
    share : float
        Share of the rows that were read.
    findings : list of Finding
    """

    looks: dict[str, dict[str, Look]]
    covers: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    share: float = 1.0
    findings: list[Finding] = field(default_factory=list)


def survey(found: Found, full: bool, progress: Progress) -> Survey:
    """Look at every sensor of every scene.

    Parameters
    ----------
    found : Found
    full : bool
        Read every pixel, not just `BUDGET` values.
    progress : callable
        Called with how many are done, of how many, and what is being done.

    Notes
    -----
    Each image is opened twice: for its header, and for its values. Memory: `BLOCK_ROWS` rows at a time.
    """
    dataset = found.dataset
    seen = Survey({name: {} for name in found.sensors})
    items = [(scene, name) for scene in dataset.scenes.values() for name in scene.sensors]
    values, good = 0, []
    for scene, name in items:
        with refusing(seen.findings, name), _reader(found, scene.id, name) as reader:
            values += reader.info.width * reader.info.height * reader.info.bands
            good.append((scene, name))
            if found.sensors[name].get("bands") is None and (found.data is None or found.data.is_file()):
                with refusing(seen.findings, name, "refused" if found.data is None else "note"):
                    reader.refuse_unclear_alpha()
    seen.share = 1.0 if full else min(1.0, BUDGET / max(1, values))
    samples = max(300, SAMPLES // max(1, len(dataset.scenes)))
    for done, (scene, name) in enumerate(good, 1):

        def tell(part: float, done: int = done, what: str = f"{scene.id}, sensor {name}") -> None:
            progress(done, len(good), f"{what}: {part:.0%}")

        with refusing(seen.findings, name), _reader(found, scene.id, name) as reader:
            seen.looks[name][scene.id] = look(reader, seen.share, samples, tell)
    for name, looks in seen.looks.items():
        seen.findings += [
            *_missing_sensors(dataset, name),
            *_unlike_others(name, looks),
            *_placed(found, name, seen),
            *(finding for scene, entry in looks.items() for finding in _of_image(dataset, scene, name, entry)),
        ]
    seen.findings += [*_same_pixels(seen.looks), *_same_grounds(dataset, seen.looks.get(dataset.reference, {}))]
    return seen


def _reader(found: Found, scene: str, name: str) -> SensorReader:
    files = [file.to_json() for file in found.dataset.scenes[scene].sensors[name]]
    options = found.sensors[name]
    return SensorReader(files, options.get("bands"), options.get("nodata"), f"scene {scene}, sensor {name}")


def strips(height: int, part: float) -> list[tuple[int, int]]:
    """Rows (start, stop) to read of an image: all of them for a part of 1, else strips spread evenly.

    Examples
    --------
    >>> strips(600, 1)
    [(0, 256), (256, 512), (512, 600)]
    >>> strips(20_000, 0.01)[:2], len(strips(20_000, 0.01))
    ([(0, 25), (2853, 2878)], 8)
    """
    rows = max(LEAST_ROWS, int(height * part))
    edges = [(0, height)]
    if part < 1 and rows < height:
        each = -(-rows // STRIPS)
        starts = [(height - each) * number // (STRIPS - 1) for number in range(STRIPS)]
        edges = [(start, min(start + each, after)) for start, after in zip(starts, [*starts[1:], height], strict=True)]
    return [(low, min(low + BLOCK_ROWS, stop)) for start, stop in edges for low in range(start, stop, BLOCK_ROWS)]


def look(reader: SensorReader, part: float, samples: int, tell: Callable[[float], None] = lambda done: None) -> Look:
    """Look at one sensor of one scene.

    Parameters
    ----------
    reader : SensorReader
    part : float, (0, 1]
        Part of the rows to read; at least `LEAST_ROWS` are.
    samples : int
        Values to keep of each band.
    tell : callable
        Called, block by block, with the part that was read.
    """
    info, pieces = reader.info, strips(reader.info.height, part)
    rows = sum(stop - start for start, stop in pieces)
    bands = [BandTally(max(1, rows * info.width // samples)) for _ in range(info.bands)]
    black = 0
    for number, (start, stop) in enumerate(pieces, 1):
        block, valid = reader.read(start, stop)
        dark = (block == 0).all(axis=0)
        black += int(np.count_nonzero(dark if valid is None else dark & valid))
        for band, plane in zip(bands, block, strict=True):
            band.add(plane, plane if valid is None else plane[valid])
        tell(number / len(pieces))
    return Look(info, reader.files, rows, black, bands)


# What is odd -------------------------------------------------------------------------------------------


def _missing_sensors(dataset: Dataset, name: str) -> Iterator[Finding]:
    lack = [scene for scene in dataset.scenes.values() if name not in scene.sensors]
    if len(lack) < len(dataset.scenes):
        for scene in lack:
            yield Finding(scene.id, name, "", "without-sensor", "")


def _unlike_others(name: str, looks: Mapping[str, Look]) -> Iterator[Finding]:
    """Numbers of bands, types, coordinate systems and sizes that differ from those of other scenes."""
    if not looks:
        return
    said = {
        scene: (
            f"{look.info.bands} band{'s' * (look.info.bands > 1)}",
            look.files[0].stored,
            crs_name(look.info),
        )
        for scene, look in looks.items()
    }
    usual = [mode(values) for values in zip(*said.values(), strict=True)]
    middle = median(max(look.info.width, look.info.height) for look in looks.values())
    for scene, values in said.items():
        for own, others in zip(values, usual, strict=True):
            if own != others and "band" in own:
                detail = f"scene {scene}, sensor {name}: {own}, {others} elsewhere: all scenes need the same number"
                yield Finding("", name, "", "refused", detail)
            elif own != others:
                yield Finding(scene, name, "", "differs", f"{own}, {others} elsewhere")
        info = looks[scene].info
        if not 0.5 <= max(info.width, info.height) / middle <= 2:
            yield Finding(scene, name, "", "unusual-size", f"{info.width} x {info.height}")


def _placed(found: Found, name: str, seen: Survey) -> Iterator[Finding]:
    """How a sensor lies on the reference; notes the share of the reference that it covers."""
    references = seen.looks.get(found.dataset.reference, {})
    for scene, entry in seen.looks[name].items() if name != found.dataset.reference else ():
        if scene not in references:
            continue
        own, info = references[scene].info, entry.info
        try:
            matrix = nominal_matrix(own, info, f"scene {scene}, sensor {name}")
        except RasterloomError as error:
            yield Finding("", name, "", "refused", str(error))
            continue
        if None not in (own.crs, info.crs) and crs_name(own) != crs_name(info):
            yield Finding(scene, name, "", "other-crs", f"{crs_name(info)}, reference {crs_name(own)}")
        part = seen.covers[name][scene] = coverage(matrix, own, info)
        if part < 0.99:
            yield Finding(scene, name, "", "partly-covered", share(part))
        aspect = (info.width / own.width) / (info.height / own.height)
        if None in (own.transform, info.transform) and abs(aspect - 1) > 0.03:
            detail = f"{info.width} x {info.height} over {own.width} x {own.height}"
            yield Finding(scene, name, "", "other-aspect", detail)


def _of_image(dataset: Dataset, scene: str, name: str, entry: Look) -> Iterator[Finding]:
    """What is odd about an image by itself: its values, type and georeference."""
    files = [Path(file.path).name for file in dataset.scenes[scene].sensors[name]]
    facts = [asdict(band.done()) for band in entry.bands]
    size = {"width": entry.info.width, "height": entry.rows, "facts": facts, "accepted": True}
    yield from sensor_findings(scene, name, files, size)
    file = "; ".join(files)
    if entry.black > DARK * entry.pixels:
        detail = "0 everywhere" if entry.black == entry.pixels else f"{share(entry.black / entry.pixels)} of the pixels"
        yield Finding(scene, name, file, "zeros", f"{detail}, in every band")
    if entry.files[0].stored == "float64":
        yield Finding(scene, name, file, "float64", "whole numbers all the same" if whole(entry) else "")
    angle, mirrored = orientation(entry.info)
    if abs(angle) > 0.01 or mirrored:
        yield Finding(scene, name, file, "rotated", f"{angle:.1f} degrees{', mirrored' * mirrored}")
    if entry.info.transform is not None and entry.info.crs is None:
        yield Finding(scene, name, file, "no-crs", "")


def whole(entry: Look) -> bool:
    """Whether an image holds whole numbers, as far as its samples tell."""
    return all(bool((part == np.round(part)).all()) for band in entry.bands for part in band.sample)


def orientation(info: RasterInfo) -> tuple[float, bool]:
    """Degrees that an image's rows are turned against the map's x axis, and whether it is not y-down to the map."""
    if info.transform is None:
        return 0.0, False
    (a, b, _), (d, e, _) = info.transform
    return degrees(atan2(d, a)), a * e - b * d > 0


def pixel_size(info: RasterInfo) -> tuple[float, float] | None:
    """Width and height of a pixel in map units."""
    if info.transform is None:
        return None
    (a, b, _), (d, e, _) = info.transform
    return hypot(a, d), hypot(b, e)


def crs_name(info: RasterInfo) -> str:
    """EPSG code and name of an image's coordinate system, or words for none."""
    if info.crs is None:
        return "no coordinate system" if info.transform is not None else "no georeference"
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        system = CRS.from_wkt(info.crs)
    except CRSError:
        return f"a coordinate system that PROJ does not know, {info.crs[:40]!r}"
    code = system.to_epsg()
    return f"EPSG:{code} {system.name}" if code else system.name


def _same_pixels(looks: Mapping[str, Mapping[str, Look]]) -> Iterator[Finding]:
    """Images that hold the same values, but for those of a single value."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name, seen in looks.items():
        for scene, entry in seen.items():
            alike[entry.fingerprint].append(f"{scene} {name}")
    for fingerprint, images in alike.items():
        if fingerprint and len(images) > 1:
            yield Finding("", "", "", "same-pixels", " = ".join(images))


def _same_grounds(dataset: Dataset, seen: Mapping[str, Look]) -> Iterator[Finding]:
    """Scenes that overlap on the ground, and that nothing keeps on one side of a split."""
    shapes: dict[str, Any] = {scene: shape for scene, entry in seen.items() if (shape := footprint(entry.info))}
    groups: dict[str, list[str]] = defaultdict(list)
    for scene, first in same_ground(shapes).items():
        groups[first].append(scene)
    for scenes in groups.values():
        if len({dataset.scenes[scene].ground for scene in scenes}) > 1:
            yield Finding("", "", "", "same-ground", " + ".join(scenes))
