"""Scores: pooled Jaccard per class and scene, exactly the contest's metric, and the mean over classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rasterloom.jaccard import Areas, areas, mean_jaccard, pooled
from rasterloom.job import Job, batch_manifests

VERSION = 1

COLUMNS = ("part", "class", "scene", "tp", "fp", "fn", "jaccard", "threshold")
HELD_OUT = "held-out"
"""Scenes whose truth no model was trained on."""
OUT_OF_FOLD = "out-of-fold"
"""Labelled scenes, each predicted by models that did not train on it and cut at a threshold tuned without it."""


@dataclass(frozen=True)
class ClassScore:
    """One class in one part: areas by scene in square reference pixels, and the thresholds used."""

    name: str
    scenes: Mapping[str, Areas]
    thresholds: Mapping[str, float]
    common: float

    @property
    def total(self) -> Areas:
        """Areas pooled over scenes."""
        return pooled(self.scenes.values())


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
    """Manifests read: labels, tuning and polygons of every class with truth, and the folds of its group."""
    found: list[str] = []
    for name in spec["classes"]:
        scenes = {*spec["truth"][name], *spec["labelled"][name]}
        batches = {batch: ids for batch, ids in spec["batches"].items() if scenes & set(ids)}
        found += [f"labels/{name}.json", f"tuning/{name}.json"] if scenes else []
        found += batch_manifests(f"polygons/{name}", {"batches": batches})
        found += [f"folds/{spec['groups'][name]}.json"] if spec["labelled"][name] else []
    return list(dict.fromkeys(found))


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
    return ClassScore(name, found, thresholds, float(tuned["threshold"]))
