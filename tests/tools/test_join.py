"""Results of several runs joined: every scene once, every polygon, one coordinate system."""

from __future__ import annotations

from pathlib import Path

import geopandas
import pyogrio
import pytest
import shapely

from rasterloom.cli import main
from rasterloom.errors import RasterloomError
from rasterloom.registration import table as registration
from rasterloom.report import findings
from rasterloom.stages import export, measure
from rasterloom.store.files import write_json, write_text
from rasterloom.store.folders import OUTPUTS_NOTE
from rasterloom.store.tables import tsv_text

UTM = "EPSG:32617"


def finished(
    results: Path, scenes: dict[str, int], crs: str | None = UTM, said: str = "", houses: str = "houses"
) -> Path:
    """A results folder of a run whose scenes have so many houses each, and one empty layer of roads."""
    rows = []
    for scene, count in scenes.items():
        boxes = [shapely.box(500_000 + 10 * n, 0, 500_005 + 10 * n, 5) for n in range(count)]
        path = results / "vectors" / f"{scene}.gpkg"
        with export.geopackage(path) as add:
            for name, own in ((houses, boxes), ("roads", [])):
                columns = {"scene": [scene] * len(own), "number": range(1, len(own) + 1)}
                add(name, geopandas.GeoDataFrame(columns, geometry=own, crs=crs))
                rows.append((scene, path.name, name, len(own)))
    write_text(results / "vectors/all.tsv", tsv_text(export.COLUMNS, rows))
    for name, columns in (
        ("summary.tsv", measure.COLUMNS),
        ("quality/inputs.tsv", findings.COLUMNS),
        ("quality/registration.tsv", registration.COLUMNS),
    ):
        found = [(scene, *[said or "x"] * (len(columns) - 1)) for scene in scenes]
        write_text(results / name, tsv_text(columns, found))
    write_json(results / OUTPUTS_NOTE, {"export": ["vectors/all.tsv"]})
    return results


def joined(out: Path, *folders: Path) -> None:
    with pytest.raises(SystemExit) as end:
        main(["join", *map(str, folders), "--out", str(out)])
    assert end.value.code == 0


def test_each_scene_once_and_every_polygon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    north = finished(tmp_path / "north", {"learnt": 3, "a": 2}, said="first")
    south = finished(tmp_path / "south", {"learnt": 3, "b": 4}, said="second")
    joined(tmp_path / "out", north, south)
    houses = geopandas.read_file(tmp_path / "out/polygons.gpkg", layer="houses")
    assert houses.groupby("scene").size().to_dict() == {"a": 2, "b": 4, "learnt": 3}
    assert houses.crs == UTM and "9 polygons of 3 scenes" in capsys.readouterr().out
    assert len(geopandas.read_file(tmp_path / "out/polygons.gpkg", layer="roads")) == 0
    for name in ("summary.tsv", "quality/inputs.tsv", "quality/registration.tsv"):
        lines = [line.split("\t")[:2] for line in (tmp_path / "out" / name).read_text().splitlines()[1:]]
        assert lines == [["learnt", "first"], ["a", "first"], ["b", "second"]], name


def test_more_scenes_than_are_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rasterloom.tools.join.AT_ONCE", 2)
    folder = finished(tmp_path / "all", {"a": 1, "b": 0, "c": 2, "d": 0, "e": 0})
    joined(tmp_path / "out", folder)
    assert len(geopandas.read_file(tmp_path / "out/polygons.gpkg", layer="houses")) == 3


def test_other_systems_meet_in_degrees(tmp_path: Path) -> None:
    folders = finished(tmp_path / "a", {"a": 1}), finished(tmp_path / "b", {"b": 1}, "EPSG:32618")
    joined(tmp_path / "out", *folders)
    houses = geopandas.read_file(tmp_path / "out/polygons.gpkg", layer="houses")
    assert houses.crs == "EPSG:4326"
    west = houses.set_index("scene").geometry.bounds["minx"]
    assert west["b"] - west["a"] == pytest.approx(6, abs=1e-6)


def test_without_any_system_units_stay(tmp_path: Path) -> None:
    joined(tmp_path / "out", finished(tmp_path / "a", {"a": 1}, None), finished(tmp_path / "b", {"b": 1}, None))
    assert pyogrio.read_info(tmp_path / "out/polygons.gpkg", layer="houses")["crs"] is None


def test_some_without_a_system_are_refused(tmp_path: Path) -> None:
    from rasterloom.tools import join

    folders = finished(tmp_path / "a", {"a": 1}), finished(tmp_path / "b", {"b": 1}, None)
    layers = [layer for folder in folders for layer in join.layers_of(folder)]
    with pytest.raises(RasterloomError, match=r"b: no coordinate system, .* georeference"):
        join.common_system(layers)


def test_names_that_differ_in_case_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = finished(tmp_path / "a", {"a": 1}), finished(tmp_path / "b", {"b": 1}, houses="Houses")
    with pytest.raises(SystemExit) as end:
        main(["join", *map(str, folders), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert end.value.code == 1 and "classes houses, Houses: the names differ in case only" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a", "file"])
def test_out_is_no_file_and_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    folder, before = finished(tmp_path / "a", {"a": 1}), b"mine"
    (tmp_path / "file").write_bytes(before)
    with pytest.raises(SystemExit) as end:
        main(["join", str(folder), "--out", str(tmp_path / name)])
    assert end.value.code == 1 and "name a folder of its own" in capsys.readouterr().err
    assert (tmp_path / "file").read_bytes() == before and not (tmp_path / "a/polygons.gpkg").exists()


def test_a_folder_without_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["join", str(tmp_path), "--out", str(tmp_path / "out")])
    assert end.value.code == 1 and "has no results: give the folder of a finished run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
