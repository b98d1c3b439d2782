"""Stage normalisation: mean and standard deviation of every channel, merged from the moments of registered scenes.

Those of the data set; or, as `normalise_by` says, of each acquisition. A scene's own are in its registration.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple
from typing import Any

from rasterloom.errors import InputError
from rasterloom.project.project import Project
from rasterloom.raster.scan import Moments, statistics_of
from rasterloom.registration.record import read_registration
from rasterloom.store.digest import digest
from rasterloom.store.job import Job, Wanted
from rasterloom.store.store import Writing

OUTPUT = "statistics/{unit}.json"
OWN_FOLDER = True
HELP = "mean and standard deviation of each channel"
VERSION = 2
NAMES = "sensors"


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job; or one per acquisition; or none, if each scene is normalised by itself."""
    return ({"unit": unit} for unit in project.units)


def spec(project: Project, unit: str) -> dict[str, Any]:
    """All sensors, and the scenes whose digital numbers count; a unit of its own need not have all sensors."""
    lenient = {} if project.config.normalise_by == "dataset" else {"lenient": True}
    return {"unit": unit, "sensors": list(project.config.sensors), "scenes": project.units[unit], **lenient}


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests that the stage reads, relative to the results folder."""
    return [f"registration/{scene}.json" for scene in spec["scenes"]]


def run(job: Job) -> None:
    """Merge the moments of the scenes that the recipe names, one artifact per sensor."""

    def make(want: Wanted, work: Writing) -> None:
        work.json(merge_scenes(want.work, want.name, lenient="lenient" in job.spec))

    job.finish(job.obtain(wanted(job), ".statistics.json", make))


def wanted(job: Job) -> Iterator[Wanted]:
    """The statistics of each sensor."""
    names, items = list(job.spec["sensors"]), job.items("registration", job.spec["scenes"])
    recipe = {"lenient": True} if "lenient" in job.spec else {}
    moments: dict[str, dict[str, list[Moments]]] = {name: {} for name in names}
    for scene in job.each(sorted(items)):
        places = read_registration(job.store.open_path(items[scene]))["sensors"]
        for name in names:
            if name in places:
                moments[name][scene] = [Moments(**band) for band in places[name]["moments"]]
    for name in names:
        # by content, so that a scene's name decides neither the key nor the last bit of a sum
        ordered = dict(sorted(moments[name].items(), key=lambda entry: [astuple(band) for band in entry[1]]))
        inputs = {"moments": digest([[asdict(band) for band in bands] for bands in ordered.values()])}
        yield Wanted(name, job.key(recipe, inputs), recipe, inputs, ordered)


def merge_scenes(moments: Mapping[str, Sequence[Moments]], sensor: str, lenient: bool = False) -> dict[str, list[Any]]:
    """Statistics of a sensor over scenes.

    Parameters
    ----------
    moments : mapping of scene to Moments, a band each
        Of raw digital numbers; pixels without data do not count.
    sensor : str
        For messages.
    lenient : bool
        Take what there is: empty lists if no scene has the sensor, zeros for a band without a valid pixel.

    Returns
    -------
    dict
        ``mean``, ``sd`` and ``count``, lists of one number a band; the true standard deviation, 0 for a constant.

    Raises
    ------
    InputError
        If scenes differ in the number of bands; unless `lenient`, if no scene has the sensor, or a band has no valid
        pixel anywhere.
    """
    if not moments and not lenient:
        raise InputError(f"sensor {sensor}: no scene of the statistics has an image of it; check `statistics`")
    first = next(iter(moments), "")
    for scene, bands in moments.items():
        if len(bands) != len(moments[first]):
            raise InputError(
                f"sensor {sensor}: scene {scene} has {len(bands)} bands, scene {first} {len(moments[first])}: all "
                "scenes must have the same bands; check the files, or set `bands` of the sensor"
            )
    merged = [sum(bands, Moments()) for bands in zip(*moments.values(), strict=True)]
    for band, total in enumerate(merged, 1):
        if not total.count and not lenient:
            raise InputError(
                f"sensor {sensor}: band {band} has no valid pixel in any of {len(moments)} scenes: check the files "
                "and `nodata` of the sensor"
            )
    return statistics_of(merged)
