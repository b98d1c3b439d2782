"""The submission: exactly the rows and the order of the contest's sample, clipped to the tiles, checked."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rasterloom.dataset.contest_tables import Sample, grid_sizes, read_sample
from rasterloom.polygons.jaccard import Areas, areas
from rasterloom.polygons.record import polygon_items, polygon_manifests
from rasterloom.polygons.wkt import EMPTY, checked_wkt, clipped, write_wkt
from rasterloom.project.project import Project
from rasterloom.raster.contest_grid import Extent
from rasterloom.store.job import Job

OUTPUT = "submission.csv"
HELP = "write and check the contest's submission"
VERSION = 2

LARGE = 500_000_000
"""Bytes that the file may have: one of 863 MB was refused by the contest's server."""

FIRST, LAST = 0.5, 4.0
"""Pixels by which outlines of a class may move if the file is too large: at first, and at most."""


def jobs(project: Project) -> list[dict[str, str]]:
    """One job, where the data set has a sample submission."""
    return [{}] if "sample_submission" in project.dataset.tables else []


def spec(project: Project) -> dict[str, Any]:
    """The polygons of all classes."""
    return project.polygon_tables(project.recipe.classes)


def sources(project: Project) -> dict[str, Any]:
    """The sample submission, and the sizes of tiles."""
    tables = {"sample": "sample_submission", "grid": "grid_sizes"}
    return {name: project.dataset.tables[table].to_json() for name, table in tables.items()}


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: the polygons of every class and batch."""
    return polygon_manifests(spec)


def run(job: Job) -> None:
    """Write the submission and say how large it is; one that is too large again, the largest classes coarser."""
    sample = read_sample(Path(job.sources["sample"]["path"]))
    coarser: dict[str, float] = {}
    while True:
        sizes, cost = Counter[str](), defaultdict[str, list[Areas]](list)
        write_wkt(job.output, _rows(job, sample, coarser, sizes, cost), sample.newline)
        size, coarsest = job.output.stat().st_size, {name for name, pixels in coarser.items() if pixels >= LAST}
        large = [name for name, own in sizes.most_common() if name and own > size / 100 and name not in coarsest]
        if size <= LARGE or not large:
            break
        coarser[large[0]] = 2 * coarser.get(large[0], FIRST / 2)
        part = f"{sizes[large[0]] / 1e6:.0f} MB of it"
        job.log(f"submission: {size / 1e6:.0f} MB; class {large[0]}, {part}, is made coarser")
    wanted = {scene for scene, _ in sample.rows}
    missing = wanted - set(job.spec["scenes"])
    job.log(
        f"submission: {len(sample.rows)} rows, {size / 1e6:.1f} MB; "
        f"{len(wanted) - len(missing)} of {len(wanted)} scenes predicted, the rows of the others are EMPTY"
    )
    for name, pixels in coarser.items():
        job.log(
            f"submission: outlines of class {name} moved by up to {pixels:g} pixels, for a smaller file; Jaccard "
            f"with those before: {sum(cost[name], Areas()).jaccard or 1.0:.4f}"
        )
    if size > LARGE:
        job.log(
            f"submission: {size / 1e6:.0f} MB may be refused; a larger `min_area` under `polygons` makes it smaller"
        )


def _rows(
    job: Job, sample: Sample, coarser: Mapping[str, float], sizes: Counter[str], cost: dict[str, list[Areas]]
) -> Iterator[tuple[str, int, str]]:
    """The sample's rows in their order, each with its WKT; adds up the size of each class and what coarsening cost."""
    names = {number: name for name, number in job.spec["classes"].items()}
    items = polygon_items(job, job.spec["scenes"])
    tiles = grid_sizes(Path(job.sources["grid"]["path"]))
    for done, (scene, number) in enumerate(sample.rows, 1):
        name = names.get(number, "")
        item, text = items.get(name, {}).get(scene), EMPTY
        if item is not None:
            fit = partial(_fitted, extent=tiles[scene], pixels=coarser.get(name, 0.0), cost=cost[name])
            text = checked_wkt(job.store.open_path(item), scene, name, fit)
        sizes[name] += len(text)
        yield scene, number, text
        job.progress(done, len(sample.rows), scene)


def _fitted(polygons: Any, extent: Extent, pixels: float, cost: list[Areas]) -> Any:
    """Polygons in their tile, moved by up to some pixels; what that changed is added to `cost`."""
    found = clipped(polygons, extent, pixels)
    if pixels:
        cost.append(areas(polygons, found))
    return found
