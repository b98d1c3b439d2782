"""What is read of labels: areas, and the scenes with most of a class."""

from __future__ import annotations

from pathlib import Path

import pytest
from shapely import box

from rasterloom.labels.geometry import write_polygons
from rasterloom.labels.record import polygon_area, richest
from rasterloom.stages import job_of
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store

AREAS = {
    "car": {"a": 4.0, "b": 9.0, "c": 0.0, "d": 9.0},
    "bus": {"a": 6.0, "c": 1.0, "e": 99.0},
}


@pytest.fixture
def job(results: Path, store: Store) -> Job:
    """A job of a folder with one square of each class in each scene."""
    for name, areas in AREAS.items():
        items = {}
        for number, (scene, area) in enumerate(areas.items()):
            with store.writing("label", f"{name}{number}".rjust(32, "0"), ".parquet") as work:
                write_polygons(work.path, scene, name, [box(0, 0, area**0.5, area**0.5)] if area else [])
                work.digest = f"{name}{scene}"
            items[scene] = work.committed()
        Manifest("label", items).write(results / f"labels/{name}.json")
    return job_of({"stage": "sanity", "version": 1}, {}, results, store)


def test_polygon_area_of_no_polygons_is_zero(tmp_path: Path) -> None:
    write_polygons(tmp_path / "x.parquet", "a", "t", [])
    assert polygon_area(tmp_path / "x.parquet") == 0.0


def test_richest_adds_up_classes_and_leaves_out_scenes_without_any(job: Job) -> None:
    own = {scene: scene for scene in "abcd"}
    assert richest(job, ["car"], own, 9) == ["b", "d", "a"], "of equal ones, the first by name"
    assert richest(job, ["car", "bus"], own, 9) == ["a", "b", "d", "c"]
    assert richest(job, ["car", "bus"], own, 2) == ["a", "b"]
    assert richest(job, ["car"], {"c": "c"}, 3) == []


def test_richest_takes_other_ground_first(job: Job) -> None:
    ground = {"a": "x", "b": "x", "c": "y", "d": "x"}
    assert richest(job, ["car", "bus"], ground, 2) == ["a", "c"]
    assert richest(job, ["car", "bus"], ground, 9) == ["a", "c", "b", "d"]
