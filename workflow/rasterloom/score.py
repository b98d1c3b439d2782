"""Scores: pooled Jaccard per class and scene, exactly the contest's metric, and the mean over classes.

A scene's row is in square reference pixels. The pooled row adds areas up as the contest does, in the units of the map:
each scene's areas are multiplied by what one of its pixels covers there (`pixel_area`), divided by the mean of that
over the pooled scenes. So a scene of larger pixels counts for more, and pooled areas stay about square pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rasterloom.jaccard import Areas, areas, mean_jaccard, pooled
from rasterloom.job import Job, batch_manifests, scene_manifests

VERSION = 2

COLUMNS = ("part", "class", "scene", "tp", "fp", "fn", "jaccard", "threshold")
HELD_OUT = "held-out"
"""Scenes whose truth no model was trained on."""
OUT_OF_FOLD = "out-of-fold"
"""Labelled scenes, each predicted by models that did not train on it and cut at a threshold tuned without it."""


@dataclass(frozen=True)
class ClassScore:
    """One class in one part.

    Attributes
    ----------
    name : str
    scenes : mapping of scene to Areas
        In square reference pixels.
    thresholds : mapping of scene to float
        The thresholds used.
    common : float
        The threshold of scenes that were not tuned on.
    pixels : mapping of scene to float
        What a pixel of each scene covers, in one unit for all; a scene that is not in it counts as 1.
    """

    name: str
    scenes: Mapping[str, Areas]
    thresholds: Mapping[str, float]
    common: float
    pixels: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> Areas:
        """Areas pooled over scenes, each weighted by its pixel's area, the weights being 1 on average."""
        weights = {scene: self.pixels.get(scene, 1.0) for scene in self.scenes}
        mean = sum(weights.values()) / len(weights) if weights else 1.0
        return pooled(found.scaled(weights[scene] / mean) for scene, found in self.scenes.items())


def pixel_area(reference: Mapping[str, Any]) -> tuple[str, float]:
    """What a reference pixel covers on the map, and in which unit.

    Parameters
    ----------
    reference : mapping
        Of a registration: ``transform`` (2 x 3 map-from-pixel or None), ``crs`` and ``gsd`` (metres or None).

    Returns
    -------
    (unit, area)
        ``map``: square units of the map, without CRS but with a transform (the contest's grid units);
        ``metre``: square metres, with a CRS and a known ground sampling distance; else ``pixel`` and 1.
    """
    transform, crs, gsd = (reference.get(name) for name in ("transform", "crs", "gsd"))
    if crs is None and transform is not None:
        (a, b, _), (d, e, _) = transform
        area = abs(a * e - b * d)
        return ("map", float(area)) if area > 0 else ("pixel", 1.0)
    if crs is not None and gsd:
        return "metre", float(gsd) ** 2
    return "pixel", 1.0


def pixel_areas(references: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """`pixel_area` of each scene; 1 for all if their units differ, as they cannot be compared then."""
    found = {scene: pixel_area(reference) for scene, reference in references.items()}
    one_unit = len({unit for unit, _ in found.values()}) == 1
    return {scene: area if one_unit else 1.0 for scene, (_, area) in found.items()}


def rows(part: str, classes: Iterable[ClassScore]) -> list[list[str]]:
    """Rows of the table for one part; none if it has no scene.

    Returns
    -------
    list of rows as in `COLUMNS`
        Per class its scenes and then ``all`` (pooled); last the ``mean`` of the pooled Jaccards. Where there is
        neither truth nor prediction the Jaccard is empty.
    """
    found: list[list[str]] = []
    known = [entry for entry in classes if entry.scenes]
    for entry in known:
        for scene, measured in sorted(entry.scenes.items()):
            found.append([part, entry.name, scene, *_cells(measured), f"{entry.thresholds[scene]:g}"])
        found.append([part, entry.name, "all", *_cells(entry.total), f"{entry.common:g}"])
    if found:
        mean = mean_jaccard(entry.total.jaccard for entry in known)
        found.append([part, "mean", "all", "", "", "", _score(mean), ""])
    return found


def _cells(measured: Areas) -> list[str]:
    return [f"{measured.tp:.3f}", f"{measured.fp:.3f}", f"{measured.fn:.3f}", _score(measured.jaccard)]


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def table(found: Iterable[list[str]]) -> str:
    """Tab-separated text with the header."""
    return "".join("\t".join(row) + "\n" for row in [list(COLUMNS), *found])


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: labels, tuning, polygons, folds of every class with truth; registrations of its scenes."""
    found: list[str] = []
    known = {scene for table in ("truth", "labelled") for name in spec["classes"] for scene in spec[table][name]}
    for name in spec["classes"]:
        scenes = {*spec["truth"][name], *spec["labelled"][name]}
        batches = {batch: ids for batch, ids in spec["batches"].items() if scenes & set(ids)}
        found += [f"labels/{name}.json", f"tuning/{name}.json"] if scenes else []
        found += batch_manifests(f"polygons/{name}", {"batches": batches})
        found += [f"folds/{spec['groups'][name]}.json"] if spec["labelled"][name] else []
    return list(dict.fromkeys([*found, *scene_manifests("registration", sorted(known))]))


def run(job: Job) -> None:
    """Score every class against truth that its models have not seen."""
    held_out, out_of_fold = [], []
    names = list(job.spec["classes"])
    for number, name in enumerate(names, 1):
        held_out.append(_class_score(job, name, set(job.spec["truth"][name])))
        out_of_fold.append(_class_score(job, name, _out_of_fold(job, name)))
        job.progress(number, len(names), name)
    text = table([*rows(HELD_OUT, held_out), *rows(OUT_OF_FOLD, out_of_fold)])
    job.write_output(lambda path: _write(path, text))


def _write(path: Any, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")


def _out_of_fold(job: Job, name: str) -> set[str]:
    from rasterloom.tune import validation_scenes

    labelled = set(job.spec["labelled"][name])
    return validation_scenes(job, job.spec["groups"][name]) & labelled if labelled else set()


def _class_score(job: Job, name: str, scenes: set[str]) -> ClassScore:
    from rasterloom.mask import label_item, read_labels
    from rasterloom.tune import read_tuning, threshold_of
    from rasterloom.vectorise import read_polygons

    if not scenes:
        return ClassScore(name, {}, {}, 0.0)
    tuned = read_tuning(job, name)
    found: dict[str, Areas] = {}
    for scene, item in job.items(f"polygons/{name}", sorted(scenes)).items():
        truth = read_labels(job.store.open_path(label_item(job, name, scene)))
        found[scene] = areas(truth, read_polygons(job.store.open_path(item))["pixel"])
    thresholds = {scene: threshold_of(tuned, scene) for scene in found}
    return ClassScore(name, found, thresholds, float(tuned["threshold"]), pixel_areas(_references(job, found)))


def _references(job: Job, scenes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The reference image of each scene, from its registration."""
    items = job.items("registration", sorted(scenes))
    texts = {scene: job.store.open_path(item).read_text(encoding="utf-8") for scene, item in items.items()}
    return {scene: json.loads(text)["reference"] for scene, text in texts.items()}
