"""What normalises a member's channels: statistics that all scenes share, or each scene's own.

With a mean of their own, scenes that differ in light, haze, season or sensor look alike to a model. A scene that shows
next to nothing (open water, fog) must not be stretched until its noise looks like objects, so its variance is blended
with that of the scenes that the model was trained on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import InputError, StoreError
from rasterloom.learning.augment import Normalisation
from rasterloom.learning.checkpoint import Arrays
from rasterloom.learning.sanity import SANITY
from rasterloom.learning.stack_reader import StackReader
from rasterloom.raster.scan import Moments, statistics_of
from rasterloom.registration.record import read_registration
from rasterloom.store.digest import digest
from rasterloom.store.files import read_json
from rasterloom.store.job import DATASET, Job, scene_manifests
from rasterloom.store.store import Item

STACKED = (0.0, 64.0, 1.0)
"""Mean, deviation and count of the probability of another member, 0..255, in place of statistics: in every scene 0 is
none of the class, and the certain class lies four deviations away."""

SHARE = 0.5
"""Share of the scene in its variance; the rest is what a model was trained on. So a deviation counts as at least .7 of
the model's: of 14 images of Rio, the sea has .1 of it and bare mud .2, those with buildings .6 or more."""


@dataclass(frozen=True)
class OwnStatistics:
    """A scene's own statistics of a sensor, from its registration, which holds the moments: mean, sd, count by band."""

    digest: str
    table: Mapping[str, Sequence[float]]


Items = Mapping[str, Mapping[str, Item | OwnStatistics]]
"""Statistics of each scene (or, where all share them, of `DATASET` alone), by sensor in the order of the channels."""


@dataclass(frozen=True)
class Statistics:
    """Of the digital numbers of each channel.

    Attributes
    ----------
    mean, sd : (C,) float64.
    count : (C,) float64, valid pixels; where it is 0, the others say nothing.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    count: NDArray[np.float64]


def statistics_manifests(spec: Mapping[str, Any]) -> list[str]:
    """Paths, relative to the results folder, of the manifests that the statistics of a spec's scenes are read from."""
    if spec.get("normalise_by") == "scene":
        return scene_manifests("registration", spec["scenes"])
    units = {spec["units"][scene] for scene in spec["scenes"]} if "normalise_by" in spec else {DATASET}
    return [f"statistics/{unit}.json" for unit in sorted(units)]


def statistics_items(job: Job, scenes: Iterable[str]) -> Items:
    """The statistics of scenes; see `Items`."""
    if job.spec.get("normalise_by") == "scene":
        return {scene: _own(job, item) for scene, item in job.items("registration", scenes).items()}
    units = {scene: job.spec["units"][scene] for scene in scenes} if "units" in job.spec else {DATASET: DATASET}
    found = {unit: job.manifest(f"statistics/{unit}").items for unit in set(units.values())}
    return {name: {sensor: found[unit][sensor] for sensor in job.spec["sensors"]} for name, unit in units.items()}


def _own(job: Job, registration: Item) -> dict[str, OwnStatistics]:
    places = read_registration(job.store.open_path(registration))["sensors"]
    bands = {sensor: places[sensor]["moments"] if sensor in places else [] for sensor in job.spec["sensors"]}
    tables = {sensor: statistics_of([Moments(**band) for band in own]) for sensor, own in bands.items()}
    return {sensor: OwnStatistics(digest(table), table) for sensor, table in tables.items()}


def read_statistics(job: Job, items: Mapping[str, Item | OwnStatistics], reader: StackReader) -> Statistics:
    """The statistics of the channels of a stack; the count is 0 where a scene lacks the sensor (see also `STACKED`).

    Raises
    ------
    StoreError
        If they have another number of channels than the stack.
    """
    tables: list[Mapping[str, Any]] = [
        item.table if isinstance(item, OwnStatistics) else read_json(job.store.open_path(item))
        for item in items.values()
    ]
    found = [len(table["mean"]) for table in tables]
    stacked = len(reader.planes) - sum(reader.counts)
    if any(length not in {0, count} for length, count in zip(found, reader.counts, strict=True)):
        raise StoreError(
            f"the statistics of {', '.join(items)} have {sum(found)} channels, the stacks {len(reader.planes)}: they "
            "belong to different configurations; run the workflow again"
        )
    own = {k: [t[k] or [0.0] * n for t, n in zip(tables, reader.counts, strict=True)] for k in ("mean", "sd", "count")}
    whole = [[*chain(*parts), *[same] * stacked] for parts, same in zip(own.values(), STACKED, strict=True)]
    return Statistics(*(np.array(numbers, float) for numbers in whole))


