"""Looking at the labels of every class, scene by scene, as the stage `label` reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.dataset import Dataset
from rasterloom.labels.contest import dstl_labels
from rasterloom.labels.files import RASTERS, read_vector
from rasterloom.labels.sheet import sheet_labels
from rasterloom.raster.files import open_raster
from rasterloom.report.findings import Finding, class_findings, label_findings
from rasterloom.stages.label import label_file_names, label_job
from rasterloom.store.job import Job
from rasterloom.store.store import Store
from rasterloom.text import few
from rasterloom.tools.inspection.found import refusing
from rasterloom.tools.inspection.survey import Progress


@dataclass(frozen=True)
class Labels:
    """Labels of one class in one scene.

    Attributes
    ----------
    areas : (n,) float64 array
        Area of each object in reference pixels; of a mask, a region of pixels that touch along an edge.
    facts : dict
        What was found and done when they were read, as the stage `label` keeps it.
    """

    areas: NDArray[np.float64]
    facts: dict[str, Any]

    def count(self, *facts: str) -> int:
        """The sum of some facts that are numbers."""
        return sum(self.facts.get(name, 0) for name in facts)


@dataclass
class LabelSurvey:
    """Labels by class and scene, and what is odd about them."""

    classes: dict[str, dict[str, Labels]] = field(default_factory=lambda: defaultdict(dict))
    findings: list[Finding] = field(default_factory=list)


class _QuietJob(Job):
    """A job of the stage `label` whose log nobody reads: what it says is among the facts."""

    def log(self, text: str) -> None:
        """Say nothing."""


def survey_labels(dataset: Dataset, readable: Container[str], progress: Progress) -> LabelSurvey:
    """Look at all labels, held-out truth with them, of scenes whose reference image is `readable`.

    Notes
    -----
    Memory: a mask, or the polygons of two files, at a time.
    """
    import shapely

    found = LabelSurvey()
    vector = lru_cache(maxsize=2)(read_vector)
    by_file: dict[str, list[dict[str, Any]]] = defaultdict(list)
    jobs = _jobs(dataset, readable)
    for done, job in enumerate(jobs, 1):
        name, files = job.spec["class"], label_file_names(dataset, job.spec["class"])
        with refusing(found.findings, name):
            for label in dstl_labels(job) if dataset.layout == "dstl" else sheet_labels(job, vector):
                with refusing(found.findings, name):
                    polygons, counts = label.polygons()
                    facts = {**label.facts, **counts}
                    found.classes[name][label.scene] = Labels(shapely.area(polygons), facts)
                    found.findings += label_findings(label.scene, name, files[label.scene], facts)
                    found.findings += _of_mask(dataset, label.scene, name)
                    by_file[files[label.scene]].append(facts)
                progress(done, len(jobs), f"{label.scene}, labels of {name}")
    found.findings += class_findings(by_file, dataset.classes)
    return found


def _jobs(dataset: Dataset, readable: Container[str]) -> list[Job]:
    """Jobs of the stage `label`: one for each class of the contest's tables, or for each scene and class of a sheet.

    A mistake in the file of one scene then says nothing of the others. Jobs that read one file follow one another.
    """
    jobs: list[Job] = []
    for name in dataset.classes:
        spec, sources = label_job(dataset, {}, name)
        scenes = [scene for scene in spec["scenes"] if scene in readable]
        for group in [scenes] if dataset.layout == "dstl" else [[scene] for scene in scenes]:
            jobs.append(_QuietJob({**spec, "scenes": group}, sources, Path(), Store(Path())))
    if dataset.layout == "sheet":
        jobs.sort(key=lambda job: [(job.sources["labels"][scene]["path"], scene) for scene in job.spec["scenes"]])
    return jobs


def _of_mask(dataset: Dataset, scene: str, name: str) -> Iterator[Finding]:
    """A mask of several numbers, or one that covers everything, may not show what it should."""
    labels = dataset.scenes[scene].labels.get(name)
    if labels is None or Path(labels.file.path).suffix.lower() not in RASTERS:
        return
    with open_raster(labels.file.path) as raster:
        numbers = [f"{number:g}" for number in np.unique(raster.read(0, raster.info.height))]
    file = Path(labels.file.path).name
    if len(numbers) > 2:
        yield Finding(scene, name, file, "several-numbers", few(numbers, most=6))
    elif numbers != ["0"] and len(numbers) == 1:
        yield Finding(scene, name, file, "all-positive", f"{numbers[0]} everywhere")
