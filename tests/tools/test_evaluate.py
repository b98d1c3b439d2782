"""`rasterloom evaluate`: any two files of polygons."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from shapely import affinity, box

from rasterloom.cli import main
from rasterloom.errors import RasterloomError
from rasterloom.polygons.scores import COLUMNS
from rasterloom.tools.evaluate import evaluated

UNIT = 1e-7
"""Contest units a metre here."""

HEADER = "ImageId,ClassType,MultipolygonWKT"


def squares(shift: float) -> list[Any]:
    """Ten squares of 10 m in a row, 20 m apart; each fifth further off than the one before."""
    return [
        box(733600 + 20 * n + shift * (n % 5), 3725100, 733610 + 20 * n + shift * (n % 5), 3725110) for n in range(10)
    ]


def frame(shapes: Sequence[Any]) -> Any:
    columns = {"class": ["houses"] * 10, "scene": list("aaaaabbbbb")}
    return geopandas.GeoDataFrame(columns, geometry=list(shapes), crs="EPSG:32616")


def contest(path: Path, shapes: Sequence[Any]) -> Path:
    """The same as a table of the contest, plain or packed; class 1 is nowhere."""
    placed = [affinity.affine_transform(s, [UNIT, 0, 0, -UNIT, -733600 * UNIT, 3725100 * UNIT]) for s in shapes]
    lines = [HEADER]
    for scene, own in (("a", placed[:5]), ("b", placed[5:])):
        lines += [f"{scene},1,MULTIPOLYGON EMPTY", f'{scene},2,"{shapely.multipolygons(own).wkt}"']
    text = "\r\n".join(lines).encode()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("any.csv", text)
    else:
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.fixture(params=["gpkg", "layers.gpkg", "geojson", "parquet", "csv"])
def predicted(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The prediction, each format in another coordinate system; a GeoPackage also as two layers."""
    path, table = tmp_path / f"found.{request.param}", frame(squares(2))
    match request.param:
        case "gpkg":
            table.to_crs("EPSG:3857").to_file(path)
        case "layers.gpkg":
            for layer, own in table.groupby("scene"):
                own.to_crs("EPSG:3857" if layer == "b" else own.crs).to_file(path, layer=str(layer))
        case "geojson":
            table.to_crs("EPSG:4326").to_file(path, driver="GeoJSON", COORDINATE_PRECISION=12)
        case "parquet":
            table.to_crs("EPSG:32617").to_parquet(path)
        case "csv":  # names no system: it is taken to be in that of the truth
            table.to_wkt().rename(columns={"geometry": "WKT"}).to_csv(path, index=False)
    return path


def test_files_of_any_format_and_system_give_the_same(tmp_path: Path, predicted: Path) -> None:
    truth = tmp_path / "truth.gpkg"
    frame(squares(0)).to_file(truth)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in evaluated(truth, predicted)]
    assert [(row["class"], row["scene"]) for row in rows] == [
        *(("houses", s) for s in ("a", "b", "all")),
        ("mean", "all"),
    ]
    pooled = rows[2]
    # Shifts of 0, 2, 4, 6, 8 of 10 m: 300 of 500 square metres a scene; the first two share 80 of 120 and more.
    assert pooled["tp"] == pytest.approx(600 / 1.000273**2, rel=1e-5), "the scale of UTM, 234 km from the middle"
    assert pooled["jaccard"] == pytest.approx(600 / 1400, rel=1e-5)
    assert (pooled["true"], pooled["predicted"], pooled["matched"], pooled["count_error"]) == (10, 10, 4, 0)
    assert (pooled["precision"], pooled["recall"], pooled["f1"]) == (0.4, 0.4, pytest.approx(0.4))


@pytest.mark.parametrize("name", ["found.csv", "found.csv.gz", "found.zip"])
def test_tables_of_the_contest_are_scored_in_their_units(tmp_path: Path, name: str) -> None:
    truth, found = contest(tmp_path / "truth.csv", squares(0)), contest(tmp_path / name, squares(2))
    rows = {row[1:3][0] + row[2]: dict(zip(COLUMNS, row, strict=True)) for row in evaluated(truth, found)}  # type: ignore[operator]
    np.testing.assert_allclose([rows["2a"][key] for key in ("tp", "fp", "fn")], [3e-12, 2e-12, 2e-12], rtol=1e-6)
    assert rows["2all"]["jaccard"] == pytest.approx(3 / 7)
    assert rows["1all"]["jaccard"] is None and rows["1all"]["true"] == 0
    assert rows["meanall"]["jaccard"] == rows["2all"]["jaccard"], "a class that is nowhere does not count"
    same = [dict(zip(COLUMNS, row, strict=True)) for row in evaluated(truth, truth)]
    assert {row["jaccard"] for row in same} == {None, 1.0}


def test_scenes_without_a_row_are_told_and_not_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found = tmp_path / "truth.csv", contest(tmp_path / "found.csv", squares(0))
    truth.write_text(f'{HEADER}\na,2,"POLYGON ((0 0, 0 -1e-6, 1e-6 -1e-6, 0 0))"\n')
    rows = evaluated(truth, found)
    assert [row[1:3] for row in rows] == [["2", "a"], ["2", "all"], ["mean", "all"]]
    said = capsys.readouterr().err
    assert "a scene that" in said and "(b): not scored" in said
    truth.write_text(f"{HEADER}\na,2,MULTIPOLYGON EMPTY\n")
    empty = dict(zip(COLUMNS, evaluated(truth, found)[0], strict=True))
    assert (empty["jaccard"], empty["precision"], empty["recall"], empty["count_error"]) == (0, 0, None, None)
    nothing = dict(zip(COLUMNS, evaluated(found, truth)[3], strict=True))
    assert (nothing["class"], nothing["jaccard"], nothing["precision"], nothing["f1"]) == ("2", 0, None, 0)


