"""Geometry of labels: single valid polygons in the scene, and counts of what was done to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from rasterloom.errors import LabelError
from rasterloom.labels.geometry import (
    clip,
    mask_polygons,
    parse_wkt,
    polygon_parts,
    polygons_digest,
    write_polygons,
)


def test_polygon_parts_are_single_valid_flat_and_in_order() -> None:
    solid = Polygon([(0, 0, 5), (2, 0, 5), (2, 2, 5), (0, 0, 5)])
    two = MultiPolygon([box(5, 5, 6, 6), box(7, 7, 9, 9)])
    parts, counts = polygon_parts([solid, None, Polygon(), shapely.GeometryCollection([two])], "here")
    assert counts == {"collection": 1}
    assert [part.area for part in parts] == [2, 1, 4]
    assert not any(part.has_z for part in parts)


def test_polygon_parts_mends_bow_tie_and_drops_what_has_no_area() -> None:
    bow_tie = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    flat = Polygon([(0, 0), (1, 1), (2, 2)])
    parts, counts = polygon_parts([bow_tie, flat], "here")
    assert counts == {"mended": 1, "no-area": 1}
    assert sum(part.area for part in parts) == pytest.approx(2)
    assert all(part.is_valid and part.geom_type == "Polygon" for part in parts)


def test_polygon_parts_keeps_what_overlapping_members_enclose() -> None:
    parts, _ = polygon_parts([MultiPolygon([box(0, 0, 2, 2), box(1, 0, 3, 2)])], "here")
    assert shapely.unary_union(parts).equals(box(0, 0, 3, 2))


@pytest.mark.parametrize("geometry", [Point(1, 1), LineString([(0, 0), (1, 1)])])
def test_polygon_parts_refuses_other_kinds(geometry: Any) -> None:
    with pytest.raises(LabelError, match=f"roads.gpkg.*{geometry.geom_type}.*buffer"):
        polygon_parts([box(0, 0, 1, 1), geometry], "roads.gpkg (scene a, class roads)")


def test_polygon_parts_refuses_coordinates_that_are_no_numbers() -> None:
    for bad in (np.nan, np.inf):
        with np.errstate(invalid="ignore"), pytest.raises(LabelError, match="not numbers"):
            polygon_parts([Polygon([(0, 0), (bad, 1), (1, 1)])], "here")


def test_polygon_parts_leaves_points_and_lines_of_collections_out() -> None:
    inner = shapely.GeometryCollection([LineString([(0, 0), (1, 1)]), box(4, 4, 5, 5)])
    outer = shapely.GeometryCollection([Point(1, 1), box(0, 0, 1, 1), inner])
    parts, counts = polygon_parts([outer, box(7, 7, 8, 8), shapely.GeometryCollection([Point(1, 1)])], "here")
    assert [part.bounds[0] for part in parts] == [0, 4, 7]
    assert counts == {"collection": 2, "left-out": 3}


def test_polygon_parts_keeps_one_of_identical_polygons() -> None:
    turned = Polygon([(1, 1), (0, 1), (0, 0), (1, 0)])
    other = Polygon([(0, 0), (1, 0), (1, 1), (0, 1)], [[(0.2, 0.2), (0.4, 0.2), (0.4, 0.4), (0.2, 0.4)]])
    parts, counts = polygon_parts([box(0, 0, 1, 1), turned, box(0, 0, 1, 1), other, box(0, 0, 1, 2)], "here")
    assert [part.area for part in parts] == pytest.approx([1, 0.96, 2])
    assert counts == {"duplicate": 2}


def test_clip_cuts_at_the_scene_edges() -> None:
    across, outside, inside = box(-2, 1, 2, 3), box(9, 9, 12, 12), box(1, 1, 2, 2)
    clipped, counts = clip([across, outside, inside, box(3, 3, 3.5, 4)], 8, 8)
    assert counts == {"clipped": 1, "outside": 1, "tiny": 1}
    assert [part.bounds for part in clipped] == [(0, 1, 2, 3), (1, 1, 2, 2), (3, 3, 3.5, 4)]
    comb = Polygon([(0, 0), (12, 0), (12, 1), (6, 1), (6, 2), (12, 2), (12, 3), (0, 3)])
    assert len(clip([comb.difference(box(0, 0, 7, 3))], 8, 8)[0]) == 2  # cut into two objects


def test_mask_polygons_follow_pixel_edges() -> None:
    mask = np.zeros((4, 5), dtype=bool)
    mask[1:3, 1:4] = True
    (polygon,) = mask_polygons(mask)
    assert polygon.equals(box(1, 1, 4, 3))


def test_mask_polygons_hole_and_corner() -> None:
    ring = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1]], dtype=bool)  # hole touches the outside at a corner
    polygons = mask_polygons(ring)
    assert sum(p.area for p in polygons) == ring.sum()
    assert all(p.is_valid for p in polygons)
    assert len(polygons) == 2


@settings(deadline=None, max_examples=60)
@given(arrays(np.bool_, st.tuples(st.integers(1, 8), st.integers(1, 8))))
def test_mask_polygons_cover_exactly_the_positive_pixels(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    polygons = mask_polygons(mask)
    assert all(p.is_valid for p in polygons)
    assert sum(p.area for p in polygons) == mask.sum()
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]] + 0.5
    covered = shapely.contains_xy(shapely.unary_union(polygons), columns, rows)
    assert (covered == mask).all()


def test_polygons_digest_depends_on_every_vertex_order_scene_and_class() -> None:
    one, two = box(0, 0, 1, 1), box(2, 2, 3, 3)
    digests = [
        polygons_digest("a", "t", [one, two]),
        polygons_digest("a", "t", [two, one]),
        polygons_digest("a", "t", [one]),
        polygons_digest("b", "t", [one, two]),
        polygons_digest("a", "u", [one, two]),
        polygons_digest("a", "t", [one, box(2, 2, 3, 3.001)]),
        polygons_digest("a", "t", []),
    ]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("polygons", [[box(0, 0, 1, 1), box(2, 2, 3, 3)], []])
def test_write_polygons_is_geoparquet(tmp_path: Path, polygons: Sequence[Any]) -> None:
    write_polygons(tmp_path / "x.parquet", "a", "trees", polygons)
    frame = geopandas.read_parquet(tmp_path / "x.parquet")
    assert list(frame.columns) == ["scene", "class", "geometry"]
    assert frame.crs is None
    assert [g.wkt for g in frame.geometry] == [p.wkt for p in polygons]
    assert set(frame["class"]) == ({"trees"} if polygons else set())


@pytest.mark.parametrize("kind", ["POLYGON Z", "POLYGONZ", "PolygonZ", "Polygon ZM", "PolygonZM"])
def test_parse_wkt_with_heights_however_they_are_written(kind: str) -> None:
    end = " 7" if kind.endswith("M") else ""
    text = ", ".join(f"{x} {y} 5{end}" for x, y in ((0, 0), (1, 0), (1, 1), (0, 0)))
    assert parse_wkt(f"{kind} (({text}))", "here").area == 0.5


def test_parse_wkt_broken_shows_place_and_beginning() -> None:
    with pytest.raises(LabelError, match=r"t.csv, row 7 .*'MULTIPOLYGON \(\(\(0 0, 1.*mend the row"):
        parse_wkt("MULTIPOLYGON (((0 0, 1", "t.csv, row 7 (scene a, class trees)")
