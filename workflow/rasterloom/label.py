"""Labels as they were given (WKT tables, vector files, raster masks) become polygons in reference pixels.

One job a class, one artifact a scene. Spec (besides ``stage`` and ``version``), as `label_job` makes it:

- ``class``, ``id``: name and number of the class; ``scenes``: ids of the scenes in which it was labelled;
- ``layout``: ``dstl`` or ``sheet``; for ``sheet`` also ``whole``: the scenes whose file holds this class
  alone, and ``classes``: number of every class, to tell another class from a misspelt one.

Sources, files as `SourceFile.to_json` gives them:

- ``reference``: by scene, the (first) file of the reference sensor, whose size and georeference count;
- layout ``dstl``: ``tables``: the tables of labels, ``grid``: the table of grid sizes;
- layout ``sheet``: ``labels``: by scene, a vector file or a raster mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.dataset.archive import open_stream
from rasterloom.dataset.dstl import WktRow, grid_sizes, table_bytes, wkt_rows
from rasterloom.dataset.index import Dataset
from rasterloom.digest import array_digest, digest
from rasterloom.errors import InputError, LabelError, MissingInputError
from rasterloom.grid import Matrix
from rasterloom.job import Job, Wanted
from rasterloom.label_files import (
    RASTERS,
    Reference,
    chosen,
    placed,
    read_mask,
    read_reference,
    read_vector,
    transformed,
)
from rasterloom.store import Writing

VERSION = 1

Polygons = list[Any]
"""Valid shapely polygons, each a single part with an area."""

POLYGON, MULTIPOLYGON = 3, 6
"""Type numbers of shapely."""

LEAST_AREA = 1e-6
"""Square pixels; what is smaller is left over from mending or clipping, not an object."""


def label_job(dataset: Dataset, config: Mapping[str, Any], class_name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Spec and sources of the job that reads the labels of a class.

    Parameters
    ----------
    dataset : Dataset
    config : mapping
        The section ``dataset`` of the configuration; nothing of it is needed now.
    class_name : str

    Returns
    -------
    (spec, sources)
        As the docstring of this module lays them out; `spec` lacks ``stage`` and ``version``.
    """
    scenes = [s for s in dataset.scenes.values() if class_name in s.labelled and s.role != "other"]
    spec: dict[str, Any] = {
        "class": class_name,
        "id": dataset.classes[class_name],
        "scenes": [scene.id for scene in scenes],
        "layout": dataset.layout,
    }
    sources: dict[str, Any] = {"reference": {s.id: s.sensors[dataset.reference][0].to_json() for s in scenes}}
    if dataset.layout == "dstl":
        held_out = any(scene.truth for scene in scenes)
        names = ["train_wkt", *(["truth"] if held_out else [])]
        sources["tables"] = [dataset.tables[name].to_json() for name in names]
        sources["grid"] = dataset.tables["grid_sizes"].to_json()
    else:
        spec["whole"] = [scene.id for scene in scenes if scene.labels[class_name].whole]
        spec["classes"] = {} if len(spec["whole"]) == len(scenes) else dataset.classes
        sources["labels"] = {scene.id: scene.labels[class_name].file.to_json() for scene in scenes}
    return spec, sources


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests that the stage reads: none, labels come from source files alone."""
    return []


def run(job: Job) -> None:
    """Read the labels of a class in every scene that has them, one GeoParquet item a scene."""

    def make(want: Wanted, work: Writing) -> None:
        polygons = want.work()
        work.digest = write_polygons(work.path, want.name, job.spec["class"], polygons)
        work.cost["polygons"] = len(polygons)

    job.finish(job.obtain(wanted(job), ".parquet", make, total=len(job.spec["scenes"])))


def wanted(job: Job) -> Iterator[Wanted]:
    """The labels of each scene; the source's tables or files are read for their keys."""
    for label in _dstl_labels(job) if job.spec["layout"] == "dstl" else _sheet_labels(job):
        recipe = {"scene": label.scene, "class": job.spec["class"]}
        yield Wanted(label.scene, job.key(recipe, label.inputs), recipe, label.inputs, label.polygons)