def test_grounds_are_those_of_the_truth_or_of_the_contest(tmp_path: Path) -> None:
    truth, found = tmp_path / "truth.gpkg", tmp_path / "found.gpkg"
    frame(squares(0)).assign(ground="one").to_file(truth)
    frame(squares(2)).to_file(found)
    assert evaluated(truth, found)[2][7:9] == [None, None]
    twins = f'{HEADER}\n6110_1_2,1,"POLYGON ((0 0, 1 0, 1 1, 0 0))"\n6140_1_2,1,"POLYGON ((0 0, 1 0, 1 2, 0 0))"\n'
    (tmp_path / "twins.csv").write_text(twins)
    assert evaluated(tmp_path / "twins.csv", tmp_path / "twins.csv")[2][7:9] == [None, None]


def test_empty_cells_of_grounds_say_nothing_and_scenes_may_be_numbers(tmp_path: Path) -> None:
    truth, one = tmp_path / "truth.gpkg", tmp_path / "one.gpkg"
    frame(squares(0)).assign(scene=[1] * 5 + [2] * 5, ground=None).to_file(truth)
    frame(squares(0)).assign(scene=[1] * 5 + [2] * 5, ground="one").to_file(one)
    assert evaluated(truth, one)[2][7:9] == pytest.approx([1, 1])
    assert evaluated(one, truth)[2][7:9] == [None, None]
    frame(squares(0)).assign(scene=[1.0] * 5 + [2.0] * 5, ground=["one"] * 5 + [None] * 5).to_file(truth)
    assert evaluated(truth, one)[2][7:9] == pytest.approx([1, 1]), "1.0 is scene 1"


def test_columns_of_the_contest_count_in_any_file(tmp_path: Path) -> None:
    named = frame(squares(0)).rename(columns={"scene": "ImageId", "class": "ClassType"})
    named.to_file(tmp_path / "truth.gpkg")
    rows = evaluated(tmp_path / "truth.gpkg", tmp_path / "truth.gpkg")
    assert [row[1:3] for row in rows] == [["houses", "a"], ["houses", "b"], ["houses", "all"], ["mean", "all"]]


def test_command_prints_the_pooled_rows_and_writes_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found = contest(tmp_path / "truth.csv", squares(0)), contest(tmp_path / "found.csv", squares(2))
    for name in ("out.json", "out.tsv"):
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", str(truth), str(found), "--out", str(tmp_path / name)])
        assert ended.value.code == 0
        printed = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in printed] == ["class", "1", "2", "mean"]
        assert "0.4286" in printed[2]
    records = json.loads((tmp_path / "out.json").read_text())
    lines = [line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines()]
    assert lines[0] == list(COLUMNS) and len(records) == len(lines) - 1 == 7
    assert float(lines[6][6]) == records[5]["jaccard"] == evaluated(truth, found)[5][6], "in full"
    assert records[0]["jaccard"] is None and lines[1][6] == ""


BAD = {
    "none.parquet": "none.parquet names no coordinate system and truth.gpkg does",
    "missing.gpkg": "it is not there",
    "cut.csv.gz": "cut off",
    "line.csv": "scene a, class houses: it holds a LineString",
    "nan.csv": "coordinates that are not numbers",
    "latin.csv": "row 2: byte 0xe9 is not UTF-8",
    "other.csv": r"class that truth.gpkg has no row of \(roads\), and none of its own \(houses\)",
    "two.zip": "holds 2 .csv files",
    "local.gpkg": "no way leads between the coordinate systems of truth.gpkg and local.gpkg",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_explained_in_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame(squares(0)).to_file("truth.gpkg")
    frame(squares(0)).set_crs(None, allow_override=True).to_parquet("none.parquet")
    local = 'LOCAL_CS["site grid",UNIT["metre",1]]'
    frame(squares(0)).set_crs(local, allow_override=True).to_file("local.gpkg")
    Path("cut.csv.gz").write_bytes(contest(tmp_path / "whole.csv.gz", squares(0)).read_bytes()[:-20])
    Path("line.csv").write_text('scene,class,WKT\na,houses,"LINESTRING (0 0, 1 0)"\n')
    Path("nan.csv").write_text('scene,class,WKT\na,houses,"POLYGON ((0 0, nan 0, 1 1, 0 0))"\n')
    Path("latin.csv").write_bytes("scene,class,WKT\né,houses,POLYGON EMPTY\n".encode("cp1252"))
    Path("other.csv").write_text('scene,class,WKT\na,roads,"POLYGON ((0 0, 1 0, 1 1, 0 0))"\n')
    with zipfile.ZipFile("two.zip", "w") as archive:
        archive.writestr("a.csv", HEADER)
        archive.writestr("b.csv", HEADER)
    with pytest.raises(RasterloomError, match=BAD[name]) as raised:
        evaluated(Path("truth.gpkg"), Path(name))
    assert "\n" not in str(raised.value)


def test_odd_tables_are_read(tmp_path: Path) -> None:
    """Carriage returns alone, a byte order mark, `POLYGON Z`, exponents, empty collections."""
    table = tmp_path / "odd.csv"
    rows = [HEADER, "a,1,GEOMETRYCOLLECTION EMPTY", 'a,2,"POLYGON Z ((0 0 7, 1e-4 0 7, 1E-4 -1e-4 7, 0 0 7))"']
    table.write_bytes(("\ufeff" + "\r".join(rows) + "\r").encode())
    found = {row[1]: dict(zip(COLUMNS, row, strict=True)) for row in evaluated(table, table)}
    assert found["1"]["jaccard"] is None and found["2"]["tp"] == pytest.approx(5e-9)
