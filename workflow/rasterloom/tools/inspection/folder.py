"""A folder of images of any layout: scenes, sensors and labels guessed from names and headers."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from statistics import median_high
from typing import Any

from rasterloom.dataset.index import Dataset, LabelFile, Scene
from rasterloom.dataset.source_files import Folders, SourceFile, existing
from rasterloom.errors import InputError
from rasterloom.labels.files import RASTERS, read_vector
from rasterloom.labels.wkt_tables import GEOMETRY
from rasterloom.raster.files import RasterInfo, open_raster
from rasterloom.raster.georeference import LONGITUDE_LATITUDE, footprint, ground_distance, system_name
from rasterloom.report.findings import Finding
from rasterloom.text import counted, few
from rasterloom.tools.inspection.found import NO_SCENES, Found, class_values, numbered, refusing
from rasterloom.tools.inspection.names import Named, match_label, name_of, parse, place_images, usable, word_set
from rasterloom.tools.inspection.survey import numbers, same_ground

IMAGES = word_set(".tif .tiff .jp2 .j2k .png .jpg .jpeg .bmp .gif .img .vrt .ntf")

VECTORS = word_set(".geojson .gpkg .shp .parquet .geoparquet .fgb .kml .gml")

BESIDE = word_set(
    ".tfw .tifw .tffw .jgw .j2w .pgw .bpw .wld .xml .aux .ovr .msk .prj .dbf .shx .cpg .qpj .qix .sbn .sbx .tab"
)
"""Endings of files that belong to another one."""

PACKED = word_set(".zip .tar .gz .tgz .7z .rar")

ENOUGH = 0.75
"""Share, of the scenes of the sensor that most have, that a reference must be there in; the others are left out."""

OBJECTS = "objects"
"""The class of labels whose name says none."""


def from_folder(root: Path) -> Found:
    """Scenes, sensors and labels of a folder of images.

    Notes
    -----
    Opens each image (its header alone) and reads each vector file.
    """
    return Guess(root).found()


class Guess:
    """Scenes of a folder in the making.

    Attributes
    ----------
    infos : dict of PurePath to RasterInfo
        Images that can be opened.
    sensors : dict of str to dict of str to list of PurePath
        Files by scene and sensor.
    labels : dict of str to dict of str to PurePath
        Files of labels by scene and class; the class is '' for a file whose property ``class`` says which class each
        of its features is of.
    values : dict of PurePath to list of str
        Values of the property ``class`` in each vector file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.findings: list[Finding] = []
        self.infos: dict[PurePath, RasterInfo] = {}
        self.sensors: dict[str, dict[str, list[PurePath]]] = defaultdict(dict)
        self.labels: dict[str, dict[str, PurePath]] = defaultdict(dict)
        self.values: dict[PurePath, list[str]] = {}

    def odd(self, finding: str, file: object = "", detail: str = "", scene: str = "") -> None:
        """Note a finding."""
        self.findings.append(Finding(scene, "", str(file), finding, detail))

    def found(self) -> Found:
        """What the folder is understood as."""
        images, vectors = self._listed()
        named = {path: parse(path) for path in images}
        for path, name in named.items():
            if name is None:
                self.odd("beside-bands", path)
        masks = [name for name in named.values() if name and name.label]
        pictures = [name for name in named.values() if name and not name.label]
        if not pictures:  # a folder of masks alone
            pictures, masks = [Named(mask.path, mask.place) for mask in masks], []
        placed = place_images(pictures, self.root.resolve().name)
        self._open(placed)
        self._add_images([image for image in placed if image.path in self.infos])
        if not self.sensors:
            how = ["a folder without an image that can be read"]
            return Found(self.root, how, NO_SCENES, {}, [], self.findings)
        order = self._sensor_order()
        self._open(masks)
        self._add_labels([*(parse(path, label=True) for path in vectors), *masks], placed, order[0])
        dataset = self._dataset(order)
        used = {name for scene in dataset.scenes.values() for name in scene.sensors}
        sensors: dict[str, dict[str, Any]] = {name: {} for name in order if name in used}
        sensors[order[0]]["reference"] = True
        how = [
            f"a folder of {counted(len(images), 'image')} and {counted(len(vectors), 'vector file')}: scenes and "
            "sensors are guessed from names and sizes"
        ]
        following = f"rasterloom inspect {self.root} --sheet scenes.tsv   writes a first sheet and configuration"
        return Found(self.root, how, dataset, sensors, [following], self.findings)

    def _listed(self) -> tuple[list[PurePath], list[PurePath]]:
        """Images and vector files below the folder, relative to it; hidden files are left out."""
        images, vectors = list[PurePath](), list[PurePath]()
        for path in self._walked():
            ending = path.suffix.lower()
            if ending in IMAGES:
                images.append(path)
            elif ending in VECTORS or (ending == ".csv" and _has_wkt(self.root / path)):
                vectors.append(path)
            elif ending not in BESIDE:
                self.odd("packed" if ending in PACKED else "not-understood", path)
        if not images:
            self.odd("error", "", f"no image in {self.root}: none of {' '.join(sorted(IMAGES))}")
        return images, vectors

    def _walked(self) -> Iterator[PurePath]:
        def closed(error: OSError) -> None:
            self.odd("error", "", f"the folder {error.filename} cannot be listed ({error.strerror})")

        seen = set[str]()
        for place, folders, names in os.walk(self.root, onerror=closed, followlinks=True):
            # a link may lead back to a folder above it
            real = os.path.realpath(place)
            shown = [] if real in seen else sorted(name for name in (*folders, *names) if not name.startswith("."))
            seen.add(real)
            here = PurePath(place).relative_to(self.root)
            yield from (here / name for name in shown if name in names)
            folders[:] = [name for name in shown if name in folders]

    def _open(self, files: Iterable[Named]) -> None:
        """Read the headers of images."""
        for file in files:
            with refusing(self.findings, "images"), open_raster(self.root / file.path) as raster:
                self.infos[file.path] = raster.info

    # Images ------------------------------------------------------------------------------------------------

    def _add_images(self, images: list[Named]) -> None:
        """Give each image a sensor of its scene."""
        named = {(image.scene, image.sensor) for image in images}
        bands: dict[str, list[Named]] = defaultdict(list)
        for image in images:
            if image.scene != image.place[1]:
                self.odd("renamed", image.path, f"is scene {image.scene}")
            if image.band:
                bands[image.scene].append(image)
                continue
            count = len(self.infos[image.path].data_bands)
            sensor = name_of(image.sensor) if image.sensor else {1: "pan", 2: "image", 3: "rgb"}.get(count, "ms")
            if not image.sensor and (image.scene, sensor) in named:
                sensor = "image"
            kept = self.sensors[image.scene].setdefault(sensor, [image.path])
            if kept != [image.path]:
                self.odd("twice", image.path, f"the same scene and sensor as {kept[0]}")
        for scene, files in bands.items():
            self._add_bands(scene, files)

    def _add_bands(self, scene: str, files: list[Named]) -> None:
        """Files of single bands as sensors, one for each resolution; of a band that is there twice the finer one."""
        grids = {file.path: _grid(self.infos[file.path]) for file in files}
        taken: dict[str, Named] = {}
        for file in sorted(files, key=lambda file: (grids[file.path], file.path)):
            kept = taken.setdefault(str(file.band), file)
            if kept is not file:
                self.odd("twice", file.path, f"the same band in a finer resolution is {kept.path}")
        # the finest first, and in it B8A after B08
        for file in sorted(taken.values(), key=lambda f: (grids[f.path], str(f.band).replace("B8A", "B08A"))):
            self.sensors[scene].setdefault(grids[file.path][1], []).append(file.path)

    def _sensor_order(self) -> list[str]:
        """Every sensor: the reference, then those of most scenes first, then the finest.

        The reference is, of the sensors that `ENOUGH` scenes have, the finest that shows colours or all light, else
        the finest.
        """
        counts = Counter(sensor for files in self.sensors.values() for sensor in files)
        fineness = {name: self._fineness(name) for name in counts}
        order = sorted(counts, key=lambda name: (-counts[name], fineness[name], name))
        most = [name for name in order if counts[name] >= ENOUGH * counts[order[0]]]
        finest = min(fineness[name] for name in most)
        likely = [name for name in most if fineness[name] < 1.5 * finest]
        first = next((name for name in ("rgb", "ps_ms", "pan") if name in likely), likely[0])
        return [first, *(name for name in order if name != first)]

    def _fineness(self, sensor: str) -> float:
        """Metres a pixel, or a number that grows like them, in the middle of all scenes."""
        return median_high(_grid(self.infos[files[sensor][0]])[0] for files in self.sensors.values() if sensor in files)

    def _footprints(self, reference: str) -> dict[str, Any]:
        first = {scene: files[reference][0] for scene, files in self.sensors.items() if reference in files}
        return {scene: shape for scene, path in first.items() if (shape := footprint(self.infos[path]))}

    # Labels ------------------------------------------------------------------------------------------------

    def _add_labels(self, files: Iterable[Named | None], images: list[Named], reference: str) -> None:
        """Give each file of labels a scene, or several, and a class; vector files take precedence over masks."""
        places = {image.scene: image.place for image in images if image.scene in self.sensors}
        given = [file for file in files if file]
        folders = {folder for path in self.infos for folder in path.parent.parts} - {
            folder for file in given for folder in file.path.parent.parts if file.path.suffix.lower() in IMAGES
        }
        for file in sorted(given, key=lambda file: (file.path.suffix.lower() in RASTERS, file.path)):
            if not self._usable(file.path):
                continue
            scene, word = match_label(file, places, folders)
            scenes = [scene] if scene else self._elsewhere(file.path, list(places), reference)
            if not scenes:
                self.odd("no-image", file.path)
            for scene in scenes:
                name = "" if self.values.get(file.path) else name_of(word or OBJECTS)
                kept = self.labels[scene].setdefault(name, file.path)
                if kept != file.path:
                    self.odd("twice", file.path, f"labels of the same scene as {kept.name}")

    def _usable(self, path: PurePath) -> bool:
        """Whether labels can be read: a mask of one band, or a vector file."""
        ending = path.suffix.lower()
        if ending not in IMAGES:
            with refusing(self.findings, "labels"):
                self.values[path] = class_values(self.root / path)
            return path in self.values
        bands = len(self.infos[path].data_bands) if path in self.infos else 0
        if bands > 1 or (bands and ending not in RASTERS):
            self.odd("unusable-mask", path, f"{ending}, {counted(bands, 'band')}")
        return bands == 1 and ending in RASTERS

    def _elsewhere(self, path: PurePath, scenes: list[str], reference: str) -> list[str]:
        """The scenes of labels whose name names none: the only one, or those that a vector file meets."""
        mask = self.infos.get(path)
        if len(scenes) > 1:
            return [] if mask else _met(self.root / path, self._footprints(reference))
        own = self.infos[self.sensors[scenes[0]][reference][0]]
        return scenes if mask is None or (mask.width, mask.height) == (own.width, own.height) else []

    # The data set ------------------------------------------------------------------------------------------

    def _dataset(self, order: list[str]) -> Dataset:
        """What was guessed as an index of scenes; those without the reference sensor are left out."""
        folders, reference = Folders(), order[0]

        def source(path: PurePath) -> SourceFile:
            return existing(self.root / path, str(self.root), "put it back", self._bands(path), folders)

        words = [word for words in self.values.values() for word in words]
        classes = numbered([*(name for labels in self.labels.values() for name in labels if name), *words])
        named = [name for name, number in classes.items() if name in words or str(number) in words]
        grounds = same_ground(self._footprints(reference))
        scenes = {}
        for scene, files in sorted(self.sensors.items()):
            if reference not in files:
                self.odd("no-reference", "", f"sensor {reference}", scene)
                continue
            # What no file with a property `class` names was not looked for in those files.
            own = {name: source(path) for name, path in self.labels[scene].items()}
            labels = {name: LabelFile(own[""], whole=False) for name in named if "" in own}
            labels |= {name: LabelFile(file, whole=True) for name, file in own.items() if name}
            labels = {name: labels[name] for name in classes if name in labels}
            sensors = {name: tuple(source(path) for path in files[name]) for name in order if name in files}
            ground = grounds.get(scene, scene)
            scenes[scene] = Scene(
                scene, ground, "train" if labels else "predict", sensors, tuple(labels), labels=labels
            )
        return Dataset("sheet", scenes, reference, classes)

    def _bands(self, path: PurePath) -> tuple[int, ...] | None:
        """Bands to choose of a file: all where the one that it calls alpha is data, as its values say."""
        info = self.infos.get(path)
        if info is None or info.alpha is None or {0, 1, 255, 65535}.issuperset(numbers(self.root / path, [info.alpha])):
            return None
        self.odd("alpha", path, f"band {info.alpha + 1} holds values of its own")
        return tuple(range(1, info.bands + 1))


