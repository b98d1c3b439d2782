"""The submission has the sample's rows, order and line ends."""

import csv
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely import Point, Polygon, box

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
    with pytest.raises(InputError, match=r"begins with 'a,b'.*ImageId,ClassType,MultipolygonWKT"):
        read_sample(path)
    path.write_text("")
    with pytest.raises(InputError, match="begins with ''"):
        read_sample(path)
    path.write_text("ImageId,ClassType,MultipolygonWKT\ns,five,x\n")
    with pytest.raises(InputError, match="row 2: scene 's' and class 'five'"):
        read_sample(path)


SIDE = 1e-5
"""Grid units of the squares here; a tile is 0.009 wide."""


def square(x: float, y: float, side: float = 1.0) -> Polygon:
    return box(x * SIDE, -(y + side) * SIDE, (x + side) * SIDE, -y * SIDE)


def make(folder: Path, newline: str = "\r\n") -> Job:
    add_polygons(folder, "trees", {"s": [square(0, 0)], "t": []})
    add_polygons(folder, "roads", {"s": [], "t": [square(0, 0, 2), square(4, 4)]})
    spec = {
        "stage": "submission", "classes": {"trees": 5, "roads": 3}, "scenes": ["s", "t"],
        "batches": {"s": ["s"], "t": ["t"]},
    }  # fmt: skip
    (folder / "grid_sizes.csv").write_text(",Xmax,Ymin\ns,0.009188,-0.009042\nt,0.009188,-0.009042\n")
    sources = {"sample": {"path": str(sample_file(folder, newline))}, "grid": {"path": str(folder / "grid_sizes.csv")}}
    return make_job(folder, spec, sources)


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
    np.testing.assert_allclose([shape.area / SIDE**2 for shape in shapes], [0, 5, 0, 0, 1, 0], rtol=1e-12)
    assert all(shape.geom_type == "MultiPolygon" for shape in shapes)
    assert "6 rows, 0.0 MB; 2 of 3 scenes predicted" in capsys.readouterr().err


def test_run_leaves_no_file_when_a_geometry_is_not_valid(tmp_path: Path) -> None:
    job = make(tmp_path)
    add_polygons(tmp_path, "trees", {"s": [square(0, 0, 2), square(1, 1, 2)]})
    with pytest.raises(StoreError, match="class trees on scene s"):
        submission.run(job)
    assert not [path for path in tmp_path.iterdir() if "submission.csv" in path.name and "sample" not in path.name]


def texts(folder: Path) -> dict[tuple[str, str], str]:
    with (folder / "submission.csv").open(newline="") as file:
        return {(row[0], row[1]): row[2] for row in list(csv.reader(file))[1:]}


def test_run_clips_to_the_tile(tmp_path: Path) -> None:
    job, inside = make(tmp_path), square(1, 1)
    beyond = box(0.009178, -0.0091, 0.0092, -0.009)
    add_polygons(tmp_path, "trees", {"s": [inside, beyond, box(-1e-5, -0.001, -1e-6, -0.0005)]})
    submission.run(job)
    found = shapely.from_wkt(texts(tmp_path)["s", "5"])
    assert found.bounds == (1e-5, -0.009042, 0.009188, -1e-5)
    assert sorted(part.area for part in found.geoms) == pytest.approx([inside.area, 1e-5 * 4.2e-5])


def test_run_coarsens_the_largest_class_until_the_file_is_small_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job, round_one = make(tmp_path), Point(0.004, -0.004).buffer(60 * 2.7e-6, quad_segs=2000)
    add_polygons(tmp_path, "trees", {"s": [round_one, square(0, 0)]})
    monkeypatch.setattr(submission, "LARGE", 3_000)
    submission.run(job)
    said = capsys.readouterr().err
    assert "class trees, 0 MB of it, is made coarser" in said and "class roads" not in said
    assert "class trees moved by up to 0.5 pixels" in said and "may be refused" not in said
    found = texts(tmp_path)
    assert len(found["t", "3"]) > 100, "the other class is as it was"
    coarse = shapely.from_wkt(found["s", "5"])
    assert shapely.get_num_coordinates(coarse) < 40
    jaccard = coarse.intersection(round_one).area / coarse.union(round_one).area
    told = float(said.split("Jaccard with those before: ")[1].split()[0])
    assert 0.97 < told < 1 and told == pytest.approx(jaccard, abs=0.005)
    monkeypatch.setattr(submission, "LARGE", 10)
    submission.run(job)
    said = capsys.readouterr().err
    assert "4 pixels" in said and "may be refused" in said
    assert said.count("class trees, 0 MB") == said.count("class roads, 0 MB") == 4  # and neither once more


def test_inputs_are_the_polygons(tmp_path: Path) -> None:
    assert set(submission.inputs(make(tmp_path).spec)) == {
        f"polygons/{name}/{scene}.json" for name in ("trees", "roads") for scene in "st"
    }
