"""Vectorising: an ensemble's probabilities become polygons in pixel and map coordinates."""

from collections.abc import Iterator, Mapping
from typing import Any

from rasterloom.polygons.confidence import confidences
from rasterloom.polygons.record import means_of, polygons_of, write_polygons
from rasterloom.polygons.thresholds import threshold_of
from rasterloom.polygons.tuning import SETTINGS, settings_of
from rasterloom.polygons.water import by_shape
from rasterloom.project.project import Project
from rasterloom.raster.planes import read_plane
from rasterloom.registration.record import references
from rasterloom.store.job import Job, Wanted, scene_manifests
from rasterloom.store.store import Writing

OUTPUT = "polygons/{class}/{batch}.json"
HELP = "turn probabilities into sub-pixel outlines"
VERSION = 10
NAMES = "scenes"
KEYS = {"polygons": "*.polygons", "tuned": "tuning/{class}", "confidence": "tuning/{class}"}


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per class and batch of scenes."""
    return ({"class": name, "batch": batch} for name in project.recipe.classes for batch in project.batches)


def spec(project: Project, **names: str) -> dict[str, Any]:
    """The settings of the polygons that are not tuned, the scenes of the batch, and two classes of water, if any."""
    settings, water = project.recipe.classes[names["class"]].polygons, project.config.water
    found = {
        "class": names["class"],
        "batch": names["batch"],
        "scenes": project.batches[names["batch"]],
        "polygons": {key: value for key, value in settings.items() if key not in SETTINGS},
    }
    return found | ({"water": water} if water and names["class"] in water else {})


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: ensembles of the batch and tuning, of both classes of water; the scenes' registrations."""
    classes = spec.get("water", [spec["class"]])
    return [
        *(f"ensembles/{name}/{spec['batch']}.json" for name in classes),
        *(f"tuning/{name}.json" for name in classes),
        *scene_manifests("registration", spec["scenes"]),
    ]


def run(job: Job) -> None:
    """Vectorise a class on the scenes of a batch."""
    import shapely

    name = job.spec["class"]

    def make(want: Wanted, work: Writing) -> None:
        reference = want.inputs["reference"]
        images = {own: read_plane(job.store.open_path(item), "probability") for own, item in want.work.items()}
        image = _of_its_shape(job, want, images) if len(images) > 1 else images[name]
        pixel, mapped = polygons_of(image, reference, {**want.recipe["polygons"], **want.recipe["tuned"]})
        mean, weights = means_of(image, reference, pixel), want.recipe["confidence"]
        chance = confidences(mean, shapely.area(pixel), weights)
        work.digest = write_polygons(work.path, want.name, name, pixel, mapped, reference["crs"], chance)

    job.finish(job.obtain(wanted(job), ".parquet", make, total=len(job.spec["scenes"])))


def _of_its_shape(job: Job, want: Wanted, images: Mapping[str, Any]) -> Any:
    """The probability of the job's class after each body of water went to the class of its shape."""
    flowing, standing = job.spec["water"]
    levels = dict(want.recipe["water"])
    *found, lines = by_shape(images[flowing], images[standing], (levels[flowing], levels[standing]))
    for line in lines:
        job.log(f"vectorise: scene {want.name}: {line}")
    return found[job.spec["water"].index(job.spec["class"])]


def wanted(job: Job) -> Iterator[Wanted]:
    """The polygons of each scene of the batch."""
    name, scenes, settings = job.spec["class"], list(job.spec["scenes"]), job.spec["polygons"]
    classes, placed = job.spec.get("water", [name]), references(job, scenes)
    ensembles = {own: job.items(f"ensembles/{own}", scenes) for own in classes}
    tunings = {own: job.read("tuning", own) for own in classes}
    tuned = tunings[name]
    for scene in scenes:
        reference = {key: placed[scene].get(key) for key in ("width", "height", "transform", "crs")}
        recipe = {"class": name, "scene": scene, "polygons": settings, "tuned": settings_of(tuned, scene)}
        recipe["confidence"] = tuned["scenes"].get(scene, tuned)["confidence"]
        images = {own: items[scene] for own, items in ensembles.items()}
        given: dict[str, Any] = {"ensemble": images[name].digest, "reference": reference}
        if len(classes) > 1:
            recipe["water"] = [[own, threshold_of(tunings[own], scene)] for own in classes]  # a key heeds the order
            given["water"] = {own: item.digest for own, item in images.items()}
        yield Wanted(scene, job.key(recipe, given), recipe, given, images)
