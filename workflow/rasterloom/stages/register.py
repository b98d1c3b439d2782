"""Stage register: where each sensor of a scene lies on the reference, how sure that is, and what the files hold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from rasterloom.dataset import register_sources
from rasterloom.dataset.contest_ids import GSD
from rasterloom.labels.alignment import align
from rasterloom.labels.files import read_vector
from rasterloom.labels.geometry import Label
from rasterloom.labels.sheet import sheet_labels
from rasterloom.project.project import Project
from rasterloom.raster.contest_grid import grid_extent
from rasterloom.raster.scan import Scan, scan_sensor
from rasterloom.raster.sensor import SensorReader
from rasterloom.registration.scene import ordered, register_labels, register_scene
from rasterloom.registration.search import Placed
from rasterloom.store.job import Job, Wanted
from rasterloom.store.store import Writing

OUTPUT = "registration/{scene}.json"
HELP = "estimate where each sensor of a scene lies on its reference"
VERSION = 9
NAMES = "scene"
KEYS = {"reference": "sensors.*.reference", "layout": "dataset.layout", "labels": "dataset.labels"}


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per scene."""
    return ({"scene": scene} for scene in project.registered)


def spec(project: Project, scene: str) -> dict[str, Any]:
    """The settings of the scene's sensors and, where they are registered, those of its labels by class."""
    config, own = project.config, project.dataset.scenes[scene]
    settings, present = {"registration", "motion", "alignment", "bands", "nodata", "max_shift"}, own.sensors
    found: dict[str, Any] = {
        "scene": scene,
        "reference": project.reference,
        "sensors": {
            name: own.model_dump(include=settings) | {"pixel": project.pixel(name)}
            for name, own in config.sensors.items()
            if name in present
        },
        "layout": config.dataset.layout,
        "gsd": GSD if config.dataset.layout == "dstl" else None,
    }
    if own.labels and (limit := project.dataset.label_shift) is not None:
        found["labels"] = {"max_shift": limit, "classes": [project.dataset.label_spec(n, [own]) for n in own.labels]}
    return found


def sources(project: Project, scene: str) -> dict[str, Any]:
    """The scene's images, the table of grid sizes where there is one, and labels by class if they are registered."""
    own = project.dataset.scenes[scene]
    labels = {name: label.file.to_json() for name, label in own.labels.items()}
    return register_sources(own) | ({"labels": labels} if labels and project.dataset.label_shift is not None else {})


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests that the stage reads: none, it reads source files."""
    return []


def run(job: Job) -> None:
    """Register one scene; see the module `rasterloom.stages.register`."""
    import cv2

    cv2.setNumThreads(1)

    def make(want: Wanted, work: Writing) -> None:
        scans, extent, place = want.work
        registration = register_scene(job.spec, job.sources["sensors"], scans, extent)
        if place is not None:
            registration["sensors"] |= register_labels(job.spec, job.sources["sensors"], place)
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
    sources: dict[str, Any] = {"sensors": {name: scan.digest for name, scan in scans.items()}, "grid": extent}
    place, told = None, recipe
    if "labels" in spec:
        limit, labels = spec["labels"]["max_shift"], list(_labels(job))
        sources["labels"], place = [label.inputs for label in labels], partial(_placed, labels, limit)
        recipe, told = {**recipe, "labels": limit}, {**recipe, "labels": {"max_shift": limit}}
    yield Wanted(scene, job.key(recipe, sources), told, sources, (scans, extent, place))


def _labels(job: Job) -> Iterator[Label]:
    """The labels of the job's scene, class by class, where their files say."""
    scene, vector = job.spec["scene"], lru_cache(maxsize=1)(read_vector)
    reference = {scene: job.sources["sensors"][job.spec["reference"]][0]}
    for own in job.spec["labels"]["classes"]:
        sources = {"reference": reference, "labels": {scene: job.sources["labels"][own["class"]]}}
        yield from sheet_labels(replace(job, spec={**own, "alone": True}, sources=sources, quiet=True), vector)


def _placed(labels: Sequence[Label], max_shift: float, reference: SensorReader) -> Placed | None:
    """Where the labels of all classes lie together; None where there are none."""
    polygons = [polygon for label in labels for polygon in label.polygons()[0]]
    return align(reference, polygons, max_shift) if polygons else None


def _scan(job: Job, name: str) -> Scan:
    nodata = job.spec["sensors"][name]["nodata"]
    files = job.sources["sensors"][name]
    label = f"scene {job.spec['scene']}, sensor {name}"
    return scan_sensor(files, nodata, label, job.store.root / "sources", job.reading)
