"""Thresholds: the probability level with the best pixel Jaccard on out-of-fold predictions.

The level used for a scene that was tuned on comes from the other grounds only, so that its score is honest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rasterloom.labels.record import label_strips, validated_labels, validated_manifests
from rasterloom.polygons.morphology import morphology
from rasterloom.polygons.thresholds import Counts, fixed_threshold, joint_histogram, split_counts, tuning, tuning_entry
from rasterloom.project.project import Project
from rasterloom.raster.planes import read_plane
from rasterloom.store.job import Job, Wanted, batch_manifests
from rasterloom.store.store import Item, Writing

OUTPUT = "tuning/{class}.json"
HELP = "choose a class's threshold on out-of-fold predictions"
VERSION = 1
KEYS = {key: f"*.polygons.{key}" for key in ("threshold", "dilate", "erode")}


def _is_fixed(spec: Mapping[str, Any]) -> bool:
    return bool(spec["polygons"]["threshold"] != "auto")


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per class."""
    return ({"class": name} for name in project.recipe.classes)


def spec(project: Project, **names: str) -> dict[str, Any]:
    """The settings that a threshold depends on, and the labelled scenes."""
    polygons = project.recipe.classes[names["class"]].polygons
    settings = {key: polygons[key] for key in ("threshold", "dilate", "erode")}
    return {"polygons": settings, **project.validated(names["class"])}


def names(spec: Mapping[str, Any]) -> list[str]:
    """One artifact, named after the class."""
    return [spec["class"]]


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: ensembles, labels, folds and registrations; none with a fixed threshold."""
    if _is_fixed(spec):
        return []
    return [
        *batch_manifests(f"ensembles/{spec['class']}", spec),
        *validated_manifests(spec),
    ]


def run(job: Job) -> None:
    """Tune the threshold of a class."""

    def make(want: Wanted, work: Writing) -> None:
        fixed = _is_fixed(job.spec)
        work.json(_fixed(job.spec["polygons"]["threshold"]) if fixed else _search(job, want.work))

    job.finish(job.obtain(wanted(job), ".tuning.json", make))


def wanted(job: Job) -> Iterator[Wanted]:
    """The tuning of the job's class."""
    name, recipe = job.spec["class"], dict(job.spec["polygons"])
    labels = {} if _is_fixed(job.spec) else validated_labels(job)
    ensembles = job.items(f"ensembles/{name}", labels)
    given = [
        [scene, job.spec["ground"][scene], ensembles[scene].digest, label.digest, list(size)]
        for scene, (label, size) in labels.items()
    ]
    scenes = {scene: (ensembles[scene], *found) for scene, found in labels.items()}
    yield Wanted(name, job.key(recipe, given), recipe, given, scenes)


def _fixed(probability: float) -> dict[str, Any]:
    entry = tuning_entry((fixed_threshold(probability), None, f"fixed at {probability} by the configuration"))
    return {**entry, "scores": None, "present": None, "scenes": {}}


def _search(job: Job, scenes: Mapping[str, tuple[Item, Item, tuple[int, int]]]) -> dict[str, Any]:
    counts: dict[str, Counts] = {}
    for scene in job.each(scenes):
        counts[scene] = _scene_histogram(job, scene, *scenes[scene])
    return tuning(counts, job.spec["ground"])


def _scene_histogram(job: Job, scene: str, ensemble: Item, label: Item, size: tuple[int, int]) -> Counts:
    """Counts of a scene; memory: two bytes a pixel of the ensemble (one without morphology), and a strip of rows."""
    probability = read_plane(job.store.open_path(ensemble), "probability")
    # In two steps, so that what was read is gone before the second one.
    probability = morphology(probability, job.spec["polygons"]["dilate"], 0)
    probability = morphology(probability, 0, job.spec["polygons"]["erode"])
    joint, row = np.zeros((256, 256), np.int64), 0
    for strip in label_strips(job, scene, label, size, probability.shape):
        joint += joint_histogram(probability[row : row + len(strip)], strip)
        row += len(strip)
    return split_counts(joint)
