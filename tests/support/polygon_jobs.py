"""Jobs for the tests of stages that read polygons: a store with a few artifacts and their manifests."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
from shapely import Polygon

from rasterloom.polygons.geometry import transformed
from rasterloom.polygons.record import write_polygons
from rasterloom.stages import job_of
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store

Shapes = Mapping[str, Sequence[Polygon]]
UTM = [[0.5, 0.0, 733601.0], [0.0, -0.5, 3725139.0]]


def text_item(store: Store, stage: str, name: str, suffix: str, value: Any) -> Item:
    """An artifact of JSON."""
    with store.writing(stage, name, suffix) as work:
        work.path.write_text(json.dumps(value))
        work.digest = name
    return work.committed()


def add_polygons(
    folder: Path,
    name: str,
    scenes: Shapes,
    transform: list[list[float]] | None = None,
    crs: str | None = None,
) -> None:
    """Polygons of a class, given in reference pixels, each scene a batch of its own."""
    store = Store(folder / "store")
    for scene, shapes in scenes.items():
        pixel = np.array(shapes, dtype=object)
        mapped = pixel if transform is None else transformed(pixel, transform)
        with store.writing("vectorise", f"{name}-{scene}", ".parquet") as work:
            work.digest = write_polygons(work.path, scene, name, pixel, mapped, crs, np.full(len(pixel), np.nan))
        Manifest("vectorise", {scene: work.committed()}).write(folder / "polygons" / name / f"{scene}.json")


def add_labels(folder: Path, name: str, scenes: Shapes) -> None:
    """Labels of a class, in reference pixels."""
    store, items = Store(folder / "store"), {}
    for scene, shapes in scenes.items():
        count = len(shapes)
        table = geopandas.GeoDataFrame(
            {"scene": [scene] * count, "class": [name] * count}, geometry=geopandas.GeoSeries(list(shapes))
        )
        with store.writing("label", f"{name}-{scene}", ".parquet") as work:
            table.to_parquet(work.path)
            work.digest = f"{name}-{scene}"
        items[scene] = work.committed()
    Manifest("label", items).write(folder / "labels" / f"{name}.json")


def add_registration(folder: Path, scene: str, **reference: Any) -> None:
    """The registration of a scene of 20 x 10 pixels, half of them without data."""
    table = {"sensor": "rgb", "width": 20, "height": 10, "transform": None, "crs": None, "gsd": None, **reference}
    sensors = {"rgb": {"moments": [{"count": 100, "mean": 1.0, "m2": 1.0}] * 3}}
    item = text_item(
        Store(folder / "store"),
        "register",
        f"r-{scene}",
        ".registration.json",
        {"reference": table, "sensors": sensors},
    )
    Manifest("register", {scene: item}).write(folder / "registration" / f"{scene}.json")


def make_job(folder: Path, spec: dict[str, Any], sources: dict[str, Any] | None = None) -> Job:
    """A job in a results folder."""
    return job_of({"version": 1, **spec}, sources or {}, folder, Store(folder / "store"))