@dataclass(frozen=True)
class Label:
    """The labels of a scene, not yet worked on.

    Attributes
    ----------
    scene : str
    inputs : dict
        What decides the polygons: enters the key.
    polygons : callable
        Gives the polygons, in reference pixel coordinates, clipped to the scene.
    """

    scene: str
    inputs: dict[str, Any]
    polygons: Callable[[], Polygons]


# Geometry, pure ----------------------------------------------------------------------------------------


def dstl_matrix(xmax: float, ymin: float, width: int, height: int) -> Matrix:
    """The matrix from the contest's grid units to reference pixels.

    It says x_px = x / Xmax * W * W / (W + 1) and y_px = y / Ymin * H * H / (H + 1), Ymin being negative.

    Examples
    --------
    >>> dstl_matrix(0.5, -0.25, 4, 1)
    [[6.4, 0.0, 0.0], [0.0, -2.0, 0.0]]
    """
    return [[width * width / (width + 1) / xmax, 0.0, 0.0], [0.0, height * height / (height + 1) / ymin, 0.0]]


def polygon_parts(geometries: Iterable[Any], where: str) -> Polygons:
    """Valid single polygons of geometries, in their order.

    Invalid ones are mended: a ring that crosses itself keeps all it encloses, and what has no area goes.

    Parameters
    ----------
    geometries : iterable of shapely geometry or None
        Polygons, multipolygons or collections of these; None, empty ones and third coordinates are left out.
    where : str
        Words for messages: file, scene, class.

    Returns
    -------
    list of valid polygons, each with an area

    Raises
    ------
    LabelError
        For points and lines, and for coordinates that are not numbers.
    """
    import shapely

    found = np.array([g for g in geometries if g is not None], dtype=object)
    if found.size == 0:
        return []
    parts = shapely.get_parts(shapely.get_parts(shapely.force_2d(found)))
    parts = parts[~shapely.is_empty(parts)]
    wrong = np.flatnonzero(~np.isin(shapely.get_type_id(parts), [POLYGON, MULTIPOLYGON]))
    if wrong.size:
        raise LabelError(
            f"{where}: it holds a {parts[wrong[0]].geom_type}, polygons or multipolygons are needed: "
            "buffer lines and points to the width of the objects, or remove them"
        )
    parts = shapely.get_parts(parts)
    if not np.isfinite(shapely.get_coordinates(parts)).all():
        raise LabelError(f"{where}: a polygon has coordinates that are not numbers: mend the file")
    broken = ~shapely.is_valid(parts)
    if broken.any():
        parts[broken] = shapely.make_valid(parts[broken], method="structure", keep_collapsed=False)
    return _areal(parts)


def _areal(geometries: NDArray[Any]) -> Polygons:
    """The polygons, in order, among the parts of geometries."""
    import shapely

    parts = shapely.get_parts(shapely.get_parts(geometries))
    keep = (shapely.get_type_id(parts) == POLYGON) & (shapely.area(parts) > LEAST_AREA)
    return list(parts[keep])


def clip(polygons: Sequence[Any], width: int, height: int) -> Polygons:
    """Polygons, in reference pixel coordinates, cut at the edges of a scene of `width` x `height` pixels."""
    import shapely

    if not polygons:
        return []
    array = np.array(polygons, dtype=object)
    bounds = shapely.bounds(array)
    inside = (bounds[:, :2] >= 0).all(axis=1) & (bounds[:, 2:] <= [width, height]).all(axis=1)
    array[~inside] = shapely.intersection(array[~inside], shapely.box(0, 0, width, height))
    return _areal(array)


