"""`rasterloom check-submission`: what would be rejected or is odd, and the corrected file."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest
import shapely

from rasterloom.cli import main
from rasterloom.errors import RasterloomError
from rasterloom.polygons.geometry import strictly_valid
from rasterloom.polygons.wkt import EMPTY
from rasterloom.tools import check_submission
from rasterloom.tools.check_submission import check

HEADER = "ImageId,ClassType,MultipolygonWKT"
GOOD = "MULTIPOLYGON (((0 0, 0.001 0, 0.001 -0.001, 0 0)))"
BOW = "MULTIPOLYGON (((0 0, 0.002 -0.002, 0.002 0, 0 -0.002, 0 0)))"
SPIKE = "POLYGON ((0 0, 0.004 0, 0.004 -0.004, 0 -0.004, 0 0), (0 -0.002, 0.001 -0.001, 0.001 -0.003, 0 -0.002))"
WIDE = "POLYGON ((0.0085 -0.001, 0.0095 -0.001, 0.0095 -0.002, 0.0085 -0.001))"
TILES = {"s": (0.009188, -0.009042)}
Capture = pytest.CaptureFixture[str]

GEOMETRIES = {
    GOOD: [],
    EMPTY: [],
    "multipolygon empty": [],
    BOW: ["invalid"],
    SPIKE: ["touching"],
    WIDE: ["outside"],
    "POLYGON ((0 0, 0.001 0, 0.001 0.001, 0 0))": ["outside"],
    "GEOMETRYCOLLECTION EMPTY": ["collection"],
    "GEOMETRYCOLLECTION (POINT (0 0), POLYGON ((0 0, 0.001 0, 0.001 -0.001, 0 0)))": ["not polygons"],
    "LINESTRING (0 0, 0.001 -0.001)": ["not polygons"],
    "POLYGON Z ((0 0 5, 0.001 0 5, 0.001 -0.001 5, 0 0 5))": ["third coordinate"],
    "POLYGON ((0 0, 1e-3 0, 1E-03 -0.001, 0 0))": ["exponent"],
    "POLYGON ((0 0, nan 0, 0.001 -0.001, 0 0))": ["not a number"],
    "POLYGON ((0 0, inf 0, 0.001 -0.001, 0 0))": ["not a number"],
    "POLYGON ((0 0, 0.001 0": ["not WKT"],
    "": ["not WKT"],
}


def table(path: Path, *rows: str, newline: str = "\n") -> Path:
    path.write_bytes(newline.join([HEADER, *rows, ""]).encode())
    return path


def kinds(path: Path, asked: list[tuple[str, int]] | None = None, mend: bool = False) -> list[tuple[int, str]]:
    return [(line, kind) for line, _, kind in check(path, asked, TILES, mend)[1]]


@pytest.mark.parametrize("text", GEOMETRIES)
def test_geometries(text: str, tmp_path: Path) -> None:
    path = table(tmp_path / "s.csv", f's,1,"{text}"')
    assert kinds(path) == [(2, kind) for kind in GEOMETRIES[text]]
    rows, _ = check(path, None, TILES, mend=True)
    mended = table(tmp_path / "m.csv", f's,1,"{rows["s", 1]}"')
    assert kinds(mended) == []
    shape = shapely.from_wkt(rows["s", 1])
    assert strictly_valid(shapely.get_parts(shape)) and shape.geom_type == "MultiPolygon"
    if not GEOMETRIES[text]:
        assert rows["s", 1] == text, "what is right stays as it is"


def test_mended_keeps_the_area(tmp_path: Path) -> None:
    path = table(tmp_path / "s.csv", f's,1,"{SPIKE}"', f's,2,"{WIDE}"', f's,3,"{BOW}"')
    rows, _ = check(path, None, TILES, mend=True)
    areas = [shapely.from_wkt(text).area for text in rows.values()]
    wide = shapely.from_wkt(WIDE).intersection(shapely.box(0, -1, TILES["s"][0], 0)).area
    assert areas == pytest.approx([16e-6 - 1e-6, wide, 2e-6], rel=1e-4)


def test_rows_against_the_sample(tmp_path: Path) -> None:
    asked = [("s", 1), ("s", 2), ("s", 3), ("t", 1)]
    path = table(tmp_path / "s.csv", f's,2,"{GOOD}"', f's,1,"{GOOD}"', f's,1,"{BOW}"', f"u,1,{EMPTY}", f"t,1,{EMPTY}")
    assert kinds(path, asked) == [(4, "twice"), (5, "not asked for"), (0, "order"), (0, "missing")]
    assert kinds(path) == [(4, "twice")]
    rows, _ = check(path, asked, TILES, mend=True)
    assert rows == {("s", 1): GOOD, ("s", 2): GOOD, ("s", 3): EMPTY, ("t", 1): EMPTY}


def test_rows_that_are_none(tmp_path: Path) -> None:
    path = table(tmp_path / "s.csv", f"s,1,{GOOD}", "s", f's,b,"{GOOD}"', f',1,"{GOOD}"', f's,-1,"{GOOD}"')
    assert kinds(path) == [(2, "quoting"), *((line, "cells") for line in (3, 4, 5, 6))]
    assert check(path, None, TILES, mend=True)[0] == {("s", 1): GOOD}


def test_odd_text_files_are_read(tmp_path: Path) -> None:
    """Carriage returns alone, a byte order mark, the contest's ``\\r\\n``, rows at any line, packed files."""
    text = "\ufeff" + "\r".join([HEADER, f's,1,"{GOOD}"', f's,2,"{BOW}"'])
    (tmp_path / "cr.csv").write_bytes(text.encode())
    assert kinds(tmp_path / "cr.csv") == [(3, "invalid")]
    broken = GOOD.replace(", ", ",\n")
    path = table(tmp_path / "s.csv", f's,1,"{broken}"', f's,2,"{BOW}"', newline="\r\n")
    assert kinds(path) == [(6, "invalid")], "a geometry of four lines"
    (tmp_path / "s.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.write(path, "folder/s.csv")
    assert kinds(tmp_path / "s.csv.gz") == kinds(tmp_path / "s.zip") == kinds(path)


def test_size_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_submission, "LARGE", 10)
    assert kinds(table(tmp_path / "s.csv", f's,1,"{GOOD}"')) == [(0, "size")]


