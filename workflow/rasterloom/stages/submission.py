"""The submission: exactly the rows and the order of the contest's sample, checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rasterloom.dataset.contest_tables import Sample, read_sample
from rasterloom.polygons.record import polygon_items, polygon_manifests
from rasterloom.polygons.wkt import EMPTY, checked_wkt, write_wkt
from rasterloom.project.project import Project
from rasterloom.store.job import Job

OUTPUT = "submission.csv"
HELP = "write and check the contest's submission"
VERSION = 1

LARGE = 500_000_000
"""Bytes from which a warning is due: a file of 863 MB was refused by the contest's server."""


def jobs(project: Project) -> list[dict[str, str]]:
    """One job, where the data set has a sample submission."""
    return [{}] if "sample_submission" in project.dataset.tables else []


def spec(project: Project) -> dict[str, Any]:
    """The polygons of all classes."""
    return project.polygon_tables(project.recipe.classes)


def sources(project: Project) -> dict[str, Any]:
    """The sample submission."""
    return {"sample": project.dataset.tables["sample_submission"].to_json()}


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: the polygons of every class and batch."""
    return polygon_manifests(spec)


def run(job: Job) -> None:
    """Write the submission and say how large it is."""
    sample = read_sample(Path(job.sources["sample"]["path"]))
    write_wkt(job.output, _rows(job, sample), sample.newline)
    size, wanted = job.output.stat().st_size, {scene for scene, _ in sample.rows}
    missing = wanted - set(job.spec["scenes"])
    job.log(
        f"submission: {len(sample.rows)} rows, {size / 1e6:.1f} MB; "
        f"{len(wanted) - len(missing)} of {len(wanted)} scenes predicted, the rows of the others are EMPTY"
    )
    if size > LARGE:
        job.log(
            f"submission: {size / 1e6:.0f} MB may be refused; a larger `simplify` or `min_area` under `polygons` "
            "makes it smaller"
        )


def _rows(job: Job, sample: Sample) -> Iterator[tuple[str, int, str]]:
    """The sample's rows in their order, each with its WKT."""
    names = {number: name for name, number in job.spec["classes"].items()}
    items = polygon_items(job, job.spec["scenes"])
    for done, (scene, number) in enumerate(sample.rows, 1):
        name = names.get(number, "")
        item = items.get(name, {}).get(scene)
        yield scene, number, EMPTY if item is None else checked_wkt(job.store.open_path(item), scene, name)
        job.progress(done, len(sample.rows), scene)
