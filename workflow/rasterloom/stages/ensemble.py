"""Ensembles: the mean of a class's members on the finest grid among them, where the reference is valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rasterloom.errors import StoreError
from rasterloom.project.project import Project
from rasterloom.raster.means import Plane, finest, mean_strips, plane_shape
from rasterloom.raster.planes import open_plane, write_plane
from rasterloom.raster.stacks import open_stack
from rasterloom.store.job import Job, Wanted, scene_manifests
from rasterloom.store.store import Writing

OUTPUT = "ensembles/{class}/{batch}.json"
HELP = "average the predictions of a class's members"
VERSION = 2


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per class and batch of scenes."""
    return ({"class": name, "batch": batch} for name in project.recipe.classes for batch in project.batches)


def spec(project: Project, **names: str) -> dict[str, Any]:
    """The members of the class, and the scenes of the batch."""
    members = [project.recipe.members[name] for name in project.recipe.classes[names["class"]].members]
    return {
        "class": names["class"],
        "members": [{"name": member.name, "scale": member.scale} for member in members],
        "reference": project.reference,
        "batch": names["batch"],
        "scenes": project.batches[names["batch"]],
    }


def names(spec: Mapping[str, Any]) -> list[str]:
    """One artifact per scene."""
    return list(spec["scenes"])


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests read: the predictions of every member for the batch, and the stacks that they were made from."""
    scales = dict.fromkeys(member["scale"]["name"] for member in spec["members"])
    return [
        *(f"predictions/{member['name']}/{spec['batch']}.json" for member in spec["members"]),
        *(path for scale in scales for path in scene_manifests(f"stacks/{scale}", spec["scenes"])),
    ]


def run(job: Job) -> None:
    """Average the members' predictions of each scene of a batch."""

    def make(want: Wanted, work: Writing) -> None:
        paths = [(job.store.open_path(prediction), job.store.open_path(stack)) for prediction, stack in want.work]
        work.digest = _write(work.path, paths, job.spec["reference"])

    job.finish(job.obtain(wanted(job), ".zarr.zip", make, total=len(job.spec["scenes"])))


def wanted(job: Job) -> Iterator[Wanted]:
    """The ensemble of each scene of the batch."""
    spec, scenes = job.spec, list(job.spec["scenes"])
    predictions = {member["name"]: job.items(f"predictions/{member['name']}", scenes) for member in spec["members"]}
    scales = {member["scale"]["name"] for member in spec["members"]}
    stacks = {scale: job.items(f"stacks/{scale}", scenes) for scale in scales}
    for scene in scenes:
        found = [(predictions[m["name"]][scene], stacks[m["scale"]["name"]][scene]) for m in spec["members"]]
        origin = [[prediction.digest, stack.parts[spec["reference"]]] for prediction, stack in found]
        yield Wanted(scene, job.key({}, origin), {}, origin, found)


def _write(path: Path, members: Sequence[tuple[Path, Path]], reference: str) -> str:
    """Write the mean of members, each a prediction and its stack, and give its digest."""
    with ExitStack() as opened:
        files = {stack: opened.enter_context(open_stack(stack)) for _, stack in members}
        valid = [Plane(files[stack].valid, files[stack].sensors.index(reference)) for _, stack in members]
        arrays = [opened.enter_context(open_plane(member, "probability")) for member, _ in members]
        for (member, stack), array, plane in zip(members, arrays, valid, strict=True):
            if plane_shape(array) != plane.shape:
                raise StoreError(
                    f"the prediction {member} has shape {plane_shape(array)}, its stack {stack} {plane.shape}: they "
                    "belong to different runs; run the workflow again"
                )
        shape = finest([plane_shape(array) for array in arrays])
        return write_plane(path, "probability", shape, mean_strips(arrays, shape, valid))
