"""Labels of the contest: tables of WKT in the units of grid_sizes.csv."""

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from rasterloom.dataset.contest_ids import GSD
from rasterloom.dataset.contest_tables import WktRow, wkt_rows
from rasterloom.errors import LabelError
from rasterloom.labels.geometry import Buffer, Counts, Label, Polygons, clip, parse_wkt, polygon_parts, split_srid
from rasterloom.polygons.geometry import transformed
from rasterloom.raster.contest_grid import Extent, dstl_matrix, grid_extent
from rasterloom.raster.files import raster_info
from rasterloom.store.digest import digest
from rasterloom.store.job import Job

_THIN = re.compile("POINT|LINE|COLLECTION", re.IGNORECASE)
"""In a WKT text that may hold points or lines."""


def dstl_labels(job: Job) -> Iterable[Label]:
    """The labels of every scene of a job, from the contest's tables."""
    texts: dict[str, list[tuple[WktRow, Path]]] = {scene: [] for scene in job.spec["scenes"]}
    numbers: dict[str, set[int]] = {scene: set() for scene in job.spec["scenes"]}
    for table in job.sources["tables"]:
        path = Path(table["path"])
        job.reading(table.get("size", 0))
        for row in wkt_rows(path):
            if row.scene in texts:
                numbers[row.scene].add(row.class_id)
                if row.class_id == job.spec["id"]:
                    texts[row.scene].append((row, path))
    buffer = Buffer.of(job.spec, lambda: [[GSD, 0.0, 0.0], [0.0, GSD, 0.0]], "layout dstl")
    for scene in job.spec["scenes"]:
        rows = texts.pop(scene)
        info = raster_info(job.sources["reference"][scene]["path"])
        size, grid = (info.width, info.height), grid_extent(Path(job.sources["grid"]["path"]), scene)
        facts: dict[str, Any] = {"numbers": sorted(numbers[scene])}
        if len(rows) > 1:
            facts["duplicate-row"] = len(rows)
        decided = {
            "wkt": [digest(row.wkt.encode()) for row, _ in rows],
            "size": list(size),
            "grid": list(grid),
            "facts": facts,
            **buffer.decided(any(_THIN.search(row.wkt) for row, _ in rows)),
        }
        yield Label(scene, decided, partial(_read, job.spec["class"], rows, grid, size, buffer), facts)


def _read(
    class_name: str, rows: list[tuple[WktRow, Path]], grid: Extent, size: tuple[int, int], buffer: Buffer
) -> tuple[Polygons, Counts]:
    """Polygons of a scene's rows, in reference pixels."""
    found: Polygons = []
    counts = Counts()
    for row, path in rows:
        where = f"{path}, row {row.line} (scene {row.scene}, class {class_name})"
        srid, wkt = split_srid(row.wkt)
        if srid:
            raise LabelError(
                f"{where}: SRID {srid} given, but coordinates of the contest's tables are in the units of "
                "grid_sizes.csv: convert them and remove it; for labels with a georeference use `dataset: {layout: "
                "sheet}`"
            )
        geometry = parse_wkt(wkt, where)
        counts["third-coordinate"] += int(geometry.has_z)
        polygons, made = polygon_parts(transformed([geometry], dstl_matrix(*grid, *size)), where, buffer)
        clipped, cut = clip(polygons, *size)
        if polygons and not clipped:
            raise LabelError(
                f"{where}: none of its {len(polygons)} polygons lies in the scene: x runs from 0 to Xmax "
                f"and y from 0 down to Ymin, here {grid[0]} and {grid[1]} (grid_sizes.csv); correct the "
                "coordinates"
            )
        found += clipped
        counts += made + cut
    return found, +counts
