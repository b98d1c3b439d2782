"""Small images and files of labels for the tests of labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas
import numpy as np
import rasterio
from rasterio.transform import Affine

from rasterloom.dataset import Dataset, load_dataset
from rasterloom.polygons.geometry import transformed
from rasterloom.raster.files import RasterInfo
from rasterloom.stages import job_of, label
from rasterloom.stages.label import VERSION, inputs, run
from rasterloom.store.job import Job
from rasterloom.store.store import Store

UTM = "EPSG:32631"

SIZE = (20, 10)  # width, height

NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)


def image(path: Path, crs: str | None = UTM, transform: Affine | None = NORTH_UP, size: tuple[int, int] = SIZE) -> None:
    more = {} if transform is None else {"transform": transform}
    with rasterio.open(
        path, "w", driver="GTiff", width=size[0], height=size[1], count=1, dtype="uint8", crs=crs, **more
    ):
        pass


def mask_file(path: Path, mask: Any, nodata: float | None = None, transform: Affine = NORTH_UP, crs: str = UTM) -> None:
    values = np.asarray(mask)
    height, width = values.shape
    with rasterio.open(path, "w", "GTiff", width, height, 1, crs, transform, str(values.dtype), nodata) as file:
        file.write(values, 1)


def vector_file(path: Path, polygons: Sequence[Any], crs: str | None = UTM, classes: Sequence[Any] = ()) -> None:
    columns = {"class": list(classes)} if classes else {}
    frame = geopandas.GeoDataFrame(columns, geometry=list(polygons), crs=UTM if crs else None)
    (frame.to_crs(crs) if crs else frame).to_file(path)


def on_map(*polygons: Any) -> list[Any]:
    return list(transformed(list(polygons), [[0.5, 0, 500_000], [0, -0.5, 4_000_000]]))


REFERENCE = RasterInfo(
    20, 10, crs=rasterio.CRS.from_string(UTM).to_wkt(), transform=[[0.5, 0, 500_000], [0, -0.5, 4_000_000]]
)


def sheet(root: Path, *rows: str, classes: Sequence[str] = ("houses",)) -> Dataset:
    """The data set of a sheet, whose rows have ``|`` for tabs."""
    table = root / "scenes.tsv"
    table.write_text("\n".join(row.replace("|", "\t") for row in rows) + "\n")
    sensors = {"rgb": {"reference": True}}
    return load_dataset({"layout": "sheet", "table": str(table)}, sensors, {c: i for i, c in enumerate(classes, 1)})


def buffered(dataset: Dataset, class_name: str = "houses", **buffer: float) -> Dataset:
    """A data set whose points and lines of a class are so wide."""
    return replace(dataset, buffers={class_name: buffer})


def label_job_of(dataset: Dataset, class_name: str, results: Path) -> Job:
    """The label job of a class, its spec and sources as they arrive from the workflow."""
    project: Any = SimpleNamespace(dataset=dataset)
    spec, sources = label.spec(project, **{"class": class_name}), label.sources(project, **{"class": class_name})
    spec = json.loads(json.dumps({"stage": "label", "version": VERSION, **spec}))
    assert inputs(spec) == []
    return job_of(spec, json.loads(json.dumps(sources)), results, Store(results / "store"))


def run_labels(dataset: Dataset, class_name: str, results: Path) -> dict[str, Any]:
    """Frames by scene of one label job, as downstream stages read them."""
    job = label_job_of(dataset, class_name, results)
    run(job)
    items = job.manifest(f"labels/{class_name}").items
    return {s: geopandas.read_parquet(job.store.open_path(i)).set_index("scene", drop=False) for s, i in items.items()}


def label_facts(dataset: Dataset, class_name: str, results: Path) -> dict[str, dict[str, Any]]:
    """What a label job that has run noticed, by scene; counts of polygons and of classes left out."""
    job = label_job_of(dataset, class_name, results)
    facts = {s: job.store.facts(item) for s, item in job.manifest(f"labels/{class_name}").items.items()}
    return {s: {k: v for k, v in f.items() if k not in ("polygons", "numbers")} for s, f in facts.items()}
