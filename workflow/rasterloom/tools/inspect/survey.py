"""Looking at every sensor of every scene: values, georeference, and what is odd about them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import atan2, degrees, hypot
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from rasterloom.dataset import Dataset, Scene
from rasterloom.dataset.contest_ids import SENSORS
from rasterloom.errors import RasterloomError
from rasterloom.raster.files import RasterInfo
from rasterloom.raster.georeference import nominal_matrix
from rasterloom.raster.scan import SATURATED_SHARE
from rasterloom.raster.sensor import SensorReader
from rasterloom.tools.inspect.found import Found, as_mapping
from rasterloom.tools.inspect.grounds import footprint, same_ground
from rasterloom.tools.inspect.oddities import Oddity
from rasterloom.tools.inspect.pixels import BUDGET, Header, Look, look, merged, read_header

SAMPLES = 400_000
"""Values of a band, over all scenes, that its percentiles are taken from."""

MOSTLY = 0.5
"""Share of pixels without data, or black, beyond which a scene is odd."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
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
    oddities : tuple of Oddity
    """

    looks: dict[str, dict[str, Look]]
    covers: dict[str, dict[str, float]]
    share: float
    oddities: tuple[Oddity, ...]


def survey(found: Found, full: bool, progress: Progress) -> Survey:
    """Look at every sensor of every scene.

    Parameters
    ----------
    found : Found
    full : bool
        Read every pixel, not just `BUDGET` values.
    progress : callable
        Told done, all, and what.
    """
    dataset, odd = found.dataset, list[Oddity]()
    items = [(scene, name) for scene in dataset.scenes.values() for name in scene.sensors]
    headers = {path: read_header(Path(path)) for path in _paths(items)}
    share = 1.0 if full else _share(items, headers)
    looks: dict[str, dict[str, Look]] = {name: {} for name in found.sensors}
    sample = max(300, SAMPLES // max(1, len(dataset.scenes)))
    for done, (scene, name) in enumerate(items, 1):
        label = f"{scene.id}, sensor {name}"
        files = as_mapping(scene.sensors[name])
        own = [headers[file.path] for file in scene.sensors[name]]
        tell = partial(_tell, progress, done, len(items), label)
        try:
            looks[name][scene.id] = look(files, own, found.sensors[name], label, share, sample, tell)
            odd += _alpha(found, scene, name, label)
        except RasterloomError as error:
            odd.append(Oddity("unreadable, or not as the sensor should be", str(error), stops=True))
    covers = {name: dict(_covers(found, looks, name, odd)) for name in found.sensors if name != dataset.reference}
    odd += _odd_scenes(found, looks)
    odd += [oddity for name, seen in looks.items() for oddity in (*_odd_values(name, seen), *_odd_headers(name, seen))]
    odd += _duplicates(looks)
    odd += _same_grounds(dataset, looks.get(dataset.reference, {}))
    return Survey(looks, covers, share, tuple(odd))


def _tell(progress: Progress, done: int, total: int, label: str, share: float) -> None:
    progress(done, total, f"{label}: {share:.0%}")


def _paths(items: Sequence[tuple[Scene, str]]) -> list[str]:
    return list(dict.fromkeys(file.path for scene, name in items for file in scene.sensors[name]))


def _share(items: Sequence[tuple[Scene, str]], headers: Mapping[str, Header]) -> float:
    """The share of rows that keeps to the budget; what GDAL does not open is taken for plain images of 16 bits."""
    files = [file for scene, name in items for file in scene.sensors[name]]
    total = sum(headers[file.path].values or file.size // 2 for file in files)
    return min(1.0, BUDGET / total) if total else 1.0


def _alpha(found: Found, scene: Scene, name: str, label: str) -> Iterator[Oddity]:
    """An alpha band that may be data, which a run refuses unless the number of bands is given."""
    with_configuration, with_sheet = found.data is None, found.data is not None and found.data.is_file()
    if found.sensors[name].get("bands") is not None or not (with_configuration or with_sheet):
        return
    with SensorReader(as_mapping(scene.sensors[name]), None, None, label) as reader:
        try:
            reader.refuse_unclear_alpha()
        except RasterloomError as error:
            yield Oddity("a band called alpha", str(error), stops=with_configuration)


def _covers(
    found: Found, looks: Mapping[str, Mapping[str, Look]], name: str, odd: list[Oddity]
) -> Iterator[tuple[str, float]]:
    """Share of the reference that a sensor covers, by scene; what a run would refuse goes to `odd`."""
    reference = looks.get(found.dataset.reference, {})
    for scene, seen in looks[name].items():
        if scene not in reference:
            continue
        own = reference[scene].info
        try:
            matrix = nominal_matrix(own, seen.info, f"{scene}, sensor {name}")
        except RasterloomError as error:
            odd.append(Oddity("cannot be laid over the reference", str(error), stops=True))
            continue
        if None not in (own.crs, seen.info.crs) and crs_name(own) != crs_name(seen.info):
            what = f"sensor {name} is in another coordinate system than the reference: resampled into it"
            odd.append(Oddity(what, f"{scene} ({crs_name(seen.info)}, reference {crs_name(own)})"))
        share = coverage(np.array(matrix), own, seen.info)
        if share < 0.99:
            odd.append(Oddity(f"sensor {name} covers only part of the reference", f"{scene} ({_percent(share)})"))
        sides = matrix[0][0] / matrix[1][1] if matrix[1][1] else 1.0
        if (own.transform is None or seen.info.transform is None) and abs(sides - 1) > 0.03:
            odd.append(
                Oddity(
                    f"without georeference, sensor {name} is stretched over the reference, which has another aspect",
                    f"{scene} ({seen.info.width} x {seen.info.height} over {own.width} x {own.height})",
                )
            )
        yield scene, share


def coverage(matrix: Any, reference: RasterInfo, sensor: RasterInfo) -> float:
    """Share of the reference's area that a sensor covers; `matrix`: reference to sensor edge coordinates."""
    import shapely

    corners = np.array([[0, reference.width] * 2, [0, 0, reference.height, reference.height], [1] * 4])
    moved = (matrix @ corners).T[[0, 1, 3, 2]]
    outline = shapely.Polygon(moved)
    return float(
        shapely.area(shapely.intersection(outline, shapely.box(0, 0, sensor.width, sensor.height))) / outline.area
    )


