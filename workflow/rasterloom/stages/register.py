"""Stage register: where each sensor of a scene lies on the reference, how sure that is, and what the files hold."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rasterloom.dataset import register_sources
from rasterloom.dataset.contest_ids import GSD
from rasterloom.project.project import Project
from rasterloom.raster.contest_grid import grid_extent
from rasterloom.raster.scan import Scan, scan_sensor
from rasterloom.registration.scene import ordered, register_scene
from rasterloom.store.job import Job, Wanted
from rasterloom.store.store import Writing

OUTPUT = "registration/{scene}.json"
HELP = "estimate where each sensor of a scene lies on its reference"
VERSION = 7
KEYS = {"reference": "sensors.*.reference", "layout": "dataset.layout"}


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per scene."""
    return ({"scene": scene} for scene in project.registered)


def spec(project: Project, scene: str) -> dict[str, Any]:
    """The settings of the scene's sensors."""
    config, present = project.config, project.dataset.scenes[scene].sensors
    settings = {"registration", "motion", "bands", "nodata", "max_shift"}
    return {
        "scene": scene,
        "reference": project.reference,
        "sensors": {name: own.model_dump(include=settings) for name, own in config.sensors.items() if name in present},
        "layout": config.dataset.layout,
        "gsd": GSD if config.dataset.layout == "dstl" else None,
    }


def sources(project: Project, scene: str) -> dict[str, Any]:
    """The scene's images, and the table of grid sizes where there is one."""
    return register_sources(project.dataset.scenes[scene])


def names(spec: Mapping[str, Any]) -> list[str]:
    """One artifact, named after the scene."""
    return [spec["scene"]]


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests that the stage reads: none, it reads source files."""
    return []


def run(job: Job) -> None:
    """Register one scene; see the module `rasterloom.stages.register`."""
    import cv2

    cv2.setNumThreads(1)

    def make(want: Wanted, work: Writing) -> None:
        scans, extent = want.work
        registration = register_scene(job.spec, job.sources["sensors"], scans, extent)
        for name, sensor in registration["sensors"].items():
            if sensor["fallback"]:
                job.log(f"register: {want.name}, {name}: {sensor['fallback']}")
        work.json(registration, parts=registration["sensors"])

    job.finish(job.obtain(wanted(job), ".registration.json", make))


def wanted(job: Job) -> Iterator[Wanted]:
    """The registration of the job's scene; its sources are read once, to digest them."""
    spec, scene = job.spec, job.spec["scene"]
    scans = {name: _scan(job, name) for name in ordered(spec)}
    extent = grid_extent(Path(job.sources["grid"]["path"]), scene) if spec["layout"] == "dstl" else None
    recipe = {key: spec[key] for key in ("reference", "sensors", "layout", "gsd")}
    sources = {"sensors": {name: scan.digest for name, scan in scans.items()}, "grid": extent}
    yield Wanted(scene, job.key(recipe, sources), recipe, sources, (scans, extent))


def _scan(job: Job, name: str) -> Scan:
    nodata = job.spec["sensors"][name]["nodata"]
    files = job.sources["sensors"][name]
    label = f"scene {job.spec['scene']}, sensor {name}"
    return scan_sensor(files, nodata, label, job.store.root / "sources", job.reading)
