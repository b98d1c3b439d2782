"""Tables of WKT."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon, box

from polygon_jobs import UTM, add_polygons, make_job
from rasterloom.errors import StoreError
from rasterloom.polygons.outlines import decimals_for, on_map, outlines
from rasterloom.polygons.wkt import checked_wkt, decimals_of, multipolygon_wkt, write_wkt
from rasterloom.stages import wkt

DSTL = [[0.009169 * 3404 / 3403**2, 0.0, 0.0], [0.0, -0.009042 * 3350 / 3349**2, 0.0]]


def test_write_wkt_is_atomic(tmp_path: Path) -> None:
    def rows() -> Iterator[tuple[str, int, str]]:
        yield "s", 1, "MULTIPOLYGON EMPTY"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_wkt(tmp_path / "t.csv", rows())
    assert list(tmp_path.iterdir()) == []
    write_wkt(tmp_path / "t.csv", [])
    assert (tmp_path / "t.csv").read_bytes() == b"ImageId,ClassType,MultipolygonWKT\n"


def test_multipolygon_wkt_has_no_exponents() -> None:
    tiny = Polygon([(0, 0), (1e-8, 0), (1e-8, -2.5e-7)])
    assert multipolygon_wkt([tiny], 8) == ("MULTIPOLYGON (((0 0, 0.00000001 0, 0.00000001 -0.00000025, 0 0)))")
    large = Polygon([(0, 0), (3e7, 0), (3e7, 1200)])
    assert multipolygon_wkt([large]) == "MULTIPOLYGON (((0 0, 30000000 0, 30000000 1200, 0 0)))"


def test_multipolygon_wkt_keeps_holes_and_parts() -> None:
    ring = Polygon([(0, 0), (4, 0), (4, 4), (0, 4)], [[(1, 1), (2, 1), (2, 2), (1, 2)], [(3, 3), (3.5, 3), (3, 3.5)]])
    parts = [ring, box(10, 10, 11, 11)]
    back = shapely.from_wkt(multipolygon_wkt(parts))
    assert back.equals_exact(shapely.MultiPolygon(parts), 0)


def test_multipolygon_wkt_of_nothing() -> None:
    assert multipolygon_wkt([]) == "MULTIPOLYGON EMPTY"


def test_multipolygon_wkt_writes_no_negative_zero() -> None:
    assert "-0 " not in multipolygon_wkt([Polygon([(-0.0, 0), (1, -1e-9), (1, 1)])], 4)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 20000.0], 0),
        ([0.5], 1),
        ([733601.123, 3725139.4], 3),
        ([0.00912345, -2.5e-7], 8),
        ([1 / 64], 6),
        ([1 / 3], 12),
    ],
)
def test_decimals_of(values: list[float], expected: int) -> None:
    assert decimals_of(np.array(values)) == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([DSTL, UTM, [[4.5e-6, 0, 106.6], [0, -4.5e-6, 17.8]]]))
def test_text_is_within_a_hundredth_of_a_pixel(seed: int, matrix: list[list[float]]) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
    pixel = outlines(image, 127.5)
    mapped = on_map(pixel, matrix, decimals_for(matrix))
    back = shapely.get_coordinates(shapely.from_wkt(multipolygon_wkt(mapped)))
    np.testing.assert_array_equal(back, shapely.get_coordinates(mapped))
    linear, offset = np.array(matrix)[:, :2], np.array(matrix)[:, 2]
    in_pixels = (back - offset) @ np.linalg.inv(linear).T
    assert np.abs(in_pixels - shapely.get_coordinates(pixel)).max() < 0.01


def test_checked_wkt_refuses_what_is_not_valid(tmp_path: Path) -> None:
    add_polygons(tmp_path, "trees", {"s": [box(0, 0, 1, 1), box(1, 1, 2, 2)]})
    path = next((tmp_path / "store").rglob("*.parquet"))
    with pytest.raises(StoreError, match="class trees on scene s"):
        checked_wkt(path, "s", "trees")


def test_run_writes_all_scenes_and_classes(tmp_path: Path) -> None:
    add_polygons(tmp_path, "trees", {"s": [box(0, 0, 1, 1)], "t": []})
    add_polygons(tmp_path, "roads", {"s": [], "t": [box(0, 0, 2, 2)]}, UTM)
    spec = {
        "stage": "wkt", "file": "wkt.csv", "classes": {"trees": 5, "roads": 3}, "scenes": ["t", "s"],
        "batches": {"s": ["s"], "t": ["t"]},
    }  # fmt: skip
    job = make_job(tmp_path, spec)
    assert set(wkt.inputs(job.spec)) == {f"polygons/{c}/{s}.json" for c in ("trees", "roads") for s in "st"}
    wkt.run(job)
    text = (tmp_path / "wkt.csv").read_bytes()
    assert b"\r" not in text
    found = list(csv.reader(text.decode().splitlines()))
    assert [row[:2] for row in found] == [["ImageId", "ClassType"], ["t", "3"], ["t", "5"], ["s", "3"], ["s", "5"]]
    assert found[1][2].startswith("MULTIPOLYGON (((73360")
    assert [row[2] for row in found[2:4]] == ["MULTIPOLYGON EMPTY"] * 2


def test_run_writes_one_class(tmp_path: Path) -> None:
    add_polygons(tmp_path, "trees", {"s": [box(0, 0, 1, 1)]})
    spec = {
        "stage": "wkt", "file": "wkt/trees.csv", "classes": {"trees": 5}, "scenes": ["s"], "batches": {"s": ["s"]},
    }  # fmt: skip
    wkt.run(make_job(tmp_path, spec))
    assert (tmp_path / "wkt/trees.csv").read_text().splitlines()[1].startswith('s,5,"MULTIPOLYGON (((')