BAD = {
    "cut.csv.gz": b"",
    "latin.csv": f"{HEADER}\n\u00e9,1,{EMPTY}\n".encode("cp1252"),
    "open.csv": f'{HEADER}\ns,1,"{GOOD}\n'.encode(),
    "columns.csv": b"a,b\n1,2\n",
    "semicolons.csv": b"ImageId;ClassType;MultipolygonWKT\ns;1;MULTIPOLYGON EMPTY\n",
    "empty.csv": b"",
    "not.zip": b"no archive",
}
SAYS = {
    "cut.csv.gz": "cut off",
    "latin.csv": "row 2: byte 0xe9 is not UTF-8",
    "open.csv": "row 2: a quote does not end",
    "columns.csv": "begins with 'a,b': ImageId,ClassType,MultipolygonWKT, separated by commas, is needed",
    "semicolons.csv": "begins with 'ImageId;ClassType;MultipolygonWKT': ImageId,ClassType,Mu.*, separated by commas",
    "empty.csv": "has no header",
    "not.zip": "not a zip archive",
    "missing.csv": "is not there: correct the path",
}


@pytest.mark.parametrize("name", SAYS)
def test_files_that_cannot_be_read_are_explained_in_one_line(name: str, tmp_path: Path) -> None:
    if name in BAD:
        (tmp_path / name).write_bytes(BAD[name])
    if name == "cut.csv.gz":
        (tmp_path / name).write_bytes(gzip.compress(f'{HEADER}\ns,1,"{GOOD}"\n'.encode())[:-9])
    with pytest.raises(RasterloomError, match=SAYS[name]) as raised:
        check(tmp_path / name, None, {})
    assert "\n" not in str(raised.value)


def test_command_has_code_1_and_mends(tmp_path: Path, capsys: Capture) -> None:
    sample = table(tmp_path / "sample_submission.csv", 's,1,"POLYGON ((0 0, 1 0, 1 1, 0 0))"', "s,2,x", newline="\r\n")
    (tmp_path / "grid_sizes.csv").write_text(",Xmax,Ymin\ns,0.009188,-0.009042\n")
    path, mended = table(tmp_path / "mine.csv", f's,1,"{WIDE}"', f's,1,"{GOOD}"'), tmp_path / "mended.csv.gz"
    with pytest.raises(SystemExit) as ended:
        main(["check-submission", str(path), "--sample", str(sample), "--mend", str(mended)])
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert [line.split(": ")[:3] for line in said.out.splitlines()] == [
        ["odd", "row 2, s, class 1", "outside"],
        ["rejected", "row 3, s, class 1", "twice"],
        ["rejected", "s, class 2", "missing"],
    ]
    assert "3 findings, 2 of them would have it rejected" in said.err and said.err.count("\n") == 1
    assert gzip.decompress(mended.read_bytes()).count(b"\r\n") == 3
    with pytest.raises(SystemExit) as ended:
        main(["check-submission", str(mended), "--sample", str(sample)])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{mended}: 0 findings, 0 of them would have it rejected\n"


def test_command_mends_into_tables_alone(tmp_path: Path, capsys: Capture) -> None:
    path, out = str(table(tmp_path / "s.csv", f's,1,"{BOW}"')), tmp_path / "mended.zip"
    with pytest.raises(SystemExit) as ended:
        main(["check-submission", path, "--mend", str(out)])
    assert ended.value.code == 1 and "name a file that ends in .csv or .csv.gz" in capsys.readouterr().err
    (folder := tmp_path / "mended.csv").mkdir()
    with pytest.raises(SystemExit) as ended:
        main(["check-submission", path, "--mend", str(folder)])
    assert ended.value.code == 1 and "mended.csv: Is a directory; name a file, not a folder" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["check-submission", path, "--mend", f"{path}/mended.csv"])
    assert ended.value.code == 1 and "a file stands where a folder is needed" in capsys.readouterr().err
    assert not out.exists()


def test_command_without_mend_says_how_to(tmp_path: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check-submission", str(table(tmp_path / "s.csv", f's,1,"{BOW}"'))])
    assert ended.value.code == 1 and "or use --mend OUT" in capsys.readouterr().err
