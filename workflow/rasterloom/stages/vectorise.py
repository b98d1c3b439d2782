"""Vectorising: an ensemble's probabilities become polygons in pixel and map coordinates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rasterloom.polygons.confidence import confidences
from rasterloom.polygons.record import means_of, polygons_of, write_polygons
from rasterloom.polygons.thresholds import read_tuning
from rasterloom.polygons.tuning import SETTINGS, settings_of
from rasterloom.project.project import Project
from rasterloom.raster.planes import read_plane
from rasterloom.registration.record import references
from rasterloom.store.job import Job, Wanted, scene_manifests
from rasterloom.store.store import Writing

OUTPUT = "polygons/{class}/{batch}.json"
HELP = "turn probabilities into sub-pixel outlines"
VERSION = 6
KEYS = {"polygons": "*.polygons", "tuned": "tuning/{class}", "confidence": "tuning/{class}"}


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per class and batch of scenes."""
    return ({"class": name, "batch": batch} for name in project.recipe.classes for batch in project.batches)


def spec(project: Project, **names: str) -> dict[str, Any]:
    """The settings of the polygons that are not tuned, and the scenes of the batch."""
    settings = project.recipe.classes[names["class"]].polygons
    return {
        "class": names["class"],
        "batch": names["batch"],
        "scenes": project.batches[names["batch"]],
        "polygons": {key: value for key, value in settings.items() if key not in SETTINGS},
    }


def names(spec: Mapping[str, Any]) -> list[str]:
    """One artifact per scene."""
    return list(spec["scenes"])


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: the ensembles of the batch, the class's tuning, the scenes' registrations."""
    return [
        f"ensembles/{spec['class']}/{spec['batch']}.json",
        f"tuning/{spec['class']}.json",
        *scene_manifests("registration", spec["scenes"]),
    ]


def run(job: Job) -> None:
    """Vectorise a class on the scenes of a batch."""
    import shapely

    name = job.spec["class"]

    def make(want: Wanted, work: Writing) -> None:
        reference = want.inputs["reference"]
        image = read_plane(job.store.open_path(want.work), "probability")
        pixel, mapped = polygons_of(image, reference, {**want.recipe["polygons"], **want.recipe["tuned"]})
        mean, weights = means_of(image, reference, pixel), want.recipe["confidence"]
        chance = confidences(mean, shapely.area(pixel), weights)
        work.digest = write_polygons(work.path, want.name, name, pixel, mapped, reference["crs"], chance)

    job.finish(job.obtain(wanted(job), ".parquet", make, total=len(job.spec["scenes"])))


def wanted(job: Job) -> Iterator[Wanted]:
    """The polygons of each scene of the batch."""
    name, scenes, settings = job.spec["class"], list(job.spec["scenes"]), job.spec["polygons"]
    ensembles, placed = job.items(f"ensembles/{name}", scenes), references(job, scenes)
    tuned = read_tuning(job, name)
    for scene in scenes:
        reference = {key: placed[scene].get(key) for key in ("width", "height", "transform", "crs")}
        recipe = {"class": name, "scene": scene, "polygons": settings, "tuned": settings_of(tuned, scene)}
        recipe["confidence"] = tuned["scenes"].get(scene, tuned)["confidence"]
        given = {"ensemble": ensembles[scene].digest, "reference": reference}
        yield Wanted(scene, job.key(recipe, given), recipe, given, ensembles[scene])
