"""Looking at the labels of every class, scene by scene, read as the stage `label` reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.dataset import Dataset, Scene, SourceFile
from rasterloom.dataset.contest_tables import WktRow, grid_sizes, table_bytes, wkt_rows
from rasterloom.errors import RasterloomError
from rasterloom.labels.files import (
    RASTERS,
    chosen,
    placed,
    read_mask,
    read_vector,
)
from rasterloom.labels.geometry import Polygons, clip, mask_polygons, parse_wkt, polygon_parts
from rasterloom.labels.wkt_tables import TABLES
from rasterloom.polygons.geometry import transformed
from rasterloom.raster.contest_grid import dstl_matrix
from rasterloom.raster.files import RasterInfo, open_raster, raster_info
from rasterloom.tools.inspect.oddities import Oddity
from rasterloom.tools.inspect.survey import Progress


@dataclass(frozen=True)
class Labels:
    """Labels of one class in one scene.

    Attributes
    ----------
    areas : (n,) float64 array
        Area of each object in reference pixels; of a mask, a region of pixels that touch along an edge.
    invalid : int
        Polygons that cross themselves or the like: they are mended.
    outside : int
        Polygons that no part of the scene has.
    pixels : int
        Of the reference image.
    """

    areas: NDArray[np.float64]
    invalid: int
    outside: int
    pixels: int


@dataclass
class LabelSurvey:
    """Labels by class and scene, and what is odd about them."""

    classes: dict[str, dict[str, Labels]] = field(default_factory=lambda: defaultdict(dict))
    oddities: list[Oddity] = field(default_factory=list)


def survey_labels(dataset: Dataset, progress: Progress) -> LabelSurvey:
    """Look at all labels, held-out truth with them.

    Notes
    -----
    Memory: a mask, or the polygons of a file, at a time.
    """
    found = LabelSurvey()
    if dataset.layout == "dstl":
        _dstl(dataset, found, progress)
        return found
    vector = lru_cache(maxsize=2)(read_vector)
    jobs = [(scene, name) for scene in dataset.scenes.values() for name in scene.labelled]
    jobs.sort(key=lambda job: (job[0].labels[job[1]].file.path, job[0].id))
    shared = _uses(dataset)
    for done, (scene, name) in enumerate(jobs, 1):
        try:
            _sheet(dataset, scene, name, found, vector, shared)
        except RasterloomError as error:
            found.oddities.append(Oddity("labels that cannot be used as they are", str(error), stops=True))
        progress(done, len(jobs), f"{scene.id}, labels of {name}")
    return found


def _uses(dataset: Dataset) -> dict[str, int]:
    """How many scenes use each file of labels."""
    counts: dict[str, int] = defaultdict(int)
    for scene in dataset.scenes.values():
        for path in {labels.file.path for labels in scene.labels.values()}:
            counts[path] += 1
    return counts


def measured(geometries: Sequence[Any], where: str, width: int, height: int) -> Labels:
    """Areas and faults of polygons in reference pixel coordinates; LabelError as `polygon_parts`."""
    import shapely

    array = np.array([g for g in geometries if g is not None and not g.is_empty], dtype=object)
    parts = shapely.get_parts(shapely.get_parts(array)) if array.size else array
    invalid = int((~shapely.is_valid(parts)).sum()) if parts.size else 0
    bounds = shapely.bounds(parts).reshape(-1, 4)
    beyond = (bounds[:, 2:] <= 0).any(axis=1) | (bounds[:, :2] >= [width, height]).any(axis=1)
    kept = _in_scene(geometries, where, width, height)
    areas = shapely.area(np.array(kept, dtype=object)) if kept else np.zeros(0)
    return Labels(np.asarray(areas, dtype=np.float64), invalid, int(beyond.sum()), width * height)


# The readers of the stage `label` --------------------------------------------------------------------------


def _in_scene(geometries: Sequence[Any], where: str, width: int, height: int) -> Polygons:
    """Valid single polygons, cut at the scene's edges."""
    polygons, _ = polygon_parts(geometries, where)
    return clip(polygons, width, height)[0]


def _of_mask(file: SourceFile, reference: RasterInfo, where: str) -> tuple[NDArray[np.bool_], Polygons]:
    """A mask's positive pixels, and their outlines in reference pixel coordinates."""
    mask = read_mask(Path(file.path), file.to_json()["bands"], reference, where)
    outlines = mask_polygons(mask.positive)
    return mask.positive, mask.placement.place(outlines, mask.positive.shape, where)


def _of_features(
    frame: Any, spec: Mapping[str, Any] | None, scene: str, reference: RasterInfo, where: str, plain: bool
) -> tuple[int, list[Any]]:
    """How many features are of a class, and the geometries of those that meet the scene, in reference pixels."""
    features, _ = chosen(frame, spec, scene, where)
    return len(features), placed(features, reference, where, plain=plain).geometries


# Files of a sheet -----------------------------------------------------------------------------------------