def _has_wkt(path: Path) -> bool:
    """Whether a table has a column of geometries as WKT."""
    with path.open("rb") as file:
        header = file.readline(2000).decode("utf-8-sig", "replace").lower()
    return any(cell.strip().strip('"') in GEOMETRY for cell in re.split("[,;\t|]", header))


def _grid(info: RasterInfo) -> tuple[float, str]:
    """Fineness of a band's grid, and what its sensor is called."""
    metres = ground_distance(info)
    if metres is None:
        return 1e6 / info.width, f"b{info.width}px"
    return metres, f"b{metres:.0f}m" if metres >= 1 else f"b{metres * 100:.0f}cm"


def _met(path: Path, footprints: Mapping[str, Any]) -> list[str]:
    """The scenes whose footprint a vector file's features meet."""
    geometry = read_vector(path).geometry
    if geometry.crs is not None:
        geometry = geometry.to_crs(LONGITUDE_LATITUDE)
    return [scene for scene, shape in footprints.items() if len(geometry.sindex.query(shape, predicate="intersects"))]


# A single file -----------------------------------------------------------------------------------------


def from_file(path: Path) -> Found:
    """One file as a data set: an image as a scene of one sensor, a vector file as what it says of itself.

    Raises
    ------
    InputError, LabelError
        If it is neither, or cannot be opened.
    """
    ending = path.suffix.lower()
    if ending in VECTORS or ending == ".csv":
        return Found(path, vector_lines(path), NO_SCENES, {}, ["name it in the column labels:<class> of a sheet"])
    if ending not in IMAGES:
        known = " ".join(sorted(IMAGES | VECTORS))
        raise InputError(f"{path} is no file that can be inspected: give a folder, a sheet (.tsv), or one of {known}")
    with open_raster(path):
        pass  # an image that cannot be opened is all that there is to say
    file = existing(path, "inspect", "check the path", folders=Folders())
    scene = usable(path.stem)
    dataset = Dataset("sheet", {scene: Scene(scene, scene, "predict", {"image": (file,)})}, "image", {})
    following = [f"rasterloom inspect {path.parent} --sheet scenes.tsv   writes a first sheet of the whole folder"]
    return Found(path, ["an image"], dataset, {"image": {"reference": True}}, following)