def mask_polygons(mask: NDArray[np.bool_]) -> Polygons:
    """Outlines, along pixel edges, of the positive pixels of a mask.

    Parameters
    ----------
    mask : (H, W) bool array

    Returns
    -------
    list of polygons
        In the mask's pixel coordinates; pixels that touch at a corner alone are in different polygons. Their
        area is exactly the number of positive pixels.

    Notes
    -----
    Memory: the mask, a copy of one byte a pixel, and the outlines.
    """
    import shapely
    from rasterio.features import shapes
    from shapely.geometry import shape

    if not mask.any():
        return []
    outlines = shapes(mask.astype(np.uint8), mask=mask, connectivity=4)
    polygons = np.array([shape(geometry) for geometry, _ in outlines], dtype=object)
    broken = ~shapely.is_valid(polygons)
    if broken.any():
        polygons[broken] = shapely.make_valid(polygons[broken], method="structure", keep_collapsed=False)
    return _areal(polygons)


def polygons_digest(scene: str, class_name: str, polygons: Sequence[Any]) -> str:
    """Digest of a table of polygons: of scene, class and every vertex, in order."""
    import shapely

    array = np.array(polygons, dtype=object)
    data = b"".join(shapely.to_wkb(array, byte_order=1, output_dimension=2)) if len(array) else b""
    return digest([scene, class_name, len(polygons), digest(data)])


def write_polygons(path: Path, scene: str, class_name: str, polygons: Sequence[Any]) -> str:
    """Write polygons as GeoParquet (scene, class, geometry; a row a polygon, no CRS); gives their digest."""
    import geopandas

    frame = geopandas.GeoDataFrame(
        {"scene": [scene] * len(polygons), "class": [class_name] * len(polygons)},
        geometry=geopandas.GeoSeries(list(polygons), crs=None),
    )
    frame[["scene", "class"]] = frame[["scene", "class"]].astype("str")
    frame.to_parquet(path, index=False, compression="zstd")
    return polygons_digest(scene, class_name, polygons)


# The contest's tables ----------------------------------------------------------------------------------


def _dstl_labels(job: Job) -> Iterable[Label]:
    """The labels of every scene of a job, from the contest's tables."""
    wanted = set(job.spec["scenes"])
    sizes = grid_sizes(Path(job.sources["grid"]["path"]))
    texts: dict[str, list[tuple[WktRow, Path, bytes]]] = {scene: [] for scene in job.spec["scenes"]}
    for table in job.sources["tables"]:
        path = Path(table["path"])
        with table_bytes(path) as data:
            for row in wkt_rows(path, data):
                if row.class_id == job.spec["id"] and row.scene in wanted:
                    texts[row.scene].append((row, path, bytes(data[row.start : row.end]).strip()))
    for scene, rows in texts.items():
        if scene not in sizes:
            raise InputError(f"{job.sources['grid']['path']}: no row for scene {scene}; get the file again")
        width, height = tiff_size(Path(job.sources["reference"][scene]["path"]))
        grid = sizes[scene]
        decided = {"wkt": [digest(text) for _, _, text in rows], "size": [width, height], "grid": list(grid)}
        yield Label(scene, decided, _dstl_reader(job.spec["class"], rows, grid, width, height))


def _dstl_reader(
    class_name: str,
    rows: list[tuple[WktRow, Path, bytes]],
    grid: tuple[float, float],
    width: int,
    height: int,
) -> Callable[[], Polygons]:
    def read() -> Polygons:
        found: Polygons = []
        matrix = dstl_matrix(*grid, width, height)
        for row, path, text in rows:
            where = f"{path}, row {row.line} (scene {row.scene}, class {class_name})"
            geometry = parse_wkt(text.decode("utf-8", "replace"), where)
            polygons = polygon_parts(transformed([geometry], matrix), where)
            clipped = clip(polygons, width, height)
            if polygons and not clipped:
                raise LabelError(
                    f"{where}: none of its {len(polygons)} polygons lies in the scene: x runs from 0 to Xmax "
                    f"and y from 0 down to Ymin, here {grid[0]} and {grid[1]} (grid_sizes.csv); correct the "
                    "coordinates"
                )
            found += clipped
        return found

    return read


