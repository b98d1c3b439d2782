"""Thresholds: the probability level with the best pixel Jaccard on out-of-fold predictions.

The level used for a scene that was tuned on comes from the other grounds only, so that its score is honest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rasterloom.errors import LabelError
from rasterloom.labels.record import label_item, read_labels, validation_scenes
from rasterloom.polygons.coverage import coverage_strips
from rasterloom.polygons.morphology import morphology
from rasterloom.polygons.thresholds import Counts, fixed_threshold, joint_histogram, split_counts, tuning, tuning_entry
from rasterloom.project.project import Project
from rasterloom.raster.planes import read_plane
from rasterloom.registration.record import references
from rasterloom.store.job import Job, Wanted, batch_manifests, scene_manifests
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
    found = project.recipe.classes[names["class"]]
    scenes = project.labelled(found.group)
    return {
        "class": names["class"],
        "group": found.group,
        "polygons": {key: found.polygons[key] for key in ("threshold", "dilate", "erode")},
        "scenes": scenes,
        "ground": project.ground(scenes),
        "batches": project.batches_with(scenes),
    }


def names(spec: Mapping[str, Any]) -> list[str]:
    """One artifact, named after the class."""
    return [spec["class"]]


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: ensembles, labels, folds and registrations; none with a fixed threshold."""
    if _is_fixed(spec):
        return []
    return [
        *batch_manifests(f"ensembles/{spec['class']}", spec),
        f"labels/{spec['class']}.json",
        f"folds/{spec['group']}.json",
        *scene_manifests("registration", spec["scenes"]),
    ]


def run(job: Job) -> None:
    """Tune the threshold of a class."""

    def make(want: Wanted, work: Writing) -> None:
        fixed = _is_fixed(job.spec)
        work.json(_fixed(job.spec["polygons"]["threshold"]) if fixed else _search(job, want.work))

    job.finish(job.obtain(wanted(job), ".tuning.json", make))


def wanted(job: Job) -> Iterator[Wanted]:
    """The tuning of the job's class."""
    name, settings = job.spec["class"], job.spec["polygons"]
    recipe = dict(settings)
    scenes: dict[str, tuple[Item, Item, tuple[int, int]]] = {}
    given: list[Any] = []
    if not _is_fixed(job.spec):
        chosen = sorted(validation_scenes(job, job.spec["group"]) & set(job.spec["scenes"]))
        ensembles, placed = job.items(f"ensembles/{name}", chosen), references(job, chosen)
        for scene in chosen:
            label, size = label_item(job, name, scene), (placed[scene]["width"], placed[scene]["height"])
            scenes[scene] = (ensembles[scene], label, size)
            given.append([scene, job.spec["ground"][scene], ensembles[scene].digest, label.digest, list(size)])
    yield Wanted(name, job.key(recipe, given), recipe, given, scenes)


def _fixed(probability: float) -> dict[str, Any]:
    entry = tuning_entry((fixed_threshold(probability), None, f"fixed at {probability} by the configuration"))
    return {**entry, "scores": None, "present": None, "scenes": {}}


def _search(job: Job, scenes: Mapping[str, tuple[Item, Item, tuple[int, int]]]) -> dict[str, Any]:
    counts: dict[str, Counts] = {}
    for scene in job.each(scenes):
        ensemble, label, size = scenes[scene]
        paths = job.store.open_path(ensemble), job.store.open_path(label)
        counts[scene] = _scene_histogram(*paths, size, job.spec["polygons"], job.spec["class"], scene)
    return tuning(counts, job.spec["ground"])


def _scene_histogram(
    ensemble: Path, label: Path, size: tuple[int, int], settings: Mapping[str, Any], name: str, scene: str
) -> Counts:
    """Counts of a scene; memory: two bytes a pixel of the ensemble (one without morphology), and a strip of rows."""
    probability = read_plane(ensemble, "probability")
    # In two steps, so that what was read is gone before the second one.
    probability = morphology(probability, settings["dilate"], 0)
    probability = morphology(probability, 0, settings["erode"])
    height, width = probability.shape
    matrix = [[size[0] / width, 0.0, 0.0], [0.0, size[1] / height, 0.0]]
    joint, row = np.zeros((256, 256), np.int64), 0
    try:
        for strip in coverage_strips(read_labels(label), (height, width), matrix):
            joint += joint_histogram(probability[row : row + len(strip)], strip)
            row += len(strip)
    except LabelError as error:
        raise LabelError(f"class {name} on scene {scene}: {error}") from None
    return split_counts(joint)
