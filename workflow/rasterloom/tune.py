"""Thresholds: the probability level with the best pixel Jaccard on out-of-fold predictions.

The level used for a scene that was tuned on comes from the other grounds only, so that its score is honest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.digest import digest
from rasterloom.errors import LabelError
from rasterloom.files import write_json
from rasterloom.job import Job, Wanted, batch_manifests, scene_manifests
from rasterloom.mask import coverage_bands, label_item, read_labels, read_plane
from rasterloom.store import Item, Writing
from rasterloom.vectorise import morphology

VERSION = 1

FALLBACK = 127.5
"""Threshold where there is nothing to tune on."""

Counts = NDArray[np.int64]
"""(2, 256) counts of probabilities 0..255 outside (row 0) and inside (row 1) the truth."""


def joint_histogram(probability: NDArray[np.uint8], fraction: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Number of pixels of each coverage (row) and probability (column).

    Parameters
    ----------
    probability, fraction : (H, W) uint8 arrays, 0..255

    Returns
    -------
    (256, 256) int64 array

    Notes
    -----
    Memory: 10 bytes a pixel, so large images go through it in bands of rows, whose counts add up.
    """
    joint = fraction.astype(np.uint16) << 8 | probability
    return np.bincount(joint.ravel(), minlength=65536).reshape(256, 256).astype(np.int64, copy=False)


def split_counts(joint: NDArray[np.int64]) -> Counts:
    """Counts of each probability outside and inside the truth, from a whole scene's `joint_histogram`.

    The truth are the pixels of coverage 128 or more; if none reaches it, those of the largest coverage above 0.
    """
    largest = int(np.flatnonzero(joint.any(axis=1)).max(initial=0))
    first = 128 if largest >= 128 else max(largest, 1)
    return np.stack([joint[:first].sum(axis=0), joint[first:].sum(axis=0)])


def jaccards(counts: Counts) -> NDArray[np.float64] | None:
    """Pixel Jaccard at each threshold 0.5, 1.5 .. 254.5, (255,) float64; None without any truth pixel."""
    if counts[1].sum() == 0:
        return None
    # Pixels above n, for n = 0..254.
    false, true = (counts.sum(axis=1, keepdims=True) - np.cumsum(counts, axis=1))[:, :255]
    return np.asarray(true / (counts[1].sum() + false))


