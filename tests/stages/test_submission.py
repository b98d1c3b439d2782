"""The submission has the sample's rows, order and line ends."""

import csv
from pathlib import Path

import pytest
import shapely
from shapely import box

from polygon_jobs import add_polygons, make_job
from rasterloom.dataset.contest_tables import Sample, read_sample
from rasterloom.errors import InputError, MissingInputError, StoreError
from rasterloom.stages import submission
from rasterloom.store.job import Job

DUMMY = '"POLYGON ((0 0, 0.009 0, 0.009 -0.009, 0 -0.009, 0 0))"'
ROWS = [("t", 5), ("t", 3), ("x", 5), ("s", 3), ("s", 5), ("s", 9)]


def sample_file(folder: Path, newline: str = "\r\n") -> Path:
    path = folder / "sample_submission.csv"
    lines = ["ImageId,ClassType,MultipolygonWKT", *(f"{scene},{number},{DUMMY}" for scene, number in ROWS)]
    path.write_bytes("".join(line + newline for line in lines).encode())
    return path


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_read_sample_keeps_order_and_line_ends(tmp_path: Path, newline: str) -> None:
    assert read_sample(sample_file(tmp_path, newline)) == Sample(tuple(ROWS), newline)


def test_read_sample_accepts_a_byte_order_mark(tmp_path: Path) -> None:
    path = sample_file(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_sample(path).rows == tuple(ROWS)


def test_read_sample_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="nowhere"):
        read_sample(tmp_path / "nowhere.csv")
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="ImageId, ClassType, MultipolygonWKT"):
        read_sample(path)
    path.write_text("")
    with pytest.raises(InputError, match="columns"):
        read_sample(path)
    path.write_text("ImageId,ClassType,MultipolygonWKT\ns,five,x\n")
    with pytest.raises(InputError, match="row 2: image 's' and class 'five'"):
        read_sample(path)


def make(folder: Path, newline: str = "\r\n") -> Job:
    add_polygons(folder, "trees", {"s": [box(0, 0, 1, 1)], "t": []})
    add_polygons(folder, "roads", {"s": [], "t": [box(0, 0, 2, 2), box(4, 4, 5, 5)]})
    spec = {
        "stage": "submission", "classes": {"trees": 5, "roads": 3}, "scenes": ["s", "t"],
        "batches": {"s": ["s"], "t": ["t"]},
    }  # fmt: skip
    return make_job(folder, spec, {"sample": {"path": str(sample_file(folder, newline))}})


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_run_writes_the_sample_s_rows(tmp_path: Path, newline: str, capsys: pytest.CaptureFixture[str]) -> None:
    submission.run(make(tmp_path, newline))
    data = (tmp_path / "submission.csv").read_bytes().decode()
    assert data.count("\n") == len(ROWS) + 1
    assert data.count("\r") == (len(ROWS) + 1 if newline == "\r\n" else 0)
    found = list(csv.reader(data.splitlines()))
    assert found[0] == ["ImageId", "ClassType", "MultipolygonWKT"]
    assert [(row[0], int(row[1])) for row in found[1:]] == ROWS
    shapes = [shapely.from_wkt(row[2]) for row in found[1:]]
    assert [shape.area for shape in shapes] == [0, 5, 0, 0, 1, 0]
    assert all(shape.geom_type == "MultiPolygon" for shape in shapes)
    assert "6 rows, 0.0 MB; 2 of 3 scenes predicted" in capsys.readouterr().err


def test_run_leaves_no_file_when_a_geometry_is_not_valid(tmp_path: Path) -> None:
    job = make(tmp_path)
    add_polygons(tmp_path, "trees", {"s": [box(0, 0, 2, 2), box(1, 1, 3, 3)]})
    with pytest.raises(StoreError, match="class trees on scene s"):
        submission.run(job)
    assert not [path for path in tmp_path.iterdir() if "submission.csv" in path.name and "sample" not in path.name]


def test_inputs_are_the_polygons(tmp_path: Path) -> None:
    assert set(submission.inputs(make(tmp_path).spec)) == {
        f"polygons/{name}/{scene}.json" for name in ("trees", "roads") for scene in "st"
    }
