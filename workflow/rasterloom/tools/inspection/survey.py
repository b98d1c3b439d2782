"""What the images and labels of every scene hold, read as a run reads them, and findings about them."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from statistics import median, mode
from typing import Any, cast

import numpy as np
import shapely
from numpy.typing import NDArray

from rasterloom.dataset import Dataset
from rasterloom.grouping import grouped
from rasterloom.labels.contest import dstl_labels
from rasterloom.labels.files import RASTERS, read_vector
from rasterloom.labels.sheet import sheet_labels
from rasterloom.project.project import Project
from rasterloom.raster.files import RasterInfo, open_raster
from rasterloom.raster.georeference import crs_name, footprint, nominal_matrix, orientation, outline
from rasterloom.raster.scan import BandFacts
from rasterloom.raster.sensor import SensorReader
from rasterloom.report.findings import Finding, class_findings, label_findings, sensor_findings
from rasterloom.stages import label
from rasterloom.store.digest import BLOCK_ROWS
from rasterloom.store.job import Job
from rasterloom.store.store import Store
from rasterloom.text import few, share
from rasterloom.tools.inspection.found import Found, refusing

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

SAME = 0.05
"""Scenes that share more than this of the smaller one's area show the same ground; tiles that abut do not."""

Progress = Callable[[int, int, str], None]