def _odd_scenes(found: Found, looks: Mapping[str, Mapping[str, Look]]) -> list[Oddity]:
    """Sensors that scenes lack, numbers of bands that differ, sizes far from the others'."""
    odd = []
    for name in found.sensors:
        lack = [scene.id for scene in found.dataset.scenes.values() if name not in scene.sensors]
        if len(lack) < len(found.dataset.scenes):
            odd += [Oddity(f"scenes without sensor {name}", scene) for scene in lack]
        seen = looks[name]
        bands = Counter(entry.info.bands for entry in seen.values())
        if len(bands) > 1:
            usual = bands.most_common(1)[0][0]
            odd += [
                Oddity(f"sensor {name} has {usual} bands elsewhere", f"{scene} ({entry.info.bands})", stops=True)
                for scene, entry in seen.items()
                if entry.info.bands != usual
            ]
        sides = [max(entry.info.width, entry.info.height) for entry in seen.values()]
        middle = median(sides) if sides else 0
        odd += [
            Oddity(f"sensor {name} is far from its usual size", f"{scene} ({entry.info.width} x {entry.info.height})")
            for (scene, entry), side in zip(seen.items(), sides, strict=True)
            if not 0.5 <= side / middle <= 2
        ]
    return odd


def _odd_values(name: str, seen: Mapping[str, Look]) -> Iterator[Oddity]:
    """No data, black, constant, saturated, not a number."""
    tops = [band.high for entry in seen.values() for band in entry.bands if band.count]
    integer = all(np.dtype(entry.info.dtype).kind in "iu" for entry in seen.values())
    top = max(tops, default=0.0)
    full = integer and top > 0 and float(top + 1).hex().startswith("0x1.0000000000000p")
    for scene, entry in seen.items():
        empty, dark = entry.missing / entry.pixels, entry.black / entry.pixels
        if empty + dark >= 1:
            why = "no data" if empty >= 1 else "0 everywhere"
            yield Oddity(f"sensor {name} is empty", f"{scene} ({why})")
            continue
        if empty > MOSTLY:
            yield Oddity(f"sensor {name} is mostly without data", f"{scene} ({_percent(empty)})")
        if dark > 0.01:
            yield Oddity(
                f"sensor {name} is 0 in every band in places, and nothing says that this is no data: `nodata: 0`?",
                f"{scene} ({_percent(dark)})",
            )
        for number, band in enumerate(entry.bands, 1):
            where = f"{scene} band {number}"
            if band.count and band.low == band.high:
                yield Oddity(f"sensor {name} has a constant band", f"{where} ({band.low:g})")
            elif full and band.high == top and band.tops > SATURATED_SHARE * band.count:
                yield Oddity(f"sensor {name} is saturated at {top:g}", f"{where} ({_percent(band.tops / band.count)})")
            if band.nans:
                yield Oddity(
                    f"sensor {name} holds NaN or infinity (no data)", f"{where} ({_percent(band.nans / entry.pixels)})"
                )


