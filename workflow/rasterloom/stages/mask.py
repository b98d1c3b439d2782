"""Masks: what fraction of each pixel of a grid is covered by the labels of a target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rasterloom.labels.record import label_item, read_labels
from rasterloom.polygons.coverage import coverage_strips
from rasterloom.raster.grid import Matrix
from rasterloom.raster.planes import write_plane
from rasterloom.registration.record import scene_grid
from rasterloom.store.digest import BLOCK_ROWS
from rasterloom.store.job import Job, Wanted
from rasterloom.store.store import Writing

VERSION = 1


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: the registration of the scene and the labels of each class of the target."""
    return [f"registration/{spec['scene']}.json", *(f"labels/{name}.json" for name in spec["classes"])]


def run(job: Job) -> None:
    """Rasterise the labels of a target's classes on one scene and scale."""

    def make(want: Wanted, work: Writing) -> None:
        labels, grid = want.work
        polygons = [polygon for label in labels.values() for polygon in read_labels(job.store.open_path(label))]
        work.digest = _write(work.path, polygons, grid.matrix, grid.shape)

    job.finish(job.obtain(wanted(job), ".zarr.zip", make))


def wanted(job: Job) -> Iterator[Wanted]:
    """The mask of the job's target, scene and scale."""
    scene, spec = job.spec["scene"], job.spec
    grid = scene_grid(job, scene, spec["scale"])
    labels = {name: label_item(job, name, scene) for name in spec["classes"]}
    shape = {"shape": list(grid.shape), "matrix": grid.matrix}
    digests = sorted(item.digest for item in labels.values())
    recipe = {"scale": {key: value for key, value in spec["scale"].items() if key != "name"}}
    inputs = {"grid": shape, "labels": digests}
    yield Wanted(scene, job.key(shape, digests), recipe, inputs, (labels, grid))


def _write(path: Path, polygons: Sequence[Any], matrix: Matrix, shape: tuple[int, int]) -> str:
    return write_plane(path, "coverage", shape, coverage_strips(polygons, shape, matrix, rows=BLOCK_ROWS))
