"""Vectorising: an ensemble's probabilities become polygons in pixel and map coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rasterloom.polygons.record import polygons_of, write_polygons
from rasterloom.raster.planes import read_plane
from rasterloom.registration.record import references
from rasterloom.store.job import Job, Wanted, scene_manifests
from rasterloom.store.store import Writing

VERSION = 1


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: the ensembles of the batch, the class's tuning, the scenes' registrations."""
    return [
        f"ensembles/{spec['class']}/{spec['batch']}.json",
        f"tuning/{spec['class']}.json",
        *scene_manifests("registration", spec["scenes"]),
    ]


def run(job: Job) -> None:
    """Vectorise a class on the scenes of a batch."""
    name, settings = job.spec["class"], job.spec["polygons"]

    def make(want: Wanted, work: Writing) -> None:
        reference = want.inputs["reference"]
        image = read_plane(job.store.open_path(want.work), "probability")
        pixel, mapped = polygons_of(image, want.recipe["threshold"], reference, settings)
        work.digest = write_polygons(work.path, want.name, name, pixel, mapped, reference["crs"])

    job.finish(job.obtain(wanted(job), ".parquet", make, total=len(job.spec["scenes"])))


def wanted(job: Job) -> Iterator[Wanted]:
    """The polygons of each scene of the batch."""
    from rasterloom.polygons.thresholds import read_tuning, threshold_of

    name, scenes, settings = job.spec["class"], list(job.spec["scenes"]), job.spec["polygons"]
    ensembles, placed = job.items(f"ensembles/{name}", scenes), references(job, scenes)
    tuned = read_tuning(job, name)
    for scene in scenes:
        reference = {key: placed[scene].get(key) for key in ("width", "height", "transform", "crs")}
        recipe = {"class": name, "scene": scene, "polygons": settings, "threshold": threshold_of(tuned, scene)}
        given = {"ensemble": ensembles[scene].digest, "reference": reference}
        yield Wanted(scene, job.key(recipe, given), recipe, given, ensembles[scene])
