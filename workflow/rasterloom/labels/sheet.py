"""Labels that a sheet names: vector files and raster masks, one per scene."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from rasterloom.errors import LabelError
from rasterloom.labels.files import RASTERS, Mask, chosen, class_text, placed, read_mask, read_vector
from rasterloom.labels.geometry import (
    Buffer,
    Counts,
    Label,
    Polygons,
    clip,
    mask_polygons,
    polygon_parts,
    polygons_digest,
)
from rasterloom.labels.wkt_tables import is_table
from rasterloom.polygons.geometry import transformed
from rasterloom.raster.files import RasterInfo, raster_info
from rasterloom.raster.georeference import ground_matrix
from rasterloom.raster.grid import IDENTITY, compose
from rasterloom.registration.motions import translation
from rasterloom.store.digest import array_digest
from rasterloom.store.job import Job

Shift = tuple[float, float]

WHOLE = 0.999
"""Share of a scene from which a mask shows all of it."""


# Files of a sheet --------------------------------------------------------------------------------------


def sheet_labels(
    job: Job, vector: Callable[[Path], Any] | None = None, shifts: Mapping[str, Shift] | None = None
) -> Iterable[Label]:
    """The labels of every scene of a job, from the files that the sheet names.

    `vector` reads a vector file; `shifts` are those of labels against their image, reference pixels, which are undone.
    """
    # A file may serve many scenes (a city's buildings): kept until another one is read.
    vector = vector or lru_cache(maxsize=1)(read_vector)
    for scene in sorted(job.spec["scenes"], key=lambda scene: (job.sources["labels"][scene]["path"], scene)):
        path, class_name = Path(job.sources["labels"][scene]["path"]), job.spec["class"]
        job.reading(job.sources["labels"][scene].get("size", 0))
        reference = raster_info(job.sources["reference"][scene]["path"])
        where, shift = f"{path} (scene {scene}, class {class_name})", (shifts or {}).get(scene)
        if path.suffix.lower() in RASTERS:
            yield _mask_label(job, scene, reference, where, shift)
        else:
            yield _vector_label(job, scene, vector(path), reference, where, shift)


def _mask_label(job: Job, scene: str, reference: RasterInfo, where: str, shift: Shift | None) -> Label:
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
        **({} if shift is None else {"shift": shift}),
    }
    return Label(scene, decided, partial(_read_mask, mask, reference, where, shift or (0.0, 0.0)), facts)


def _vector_label(job: Job, scene: str, frame: Any, reference: RasterInfo, where: str, shift: Shift | None) -> Label:
    if shift is not None:  # seen from an image that is shifted, they are where they should be
        reference = replace(reference, transform=compose(reference.transform or IDENTITY, translation(shift)))
    path = Path(job.sources["labels"][scene]["path"])
    picked, unknown = chosen(frame, None if scene in job.spec["whole"] else job.spec, scene, where)
    thin = set(picked.geom_type.dropna()) - {"Polygon", "MultiPolygon"}  # only these need a length on the ground
    buffer = Buffer.of(job.spec, partial(ground_matrix, reference), where) if thin else Buffer(job.spec["class"])
    features = placed(picked, reference, where, is_table(path), buffer)
    own = not _shared(job, scene) or "scene" in frame.columns
    noted = {"shared": not own, "unknown": unknown, "empty": features.empty, "third-coordinate": features.heights}
    facts: dict[str, Any] = {name: value for name, value in noted.items() if value}
    nothing = f"none of its {len(picked)} features lies in the scene" if features.outside else ""
    if len(frame) and "scene" in frame.columns and scene not in {*frame["scene"].map(class_text)}:
        nothing = "no feature names the scene in its property `scene`"
    if nothing and not features.geometries:
        facts |= {"nowhere": True} if shift is not None else _nothing_there(job, scene, f"{where}: {nothing}")
    elif features.outside and own:
        facts["elsewhere"] = features.outside
    decided = {
        "polygons": polygons_digest(scene, job.spec["class"], features.geometries),
        "size": [reference.width, reference.height],
        "facts": facts,
        **buffer.decided(any(g.geom_type in thin for g in features.geometries)),
    }
    return Label(scene, decided, partial(_read_vector, features.geometries, reference, where, buffer), facts)


def _shared(job: Job, scene: str) -> bool:
    """Whether other scenes have the same file of labels; a job that looks at one scene alone cannot know."""
    files = [file["path"] for file in job.sources["labels"].values()]
    return job.spec.get("alone") or files.count(job.sources["labels"][scene]["path"]) > 1


def _nothing_there(job: Job, scene: str, found: str) -> dict[str, Any]:
    """A file of many scenes (a city's buildings) may have nothing in one of them; one of a single scene is astray."""
    if not _shared(job, scene):
        raise LabelError(
            f"{found}, and no other scene uses the file: give the scene's own file, correct the coordinate system "
            "that the file names, or give an empty file where nothing is to be found"
        )
    job.log(found)
    return {"nowhere": True}


def _read_mask(mask: Mask, reference: RasterInfo, where: str, shift: Shift) -> tuple[Polygons, Counts]:
    outlines = mask.placement.place(mask_polygons(mask.positive), mask.positive.shape, where)
    outlines = list(transformed(outlines, translation((-shift[0], -shift[1])))) if any(shift) else outlines
    # An outline that was bent may touch itself.
    polygons = outlines if mask.placement.systems is None else polygon_parts(outlines, where)[0]
    clipped, counts = clip(polygons, reference.width, reference.height)
    return clipped, Counts({name: n for name, n in counts.items() if name == "clipped"})


def _read_vector(geometries: list[Any], reference: RasterInfo, where: str, buffer: Buffer) -> tuple[Polygons, Counts]:
    polygons, counts = polygon_parts(geometries, where, buffer)
    clipped, cut = clip(polygons, reference.width, reference.height)
    return clipped, counts + cut
