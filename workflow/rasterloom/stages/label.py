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

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rasterloom.dataset.index import Dataset, Scene
from rasterloom.labels.contest import dstl_labels
from rasterloom.labels.geometry import write_polygons
from rasterloom.labels.sheet import sheet_labels
from rasterloom.store.job import Job, Wanted
from rasterloom.store.store import Writing

VERSION = 2


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
    for label in dstl_labels(job) if job.spec["layout"] == "dstl" else sheet_labels(job):
        recipe = {"scene": label.scene, "class": job.spec["class"]}
        yield Wanted(label.scene, job.key(recipe, label.inputs), recipe, label.inputs, label)
