"""Ensembles: the mean of a class's members on the finest grid among them, where the reference is valid.

With weights (`ensemble: weighted` or `best`), a member of weight 0 is not read, as if the class did not have it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rasterloom.polygons.weights import weights_of
from rasterloom.project.project import Project
from rasterloom.raster import means
from rasterloom.raster.planes import write_plane
from rasterloom.store.job import Job, Wanted
from rasterloom.store.store import Writing

OUTPUT = "ensembles/{class}/{batch}.json"
HELP = "average the predictions of a class's members"
VERSION = 2
NAMES = "scenes"


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


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests read: the predictions of every member for the batch, their stacks, and the weights if there are any."""
    return [*means.member_manifests(spec), *([f"weights/{spec['class']}.json"] if spec["ensemble"] != "mean" else [])]


def run(job: Job) -> None:
    """Average the members' predictions of each scene of a batch."""

    def make(want: Wanted, work: Writing) -> None:
        found, weights = want.work
        with means.open_members(job.store, found, job.spec["reference"]) as (arrays, valid, shape):
            work.digest = write_plane(work.path, "probability", shape, means.mean_strips(arrays, shape, valid, weights))

    job.finish(job.obtain(wanted(job), ".zarr.zip", make, total=len(job.spec["scenes"])))


def wanted(job: Job) -> Iterator[Wanted]:
    """The ensemble of each scene of the batch."""
    spec = job.spec
    weighed = None if spec["ensemble"] == "mean" else job.read("weights", spec["class"])
    for scene, found in means.member_items(job, spec["scenes"]).items():
        every = [1.0] * len(found) if weighed is None else weights_of(weighed, scene)
        used = [member for member, weight in zip(found, every, strict=True) if weight > 0]
        weights = [weight for weight in every if weight > 0]
        origin = means.member_origin(used, spec["reference"])
        if len(set(weights)) > 1:  # weights that are all alike are those of a mean
            origin = [[*entry, weight] for entry, weight in zip(origin, weights, strict=True)]
        yield Wanted(scene, job.key({}, origin), {}, origin, (used, weights if len(set(weights)) > 1 else None))