def best_threshold(counts: Counts) -> tuple[float, float | None, str | None]:
    """The threshold with the best Jaccard; of equally good ones, the middle of the longest run.

    Parameters
    ----------
    counts : (2, 256) int64 array
        Sum of `split_counts` over scenes.

    Returns
    -------
    float, float or None, str or None
        Threshold n + 0.5 on 0..255; its Jaccard, None if unknown; the reason if it was not found by a search.
    """
    found = jaccards(counts)
    if found is None:
        return FALLBACK, None, "no truth pixel on any out-of-fold scene"
    best = float(found.max())
    if best == 0:
        return FALLBACK, 0.0, "no threshold finds any truth pixel"
    ties = np.flatnonzero(found == best)
    runs = np.split(ties, np.flatnonzero(np.diff(ties) > 1) + 1)
    run = max(runs, key=len)
    return float(run[len(run) // 2 if len(run) % 2 else len(run) // 2 - 1]) + 0.5, best, None


def fixed_threshold(probability: float) -> float:
    """The threshold n + 0.5 on 0..255 of a probability 0..1: 0.5 gives 127.5."""
    return float(np.clip(np.floor(probability * 255), 0, 254)) + 0.5


def tuning(counts: Mapping[str, Counts], ground: Mapping[str, str]) -> dict[str, Any]:
    """Thresholds from histograms: of all scenes together, and for each scene without its ground.

    Parameters
    ----------
    counts : mapping of scene to `split_counts`
        Out-of-fold scenes only.
    ground : mapping of scene to ground
        Scenes of one ground show the same place.

    Returns
    -------
    dict
        ``threshold``, ``jaccard``, ``reason``; ``scores``: Jaccard at every threshold, or None; ``present``: number
        of scenes with truth; ``scenes``: the first three for each scene, from all others but its ground.
    """
    none = np.zeros((2, 256), np.int64)
    total = sum(counts.values(), none)
    scores = jaccards(total)
    by_ground: dict[str, Counts] = {}
    for scene, found in sorted(counts.items()):
        by_ground[ground[scene]] = by_ground.get(ground[scene], none) + found
    without = {name: _entry(best_threshold(total - found)) for name, found in by_ground.items()}
    return {
        **_entry(best_threshold(total)),
        "scores": None if scores is None else [round(float(score), 6) for score in scores],
        "present": sum(1 for found in counts.values() if found[1].any()),
        "scenes": {scene: without[ground[scene]] for scene in sorted(counts)},
    }


def _entry(found: tuple[float, float | None, str | None]) -> dict[str, Any]:
    threshold, score, reason = found
    return {"threshold": threshold, "jaccard": None if score is None else round(score, 6), "reason": reason}


def threshold_of(tuned: Mapping[str, Any], scene: str) -> float:
    """The threshold for a scene: its own if it was tuned on, else the common one."""
    return float(tuned["scenes"].get(scene, tuned)["threshold"])


def read_tuning(job: Job, name: str) -> dict[str, Any]:
    """The tuning of a class."""
    item = job.manifest(f"tuning/{name}").items[name]
    value: dict[str, Any] = json.loads(job.store.open_path(item).read_text(encoding="utf-8"))
    return value


def validation_scenes(job: Job, group: str) -> set[str]:
    """Scenes in the validation part of some fold of a group: their predictions are out-of-fold."""
    found: set[str] = set()
    for item in job.manifest(f"folds/{group}").items.values():
        folds = json.loads(job.store.open_path(item).read_text(encoding="utf-8"))["folds"]
        found.update(scene for fold in folds.values() for scene in fold["validation"])
    return found


def reference_size(job: Job, item: Item) -> tuple[int, int]:
    """Width and height of the reference image, from a registration item."""
    reference = json.loads(job.store.open_path(item).read_text(encoding="utf-8"))["reference"]
    return int(reference["width"]), int(reference["height"])


def _is_fixed(spec: Mapping[str, Any]) -> bool:
    return bool(spec["polygons"]["threshold"] != "auto")


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: ensembles, labels, folds and registrations; none with a fixed threshold."""
    if _is_fixed(spec):
        return []
    return [
        *batch_manifests(f"ensembles/{spec['class']}", spec),
        f"labels/{spec['class']}.json",
        f"folds/{spec['group']}.json",
        *scene_manifests("registration", spec["scenes"]),
    ]


def run(job: Job) -> None:
    """Tune the threshold of a class."""

    def make(want: Wanted, work: Writing) -> None:
        fixed = _is_fixed(job.spec)
        value = _fixed(job.spec["polygons"]["threshold"]) if fixed else _search(job, want.work)
        write_json(work.path, value)
        work.digest = digest(value)

    job.finish(job.obtain(wanted(job), ".tuning.json", make))


def wanted(job: Job) -> Iterator[Wanted]:
    """The tuning of the job's class."""
    name, settings = job.spec["class"], job.spec["polygons"]
    recipe = dict(settings)
    scenes: dict[str, tuple[Item, Item, tuple[int, int]]] = {}
    given: list[Any] = []
    if not _is_fixed(job.spec):
        chosen = sorted(validation_scenes(job, job.spec["group"]) & set(job.spec["scenes"]))
        ensembles, registrations = job.items(f"ensembles/{name}", chosen), job.items("registration", chosen)
        for scene in chosen:
            label, size = label_item(job, name, scene), reference_size(job, registrations[scene])
            scenes[scene] = (ensembles[scene], label, size)
            given.append([scene, job.spec["ground"][scene], ensembles[scene].digest, label.digest, list(size)])
    yield Wanted(name, job.key(recipe, given), recipe, given, scenes)


def _fixed(probability: float) -> dict[str, Any]:
    entry = _entry((fixed_threshold(probability), None, f"fixed at {probability} by the configuration"))
    return {**entry, "scores": None, "present": None, "scenes": {}}


def _search(job: Job, scenes: Mapping[str, tuple[Item, Item, tuple[int, int]]]) -> dict[str, Any]:
    counts: dict[str, Counts] = {}
    for number, (scene, (ensemble, label, size)) in enumerate(scenes.items(), 1):
        paths = job.store.open_path(ensemble), job.store.open_path(label)
        counts[scene] = _scene_histogram(*paths, size, job.spec["polygons"], job.spec["class"], scene)
        job.progress(number, len(scenes), scene)
    return tuning(counts, job.spec["ground"])


def _scene_histogram(
    ensemble: Path, label: Path, size: tuple[int, int], settings: Mapping[str, Any], name: str, scene: str
) -> Counts:
    """Counts of a scene; memory: two bytes a pixel of the ensemble (one without morphology), and a band of rows."""
    probability = read_plane(ensemble, "probability")
    # In two steps, so that what was read is gone before the second one.
    probability = morphology(probability, settings["dilate"], 0)
    probability = morphology(probability, 0, settings["erode"])
    height, width = probability.shape
    matrix = [[size[0] / width, 0.0, 0.0], [0.0, size[1] / height, 0.0]]
    joint, row = np.zeros((256, 256), np.int64), 0
    try:
        for band in coverage_bands(read_labels(label), (height, width), matrix):
            joint += joint_histogram(probability[row : row + len(band)], band)
            row += len(band)
    except LabelError as error:
        raise LabelError(f"class {name} on scene {scene}: {error}") from None
    return split_counts(joint)
