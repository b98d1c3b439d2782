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

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from rasterloom.dataset.archive import open_stream
from rasterloom.dataset.dstl import WktRow, grid_sizes, table_bytes, wkt_rows
from rasterloom.dataset.index import Dataset, Scene
from rasterloom.digest import array_digest, digest
from rasterloom.errors import InputError, LabelError, MissingInputError
from rasterloom.grid import Matrix
from rasterloom.job import Job, Wanted
from rasterloom.label_files import (
    RASTERS,
    Mask,
    Reference,
    chosen,
    placed,
    read_mask,
    read_reference,
    read_vector,
    transformed,
)
from rasterloom.label_polygons import (
    Counts,
    Polygons,
    clip,
    heights,
    mask_polygons,
    parse_wkt,
    polygon_parts,
    polygons_digest,
    split_srid,
    write_polygons,
)
from rasterloom.label_tables import TABLES
from rasterloom.store import Writing

VERSION = 2

WHOLE = 0.999
"""Share of a scene from which a mask shows all of it."""


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
    scenes = _labelled(dataset, class_name)
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


def _labelled(dataset: Dataset, class_name: str) -> list[Scene]:
    return [s for s in dataset.scenes.values() if class_name in s.labelled and s.role != "other"]


def label_file_names(dataset: Dataset, class_name: str) -> dict[str, str]:
    """Name, without its folder, of the file that holds a class's labels, by scene that was labelled for it."""
    if dataset.layout == "dstl":
        files = {s.id: dataset.tables["truth" if s.truth else "train_wkt"] for s in _labelled(dataset, class_name)}
    else:
        files = {s.id: s.labels[class_name].file for s in _labelled(dataset, class_name)}
    return {scene: Path(file.path).name for scene, file in files.items()}


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests that the stage reads: none, labels come from source files alone."""
    return []


def run(job: Job) -> None:
    """Read the labels of a class in every scene that has them, one GeoParquet item a scene."""

    def make(want: Wanted, work: Writing) -> None:
        polygons, counts = want.work.polygons()
        work.digest = write_polygons(work.path, want.name, job.spec["class"], polygons)
        work.cost["polygons"] = len(polygons)
        work.facts = {"polygons": len(polygons), **want.work.facts, **dict(sorted(counts.items()))}

    job.finish(job.obtain(wanted(job), ".parquet", make, total=len(job.spec["scenes"])))


def wanted(job: Job) -> Iterator[Wanted]:
    """The labels of each scene; the source's tables or files are read for their keys."""
    for label in _dstl_labels(job) if job.spec["layout"] == "dstl" else _sheet_labels(job):
        recipe = {"scene": label.scene, "class": job.spec["class"]}
        yield Wanted(label.scene, job.key(recipe, label.inputs), recipe, label.inputs, label)


@dataclass(frozen=True)
class Label:
    """The labels of a scene, not yet worked on.

    Attributes
    ----------
    scene : str
    inputs : dict
        What decides the polygons and the facts: enters the key.
    polygons : callable
        Gives the polygons, in reference pixel coordinates, clipped to the scene, and what was done to them.
    facts : dict
        What was found when the file was read, for the quality table.
    """

    scene: str
    inputs: dict[str, Any]
    polygons: Callable[[], tuple[Polygons, Counts]]
    facts: dict[str, Any] = field(default_factory=dict)


# The contest's tables -------------------------------------------------------------------------------------


def dstl_matrix(xmax: float, ymin: float, width: int, height: int) -> Matrix:
    """The matrix from the contest's grid units to reference pixels.

    It says x_px = x / Xmax * W * W / (W + 1) and y_px = y / Ymin * H * H / (H + 1), Ymin being negative.

    Examples
    --------
    >>> dstl_matrix(0.5, -0.25, 4, 1)
    [[6.4, 0.0, 0.0], [0.0, -2.0, 0.0]]
    """
    return [[width * width / (width + 1) / xmax, 0.0, 0.0], [0.0, height * height / (height + 1) / ymin, 0.0]]


def _dstl_labels(job: Job) -> Iterable[Label]:
    """The labels of every scene of a job, from the contest's tables."""
    sizes = grid_sizes(Path(job.sources["grid"]["path"]))
    texts: dict[str, list[tuple[WktRow, Path, bytes]]] = {scene: [] for scene in job.spec["scenes"]}
    numbers: dict[str, set[int]] = {scene: set() for scene in job.spec["scenes"]}
    for table in job.sources["tables"]:
        path = Path(table["path"])
        with table_bytes(path) as data:
            for row in wkt_rows(path, data):
                if row.scene in texts:
                    numbers[row.scene].add(row.class_id)
                    if row.class_id == job.spec["id"]:
                        texts[row.scene].append((row, path, bytes(data[row.start : row.end])))
    for scene in job.spec["scenes"]:
        rows = texts.pop(scene)
        if scene not in sizes:
            raise InputError(f"{job.sources['grid']['path']}: no row for scene {scene}; get the file again")
        width, height = tiff_size(Path(job.sources["reference"][scene]["path"]))
        grid = sizes[scene]
        facts: dict[str, Any] = {"numbers": sorted(numbers[scene])}
        if len(rows) > 1:
            facts["duplicate-row"] = len(rows)
        decided = {
            "wkt": [digest(text.strip()) for _, _, text in rows],
            "size": [width, height],
            "grid": list(grid),
            "facts": facts,
        }
        yield Label(scene, decided, _dstl_reader(job.spec["class"], rows, grid, width, height), facts)