def training_normalisation(job: Job, items: Items, readers: Mapping[str, StackReader]) -> Normalisation:
    """The normalisation that a checkpoint keeps.

    Parameters
    ----------
    job : of the training.
    items : statistics of the scenes.
    readers : stack of each training scene, at least one.

    Returns
    -------
    The data set's; or, where scenes have statistics of their own, mean and deviation within these scenes.

    Raises
    ------
    InputError
        If the scenes differ in their channels, or no scene has a valid pixel of a channel.
    """
    first = next(iter(readers))
    planes, counts = readers[first].planes, readers[first].counts
    if "normalise_by" not in job.spec:
        return _normalisation(read_statistics(job, items[DATASET], readers[first]), planes)
    for scene, reader in readers.items():
        if reader.counts != counts:
            raise InputError(
                f"scene {scene} has {reader.counts} bands of {', '.join(job.spec['sensors'])}, scene {first} {counts}: "
                "all scenes must have the same bands; check the files, or set `bands` of the sensors"
            )
    within = _within([read_statistics(job, items[scene], reader) for scene, reader in readers.items()])
    if not within.count.all() and job.spec["fold"] != SANITY:  # its few scenes may all lack a sensor
        sensor = job.spec["sensors"][int(np.searchsorted(np.cumsum(counts), within.count.argmin(), side="right"))]
        raise InputError(
            f"sensor {sensor}: none of the {len(readers)} training scenes has a valid pixel of one of its bands: label "
            "a scene that has it, check its files and `nodata`, or leave it out of `channels`"
        )
    return _normalisation(within, planes)


def scene_normalisations(
    job: Job, kept: Normalisation, items: Items, readers: Mapping[str, StackReader]
) -> dict[str, Normalisation]:
    """The normalisation of each scene by a checkpoint that keeps one, be it trained on, watched or predicted."""
    if "normalise_by" not in job.spec:
        return dict.fromkeys(readers, kept)
    return {scene: scene_normalisation(kept, read_statistics(job, items[scene], r)) for scene, r in readers.items()}


def _within(scenes: Sequence[Statistics]) -> Statistics:
    """Mean and deviation within scenes; what the scenes differ by is no part of the deviation."""
    count = np.sum([own.count for own in scenes], axis=0)
    mean = np.sum([own.count * own.mean for own in scenes], axis=0) / np.maximum(count, 1)
    variance = np.sum([own.count * own.sd**2 for own in scenes], axis=0) / np.maximum(count, 1)
    return Statistics(mean, np.sqrt(variance), count)


def _normalisation(statistics: Statistics, planes: NDArray[np.intp]) -> Normalisation:
    return Normalisation(statistics.mean.astype(np.float32), statistics.sd.astype(np.float32), planes)


def scene_normalisation(kept: Normalisation, own: Statistics) -> Normalisation:
    """The normalisation of a scene by its own statistics.

    Parameters
    ----------
    kept : of the model; it stands in for channels of which the scene has no valid pixel.
    own : of the scene, or of what it shares statistics with.

    Returns
    -------
    Normalisation. The mean is the scene's, the variance blended (`SHARE`).
    """
    seen = own.count > 0
    mean = np.where(seen, own.mean, kept.mean)
    sd = np.where(seen, np.sqrt(SHARE * own.sd**2 + (1 - SHARE) * kept.sd.astype(np.float64) ** 2), kept.sd)
    return Normalisation(mean.astype(np.float32), sd.astype(np.float32), kept.planes)


def prediction_normalisation(
    checkpoints: Sequence[Arrays], own: Statistics | None, reader: StackReader
) -> Normalisation:
    """The normalisation of a scene that checkpoints of a member predict together.

    Parameters
    ----------
    checkpoints : at least one; without `own`, all have the same normalisation.
    own : the scene's own statistics, if it has any; what the checkpoints keep of theirs is then averaged.
    reader : of the scene's stack.

    Raises
    ------
    StoreError
        If they have another number of channels than the stack.
    """
    several = checkpoints if own is not None else checkpoints[:1]
    mean, sd = (np.mean([arrays[f"normalisation.{name}"] for arrays in several], axis=0) for name in ("mean", "sd"))
    if len(mean) != len(reader.planes):
        raise StoreError(
            f"the checkpoint has {len(mean)} channels but the stack gives {len(reader.planes)}: they belong to "
            "different configurations; run the workflow again"
        )
    kept = Normalisation(mean, sd, reader.planes)
    return kept if own is None else scene_normalisation(kept, own)