@dataclass
class Band:
    """What was seen of a band.

    Attributes
    ----------
    facts : BandFacts
    count, zeros : int
        Values that are data; of these, those that are 0.
    sample : list of (n,) float32 arrays
        Some of the values, for percentiles.
    """

    facts: BandFacts = field(default_factory=BandFacts)
    count: int = 0
    zeros: int = 0
    sample: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, plane: NDArray[Any], good: NDArray[Any], step: int) -> None:
        """Add rows of the band, (rows, W), and those values that are data, (N,); about each `step`-th is kept."""
        self.facts += BandFacts.of(plane, good)
        self.count += good.size
        self.zeros += good.size - int(np.count_nonzero(good))
        # an odd way through the rows: a step that divides their width would keep to some columns
        self.sample.append(good.ravel()[step // 2 :: step | 1].astype(np.float32))


@dataclass(frozen=True)
class Look:
    """What was seen of one sensor in one scene.

    Attributes
    ----------
    info : RasterInfo
        Of the sensor's bands together.
    files : list of RasterInfo
    pixels, black : int
        Pixels that were read; of these, those that have data and are 0 in every band.
    bands : list of Band
    """

    info: RasterInfo
    files: list[RasterInfo]
    pixels: int
    black: int
    bands: list[Band]

    @property
    def missing(self) -> int:
        """Pixels that were read and have no data."""
        return self.bands[0].facts.missing

    @property
    def whole(self) -> bool:
        """Whether the image holds whole numbers, as far as its samples tell."""
        return all(bool((part == np.round(part)).all()) for band in self.bands for part in band.sample)


@dataclass
class Survey:
    """What was seen of a data set.

    Attributes
    ----------
    looks : dict of str to dict of str to Look
        By sensor and scene; files that could not be read are not in it.
    covers : dict of str to dict of str to float
        By sensor (but the reference) and scene: the share of the reference that the sensor covers.
    areas : dict of str to dict of str to (n,) float64 array
        By class and scene, the area of each labelled object in reference pixels; of a mask, a region of pixels that
        touch along an edge.
    facts : dict of str to dict of str to dict
        By class and scene, what was found and done when the labels were read, as the stage `label` keeps it.
    share : float
        Share of the rows that were read.
    findings : list of Finding
    """

    looks: dict[str, dict[str, Look]]
    covers: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    areas: dict[str, dict[str, NDArray[np.float64]]] = field(default_factory=lambda: defaultdict(dict))
    facts: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    share: float = 1.0
    findings: list[Finding] = field(default_factory=list)

    def usual(self, name: str) -> dict[str, Look]:
        """The looks at a sensor that have as many bands as most of them, by scene."""
        looks = self.looks[name]
        bands = mode(look.info.bands for look in looks.values()) if looks else 0
        return {scene: look for scene, look in looks.items() if look.info.bands == bands}


def survey(found: Found, full: bool, progress: Progress) -> Survey:
    """Look at every sensor and all labels of every scene.

    Parameters
    ----------
    found : Found
    full : bool
        Read every pixel, not just `BUDGET` values.
    progress : callable
        Called with how many are done, of how many, and what is being done.
    """
    dataset = found.dataset
    seen = Survey({name: {} for name in found.sensors})
    _survey_images(found, seen, full, progress)
    for name in found.sensors:
        seen.findings += _of_sensor(found, name, seen)
    seen.findings += [*same_pixels(seen.looks), *_same_grounds(dataset, seen.looks.get(dataset.reference, {}))]
    _survey_labels(found, seen, progress)
    return seen


# Images ------------------------------------------------------------------------------------------------


def _survey_images(found: Found, seen: Survey, full: bool, progress: Progress) -> None:
    """Open each image twice: for its header, and for its values. Memory: `BLOCK_ROWS` rows at a time."""

    def reader(scene: str, name: str) -> SensorReader:
        files = [file.to_json() for file in found.dataset.scenes[scene].sensors[name]]
        options = found.sensors[name]
        return SensorReader(files, options.get("bands"), options.get("nodata"), f"scene {scene}, sensor {name}")

    def tell(done: int, what: str, part: float) -> None:
        progress(done, len(good), f"{what}: {part:.0%}")

    values, good = 0, []
    for scene in found.dataset.scenes.values():
        for name in scene.sensors:
            with refusing(seen.findings, name), reader(scene.id, name) as opened:
                values += opened.info.width * opened.info.height * opened.info.bands
                good.append((scene.id, name))
                if found.sensors[name].get("bands") is None and (found.data is None or found.data.is_file()):
                    with refusing(seen.findings, name, "error" if found.data is None else "note"):
                        opened.refuse_unclear_alpha()
    seen.share = 1.0 if full else min(1.0, BUDGET / max(1, values))
    samples = max(300, SAMPLES // max(1, len(found.dataset.scenes)))
    for done, (scene_id, name) in enumerate(good, 1):
        with refusing(seen.findings, name), reader(scene_id, name) as opened:
            told = partial(tell, done, f"{scene_id}, sensor {name}")
            seen.looks[name][scene_id] = look(opened, seen.share, samples, told)


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


def look(reader: SensorReader, part: float, samples: int, tell: Callable[[float], None]) -> Look:
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
    pieces = strips(reader.info.height, part)
    pixels = sum(stop - start for start, stop in pieces) * reader.info.width
    bands, black, step = [Band() for _ in range(reader.info.bands)], 0, max(1, pixels // samples)
    for number, (start, stop) in enumerate(pieces, 1):
        block, valid = reader.read(start, stop)
        dark = (block == 0).all(axis=0)
        black += int(np.count_nonzero(dark if valid is None else dark & valid))
        for band, plane in zip(bands, block, strict=True):
            band.add(plane, plane if valid is None else plane[valid], step)
        tell(number / len(pieces))
    return Look(reader.info, reader.files, pixels, black, bands)


def _of_sensor(found: Found, name: str, seen: Survey) -> Iterator[Finding]:
    """What is odd about the images of a sensor, each by itself and beside the others."""
    scenes, looks = found.dataset.scenes, seen.looks[name]
    if not looks:
        return
    for scene in scenes:
        if name not in scenes[scene].sensors:
            yield Finding(scene, name, "", "missing-sensor", "")
    bands = mode(entry.info.bands for entry in looks.values())
    stored = mode(entry.files[0].stored for entry in looks.values())
    system = mode(crs_name(entry.info) for entry in looks.values())
    middle = median(max(entry.info.width, entry.info.height) for entry in looks.values())
    for scene, entry in looks.items():
        info, files = entry.info, [Path(file.path).name for file in scenes[scene].sensors[name]]
        facts = [asdict(band.facts) for band in entry.bands]
        read = {"width": entry.pixels, "height": 1, "facts": facts, "accepted": True}
        yield from sensor_findings(scene, name, files, read)
        if info.bands != bands:
            detail = f"scene {scene}, sensor {name}: {info.bands} bands, but {bands} elsewhere: give as many"
            yield Finding("", name, "", "error", detail)
        own = {stored: entry.files[0].stored, system: crs_name(info)}
        part, size = entry.black / entry.pixels, f"{info.width} x {info.height}"
        kind = "integers" if entry.whole else "floating-point numbers"
        details = {
            "zeros": f"{share(part)} of the pixels" if part > DARK else "",
            "float64": kind if entry.files[0].stored == "float64" else "",
            "rotated": "" if (text := orientation(info)) == "north up" else text,
            "no-crs": "a geotransform alone" if info.transform and not info.crs else "",
            "unlike-others": "; ".join(f"{value}, {usual} elsewhere" for usual, value in own.items() if value != usual),
            "unusual-size": size if not 0.5 <= max(info.width, info.height) / middle <= 2 else "",
        }
        if name != found.dataset.reference and scene in seen.looks[found.dataset.reference]:
            details |= _on_reference(found, name, scene, seen)
        for finding, detail in details.items():
            if detail:
                yield Finding(scene, name, "; ".join(files), finding, detail)


def _on_reference(found: Found, name: str, scene: str, seen: Survey) -> dict[str, str]:
    """What is odd about where a sensor lies on the reference; notes the share of the reference that it covers."""
    own, info = seen.looks[found.dataset.reference][scene].info, seen.looks[name][scene].info
    with refusing(seen.findings, name):
        moved = outline(own, nominal_matrix(own, info, f"scene {scene}, sensor {name}"))
        part = float(moved.intersection(shapely.box(0, 0, info.width, info.height)).area / moved.area)
        seen.covers[name][scene] = part
        systems = {crs_name(own), crs_name(info)} if own.crs and info.crs else ()
        aspect = (info.width / own.width) / (info.height / own.height)
        stretched = (own.transform is None or info.transform is None) and abs(aspect - 1) > 0.03
        return {
            "other-crs": f"{crs_name(info)}, reference {crs_name(own)}" if len(systems) > 1 else "",
            "partly-covered": share(part) if part < 0.99 else "",
            "other-aspect": f"{info.width} x {info.height} over {own.width} x {own.height}" if stretched else "",
        }
    return {}


def same_pixels(looks: Mapping[str, Mapping[str, Look]]) -> Iterator[Finding]:
    """Images that hold the same values, as far as they were read, but for those of a single value."""
    alike: dict[object, list[str]] = defaultdict(list)
    for name, seen in looks.items():
        for scene, entry in seen.items():
            facts = tuple(band.facts for band in entry.bands)
            if any(band.low != band.high for band in facts):
                sample = b"".join(part.tobytes() for band in entry.bands for part in band.sample)
                alike[entry.info.width, facts, sample].append(f"{scene} {name}")
    for images in alike.values():
        if len(images) > 1:
            yield Finding("", "", "", "same-pixels", " = ".join(images))


def _same_grounds(dataset: Dataset, seen: Mapping[str, Look]) -> Iterator[Finding]:
    """Scenes that overlap on the ground, and that nothing keeps on one side of a split."""
    firsts = same_ground({scene: footprint(entry.info) for scene, entry in seen.items()})
    for scenes in grouped((first, scene) for scene, first in firsts.items()).values():
        if len({dataset.scenes[scene].ground for scene in scenes}) > 1:
            yield Finding("", "", "", "same-ground", " + ".join(scenes))


def same_ground(footprints: Mapping[str, Any]) -> dict[str, str]:
    """The first scene, by name, of those that each scene is connected with by shared ground: itself, if by none.

    Parameters
    ----------
    footprints : mapping of str to polygon or None
        Scenes without one are left out.

    Examples
    --------
    >>> from shapely import box
    >>> same_ground({"a": box(0, 0, 2, 2), "b": box(1, 0, 3, 2), "c": box(3, 0, 5, 2), "d": None})
    {'a': 'a', 'b': 'a', 'c': 'c'}
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = sorted(name for name, shape in footprints.items() if shape is not None)
    if not names:
        return {}
    shapes = np.array([footprints[name] for name in names], dtype=object)
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    shared, areas = shapely.area(shapely.intersection(shapes[one], shapes[other])), shapely.area(shapes)
    joined = shared > SAME * np.minimum(areas[one], areas[other])
    ways = coo_array((joined[joined], (one[joined], other[joined])), shape=[len(names)] * 2)
    groups = connected_components(ways)[1].tolist()
    return {name: names[groups.index(group)] for name, group in zip(names, groups, strict=True)}


# Labels ------------------------------------------------------------------------------------------------


def _survey_labels(found: Found, seen: Survey, progress: Progress) -> None:
    """Look at all labels, held-out truth with them, of scenes whose reference image can be read.

    Notes
    -----
    Memory: a mask, or the polygons of two files, at a time.
    """
    dataset, vector = found.dataset, lru_cache(maxsize=2)(read_vector)
    by_file: dict[str, list[dict[str, Any]]] = defaultdict(list)
    jobs = _jobs(found, seen.looks.get(dataset.reference, {}))
    for done, job in enumerate(jobs, 1):
        name, files = job.spec["class"], dataset.label_files(job.spec["class"])
        with refusing(seen.findings, name):
            for entry in dstl_labels(job) if dataset.layout == "dstl" else sheet_labels(job, vector):
                with refusing(seen.findings, name):
                    polygons, counts = entry.polygons()
                    facts = seen.facts[name][entry.scene] = {**entry.facts, **counts}
                    seen.areas[name][entry.scene] = shapely.area(polygons)
                    seen.findings += label_findings(entry.scene, name, files[entry.scene], facts)
                    seen.findings += _of_mask(dataset, entry.scene, name)
                    by_file[files[entry.scene]].append(facts)
                progress(done, len(jobs), f"{entry.scene}, labels of {name}")
    seen.findings += class_findings(by_file, dataset.classes)


def _jobs(found: Found, readable: Container[str]) -> list[Job]:
    """Jobs of the stage `label`: one for each class of the contest's tables, or for each scene and class of a sheet.

    A mistake in the file of one scene then says nothing of the others. Jobs that read one file follow one another.
    """
    jobs: list[Job] = []
    dataset, project = found.dataset, cast(Project, found)  # all that the stage asks of a project is its data set
    for name in dataset.classes:
        names = {"class": name}
        spec, sources = label.spec(project, **names), label.sources(project, **names)
        scenes = [scene for scene in spec["scenes"] if scene in readable]
        for group in [scenes] if dataset.layout == "dstl" else [[scene] for scene in scenes]:
            jobs.append(Job({**spec, "scenes": group}, sources, Path(), Store(Path()), Path(), Path(), quiet=True))
    if dataset.layout == "sheet":
        jobs.sort(key=lambda job: [(job.sources["labels"][scene]["path"], scene) for scene in job.spec["scenes"]])
    return jobs


def numbers(path: str | Path, bands: list[int] | None = None) -> list[float]:
    """The different numbers in an image, or in bands of it (from 0), sorted; NaN is none."""
    with open_raster(path) as raster:
        blocks = (raster.read(start, stop, bands) for start, stop in strips(raster.info.height, 1))
        return sorted({number for block in blocks for number in np.unique(block[block == block]).tolist()})


def _of_mask(dataset: Dataset, scene: str, name: str) -> Iterator[Finding]:
    """A mask of several numbers, or one that covers everything, may not show what it should."""
    labels = dataset.scenes[scene].labels.get(name)
    if labels is None or Path(labels.file.path).suffix.lower() not in RASTERS:
        return
    held = numbers(labels.file.path)
    kind = "several-numbers" if len(held) > 2 else "all-positive" if len(held) == 1 and held != [0] else ""
    if kind:
        yield Finding(scene, name, Path(labels.file.path).name, kind, few((f"{n:g}" for n in held), most=6))
