"""Stage stack: every sensor of a scene on the grid of one scale, each resampled once from its raw files."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from rasterloom.dataset import register_sources
from rasterloom.errors import ConfigError
from rasterloom.project.project import Project
from rasterloom.raster.grid import Grid, scale_grid
from rasterloom.raster.scan import check_unchanged
from rasterloom.raster.sensor import SensorReader
from rasterloom.raster.stacking import StackSensor, write_stack
from rasterloom.registration.record import read_registration
from rasterloom.store.digest import digest
from rasterloom.store.job import Job, Wanted, placement_manifests
from rasterloom.store.store import Writing

OUTPUT = "stacks/{scale}/{scene}.json"
HELP = "resample all sensors of a scene to one grid"
VERSION = 4
NAMES = "scene"
KEYS = {"scale": "scales.{scale}", "sensors": "channels", "sensors.order": "sensors"}


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per scale and scene."""
    return ({"scale": scale, "scene": scene} for scale in project.scale_sensors for scene in project.predicted)


def spec(project: Project, scale: str, scene: str) -> dict[str, Any]:
    """The scale, and the sensors that a member uses on it."""
    sensors, settings = project.scale_sensors[scale], project.config.sensors
    return {
        "scene": scene,
        "acquisitions": {name: [scene] for name, ids in project.acquisitions.items() if scene in ids},
        "scale": project.scale(scale),
        "sensors": sensors,
        "bands": {name: settings[name].bands for name in sensors},
        "nodata": {name: settings[name].nodata for name in sensors},
    }


def sources(project: Project, scale: str, scene: str) -> dict[str, Any]:
    """The scene's images."""
    return register_sources(project.dataset.scenes[scene])


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests that the stage reads, relative to the results folder."""
    return placement_manifests(spec)


def run(job: Job) -> None:
    """Stack one scene at one scale; see the module `rasterloom.stages.stack`."""

    def make(want: Wanted, work: Writing) -> None:
        places, counts, grid = want.work
        work.parts.update(_from_files(job, places, counts, grid, work.path))
        work.digest = digest({"sensors": list(counts), "channels": list(counts.values()), "parts": work.parts})

    job.finish(job.obtain(wanted(job), ".zarr.zip", make))


def wanted(job: Job) -> Iterator[Wanted]:
    """The stack of the job's scene and scale."""
    spec, scene = job.spec, job.spec["scene"]
    registration = read_registration(job.store.open_path(job.items("placement", [scene])[scene]))
    reference, places = registration["reference"], registration["sensors"]
    names = list(spec["sensors"])
    counts = {name: _band_count(spec, places, name) for name in names}
    grid = scale_grid(spec["scale"], reference["width"], reference["height"], reference["gsd"])
    recipe = {"scale": {k: v for k, v in spec["scale"].items() if k != "name"}, "sensors": names}
    origin = {
        "grid": [grid.height, grid.width, grid.matrix],
        "sensors": {n: _decided(places[n]) if n in places else {"bands": counts[n]} for n in names},
    }
    key = job.key({"sensors": names}, origin)  # the grid decides, not how the scale is written
    yield Wanted(scene, key, recipe, origin, (places, counts, grid))


def _decided(place: Mapping[str, Any]) -> dict[str, Any]:
    """What a stack takes of a sensor's registration; what bands are apart only where they are."""
    names = ["source", "dtype", "nodata", "matrix", *(["apart"] if place["apart"] else [])]
    return {name: place[name] for name in names}


def _band_count(spec: Mapping[str, Any], places: Mapping[str, Any], name: str) -> int:
    """Bands of a sensor: those of its image or, where the scene has none, those that the configuration gives."""
    count = places[name]["bands"] if name in places else spec.get("bands", {}).get(name)
    if count is None:
        raise ConfigError(
            f"scene {spec['scene']} has no image of sensor {name} and `sensors.{name}.bands` is null: "
            "say how many bands it has"
        )
    return int(count)


def _from_files(
    job: Job, places: Mapping[str, Any], counts: Mapping[str, int], grid: Grid, path: Path
) -> dict[str, str]:
    """Write the stack of a job from its source files, which must not change meanwhile."""
    labels = {name: f"scene {job.spec['scene']}, sensor {name}" for name in counts}
    files = {name: job.sources["sensors"][name] for name in counts if name in places}
    _check_unchanged(files, labels)
    with ExitStack() as opened:
        sensors: list[StackSensor] = []
        for name, count in counts.items():
            if place := places.get(name):
                nodata = job.spec.get("nodata", {}).get(name)
                reader = opened.enter_context(SensorReader(files[name], count, nodata, labels[name]))
                dtype = np.uint16 if place["dtype"] == "uint16" else np.float32
                sensors.append(StackSensor(name, count, dtype, reader, place["matrix"], place["apart"]))
            else:
                sensors.append(StackSensor(name, count, np.uint16))
        parts = write_stack(path, sensors, grid)
    _check_unchanged(files, labels)
    return parts


def _check_unchanged(files: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    for name, own in files.items():
        for file in own:
            check_unchanged(file, labels[name])
