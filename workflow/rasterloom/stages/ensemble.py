"""Ensembles: the mean of a class's members on the finest grid among them, where the reference is valid.

With weights (`ensemble: weighted` or `best`), a member of weight 0 is not read, as if the class did not have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rasterloom.polygons.weights import read_weights, weights_of
from rasterloom.project.project import Project
from rasterloom.raster.means import finest, mean_strips, open_members, plane_shape
from rasterloom.raster.planes import write_plane
from rasterloom.store.job import Job, Wanted, scene_manifests
from rasterloom.store.store import Writing

OUTPUT = "ensembles/{class}/{batch}.json"
HELP = "average the predictions of a class's members"
VERSION = 2


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per class and batch of scenes."""
    return ({"class": name, "batch": batch} for name in project.recipe.classes for batch in project.batches)


def spec(project: Project, **names: str) -> dict[str, Any]:
    """The members of the class and how they count, and the scenes of the batch."""
    return {
        "class": names["class"],
        "ensemble": project.recipe.classes[names["class"]].ensemble,
        "members": project.ensemble_members(names["class"]),
        "reference": project.reference,
        "batch": names["batch"],
        "scenes": project.batches[names["batch"]],
    }


def names(spec: Mapping[str, Any]) -> list[str]:
    """One artifact per scene."""
    return list(spec["scenes"])


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests read: the predictions of every member for the batch, their stacks, and the weights if there are any."""
    scales = dict.fromkeys(member["scale"]["name"] for member in spec["members"])
    return [
        *(f"predictions/{member['name']}/{spec['batch']}.json" for member in spec["members"]),
        *(path for scale in scales for path in scene_manifests(f"stacks/{scale}", spec["scenes"])),
        *([f"weights/{spec['class']}.json"] if spec["ensemble"] != "mean" else []),
    ]


def run(job: Job) -> None:
    """Average the members' predictions of each scene of a batch."""

    def make(want: Wanted, work: Writing) -> None:
        found, weights = want.work
        paths = [(job.store.open_path(prediction), job.store.open_path(stack)) for prediction, stack in found]
        work.digest = _write(work.path, paths, weights, job.spec["reference"])

    job.finish(job.obtain(wanted(job), ".zarr.zip", make, total=len(job.spec["scenes"])))


def wanted(job: Job) -> Iterator[Wanted]:
    """The ensemble of each scene of the batch."""
    spec, scenes = job.spec, list(job.spec["scenes"])
    predictions = {member["name"]: job.items(f"predictions/{member['name']}", scenes) for member in spec["members"]}
    scales = {member["scale"]["name"] for member in spec["members"]}
    stacks = {scale: job.items(f"stacks/{scale}", scenes) for scale in scales}
    weighed = None if spec["ensemble"] == "mean" else read_weights(job, spec["class"])
    for scene in scenes:
        weights = [1.0] * len(spec["members"]) if weighed is None else weights_of(weighed, scene)
        used = [(member, weight) for member, weight in zip(spec["members"], weights, strict=True) if weight > 0]
        found = [(predictions[m["name"]][scene], stacks[m["scale"]["name"]][scene]) for m, _ in used]
        origin: list[list[Any]] = [[prediction.digest, stack.parts[spec["reference"]]] for prediction, stack in found]
        own = [weight for _, weight in used] if len({weight for _, weight in used}) > 1 else None
        if own:  # weights that are all alike are those of a mean
            origin = [[*entry, weight] for entry, weight in zip(origin, own, strict=True)]
        yield Wanted(scene, job.key({}, origin), {}, origin, (found, own))


def _write(path: Path, members: Sequence[tuple[Path, Path]], weights: Sequence[float] | None, reference: str) -> str:
    """Write the mean of members, each a prediction and its stack, and give its digest."""
    with open_members(members, reference) as (arrays, valid):
        shape = finest([plane_shape(array) for array in arrays])
        return write_plane(path, "probability", shape, mean_strips(arrays, shape, valid, weights))
