"""Weights: every member's Jaccard on out-of-fold predictions, and how much it counts in the ensemble of its class.

The weights used for a scene that they were found on come from the other grounds only, so that its score is honest.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rasterloom.labels.record import label_strips, validated_labels, validated_manifests
from rasterloom.polygons.thresholds import Counts, first_true, joint_histogram, split_counts
from rasterloom.polygons.weights import Sample, weigh
from rasterloom.project.project import Project
from rasterloom.raster import means
from rasterloom.raster.resample import STRIP_ROWS
from rasterloom.store.job import Job, Wanted
from rasterloom.store.store import Item, Writing

OUTPUT = "weights/{class}.json"
HELP = "score a class's members on out-of-fold predictions, and weigh them"
VERSION = 1
NAMES = "class"
KEYS = {"ensemble": "classes.{class}.ensemble"}


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per class with several members."""
    return ({"class": name} for name, found in project.recipe.classes.items() if len(found.members) > 1)


def spec(project: Project, **names: str) -> dict[str, Any]:
    """The members, how they are to be weighed, and the labelled scenes."""
    return {
        "ensemble": project.recipe.classes[names["class"]].ensemble,
        "members": project.ensemble_members(names["class"]),
        "reference": project.reference,
        **project.validated(names["class"]),
    }


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: of the labelled scenes the members' predictions and stacks; labels, folds and registrations."""
    return [*means.member_manifests(spec), *validated_manifests(spec)]


def run(job: Job) -> None:
    """Weigh the members of a class."""
    ensemble = job.spec["ensemble"]

    def make(want: Wanted, work: Writing) -> None:
        counts: list[dict[str, Counts]] = [{} for _ in job.spec["members"]]
        samples = {}
        for scene in job.each(want.work):
            joints, sample = _compared(job, scene, *want.work[scene])
            for own, joint in zip(counts, joints, strict=True):
                own[scene] = split_counts(joint)
            samples[scene] = sample.pixels(first_true(joints[0]))
        weighed = weigh(ensemble, counts, samples, job.spec["ground"])
        if weighed["reason"]:
            name = job.spec["class"]
            job.log(f"weigh: class {name}: all members count alike, not `{ensemble}`: {weighed['reason']}")
        work.json(weighed)

    job.finish(job.obtain(wanted(job), ".weights.json", make))


def wanted(job: Job) -> Iterator[Wanted]:
    """The weights of the job's class."""
    spec, recipe = job.spec, {"ensemble": job.spec["ensemble"]}
    labels = validated_labels(job)
    members = means.member_items(job, list(labels))
    given = [
        [scene, spec["ground"][scene], means.member_origin(members[scene], spec["reference"]), label.digest, list(size)]
        for scene, (label, size) in labels.items()
    ]
    work = {scene: (members[scene], *found) for scene, found in labels.items()}
    yield Wanted(spec["class"], job.key(recipe, given), recipe, given, work)


def _compared(
    job: Job, scene: str, members: Sequence[means.Member], label: Item, size: tuple[int, int]
) -> tuple[list[Any], Sample]:
    """By member the `joint_histogram` of a scene on the finest grid, and a sample of its pixels if it is needed."""
    joints = [np.zeros((256, 256), np.int64) for _ in members]
    sample = Sample(len(members))
    with means.open_members(job.store, members, job.spec["reference"]) as (arrays, valid, shape):
        fractions = label_strips(job, scene, label, size, shape, STRIP_ROWS)
        for strips, fraction in zip(means.member_strips(arrays, shape, valid), fractions, strict=True):
            values = np.stack([strip for strip, _ in strips])
            for joint, value in zip(joints, values, strict=True):
                joint += joint_histogram(np.floor(value + np.float32(0.5)).clip(0, 255).astype(np.uint8), fraction)
            if job.spec["ensemble"] == "weighted":
                sample.add(values, fraction)
    return joints, sample
