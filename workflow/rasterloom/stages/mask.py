"""Masks: what fraction of each pixel of a grid is covered by the labels of a target."""

from collections.abc import Iterator
from typing import Any

from rasterloom.labels.record import label_item, read_labels
from rasterloom.polygons.coverage import coverage_strips
from rasterloom.project.project import Project
from rasterloom.raster.planes import write_plane
from rasterloom.registration.record import scene_grid
from rasterloom.store.digest import BLOCK_ROWS
from rasterloom.store.job import Job, Wanted
from rasterloom.store.store import Writing

OUTPUT = "masks/{scale}/{target}/{scene}.json"
HELP = "rasterise a target's labels: the covered fraction of each pixel"
VERSION = 1
NAMES = "scene"
KEYS = {"scale": "scales.{scale}"}


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per scale, target and labelled scene that a member trains with."""
    found = {
        (member.scale["name"], target, scene)
        for member in project.recipe.members.values()
        for target in member.targets
        for scene in project.labelled(project.recipe.group_of(member.name))
    }
    return ({"scale": scale, "target": target, "scene": scene} for scale, target, scene in sorted(found))


def spec(project: Project, scale: str, target: str, scene: str) -> dict[str, Any]:
    """The scale, and the classes of the target."""
    classes = list(project.config.classes_of(target))
    return {"scene": scene, "scale": project.scale(scale), "target": target, "classes": classes}


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: the registration of the scene and the labels of each class of the target."""
    return [f"registration/{spec['scene']}.json", *(f"labels/{name}.json" for name in spec["classes"])]


def run(job: Job) -> None:
    """Rasterise the labels of a target's classes on one scene and scale."""

    def make(want: Wanted, work: Writing) -> None:
        labels, grid = want.work
        polygons = [polygon for label in labels.values() for polygon in read_labels(job.store.open_path(label))]
        strips = coverage_strips(polygons, grid.shape, grid.matrix, rows=BLOCK_ROWS)
        work.digest = write_plane(work.path, "coverage", grid.shape, strips)

    job.finish(job.obtain(wanted(job), ".zarr.zip", make))


def wanted(job: Job) -> Iterator[Wanted]:
    """The mask of the job's target, scene and scale."""
    scene, spec = job.spec["scene"], job.spec
    grid = scene_grid(job, scene, spec["scale"])
    labels = {name: label_item(job, name, scene) for name in spec["classes"]}
    shape = {"shape": list(grid.shape), "matrix": grid.matrix}
    digests = sorted(item.digest for item in labels.values())
    recipe = {"scale": {key: value for key, value in spec["scale"].items() if key != "name"}}
    inputs = {"grid": shape, "labels": digests}
    yield Wanted(scene, job.key(shape, digests), recipe, inputs, (labels, grid))
