"""GeoPackages."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas
import pyogrio
import pytest
import shapely
from shapely import Polygon, box

from polygon_jobs import UTM, add_polygons, add_registration, make_job
from rasterloom.stages import export
from rasterloom.store.job import Job

RING = Polygon([(0, 0), (4, 0), (4, 4), (0, 4)], [[(1, 1), (3, 1), (3, 3), (1, 3)]])


def make(folder: Path, crs: str | None) -> Job:
    transform = UTM if crs else None
    add_polygons(folder, "trees", {"s": [RING, box(6, 6, 8, 8)]}, transform, crs)
    add_polygons(folder, "roads", {"s": []}, transform, crs)
    add_registration(folder, "s", transform=transform, crs=crs)
    classes = {"trees": 5, "roads": 3}
    spec = {"stage": "export", "version": 1, "batch": "b", "classes": classes, "scenes": ["s"], "batches": {"b": ["s"]}}
    for name in ("trees", "roads"):
        (folder / "polygons" / name / "s.json").rename(folder / "polygons" / name / "b.json")
    return make_job(folder, spec)


def test_run_writes_a_layer_a_class_with_crs(tmp_path: Path) -> None:
    job = make(tmp_path, "EPSG:32616")
    assert export.inputs(job.spec) == ["polygons/trees/b.json", "polygons/roads/b.json", "registration/s.json"]
    export.run(job)
    path = tmp_path / "vectors/s.gpkg"
    assert sorted(name for name, _ in pyogrio.list_layers(path)) == ["roads", "trees"]
    trees = geopandas.read_file(path, layer="trees")
    assert trees.crs.to_epsg() == 32616
    assert trees.area.tolist() == [3.0, 1.0]
    assert trees["area_px"].tolist() == [12.0, 4.0]
    assert trees["area_m2"].tolist() == pytest.approx(
        [3 / 1.000273**2, 1 / 1.000273**2], rel=1e-5
    )  # the scale of UTM there
    assert trees["number"].tolist() == [1, 2]
    assert trees["longitude"].between(-85, -84).all() and trees["latitude"].between(33, 34).all()
    for polygon, x, y in zip(trees.geometry, trees["x"], trees["y"], strict=True):
        assert polygon.contains(geopandas.points_from_xy([x], [y])[0])
    roads = geopandas.read_file(path, layer="roads")
    assert len(roads) == 0 and roads.crs.to_epsg() == 32616


def test_run_without_crs(tmp_path: Path) -> None:
    export.run(make(tmp_path, None))
    trees = geopandas.read_file(tmp_path / "vectors/s.gpkg", layer="trees")
    assert trees.crs is None or "Undefined" in trees.crs.name
    assert trees.total_bounds.tolist() == [0, 0, 8, 8]
    assert "longitude" not in trees and "area_m2" not in trees


def test_run_in_a_system_that_is_tied_to_no_place(tmp_path: Path) -> None:
    export.run(make(tmp_path, 'LOCAL_CS["site grid",UNIT["metre",1]]'))
    trees = geopandas.read_file(tmp_path / "vectors/s.gpkg", layer="trees")
    assert trees["area_m2"].tolist() == [3.0, 1.0] and "longitude" not in trees
    assert len(geopandas.read_file(tmp_path / "vectors/s.gpkg", layer="roads")) == 0


def test_run_replaces_an_earlier_file_whole(tmp_path: Path) -> None:
    job = make(tmp_path, None)
    export.run(job)
    job.spec["classes"] = {"trees": 5}
    export.run(job)
    assert [name for name, _ in pyogrio.list_layers(tmp_path / "vectors/s.gpkg")] == ["trees"]
    assert sorted(path.name for path in (tmp_path / "vectors").iterdir()) == ["b.tsv", "s.gpkg"]
    assert (tmp_path / "vectors/b.tsv").read_text().splitlines()[1:] == ["s\ts.gpkg\ttrees\t2"]


def test_run_that_fails_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make(tmp_path, None)
    export.run(job)
    before = (tmp_path / "vectors/s.gpkg").read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(export, "layer", fail)
    with pytest.raises(OSError, match="disk full"):
        export.run(job)
    assert (tmp_path / "vectors/s.gpkg").read_bytes() == before


@pytest.mark.parametrize("full", [True, False])
def test_error_of_sqlite_is_one_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool) -> None:
    """Which says whether the disk is full; SQLite does not."""

    def fail(*_: object, **__: object) -> None:
        raise pyogrio.errors.FeatureError("Could not add feature to layer\n at index 0: disk I/O error")

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pyogrio, "write_dataframe", fail)
    job = make(tmp_path, None)
    if full:
        monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OSError, match="No space left" if full else "layer at index 0: disk I/O error") as caught:
        export.run(job)
    assert caught.value.errno == (errno.ENOSPC if full else errno.EIO)
    assert ".gpkg" in str(caught.value.filename)
    assert list((tmp_path / "vectors").iterdir()) == []


def test_layer_without_its_coordinate_system_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL keeps some errors of SQLite to itself."""
    read = pyogrio.read_info
    monkeypatch.setattr(pyogrio, "read_info", lambda *given, **named: {**read(*given, **named), "crs": None})
    with pytest.raises(OSError, match="layer trees has no coordinate system"):
        export.run(make(tmp_path, "EPSG:32616"))
    assert list((tmp_path / "vectors").iterdir()) == []


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("DROP TABLE trees", "no such table: trees"),
        ("DELETE FROM trees WHERE number = 2", "not whole.*trees"),
        ("UPDATE gpkg_ogr_contents SET feature_count = NULL", "not whole.*road.*trees"),
        ("DROP TRIGGER trigger_insert_feature_count_trees", "not whole.*trees"),
        ("DELETE FROM gpkg_contents WHERE table_name = 'trees'", "not whole.*trees"),
        ("DELETE FROM gpkg_extensions", "the file is not whole"),
        ("DROP TABLE gpkg_extensions", "no such table"),
        ("UPDATE gpkg_contents SET max_y = NULL", "not whole.*road"),
        ("UPDATE gpkg_contents SET srs_id = -1 WHERE table_name = 'trees'", "the file is not whole"),
        (None, "file is not a database"),
    ],
)
def test_layer_that_was_lost_after_it_was_written_is_an_error(tmp_path: Path, harm: str | None, said: str) -> None:
    """As where a single write failed, of which GDAL says nothing."""
    boxes = geopandas.GeoDataFrame({"number": [1, 2]}, geometry=shapely.box([0, 5], 0, [3, 8], 2), crs="EPSG:32616")
    with pytest.raises(OSError, match=said) as caught, export.geopackage(tmp_path / "s.gpkg") as add:
        add("trees", boxes)
        add("road", boxes)
        (file,) = tmp_path.iterdir()
        if harm is None:
            file.write_bytes(b"no database" * 100)
        else:
            with closing(sqlite3.connect(file)) as opened:
                opened.executescript(harm)
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(tmp_path / "s.gpkg"))
    assert list(tmp_path.iterdir()) == []


def test_error_of_another_file_stays_what_it_is(tmp_path: Path) -> None:
    with (
        pytest.raises(pyogrio.errors.DataSourceError, match=r"gone\.gpkg"),
        export.geopackage(tmp_path / "s.gpkg") as add,
    ):
        add("trees", geopandas.read_file(tmp_path / "gone.gpkg"))
    assert list(tmp_path.iterdir()) == []
