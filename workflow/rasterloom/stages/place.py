"""Stage place: where the sensors of an acquisition's scenes lie; one without an estimate of its own by the others'.

What a sensor is off is a property of an acquisition: scenes that were taken together share it, but for where each was
cut. A scene whose own estimates were all refused is therefore put where the others say, if they foretell one another.

Spec (besides ``stage`` and ``version``): ``acquisition``: its ``name`` and the ``scenes`` whose estimates count;
``scenes``: those that are settled; ``tiles``: row and column of each.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from rasterloom.project.project import Project
from rasterloom.registration.acquisition import Registration, Tiled, estimates, place_of, settled, unplaced
from rasterloom.registration.record import read_registration
from rasterloom.registration.table import GROUP
from rasterloom.store.job import Job, Wanted, scene_manifests
from rasterloom.store.store import Writing

OUTPUT = "placement/{acquisition}.json"
HELP = "fill in failed registrations from scenes of the same acquisition"
VERSION = 4
NAMES = "scenes"


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per acquisition."""
    return ({"acquisition": name} for name in project.acquisitions)


def spec(project: Project, acquisition: str) -> dict[str, Any]:
    """The scenes of the acquisition, twice: those whose estimates count, and those that are settled."""
    scenes = project.acquisitions[acquisition]
    tiles = {scene: list(project.dataset.scenes[scene].tile) for scene in scenes}
    return {"acquisition": {"name": acquisition, "scenes": scenes}, "scenes": scenes, "tiles": tiles}


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests that the stage reads: the registrations of all scenes of the acquisition."""
    return scene_manifests("registration", spec["acquisition"]["scenes"])


def run(job: Job) -> None:
    """Settle the scenes of one acquisition; see the module `rasterloom.stages.place`."""

    def make(want: Wanted, work: Writing) -> None:
        work.json(want.work, parts=want.work["sensors"])
        for name, sensor in want.work["sensors"].items():
            if sensor["method"] == GROUP:
                job.log(f"place: {want.name}, {name}: {sensor['fallback']}")

    job.finish(job.obtain(wanted(job), ".registration.json", make, total=len(job.spec["scenes"])))


def wanted(job: Job) -> Iterator[Wanted]:
    """The settled registration of each scene: its own, unless a sensor of it was left without an estimate."""
    name, scenes = job.spec["acquisition"]["name"], job.spec["acquisition"]["scenes"]
    items = job.items("registration", scenes)

    @cache
    def read(scene: str) -> Tiled:
        row, column = job.spec["tiles"][scene]
        return read_registration(job.store.open_path(items[scene])), (row, column)

    for scene in job.spec["scenes"]:
        own = read(scene)
        found: Registration = own[0]
        recipe: dict[str, Any] = {}
        origin: dict[str, Any] = {"registration": items[scene].digest}
        if (lacking := unplaced(found)) and len(scenes) > 1:
            others = [read(other) for other in scenes if other != scene]
            recipe |= {"acquisition": name, "tile": list(place_of(own))}
            origin |= {"others": len(others), "shifts": {sensor: estimates(sensor, own, others) for sensor in lacking}}
            found = settled(own, others, name)
        yield Wanted(scene, job.key(recipe, origin), recipe, origin, found)
