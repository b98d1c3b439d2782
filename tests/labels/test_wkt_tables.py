"""Tables of WKT: fields, separators, quotes, coordinate systems."""

from __future__ import annotations

from pathlib import Path

import pytest
import shapely
from shapely.geometry import MultiPolygon, box

from rasterloom.errors import LabelError, MissingInputError
from rasterloom.labels.wkt_tables import read_wkt_table

SQUARE = "POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0))"


def table(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_read_wkt_table_columns_and_geometries(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", f'\ufeffclass,WKT,scene\r\nhouses,"{SQUARE}", a \r\n\r\nroads,,b')
    frame = read_wkt_table(path)
    assert list(frame.columns) == ["class", "scene", "geometry"]
    assert list(frame["class"]) == ["houses", "roads"] and list(frame["scene"]) == ["a", "b"]
    assert frame.geometry[0].equals(box(0, 0, 1, 1)) and frame.geometry[1] is None
    assert frame.crs is None


def test_read_wkt_table_quotes_and_line_ends_within_cells(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", f'"name";"wkt"\n"a ""b"";\nc";"{SQUARE}"\nx;POINT EMPTY\n')
    frame = read_wkt_table(path)
    assert list(frame["name"]) == ['a "b";\nc', "x"]
    with pytest.raises(LabelError, match=r"t\.csv, row 4: 'POINT \(' is not a WKT"):
        read_wkt_table(table(path, f'"name";"wkt"\n"a\nb";"{SQUARE}"\nx;POINT (\n'))


def test_read_wkt_table_of_a_single_column(tmp_path: Path) -> None:
    frame = read_wkt_table(table(tmp_path / "t.csv", f"WKT\n{SQUARE}\n{SQUARE.lower()};\n"))
    assert [geometry.area for geometry in frame.geometry] == [1, 1]


def test_read_wkt_table_without_rows_holds_nothing(tmp_path: Path) -> None:
    frame = read_wkt_table(table(tmp_path / "t.csv", "class,WKT\n"))
    assert len(frame) == 0 and list(frame.columns) == ["class", "geometry"]


def test_read_wkt_table_names_of_the_contest(tmp_path: Path) -> None:
    frame = read_wkt_table(table(tmp_path / "t.csv", f'ImageId,ClassType,MultipolygonWKT\na,5,"{SQUARE}"\n'))
    assert list(frame.columns) == ["scene", "class", "geometry"]
    twice = read_wkt_table(table(tmp_path / "t.csv", f"class|ClassType|WKT\nhouses|5|{SQUARE}\n"))
    assert list(twice["class"]) == ["houses"] and list(twice["ClassType"]) == ["5"]


def test_read_wkt_table_srid_is_the_coordinate_system(tmp_path: Path) -> None:
    frame = read_wkt_table(table(tmp_path / "t.csv", f"WKT\nSRID=32631;{SQUARE}\n srid = 32631 ; {SQUARE}\n"))
    assert frame.crs.to_epsg() == 32631
    assert len(frame) == 2


def test_read_wkt_table_field_beyond_the_limit_of_csv(tmp_path: Path) -> None:
    parts = MultiPolygon([box(i, 0, i + 0.5, 1) for i in range(20_000)])
    text = shapely.to_wkt(parts)
    assert len(text) > 7 * 131_072, "the limit of Python's csv module, as it is set at first"
    frame = read_wkt_table(table(tmp_path / "t.csv", f'class,WKT\nhouses,"{text}"\n'))
    assert len(frame.geometry[0].geoms) == 20_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"t\.csv has no header"),
        ("\n\n", "has no header"),
        ("a,b\n1,2\n", r"no geometry .*a, b.*WKT"),
        ("class,WKT\nhouses\n", "row 2.* 1 cell.*header 2"),
        (f"class,WKT\nhouses,{SQUARE}\n", "row 2.* 6 cells.*header 2.*quotes"),
        (f'class,WKT\nhouses,"{SQUARE}\n', "row 2.* quote .*close"),
        (f'class,WKT\nhouses,"{SQUARE}" x\n', "row 2.*closing quote"),
        (b"class,WKT\nh\xe4user,POLYGON EMPTY\n", "row 2.*0xe4.*UTF-8"),
        (b"class,WKT\nhouses,POLYGON EMPTY\0\n", r"row 2: 'POLYGON EMPTY\\x00' .*NUL"),
        ("class,class,WKT\n", "row 1.*'class'.* 2 times"),
        (f"WKT\nSRID=1;{SQUARE}\n", "row 2.*SRID 1 .*EPSG"),
        (f"WKT\nSRID=32631;{SQUARE}\nSRID=4326;{SQUARE}\n", "row 3.*4326.*32631"),
    ],
)
def test_read_wkt_table_errors_name_file_and_row(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(LabelError, match=words):
        read_wkt_table(table(tmp_path / "t.csv", text))


def test_read_wkt_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"none\.csv is not there: correct the path"):
        read_wkt_table(tmp_path / "none.csv")
