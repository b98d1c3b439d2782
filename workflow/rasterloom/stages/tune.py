"""Tuning: thresholds, openings, closings and least areas with the best Jaccard on out-of-fold predictions.

The settings for a scene that was tuned on come from the other grounds only, so that its score is honest.
"""

from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

import numpy as np

from rasterloom.config.model import PolygonsConfig
from rasterloom.labels import record
from rasterloom.polygons.scores import pixel_areas
from rasterloom.polygons.thresholds import fixed_threshold
from rasterloom.polygons.tuning import SAMPLES, SETTINGS, Scene, samples_for, tune
from rasterloom.project.project import Project
from rasterloom.raster.planes import open_plane, read_plane
from rasterloom.registration.record import references
from rasterloom.store.job import Job, Wanted, batch_manifests
from rasterloom.store.store import Item, Writing

OUTPUT = "tuning/{class}.json"
HELP = "choose a class's threshold, openings and least areas on out-of-fold predictions"
VERSION = 10
NAMES = "class"
KEYS = {key: f"*.polygons.{key}" for key in PolygonsConfig.model_fields}


def _fixed(spec: Mapping[str, Any]) -> dict[str, float]:
    """The settings that are not to be searched."""
    fixed = {key: spec["polygons"][key] for key in SETTINGS if spec["polygons"][key] != "auto"}
    fixed |= {"divide": 0.0} if "divide" in fixed else {}
    return {key: fixed_threshold(value) if key == "threshold" else float(value) for key, value in fixed.items()}


def _searched(spec: Mapping[str, Any]) -> bool:
    return "auto" in spec["polygons"].values()


def _drawn(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are never searched."""
    return {key: value for key, value in spec["polygons"].items() if key not in SETTINGS}


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per class."""
    return ({"class": name} for name in project.recipe.classes)


def spec(project: Project, **names: str) -> dict[str, Any]:
    """The settings, each a number or to be searched, and the labelled scenes."""
    polygons = project.recipe.classes[names["class"]].polygons
    return {"polygons": polygons, **project.validated(names["class"])}


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: ensembles, labels, folds and registrations; none if all settings are fixed."""
    if not _searched(spec):
        return []
    return [*batch_manifests(f"ensembles/{spec['class']}", spec), *record.validated_manifests(spec)]


def run(job: Job) -> None:
    """Tune the polygons of a class."""
    name, fixed = job.spec["class"], _fixed(job.spec)

    def make(want: Wanted, work: Writing) -> None:
        scenes, prior = (_scenes(job, chosen) for chosen in want.work)
        tuned = tune(scenes, prior, fixed, _drawn(job.spec))
        if not _searched(job.spec):
            tuned["reason"] = "fixed by the configuration"
        for step in tuned["steps"]:
            change = "{setting} {from:g} -> {to:g}: Jaccard of {of} +{gain}, luck {luck}".format(**step)
            job.log(f"tune: class {name}: {change}")
        for scene, entry in {"any other": tuned, **tuned["scenes"]}.items():
            if entry["reason"]:
                job.log(f"tune: class {name}, scene {scene}: {entry['reason']}")
        work.json(tuned)

    job.finish(job.obtain(wanted(job), ".tuning.json", make))


def wanted(job: Job) -> Iterator[Wanted]:
    """The tuning of the job's class."""
    name, recipe = job.spec["class"], dict(job.spec["polygons"])
    validated, trained = _chosen(job) if _searched(job.spec) else ([], [])
    scenes = [*validated, *trained]
    ensembles, placed = job.items(f"ensembles/{name}", scenes), references(job, scenes)
    weights = pixel_areas(placed)
    found = {}
    for scene in scenes:
        size = (int(placed[scene]["width"]), int(placed[scene]["height"]))
        found[scene] = (ensembles[scene], record.label_item(job, name, scene), size, weights[scene])
    given = [
        [scene, job.spec["ground"][scene], ensemble.digest, label.digest, list(size), weight, scene in trained]
        for scene, (ensemble, label, size, weight) in found.items()
    ]
    work = [{scene: found[scene] for scene in chosen} for chosen in (validated, trained)]
    yield Wanted(name, job.key(recipe, given), recipe, given, work)


def _chosen(job: Job) -> tuple[list[str], list[str]]:
    """The scenes that validate; and those that trained and have the class, if fewer than two grounds validate it."""
    spec, validated = job.spec, record.validation_scenes(job, job.spec["group"])
    items = {scene: record.label_item(job, spec["class"], scene) for scene in spec["scenes"]}
    having = [scene for scene, item in items.items() if record.polygon_area(job.store.open_path(item)) > 0]
    few = len({spec["ground"][scene] for scene in having if scene in validated}) < 2
    trained = [scene for scene in having if scene not in validated] if few else []
    return sorted(validated & set(items)), trained if spec["polygons"]["threshold"] == "auto" else []


def _scenes(job: Job, chosen: Mapping[str, tuple[Item, Item, tuple[int, int], float]]) -> dict[str, Scene]:
    """Scenes to try settings on: their truth as bits in memory, and their probability too unless that is large."""
    shapes = {}
    for scene, (ensemble, *_) in chosen.items():
        with open_plane(job.store.open_path(ensemble), "probability") as plane:
            shapes[scene] = (int(plane.shape[0]), int(plane.shape[1]))
    total = sum(height * width for height, width in shapes.values())
    samples, found = samples_for(total), {}
    for scene in job.each(chosen):
        ensemble, label, size, weight = chosen[scene]
        read = partial(read_plane, job.store.open_path(ensemble), "probability")
        shape = (samples * shapes[scene][0], samples * shapes[scene][1])
        strips = record.label_strips(job, scene, label, size, shape, supersample=1)
        truth = np.concatenate([np.packbits(strip > 0, axis=1) for strip in strips])
        kept = cache(read) if total <= SAMPLES else read
        labels = partial(record.read_labels, job.store.open_path(label))
        found[scene] = Scene(kept, truth, labels, shape, samples, size, job.spec["ground"][scene], weight)
    return found