def _percent(share: float) -> str:
    return (f"{share:.1%}" if share < 0.1 else f"{share:.0%}").replace("%", " %")


def _odd_headers(name: str, seen: Mapping[str, Look]) -> Iterator[Oddity]:
    """Types, coordinate systems and orientations that differ or hamper."""
    kinds: dict[str, dict[str, list[str]]] = {"types": defaultdict(list), "coordinate systems": defaultdict(list)}
    for scene, entry in seen.items():
        kinds["types"][entry.headers[0].dtype or entry.info.dtype].append(scene)
        kinds["coordinate systems"][crs_name(entry.info)].append(scene)
        if entry.headers[0].dtype == "float64":
            whole = all(band.whole for band in entry.bands)
            yield Oddity(
                f"sensor {name} is float64, read as float32{': whole numbers all the same' if whole else ''}", scene
            )
        angle, mirrored = orientation(entry.info)
        if abs(angle) > 0.01 or mirrored:
            yield Oddity(
                f"sensor {name} is rotated or mirrored against its coordinate system", f"{scene} ({angle:.1f} degrees)"
            )
        if entry.info.transform is not None and entry.info.crs is None:
            yield Oddity(f"sensor {name} has a geotransform but names no coordinate system", scene)
    for what, groups in kinds.items():
        if len(groups) > 1:
            usual = max(groups, key=lambda kind: len(groups[kind]))
            for kind, scenes in groups.items():
                for scene in scenes if kind != usual else ():
                    yield Oddity(f"sensor {name}: {what} differ, {usual} elsewhere", f"{scene} ({kind})")


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


def _duplicates(looks: Mapping[str, Mapping[str, Look]]) -> Iterator[Oddity]:
    """Images that hold the same values (as far as they were read), but for those of a single value."""
    prints: dict[str, list[str]] = defaultdict(list)
    for name, seen in looks.items():
        for scene, entry in seen.items():
            if entry.fingerprint:
                prints[entry.fingerprint].append(f"{scene} {name}")
    for same in prints.values():
        if len(same) > 1:
            yield Oddity("the same pixels twice", " = ".join(same))


def _same_grounds(dataset: Dataset, seen: Mapping[str, Look]) -> Iterator[Oddity]:
    """Scenes that overlap on the ground, and that nothing keeps on one side of a split."""
    shapes = {scene: shape for scene, entry in seen.items() if (shape := footprint(entry.info)) is not None}
    groups: dict[str, list[str]] = defaultdict(list)
    for scene, first in same_ground(shapes).items():
        groups[first].append(scene)
    for scenes in groups.values():
        if len({dataset.scenes[scene].ground for scene in scenes}) > 1:
            yield Oddity("scenes overlap on the ground: give them one value in the column `ground`", " + ".join(scenes))


def band_names(found: Found, name: str, seen: Mapping[str, Look]) -> list[str]:
    """What the bands of a sensor are called: by the files, by their names (``B04``), or '' where neither says."""
    from pathlib import PurePath

    from rasterloom.tools.inspect.names import parse

    scene = next(iter(seen))
    if found.dataset.layout == "dstl":
        return list(SENSORS[name].bands)
    called: list[str] = []
    for file, header in zip(found.dataset.scenes[scene].sensors[name], seen[scene].headers, strict=True):
        own = list(header.bands) or [""] * seen[scene].info.bands
        picked = [b if isinstance(b, str) else own[b - 1] for b in file.bands] if file.bands else own
        named = parse(PurePath(PurePath(file.path).name))
        if named is not None and named.band and len(picked) == 1 and not picked[0]:
            picked = [named.band]
        called += picked
    bands = seen[scene].info.bands
    return [*called, *[""] * bands][:bands]


def sensor_values(seen: Mapping[str, Look]) -> list[Any]:
    """Values of each band over all scenes."""
    bands = Counter(entry.info.bands for entry in seen.values()).most_common(1)[0][0]
    usual = [entry for entry in seen.values() if entry.info.bands == bands]
    top = max((band.high for entry in usual for band in entry.bands if band.count), default=0.0)
    return [merged([entry.bands[number] for entry in usual], top) for number in range(bands)]