def parse_wkt(text: str, where: str) -> Any:
    """The geometry of a WKT text.

    Raises
    ------
    LabelError
        If it is not WKT; shows `where` and its first characters.
    """
    import shapely

    try:
        return shapely.from_wkt(text)
    except shapely.errors.GEOSException as error:
        raise LabelError(
            f"{where}: {text[:60]!r} is not a WKT geometry ({str(error).strip()[:120]}); it must read like "
            "MULTIPOLYGON (((x y, x y, ...))) or MULTIPOLYGON EMPTY: mend the row, or get the file again"
        ) from None


def tiff_size(path: Path) -> tuple[int, int]:
    """Width and height of a TIFF, from its header alone.

    Raises
    ------
    MissingInputError
        If the file is not there.
    InputError
        If it is not a TIFF.
    """
    import tifffile

    try:
        with open_stream(path) as stream, tifffile.TiffFile(stream) as file:
            page = file.pages[0]
            return int(page.shape[page.axes.index("X")]), int(page.shape[page.axes.index("Y")])
    except FileNotFoundError:
        raise MissingInputError(f"{path} is not there any more: put it back and run again") from None
    except (tifffile.TiffFileError, ValueError, IndexError, OSError) as error:
        raise InputError(f"{path} cannot be read as a TIFF ({error}): unpack it again") from None


# Files of a sheet --------------------------------------------------------------------------------------


def _sheet_labels(job: Job) -> Iterable[Label]:
    """The labels of every scene of a job, from the files that the sheet names."""
    # A file may serve many scenes (a city's buildings): kept until another one is read.
    vector = lru_cache(maxsize=1)(read_vector)
    order = sorted(job.spec["scenes"], key=lambda scene: (job.sources["labels"][scene]["path"], scene))
    whole = set(job.spec["whole"])
    for scene in order:
        file = job.sources["labels"][scene]
        path, class_name = Path(file["path"]), job.spec["class"]
        reference = read_reference(Path(job.sources["reference"][scene]["path"]))
        where = f"{path} (scene {scene}, class {class_name})"
        size = [reference.width, reference.height]
        if path.suffix.lower() in RASTERS:
            if scene not in whole:
                raise LabelError(
                    f"{where}: a raster mask shows one class: name it in the sheet's column "
                    f"labels:{class_name}, and leave the column labels to vector files"
                )
            mask, matrix = read_mask(path, file["bands"], reference, where)
            decided = {"mask": array_digest({"mask": mask}), "matrix": matrix, "size": size}
            yield Label(scene, decided, _mask_reader(mask, matrix, reference))
        else:
            frame = chosen(vector(path), None if scene in whole else job.spec, scene, where)
            polygons = placed(frame, reference, where, plain=path.suffix.lower() == ".csv")
            if len(frame) and not polygons:
                _check_shared(job, scene, f"{where}: none of its {len(frame)} features lies in the scene")
            decided = {"polygons": polygons_digest(scene, class_name, polygons), "size": size}
            yield Label(scene, decided, _vector_reader(polygons, reference, where))


def _check_shared(job: Job, scene: str, found: str) -> None:
    """A file of many scenes (a city's buildings) may have nothing in one of them; one of a single scene is astray."""
    files = [file["path"] for file in job.sources["labels"].values()]
    if files.count(job.sources["labels"][scene]["path"]) == 1:
        raise LabelError(
            f"{found}, and no other scene uses the file: give the scene's own file, correct the coordinate system "
            "that the file names, or give an empty file where nothing is to be found"
        )
    job.log(found)


def _mask_reader(mask: NDArray[np.bool_], matrix: Matrix, reference: Reference) -> Callable[[], Polygons]:
    return lambda: clip(transformed(mask_polygons(mask), matrix), reference.width, reference.height)


def _vector_reader(polygons: Polygons, reference: Reference, where: str) -> Callable[[], Polygons]:
    return lambda: clip(polygon_parts(polygons, where), reference.width, reference.height)