def vector_lines(path: Path) -> list[str]:
    """What a vector file holds: kinds of geometry, coordinate system, bounds, properties, values of ``class``."""
    frame = read_vector(path)
    kinds = Counter(frame.geometry.geom_type.dropna())
    lines = [f"a vector file: {len(frame)} features ({', '.join(f'{n} {k}' for k, n in kinds.items()) or 'empty'})"]
    if frame.crs is None:
        lines.append("no coordinate system: coordinates are pixels or, in a table of WKT, those of the scene")
    else:
        lines.append(f"coordinate system: {system_name(frame.crs.to_wkt())}")
    if len(frame):
        low_x, low_y, high_x, high_y = frame.total_bounds
        lines.append(f"x {low_x:.10g} to {high_x:.10g}, y {low_y:.10g} to {high_y:.10g}")
        invalid = int((~frame.geometry.is_valid).sum())
        lines += [f"{invalid} of its geometries are invalid: they will be repaired"] if invalid else []
        if any("Polygon" not in kind for kind in kinds):
            lines.append(
                "points and lines are labels only if `classes.<name>.buffer` says how wide they are, as {metres: 2}"
            )
    properties = few((name for name in frame.columns if name != frame.geometry.name), most=12)
    lines.append(f"properties: {properties or 'none'}")
    if "class" in frame.columns:
        values = Counter(map(str, frame["class"])).most_common(20)
        lines.append(f"property `class`: {', '.join(f'{value} ({many})' for value, many in values)}")
    else:
        lines.append("no property `class`: all features are of one class: name the file in a column labels:<class>")
    return lines
