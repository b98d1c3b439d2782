"""Polygons of the contest within their tiles, and tables of WKT."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import Polygon, box

from rasterloom.polygons.geometry import strictly_valid
from rasterloom.polygons.wkt import DECIMALS, PIXEL, clipped, in_tile, multipolygon_wkt, write_wkt

TILE = (0.009188, -0.009042)


def test_in_tile_cuts_at_its_edges() -> None:
    (found,) = in_tile([box(-0.001, -0.02, 0.02, 0.001)], TILE)
    assert found.bounds == (0, TILE[1], TILE[0], 0)
    assert in_tile([box(0.02, 0.02, 0.03, 0.03)], TILE).size == 0
    assert in_tile([], TILE).size == 0


def touching() -> list[list[Polygon]]:
    """Polygons that are valid and touch: a hole and its shell, two corners, a ring that meets itself, two holes."""
    square = [(0.001, -0.001), (0.003, -0.001), (0.003, -0.003), (0.001, -0.003)]
    hole = [(0.001, -0.002), (0.002, -0.0015), (0.002, -0.0025)]
    inner = [(0.0015, -0.0015), (0.002, -0.0015), (0.002, -0.002), (0.0015, -0.002)]
    other = [(0.002, -0.002), (0.0025, -0.002), (0.0025, -0.0025), (0.002, -0.0025)]
    return [
        [Polygon(square, [hole])],
        [Polygon(square, [inner, other])],
        [box(0.001, -0.002, 0.002, -0.001), box(0.002, -0.003, 0.003, -0.002)],
    ]


@pytest.mark.parametrize("case", range(3))
def test_in_tile_opens_where_polygons_touch_and_nowhere_else(case: int) -> None:
    polygons = touching()[case]
    assert shapely.is_valid(shapely.multipolygons(polygons)) and not strictly_valid(polygons)
    found = in_tile(polygons, TILE)
    assert strictly_valid(found)
    lost = sum(p.area for p in polygons) - shapely.area(found).sum()
    assert 0 < lost < (0.2 * PIXEL) ** 2, "less than a 25th of a pixel"


@given(st.integers(0, 10_000))
def test_in_tile_is_strictly_valid_whatever_it_is_given(seed: int) -> None:
    random = np.random.default_rng(seed)
    rings = np.round(random.random((4, 9, 2)) * 60 - 20) * PIXEL * [1, -1] / 4
    polygons = shapely.get_parts(shapely.make_valid(shapely.polygons(rings)))
    polygons = polygons[shapely.get_dimensions(polygons) == 2]
    found = in_tile(polygons, TILE, tolerance=float(random.choice([0, 0.5])))
    assert strictly_valid(found)
    assert strictly_valid(shapely.get_parts(shapely.from_wkt(multipolygon_wkt(found))))
    points = shapely.get_coordinates(found)
    assert ((points >= [0, TILE[1]]) & (points <= [TILE[0], 0])).all()
    np.testing.assert_array_equal(points, np.round(points, DECIMALS))


def test_clipped_leaves_alone_what_lies_in_the_tile() -> None:
    inside = Polygon([(1 / 3e3, -1e-3), (2 / 3e3, -1e-3), (2 / 3e3, -2e-3)])
    found = clipped([inside, box(-0.001, -0.005, 0.001, -0.004)], TILE)
    assert found[0] is inside and found[1].bounds == (0, -0.005, 0.001, -0.004)
    assert clipped([], TILE).size == 0


def test_write_wkt_packs_by_name_and_always_alike(tmp_path: Path) -> None:
    packed = [tmp_path / "a.csv.gz", tmp_path / "b.csv.gz"]
    for path in (*packed, tmp_path / "c.csv"):
        write_wkt(path, [("s", 1, "MULTIPOLYGON EMPTY")], "\r\n")
    text = (tmp_path / "c.csv").read_bytes()
    assert text == b"ImageId,ClassType,MultipolygonWKT\r\ns,1,MULTIPOLYGON EMPTY\r\n"
    assert gzip.decompress(packed[0].read_bytes()) == text and packed[0].read_bytes() == packed[1].read_bytes()