def _dstl_reader(
    class_name: str,
    rows: list[tuple[WktRow, Path, bytes]],
    grid: tuple[float, float],
    width: int,
    height: int,
) -> Callable[[], tuple[Polygons, Counts]]:
    def read() -> tuple[Polygons, Counts]:
        found: Polygons = []
        counts = Counts()
        matrix = dstl_matrix(*grid, width, height)
        for row, path, text in rows:
            where = f"{path}, row {row.line} (scene {row.scene}, class {class_name})"
            geometry = parse_wkt(_plain(text.decode("utf-8", "replace"), where), where)
            counts["third-coordinate"] += heights([geometry])
            polygons, made = polygon_parts(transformed([geometry], matrix), where)
            clipped, cut = clip(polygons, width, height)
            if polygons and not clipped:
                raise LabelError(
                    f"{where}: none of its {len(polygons)} polygons lies in the scene: x runs from 0 to Xmax "
                    f"and y from 0 down to Ymin, here {grid[0]} and {grid[1]} (grid_sizes.csv); correct the "
                    "coordinates"
                )
            found += clipped
            counts += made + cut
        return found, +counts

    return read


def _plain(text: str, where: str) -> str:
    """A WKT text that names no coordinate system."""
    srid, wkt = split_srid(text)
    if srid:
        raise LabelError(
            f"{where}: SRID {srid} given, but coordinates of the contest's tables are in the units of grid_sizes.csv: "
            "convert them and remove it; for labels with a georeference use `dataset: {layout: sheet}`"
        )
    return wkt


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
    for scene in order:
        path, class_name = Path(job.sources["labels"][scene]["path"]), job.spec["class"]
        reference = read_reference(Path(job.sources["reference"][scene]["path"]))
        where = f"{path} (scene {scene}, class {class_name})"
        if path.suffix.lower() in RASTERS:
            yield _mask_label(job, scene, reference, where)
        else:
            yield _vector_label(job, scene, vector(path), reference, where)


def _mask_label(job: Job, scene: str, reference: Reference, where: str) -> Label:
    if scene not in job.spec["whole"]:
        column = f"labels:{job.spec['class']}"
        raise LabelError(
            f"{where}: a raster mask shows one class: name it in the sheet's column {column}, and leave the column "
            "labels to vector files"
        )
    file = job.sources["labels"][scene]
    mask = read_mask(Path(file["path"]), file["bands"], reference, where)
    share = mask.share(reference, where)
    facts: dict[str, Any] = {}
    if not share > 0:
        facts |= _nothing_there(job, scene, f"{where}: the mask shows another place than the image")
    elif share < WHOLE:
        facts["part"] = round(100 * share, 1)
    decided = {
        "mask": array_digest({"mask": mask.positive}),
        "placement": asdict(mask.placement),
        "size": [reference.width, reference.height],
        "facts": facts,
    }
    return Label(scene, decided, _mask_reader(mask, reference, where), facts)


def _vector_label(job: Job, scene: str, frame: Any, reference: Reference, where: str) -> Label:
    path = Path(job.sources["labels"][scene]["path"])
    picked = chosen(frame, None if scene in job.spec["whole"] else job.spec, scene, where)
    features = placed(picked.frame, reference, where, plain=path.suffix.lower() in TABLES)
    facts: dict[str, Any] = {}
    own = not _shared(job, scene) or "scene" in frame.columns
    if not own:
        facts["shared"] = True
    if picked.unknown:
        facts["unknown"] = picked.unknown
    if features.empty:
        facts["empty"] = features.empty
    if features.heights:
        facts["third-coordinate"] = features.heights
    if features.outside and not features.geometries:
        facts |= _nothing_there(job, scene, f"{where}: none of its {len(picked.frame)} features lies in the scene")
    elif features.outside and own:
        facts["elsewhere"] = features.outside
    decided = {
        "polygons": polygons_digest(scene, job.spec["class"], features.geometries),
        "size": [reference.width, reference.height],
        "facts": facts,
    }
    return Label(scene, decided, _vector_reader(features.geometries, reference, where), facts)


def _shared(job: Job, scene: str) -> bool:
    """Whether other scenes have the same file of labels."""
    files = [file["path"] for file in job.sources["labels"].values()]
    return files.count(job.sources["labels"][scene]["path"]) > 1


def _nothing_there(job: Job, scene: str, found: str) -> dict[str, Any]:
    """A file of many scenes (a city's buildings) may have nothing in one of them; one of a single scene is astray."""
    if not _shared(job, scene):
        raise LabelError(
            f"{found}, and no other scene uses the file: give the scene's own file, correct the coordinate system "
            "that the file names, or give an empty file where nothing is to be found"
        )
    job.log(found)
    return {"nowhere": True}


def _mask_reader(mask: Mask, reference: Reference, where: str) -> Callable[[], tuple[Polygons, Counts]]:
    def read() -> tuple[Polygons, Counts]:
        outlines = mask.placement.place(mask_polygons(mask.positive), mask.positive.shape, where)
        # An outline that was bent may touch itself.
        polygons = outlines if mask.placement.systems is None else polygon_parts(outlines, where)[0]
        clipped, counts = clip(polygons, reference.width, reference.height)
        return clipped, Counts({name: n for name, n in counts.items() if name == "clipped"})

    return read


def _vector_reader(geometries: Polygons, reference: Reference, where: str) -> Callable[[], tuple[Polygons, Counts]]:
    def read() -> tuple[Polygons, Counts]:
        polygons, counts = polygon_parts(geometries, where)
        clipped, cut = clip(polygons, reference.width, reference.height)
        return clipped, counts + cut

    return read