def _sheet(
    dataset: Dataset, scene: Scene, name: str, found: LabelSurvey, vector: Any, shared: Mapping[str, int]
) -> None:
    """Read a class's labels of a scene from the file that a sheet names."""
    labels = scene.labels[name]
    path = Path(labels.file.path)
    where = f"{path} (scene {scene.id}, class {name})"
    reference = raster_info(scene.sensors[dataset.reference][0].path)
    elsewhere = 0
    if path.suffix.lower() in RASTERS:
        mask, polygons = _of_mask(labels.file, reference, where)
        _odd_mask(path, mask, scene.id, name, found)
    else:
        frame = vector(path)
        spec = None if labels.whole else {"class": name, "classes": dataset.classes}
        count, polygons = _of_features(frame, spec, scene.id, reference, where, path.suffix.lower() in TABLES)
        alone = shared[str(path)] == 1
        if count and not polygons and alone:
            what = "labels of one scene, and none of them lies in it (another place, or a wrong coordinate system)"
            found.oddities.append(Oddity(what, where, stops=True))
            return
        elsewhere = count - len(polygons) if alone else 0
        if not labels.whole:
            _odd_values(frame, dataset, path, found)
    facts = measured(polygons, where, reference.width, reference.height)
    found.classes[name][scene.id] = replace(facts, outside=facts.outside + elsewhere)


def _odd_mask(path: Path, mask: NDArray[np.bool_], scene: str, name: str, found: LabelSurvey) -> None:
    """A mask of several numbers, or one that covers everything, may not mean what it is taken for."""
    with open_raster(path) as raster:
        numbers: set[float] = set()
        for start in range(0, raster.info.height, 256):
            block = raster.read(start, min(start + 256, raster.info.height))
            numbers |= {float(number) for number in np.unique(block)[:50]}
    if len(numbers) > 2:
        shown = ", ".join(f"{number:g}" for number in sorted(numbers)[:6])
        what = f"a mask of class {name} holds several numbers: all but 0 and no-data count as the class"
        found.oddities.append(Oddity(what, f"{path.name} ({shown}{', ...' if len(numbers) > 6 else ''})"))
    elif mask.all():
        found.oddities.append(Oddity(f"a mask of class {name} covers the whole scene: are 0 and 1 swapped?", scene))


def _odd_values(frame: Any, dataset: Dataset, path: Path, found: LabelSurvey) -> None:
    """Values of the property ``class`` that are no class here."""
    if "class" not in frame.columns:
        return
    known = {*dataset.classes, *map(str, dataset.classes.values())}
    for value in dict.fromkeys(frame["class"]):
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        if text not in known:
            oddity = Oddity(
                "a value of the property `class` that is no class of the configuration", f"{text} in {path.name}"
            )
            if oddity not in found.oddities:
                found.oddities.append(oddity)


def _dstl(dataset: Dataset, found: LabelSurvey, progress: Progress) -> None:
    """Read every row of the contest's tables of labels."""
    sizes = grid_sizes(Path(dataset.tables["grid_sizes"].path))
    images: dict[str, tuple[int, int]] = {}
    for entry in dataset.scenes.values():
        if entry.labelled and dataset.reference in entry.sensors:
            try:
                info = raster_info(entry.sensors[dataset.reference][0].path)
                images[entry.id] = info.width, info.height
            except RasterloomError as error:
                found.oddities.append(Oddity("labels that cannot be placed", str(error), stops=True))
    for scene in sorted(images.keys() - sizes.keys()):
        found.oddities.append(Oddity("scenes without a row in grid_sizes.csv", scene, stops=True))
    for key in ("train_wkt", "truth"):
        if key not in dataset.tables:
            continue
        path = Path(dataset.tables[key].path)
        with table_bytes(path) as data:
            rows = _rows_of(path, data, dataset, found)
            jobs = [
                (scene, name)
                for scene in sorted({scene for scene, _ in rows} & images.keys() & sizes.keys())
                for name in dataset.scenes[scene].labelled
            ]
            for done, (scene, name) in enumerate(jobs, 1):
                matrix = dstl_matrix(*sizes[scene], *images[scene])
                try:
                    geometries = [
                        parse_wkt(
                            bytes(data[row.start : row.end]).decode("utf-8", "replace"),
                            f"{path}, row {row.line} (scene {scene}, class {name})",
                        )
                        for row in rows.get((scene, name), [])
                    ]
                    where = f"{path} (scene {scene}, class {name})"
                    facts = measured(list(transformed(geometries, matrix)), where, *images[scene])
                except RasterloomError as error:
                    found.oddities.append(Oddity("labels that cannot be used as they are", str(error), stops=True))
                    continue
                found.classes[name][scene] = facts
                progress(done, len(jobs), f"scene {scene}, labels of {name}")


def _rows_of(path: Path, data: Any, dataset: Dataset, found: LabelSurvey) -> dict[tuple[str, str], list[WktRow]]:
    """Rows of a table by scene and class; those of unknown classes are odd."""
    names = {number: name for name, number in dataset.classes.items()}
    rows: dict[tuple[str, str], list[WktRow]] = defaultdict(list)
    unknown = set()
    for row in wkt_rows(path, data):
        if row.class_id in names:
            rows[row.scene, names[row.class_id]].append(row)
        else:
            unknown.add(row.class_id)
    for number in sorted(unknown):
        found.oddities.append(Oddity(f"rows of {path.name} of a class that the configuration has not", str(number)))
    return dict(rows)
