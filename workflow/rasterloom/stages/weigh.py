"""Weights: every member's Jaccard on out-of-fold predictions, and how much it counts in the ensemble of its class.

The weights used for a scene that they were found on come from the other grounds only, so that its score is honest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rasterloom.errors import LabelError
from rasterloom.labels.record import label_item, read_labels, validation_scenes
from rasterloom.polygons.coverage import coverage_strips
from rasterloom.polygons.thresholds import Counts, first_true, joint_histogram, split_counts
from rasterloom.polygons.weights import Sample, weigh
from rasterloom.project.project import Project
from rasterloom.raster.means import finest, member_strips, open_members, plane_shape
from rasterloom.raster.resample import STRIP_ROWS
from rasterloom.registration.record import references
from rasterloom.store.job import Job, Wanted, batch_manifests, scene_manifests
from rasterloom.store.store import Writing

OUTPUT = "weights/{class}.json"
HELP = "score a class's members on out-of-fold predictions, and weigh them"
VERSION = 1
KEYS = {"ensemble": "classes.{class}.ensemble"}


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per class with several members."""
    return ({"class": name} for name, found in project.recipe.classes.items() if len(found.members) > 1)


def spec(project: Project, **names: str) -> dict[str, Any]:
    """The members, how they are to be weighed, and the labelled scenes."""
    found = project.recipe.classes[names["class"]]
    scenes = project.labelled(found.group)
    return {
        "class": names["class"],
        "group": found.group,
        "ensemble": found.ensemble,
        "members": project.ensemble_members(names["class"]),
        "reference": project.reference,
        "scenes": scenes,
        "ground": project.ground(scenes),
        "batches": project.batches_with(scenes),
    }


def names(spec: Mapping[str, Any]) -> list[str]:
    """One artifact, named after the class."""
    return [spec["class"]]


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: of the labelled scenes the members' predictions and stacks; labels, folds and registrations."""
    scales = dict.fromkeys(member["scale"]["name"] for member in spec["members"])
    return [
        *(path for member in spec["members"] for path in batch_manifests(f"predictions/{member['name']}", spec)),
        *(path for scale in scales for path in scene_manifests(f"stacks/{scale}", spec["scenes"])),
        f"labels/{spec['class']}.json",
        f"folds/{spec['group']}.json",
        *scene_manifests("registration", spec["scenes"]),
    ]


def run(job: Job) -> None:
    """Weigh the members of a class."""
    name, ensemble = job.spec["class"], job.spec["ensemble"]

    def make(want: Wanted, work: Writing) -> None:
        counts: list[dict[str, Counts]] = [{} for _ in job.spec["members"]]
        samples = {}
        for scene in job.each(want.work):
            found, label, size = want.work[scene]
            paths = [(job.store.open_path(prediction), job.store.open_path(stack)) for prediction, stack in found]
            try:
                joints, sample = _compared(paths, job.store.open_path(label), size, job.spec)
            except LabelError as error:
                raise LabelError(f"class {name} on scene {scene}: {error}") from None
            for own, joint in zip(counts, joints, strict=True):
                own[scene] = split_counts(joint)
            samples[scene] = sample.pixels(first_true(joints[0]))
        weighed = weigh(ensemble, counts, samples, job.spec["ground"])
        if weighed["reason"]:
            job.log(f"weigh: class {name}: all members count alike, not `{ensemble}`: {weighed['reason']}")
        work.json(weighed)

    job.finish(job.obtain(wanted(job), ".weights.json", make))


def wanted(job: Job) -> Iterator[Wanted]:
    """The weights of the job's class."""
    spec, name = job.spec, job.spec["class"]
    recipe = {"ensemble": spec["ensemble"]}
    chosen = sorted(validation_scenes(job, spec["group"]) & set(spec["scenes"]))
    placed = references(job, chosen)
    predictions = {member["name"]: job.items(f"predictions/{member['name']}", chosen) for member in spec["members"]}
    stacks = {scale: job.items(f"stacks/{scale}", chosen) for scale in {m["scale"]["name"] for m in spec["members"]}}
    scenes, given = {}, []
    for scene in chosen:
        found = [(predictions[m["name"]][scene], stacks[m["scale"]["name"]][scene]) for m in spec["members"]]
        label, size = label_item(job, name, scene), (placed[scene]["width"], placed[scene]["height"])
        scenes[scene] = found, label, size
        origin = [[prediction.digest, stack.parts[spec["reference"]]] for prediction, stack in found]
        given.append([scene, spec["ground"][scene], origin, label.digest, list(size)])
    yield Wanted(name, job.key(recipe, given), recipe, given, scenes)


def _compared(
    paths: Sequence[tuple[Path, Path]], label: Path, size: tuple[int, int], spec: Mapping[str, Any]
) -> tuple[list[Any], Sample]:
    """By member the `joint_histogram` of a scene on the finest grid, and a sample of its pixels if it is needed."""
    joints = [np.zeros((256, 256), np.int64) for _ in paths]
    sample = Sample(len(paths))
    with open_members(paths, spec["reference"]) as (arrays, valid):
        height, width = shape = finest([plane_shape(array) for array in arrays])
        matrix = [[size[0] / width, 0.0, 0.0], [0.0, size[1] / height, 0.0]]
        fractions = coverage_strips(read_labels(label), shape, matrix, rows=STRIP_ROWS)
        for strips, fraction in zip(member_strips(arrays, shape, valid), fractions, strict=True):
            values = np.stack([strip for strip, _ in strips])
            for joint, value in zip(joints, values, strict=True):
                joint += joint_histogram(np.floor(value + np.float32(0.5)).clip(0, 255).astype(np.uint8), fraction)
            if spec["ensemble"] == "weighted":
                sample.add(values, fraction)
    return joints, sample
