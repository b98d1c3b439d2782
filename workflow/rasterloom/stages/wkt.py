"""Tables of WKT: ImageId, ClassType, MultipolygonWKT, for one class or for all, of every predicted scene."""

from collections.abc import Iterator
from typing import Any

from rasterloom.polygons.record import polygon_items, polygon_manifests
from rasterloom.polygons.wkt import checked_wkt, write_wkt
from rasterloom.project.project import Project
from rasterloom.store.job import Job

OUTPUT = "{file}"
HELP = "write tables of WKT"
VERSION = 1


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job for the table of all classes, and one per class."""
    return ({"file": file} for file in ["wkt.csv", *(f"wkt/{name}.csv" for name in project.recipe.classes)])


def spec(project: Project, file: str) -> dict[str, Any]:
    """The file, and the polygons of its classes."""
    name = file.removeprefix("wkt/").removesuffix(".csv")
    return {"file": file, **project.polygon_tables(project.recipe.classes if file == "wkt.csv" else [name])}


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: the polygons of every class and batch."""
    return polygon_manifests(spec)


def run(job: Job) -> None:
    """Write the table: scenes in their order, classes by number."""
    write_wkt(job.output, _rows(job))


def _rows(job: Job) -> Iterator[tuple[str, int, str]]:
    scenes = list(job.spec["scenes"])
    items = polygon_items(job, scenes)
    classes = sorted(job.spec["classes"].items(), key=lambda entry: (entry[1], entry[0]))
    for scene in job.each(scenes):
        for name, identifier in classes:
            yield scene, identifier, checked_wkt(job.store.open_path(items[name][scene]), scene, name)
