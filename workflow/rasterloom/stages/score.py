"""Scores: pooled Jaccard per class and scene, exactly the contest's metric, the mean over classes, and objects.

A scene's row is in square reference pixels. The pooled row adds areas up as the contest does, in the units of the map:
each scene's areas are multiplied by what one of its pixels covers there (`pixel_area`), divided by the mean of that
over the pooled scenes. So a scene of larger pixels counts for more, and pooled areas stay about square pixels.
"""

from typing import Any

from rasterloom.labels.record import label_item, read_labels, validation_scenes
from rasterloom.polygons.jaccard import areas
from rasterloom.polygons.objects import objects
from rasterloom.polygons.record import read_polygons
from rasterloom.polygons.scores import HELD_OUT, OUT_OF_FOLD, ClassScore, pixel_areas, rows, score_text
from rasterloom.polygons.thresholds import threshold_of
from rasterloom.project.project import Project
from rasterloom.registration.record import references
from rasterloom.store.files import write_text
from rasterloom.store.job import Job, batch_manifests, scene_manifests

OUTPUT = "score.tsv"
HELP = "score the polygons against labels"
VERSION = 3


def jobs(project: Project) -> list[dict[str, str]]:
    """One job."""
    return [{}]


def spec(project: Project) -> dict[str, Any]:
    """By class its number, its group, the scenes with held-out truth and those that were labelled for its group."""
    return project.scored()


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: labels, tuning, polygons, folds of every class with truth; registrations of its scenes."""
    found: list[str] = []
    known = {scene for table in ("truth", "labelled") for name in spec["classes"] for scene in spec[table][name]}
    for name in spec["classes"]:
        scenes = {*spec["truth"][name], *spec["labelled"][name]}
        batches = {batch: ids for batch, ids in spec["batches"].items() if scenes & set(ids)}
        found += [f"labels/{name}.json", f"tuning/{name}.json"] if scenes else []
        found += batch_manifests(f"polygons/{name}", {"batches": batches})
        found += [f"folds/{spec['groups'][name]}.json"] if spec["labelled"][name] else []
    return list(dict.fromkeys([*found, *scene_manifests("registration", sorted(known))]))


def run(job: Job) -> None:
    """Score every class against truth that its models have not seen."""
    held_out, out_of_fold = [], []
    for name in job.each(job.spec["classes"]):
        held_out.append(_class_score(job, name, set(job.spec["truth"][name])))
        labelled = set(job.spec["labelled"][name])
        validated = validation_scenes(job, job.spec["groups"][name]) & labelled if labelled else set()
        out_of_fold.append(_class_score(job, name, validated))
    write_text(job.output, score_text([*rows(HELD_OUT, held_out), *rows(OUT_OF_FOLD, out_of_fold)]))


def _class_score(job: Job, name: str, scenes: set[str]) -> ClassScore:
    if not scenes:
        return ClassScore(name, {}, {})
    tuned, items = job.read("tuning", name), job.items(f"polygons/{name}", sorted(scenes))
    covered, counts = {}, {}
    for scene, item in items.items():
        truth = read_labels(job.store.open_path(label_item(job, name, scene)))
        predicted = read_polygons(job.store.open_path(item))["pixel"].to_numpy()
        covered[scene], counts[scene] = areas(truth, predicted), objects(truth, predicted)
    thresholds = {scene: threshold_of(tuned, scene) for scene in items}
    pixels = pixel_areas(references(job, list(items)))
    return ClassScore(name, covered, counts, job.spec["ground"], thresholds, float(tuned["threshold"]), pixels)
