"""A folder of images of any layout: scenes, sensors and labels guessed from names and headers."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from rasterloom.dataset.index import Dataset, LabelFile, Scene
from rasterloom.dataset.source_files import Folders, SourceFile, existing
from rasterloom.errors import LabelError, RasterloomError
from rasterloom.labels.files import RASTERS
from rasterloom.raster.files import RasterInfo, open_raster
from rasterloom.raster.georeference import ground_distance
from rasterloom.tools.inspection.found import Found, class_values, numbered
from rasterloom.tools.inspection.grounds import footprint, same_ground
from rasterloom.tools.inspection.names import Named, Place, Placed, match_label, name_of, parse, place_images
from rasterloom.tools.inspection.oddities import Oddity

IMAGES = frozenset({".tif", ".tiff", ".jp2", ".j2k", ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".img", ".vrt", ".ntf"})

VECTORS = frozenset({".geojson", ".gpkg", ".shp", ".parquet", ".geoparquet", ".fgb", ".kml", ".gml"})

BESIDE = frozenset(
    f".{ending}"
    for ending in re.findall(
        r"\w+", "tfw tifw tffw jgw j2w pgw bpw wld xml aux ovr msk prj dbf shx cpg qpj qix sbn sbx tab"
    )
)
"""Endings of files that belong to another one."""

ENOUGH = 0.75
"""Share, of the scenes of the sensor that most have, that a reference must be there in; the others are left out."""

OBJECTS = "objects"
"""The class of labels whose name says none."""


@dataclass
class Files:
    """Files below a folder, by what their endings say; relative paths, sorted."""

    images: list[PurePath] = field(default_factory=list)
    vectors: list[PurePath] = field(default_factory=list)
    others: list[PurePath] = field(default_factory=list)
    closed: list[OSError] = field(default_factory=list)


def list_files(root: Path) -> Files:
    """Every file below a folder, hidden ones and those that belong to another file aside."""
    found, seen = Files(), set[str]()
    for place, folders, names in os.walk(root, onerror=found.closed.append, followlinks=True):
        real = os.path.realpath(place)
        # a link may lead back to a folder above it
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        names = [] if real in seen else names
        seen.add(real)
        for name in sorted(names):
            path = PurePath(Path(place, name).relative_to(root))
            ending = path.suffix.lower()
            if name.startswith("."):
                continue
            if ending in IMAGES:
                found.images.append(path)
            elif ending in VECTORS or (ending == ".csv" and _has_wkt(root / path)):
                found.vectors.append(path)
            elif ending not in BESIDE:
                found.others.append(path)
    return found


def _has_wkt(path: Path) -> bool:
    """Whether a table has a column WKT."""
    with path.open("rb") as file:
        header = file.readline(2000).decode("utf-8-sig", "replace").lower()
    return "wkt" in [cell.strip().strip('"') for cell in header.split(",")]


class Guess:
    """Scenes of a folder in the making; see `from_folder`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.oddities: list[Oddity] = []
        self.infos: dict[PurePath, RasterInfo] = {}
        self.sensors: dict[str, dict[str, list[PurePath]]] = defaultdict(dict)
        self.labels: dict[str, dict[str, PurePath]] = defaultdict(dict)
        self.classed: dict[str, PurePath] = {}
        self.words: dict[PurePath, list[str]] = {}

    def odd(self, what: str, where: object = "", stops: bool = False) -> None:
        """Note an oddity."""
        self.oddities.append(Oddity(what, str(where), stops))

    def open(self, paths: Iterable[PurePath]) -> None:
        """Read the headers of images; those that cannot be opened are odd."""
        for path in paths:
            try:
                with open_raster(self.root / path) as raster:
                    self.infos[path] = raster.info
            except RasterloomError as error:
                reason = str(error).replace(f"{self.root}{os.sep}", "")
                self.odd("unreadable", reason, stops=True)

    # Images ------------------------------------------------------------------------------------------------

    def add_images(self, placed: Sequence[Placed]) -> None:
        """Give each image that was opened a scene and a sensor."""
        there = [image for image in placed if image.path in self.infos]
        bands: dict[str, list[Placed]] = defaultdict(list)
        named = {(image.scene, image.sensor) for image in there if image.sensor}
        for image in there:
            if image.band:
                bands[image.scene].append(image)
                continue
            sensor = name_of(image.sensor) if image.sensor else _by_bands(len(self.infos[image.path].data_bands))
            if not image.sensor and (image.scene, sensor) in named:
                sensor = "image"
            if sensor in self.sensors[image.scene]:
                kept = self.sensors[image.scene][sensor][0]
                self.odd(
                    "a second image of the same scene and sensor by its name, left out", f"{image.path} (beside {kept})"
                )
            else:
                self.sensors[image.scene][sensor] = [image.path]
        for scene, files in bands.items():
            grids = {file.path: _grid(self.infos[file.path]) for file in files}
            groups, coarser = by_resolution([(file.path, str(file.band), grids[file.path]) for file in files])
            self.sensors[scene].update(groups)
            for path in coarser:
                self.odd("the same band is there in a finer resolution, left out", path)

    def _footprints(self, reference: str) -> dict[str, Any]:
        shapes = {
            scene: footprint(self.infos[files[reference][0]])
            for scene, files in self.sensors.items()
            if reference in files
        }
        return {scene: shape for scene, shape in shapes.items() if shape is not None}

    # Labels ------------------------------------------------------------------------------------------------

    def add_labels(self, files: Sequence[Named], places: Mapping[str, Place], reference: str) -> None:
        """Give each file of labels a scene, or several, and a class. Vector files go before masks."""
        folders = {folder for paths in self.infos for folder in paths.parent.parts} - {
            folder for file in files for folder in file.path.parent.parts if file.path.suffix.lower() not in VECTORS
        }
        for file in sorted(files, key=lambda file: (file.path.suffix.lower() in RASTERS, file.path)):
            mask = file.path.suffix.lower() in IMAGES
            if mask and not self._usable_mask(file.path):
                continue
            if not mask and not self._readable(file.path):
                continue
            scene, word = match_label(file, places, folders)
            scenes = [scene] if scene else self._elsewhere(file.path, mask, places, reference)
            if not scenes:
                self.odd("labels without an image", file.path)
            for name in scenes:
                self._add_label(name, name_of(word or OBJECTS), file.path)

    def _usable_mask(self, path: PurePath) -> bool:
        info = self.infos.get(path)
        if info is not None and path.suffix.lower() not in RASTERS:
            self.odd(f"a mask must be one of {', '.join(sorted(RASTERS))}: left out", path)
        elif info is not None and len(info.data_bands) != 1:
            self.odd("a mask of several bands (a picture of labels?): a mask shows one class; left out", path)
        else:
            return info is not None
        return False

    def _readable(self, path: PurePath) -> bool:
        try:
            self.words[path] = class_values(self.root / path)
        except LabelError as error:
            self.odd("unreadable labels", str(error).replace(f"{self.root}{os.sep}", ""), stops=True)
            return False
        return True

    def _elsewhere(self, path: PurePath, mask: bool, places: Mapping[str, Place], reference: str) -> list[str]:
        """The scenes of labels whose name names none: the only one, or those that a vector file meets."""
        if mask:
            info = self.infos[path]
            sizes = {
                scene: self.infos[files[reference][0]] for scene, files in self.sensors.items() if reference in files
            }
            same = [scene for scene, own in sizes.items() if (own.width, own.height) == (info.width, info.height)]
            return same if len(places) == 1 else []
        if len(places) == 1:
            return list(places)
        return _met(self.root / path, self._footprints(reference))

    def _add_label(self, scene: str, name: str, path: PurePath) -> None:
        if self.words.get(path):
            if scene in self.classed:
                self.odd("a second file with a property `class` for a scene, left out", path)
            else:
                self.classed[scene] = path
        elif name in self.labels[scene]:
            self.odd(f"labels of the same class beside {self.labels[scene][name].name}, left out", path)
        else:
            self.labels[scene][name] = path

    # The data set ------------------------------------------------------------------------------------------

    def sensor_names(self) -> list[str]:
        """Every sensor, those of most scenes first, then by ground distance."""
        counts = Counter(sensor for files in self.sensors.values() for sensor in files)
        return sorted(counts, key=lambda name: (-counts[name], self._fineness(name), name))

    def _fineness(self, sensor: str) -> float:
        infos = [self.infos[files[sensor][0]] for files in self.sensors.values() if sensor in files]
        metres = [ground_distance(info) or 1e6 / max(info.width, 1) for info in infos]
        return sorted(metres)[len(metres) // 2]

    def reference(self) -> str:
        """Of the sensors that `ENOUGH` scenes have: the finest that shows colours or all light, else the finest."""
        names = self.sensor_names()
        counts = Counter(sensor for files in self.sensors.values() for sensor in files)
        most = [name for name in names if counts[name] >= ENOUGH * counts[names[0]]]
        finest = min(self._fineness(name) for name in most)
        likely = [name for name in most if self._fineness(name) < 1.5 * finest]
        return next((name for name in ("rgb", "ps_ms", "pan") if name in likely), likely[0])

    def dataset(self, reference: str) -> Dataset:
        """What was guessed as an index of scenes; those without the reference sensor are left out."""
        folders = Folders()

        def source(path: PurePath) -> SourceFile:
            full = self.root / path
            return existing(full, str(self.root), "put it back", self._bands(path), folders)

        names = self.sensor_names()
        order = [reference, *(name for name in names if name != reference)]
        words = [word for words in self.words.values() for word in words]
        classes = numbered([*(name for labels in self.labels.values() for name in labels), *words])
        named = [name for name in classes if name in words or str(classes[name]) in words]
        grounds = same_ground(self._footprints(reference))
        scenes = {}
        for scene, files in sorted(self.sensors.items()):
            if reference not in files:
                continue
            # What no file with a property `class` names was not looked for in those files.
            labels = {
                name: LabelFile(source(self.classed[scene]), whole=False) for name in named if scene in self.classed
            }
            labels |= {name: LabelFile(source(path), whole=True) for name, path in self.labels[scene].items()}
            scenes[scene] = Scene(
                scene,
                grounds.get(scene, scene),
                "train" if labels else "predict",
                {name: tuple(source(path) for path in files[name]) for name in order if name in files},
                tuple(name for name in classes if name in labels),
                labels={name: labels[name] for name in classes if name in labels},
            )
        return Dataset("sheet", scenes, reference, classes)

    def _bands(self, path: PurePath) -> tuple[int, ...] | None:
        """Bands to choose of a file: all four where the one that it calls alpha is data, as its values say."""
        info = self.infos.get(path)
        if info is None or info.alpha is None or _is_validity(self.root / path, info.alpha):
            return None
        self.odd("a band that the file calls alpha holds values of its own: taken as data, not as validity", path)
        return tuple(range(1, info.bands + 1))


def _is_validity(path: Path, band: int) -> bool:
    """Whether a band holds nothing but its least and its greatest number, as a band of validity does."""
    with open_raster(path) as raster:
        for start in range(0, raster.info.height, 256):
            rows = raster.read(start, min(start + 256, raster.info.height), [band])
            if not ((rows == 0) | (rows == 255) | (rows == 65535) | (rows == 1)).all():
                return False
    return True


def _by_bands(bands: int) -> str:
    """A sensor whose name says nothing is named after its number of bands."""
    return {1: "pan", 2: "image", 3: "rgb"}.get(bands, "ms")


def _grid(info: RasterInfo) -> tuple[float, str]:
    """Fineness of a band's grid, and what its sensor is called."""
    metres = ground_distance(info)
    if metres is None:
        return 1e6 / info.width, f"b{info.width}px"
    return metres, f"b{metres:.0f}m" if metres >= 1 else f"b{metres * 100:.0f}cm"


def by_resolution(
    files: Iterable[tuple[PurePath, str, tuple[float, str]]],
) -> tuple[dict[str, list[PurePath]], list[PurePath]]:
    """Files of single bands as sensors, one a resolution; a band that is there twice is taken in the finer one.

    Parameters
    ----------
    files : iterable of (path, band, (metres a pixel, name of the sensor))

    Returns
    -------
    dict of str to list of paths, list of paths
        The finest sensor first, bands in the order of their names, ``B8A`` after ``B08``; what was left out.
    """
    taken: dict[str, tuple[PurePath, tuple[float, str]]] = {}
    left = []
    for path, band, grid in sorted(files, key=lambda file: (file[2][0], file[0])):
        if band in taken:
            left.append(path)
        else:
            taken[band] = (path, grid)
    groups: dict[str, list[PurePath]] = {}
    for band in sorted(taken, key=lambda band: (taken[band][1][0], band.replace("B8A", "B08A"))):
        groups.setdefault(taken[band][1][1], []).append(taken[band][0])
    return groups, left


def _met(path: Path, footprints: Mapping[str, Any]) -> list[str]:
    """The scenes whose footprint a vector file's features meet."""
    import numpy as np
    import shapely

    from rasterloom.labels.files import read_vector
    from rasterloom.tools.inspection.grounds import LONGITUDE_LATITUDE

    frame = read_vector(path)
    geometry = frame.geometry if frame.crs is None else frame.geometry.to_crs(LONGITUDE_LATITUDE)
    tree = shapely.STRtree(np.array([g for g in geometry if g is not None and not g.is_empty], dtype=object))
    return [scene for scene, shape in footprints.items() if len(tree.query(shape, predicate="intersects"))]


def from_folder(root: Path) -> Found:
    """Scenes, sensors and labels of a folder of images.

    Notes
    -----
    Opens each image (its header alone) and reads each vector file.
    """
    files, guess = list_files(root), Guess(root)
    named = {path: parse(path) for path in files.images}
    images = place_images([n for n in named.values() if n is not None and not n.label], root.resolve().name)
    masks = [n for n in named.values() if n is not None and n.label]
    if not images and masks:  # a folder of masks alone
        images, masks = place_images([Named(m.path, m.folders, m.key) for m in masks], root.resolve().name), []
    guess.open([image.path for image in images])
    guess.add_images(images)
    vectors = [n for path in files.vectors if (n := parse(path, label=True)) is not None]
    guess.sensors = defaultdict(dict, {scene: found for scene, found in guess.sensors.items() if found})
    reference = guess.reference() if guess.sensors else ""
    if guess.sensors:
        guess.open([mask.path for mask in masks])
        places = {image.scene: image.place for image in images if image.scene in guess.sensors}
        guess.add_labels([*masks, *vectors], places, reference)
    for path, name in named.items():
        if name is None:
            guess.odd("part of a product beside its bands (quality, preview), left aside", path)
    _odd_files(guess, files, images)
    dataset = guess.dataset(reference) if guess.sensors else Dataset("sheet", {}, "", {})
    used = {name for scene in dataset.scenes.values() for name in scene.sensors}
    sensors: dict[str, dict[str, Any]] = {name: {} for name in _channel_order(guess, reference) if name in used}
    if reference in sensors:
        sensors[reference]["reference"] = True
    left = sorted(scene for scene in guess.sensors if scene not in dataset.scenes)
    for scene in left:
        guess.odd(f"scenes without the reference sensor {reference}: left out", scene)
    following = (f"rasterloom inspect {root} --sheet scenes.tsv   writes a first sheet, and a configuration beside it",)
    return Found(root, _how(guess, files, dataset), dataset, sensors, following, tuple(guess.oddities))


def _channel_order(guess: Guess, reference: str) -> list[str]:
    return [reference, *(name for name in guess.sensor_names() if name != reference)] if reference else []


def _how(guess: Guess, files: Files, dataset: Dataset) -> tuple[str, ...]:
    labelled = sum(bool(scene.labels) for scene in dataset.scenes.values())
    one = "a folder of images, its scenes and sensors guessed from names and sizes; "
    counts = f"image files: {len(files.images)}, vector files: {len(files.vectors)}"
    return (f"{one}{counts}, scenes with labels: {labelled} of {len(dataset.scenes)}",)


def _odd_files(guess: Guess, files: Files, images: Sequence[Placed]) -> None:
    """Note files that are nothing, archives, and ids that are not the names of their files."""
    if not files.images:
        guess.odd(f"no image: none of {' '.join(sorted(IMAGES))}", stops=True)
    for error in files.closed:
        guess.odd("a folder that cannot be listed", f"{error.filename} ({error.strerror})", stops=True)
    for path in files.others:
        packed = path.suffix.lower() in {".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"}
        guess.odd("still packed: not looked into" if packed else "understood as nothing", path)
    for image in images:
        if image.scene != image.place[1] and image.path in guess.infos:
            guess.odd(
                "the scene's id is not the name of its file (not unique, or not usable as an id)",
                f"{image.path} is {image.scene}",
            )
