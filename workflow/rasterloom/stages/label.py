"""Labels as they were given (WKT tables, vector files, raster masks) become polygons in reference pixels.

One job a class, one artifact a scene. Spec (besides ``stage`` and ``version``), by its functions `spec` and `sources`:

- ``class``, ``id``: name and number of the class; ``scenes``: ids of the scenes in which it was labelled;
- ``buffer``: how wide points and lines are, if the configuration says so;
- ``layout``: ``dstl`` or ``sheet``; for ``sheet`` also ``whole``: the scenes whose file holds this class
  alone, and ``classes``: number of every class, to tell another class from a misspelt one;
- ``acquisitions``, where labels are registered: those of the scenes, whose placements say how far labels are moved.

Sources, files as `SourceFile.to_json` gives them:

- ``reference``: by scene, the (first) file of the reference sensor, whose size and georeference count;
- layout ``dstl``: ``tables``: the tables of labels, ``grid``: the table of grid sizes;
- layout ``sheet``: ``labels``: by scene, a vector file or a raster mask.
"""

from collections.abc import Iterator
from typing import Any

from rasterloom.grouping import grouped
from rasterloom.labels.contest import dstl_labels
from rasterloom.labels.geometry import write_polygons
from rasterloom.labels.record import label_shifts
from rasterloom.labels.sheet import sheet_labels
from rasterloom.project.project import Project
from rasterloom.store.job import Job, Wanted, placement_manifests
from rasterloom.store.store import Writing

OUTPUT = "labels/{class}.json"
HELP = "read the labels of a class into reference pixels"
VERSION = 2
NAMES = "scenes"

KEYS = {"buffer": "classes.{class}.buffer"}

OWN_FOLDER = True
"""The artifacts are linked in a folder that is named after the manifest, not beside it."""


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per class."""
    return ({"class": name} for name in project.recipe.classes)


def spec(project: Project, **names: str) -> dict[str, Any]:
    """See the docstring of this module."""
    dataset, scenes = project.dataset, project.dataset.labelled(names["class"])
    found = {**dataset.label_spec(names["class"], scenes), "layout": dataset.layout}
    if dataset.label_shift is not None:
        found["acquisitions"] = grouped((scene.acquisition or scene.id, scene.id) for scene in scenes)
    return found


def sources(project: Project, **names: str) -> dict[str, Any]:
    """See the docstring of this module."""
    dataset, scenes = project.dataset, project.dataset.labelled(names["class"])
    found: dict[str, Any] = {"reference": {s.id: s.sensors[dataset.reference][0].to_json() for s in scenes}}
    if dataset.layout == "dstl":
        held_out = any(scene.truth for scene in scenes)
        tables = ["train_wkt", *(["truth"] if held_out else [])]
        found["tables"] = [dataset.tables[name].to_json() for name in tables]
        found["grid"] = dataset.tables["grid_sizes"].to_json()
    else:
        found["labels"] = {scene.id: scene.labels[names["class"]].file.to_json() for scene in scenes}
    return found


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests that the stage reads: placements where labels are registered; else source files alone are read."""
    return placement_manifests(spec) if "acquisitions" in spec else []


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
    for label in dstl_labels(job) if job.spec["layout"] == "dstl" else sheet_labels(job, shifts=label_shifts(job)):
        recipe = {"scene": label.scene, "class": job.spec["class"]}
        if "disc" in label.inputs:
            recipe["buffer"] = job.spec["buffer"]
        yield Wanted(label.scene, job.key(recipe, label.inputs), recipe, label.inputs, label)
