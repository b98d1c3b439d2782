"""Readers of labels on arbitrary input: valid polygons in the scene or one clear error, never anything else."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from shapely.geometry import GeometryCollection, MultiPolygon, Polygon, box

from rasterloom.errors import LabelError
from rasterloom.labels.files import chosen, placed, read_vector
from rasterloom.labels.geometry import clip, parse_wkt, polygon_parts
from rasterloom.labels.wkt_tables import read_wkt_table
from rasterloom.polygons.geometry import transformed
from rasterloom.raster.files import RasterInfo

WIDTH, HEIGHT = 20, 10
SCENE = box(0, 0, WIDTH, HEIGHT)
TOLERANCE = 1e-6

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:'crs' was not provided")]

# Coordinates around the scene, on its corners and edges more often than elsewhere, and some that no image has.
COORDINATES = st.one_of(
    st.integers(-5, 25).map(float),
    st.floats(-5, 25, allow_nan=False, width=32),
    st.sampled_from([0.0, float(WIDTH), float(HEIGHT), -0.0, 1e-9, 1e6, -1e6, 1e-300]),
)
POINTS = st.tuples(COORDINATES, COORDINATES)
RINGS = st.lists(POINTS, min_size=3, max_size=9)


@st.composite
def polygons(draw: st.DrawFn) -> Any:
    """Polygons that may cross themselves, lie flat, have holes anywhere and the same point many times."""
    return Polygon(draw(RINGS), draw(st.lists(RINGS, max_size=2)))


GEOMETRIES = st.recursive(
    st.one_of(polygons(), st.lists(polygons(), max_size=3).map(MultiPolygon)),
    lambda inner: st.lists(inner, max_size=3).map(GeometryCollection),
    max_leaves=4,
)

WKT = GEOMETRIES.map(lambda geometry: shapely.to_wkt(geometry, rounding_precision=-1))

ALPHABET = 'POLYGNMUTIECRSD ZM()0123456789.,-+einfa;=\t\n\0"é'


@st.composite
def mutated(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """A text with a few pieces cut out, doubled, or replaced."""
    text = draw(texts)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 12)))
        piece = draw(st.one_of(st.text(ALPHABET, max_size=6), st.just(text[start:end] * 2), st.just("")))
        text = text[:start] + piece + text[end:]
    return text


def check(found: list[Any], given_area: float | None = None) -> None:
    """Polygons are single, valid, with an area, and within the scene."""
    for polygon in found:
        assert polygon.geom_type == "Polygon" and polygon.is_valid and not polygon.is_empty
        assert polygon.area > 0
        low_x, low_y, high_x, high_y = polygon.bounds
        assert min(low_x, low_y) >= -TOLERANCE and high_x <= WIDTH + TOLERANCE and high_y <= HEIGHT + TOLERANCE
    if found:
        assert shapely.union_all(np.array(found, dtype=object)).area <= SCENE.area * (1 + TOLERANCE)


def read(geometries: list[Any]) -> list[Any]:
    parts, _ = polygon_parts(geometries, "here")
    return clip(parts, WIDTH, HEIGHT)[0]


def or_error(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives; None if it raises a `LabelError` of one line with something in it."""
    try:
        return function(*arguments)
    except LabelError as error:
        assert str(error).strip() and "\n" not in str(error)
        return None


# WKT ----------------------------------------------------------------------------------------------------------


@settings(max_examples=120)
@given(st.lists(GEOMETRIES, max_size=3))
@example([MultiPolygon([box(0, 0, 5, 5), box(3, 0, 9, 5)])])
@example([Polygon([(0, 0), (20, 10), (20, 0), (0, 10)])])
def test_polygons_of_any_shape(geometries: list[Any]) -> None:
    check(read(geometries))


@settings(max_examples=100)
@given(polygons())
def test_valid_polygons_keep_their_area_and_broken_ones_stay_within_their_hull(polygon: Any) -> None:
    found = read([polygon])
    area = sum(p.area for p in found)
    if polygon.is_valid:
        expected = polygon.intersection(SCENE).area
        assert area == pytest.approx(expected, abs=1e-5)
    else:
        hull = MultiPolygon([polygon]).convex_hull.buffer(1e-6)
        inside = shapely.union_all(np.array(found, dtype=object)).area if found else 0.0
        assert inside <= hull.intersection(SCENE).area + 1e-5


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=40), st.text(ALPHABET, max_size=60), WKT, mutated(WKT)))
@example("POLYGON ((0 0, 1e400 0, 1 1, 0 0))")
@example("GEOMETRYCOLLECTION (" * 5000)
@example("GEOMETRYCOLLECTION (COMPOUNDCURVE (" * 3000)
@example("geometrycollection (polygon ((0 0, 5 0, 5 5, 0 0)), point (1 1));")
@example("POLYGON ((1e308 1e308, -1e308 1e308, -1e308 -1e308, 1e308 1e308))")
def test_any_text_as_wkt(text: str) -> None:
    geometry = or_error(parse_wkt, text, "t.csv, row 2")
    found = None if geometry is None else or_error(read, [geometry])
    check(found or [])


@settings(max_examples=100)
@given(WKT, st.booleans(), st.sampled_from(["", " ", "\n", "\ufeff", "\t"]), st.sampled_from(["", ";", " ; \r\n"]))
def test_wkt_in_any_letters_and_with_anything_around_is_the_same(
    text: str, lower: bool, before: str, after: str
) -> None:
    written = before + (text.lower() if lower else text) + after
    assert parse_wkt(written, "here").equals_exact(shapely.from_wkt(text), 0)


@settings(max_examples=100)
@given(st.lists(polygons(), min_size=1, max_size=3), st.sampled_from([0.001, 1.0, 4e5]), st.integers(-(10**6), 10**6))
def test_polygons_far_away_and_of_other_units(shapes: list[Any], scale: float, offset: int) -> None:
    """As they come out of a transform: coordinates that are no round numbers."""
    moved = transformed(shapes, [[scale, 0.3, offset], [-0.2, -scale, offset]])
    check(or_error(read, moved) or [])


# Files --------------------------------------------------------------------------------------------------------


def from_file(name: str, content: bytes, reader: Callable[[Path], Any]) -> list[Any]:
    """Polygons of houses in a file of labels, over an image without georeference."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        frame = reader(path)
        spec = {"class": "houses", "id": 1, "classes": {"houses": 1}} if "class" in frame.columns else None
        picked, _ = chosen(frame, spec, "a", "here")
        features = placed(picked, RasterInfo(WIDTH, HEIGHT), "here", plain=name.endswith(".csv"))
        return read(features.geometries)


CELLS = st.one_of(WKT, WKT.map(lambda text: f"SRID=4326;{text}"), st.text(max_size=8), mutated(WKT), st.just(""))


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Tables of WKT, more or less well written."""
    separator = draw(st.sampled_from([",", ";", "\t", "|"]))
    header = draw(st.sampled_from([["WKT"], ["class", "WKT"], ["class", "wkt", "WKT"], ["scene", "geom", "x"], ["a"]]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    quote = draw(st.sampled_from(['"{}"', '"{}"', "{}"]))
    rows = draw(st.lists(st.lists(CELLS, min_size=len(header), max_size=len(header)), max_size=4))
    lines = [separator.join(header)]
    lines += [separator.join(quote.format(cell.replace('"', '""')) for cell in row) for row in rows]
    text = end.join(lines) + draw(st.sampled_from(["", end]))
    return text.encode("utf-8", "surrogatepass")


SLOW = {"max_examples": 80, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}


@settings(**SLOW)
@given(
    st.one_of(
        tables(),
        st.binary(max_size=60),
        mutated(tables().map(lambda b: b.decode("latin-1"))).map(lambda text: text.encode("utf-8", "replace")),
    )
)
@example(b'WKT\n"')
@example(b'WKT,class\n"POLYGON EMPTY""",houses')
@example(b"\xff\xfeW\0K\0T\0")
def test_any_table_of_wkt(content: bytes) -> None:
    check(or_error(from_file, "t.csv", content, read_wkt_table) or [])


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), polygons()), max_size=4))
def test_well_written_tables_give_what_was_written(rows: list[tuple[str, Any]]) -> None:
    import csv
    import io

    text = io.StringIO(newline="")
    csv.writer(text).writerows([("name", "WKT"), *((name, shape.wkt) for name, shape in rows)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
        frame = read_wkt_table(path)
    assert list(frame["name"]) == [name.strip() for name, _ in rows]
    assert [geometry.wkt for geometry in frame.geometry] == [shape.wkt for _, shape in rows]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-30, 30), st.floats(allow_nan=False), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)


@st.composite
def collections(draw: st.DrawFn) -> Any:
    """GeoJSON of a few features, in which one value may be anything."""
    found: list[Any] = []
    for geometry in draw(st.lists(GEOMETRIES, max_size=3)):
        feature = {"type": "Feature", "properties": {"class": "houses"}, "geometry": shapely.geometry.mapping(geometry)}
        found.append(json.loads(json.dumps(feature)))
    whole: Any = {"type": "FeatureCollection", "features": found}
    for _ in range(draw(st.integers(0, 2))):
        place, key = whole, None
        for _ in range(draw(st.integers(1, 7))):
            keys = (
                list(place) if isinstance(place, dict) else list(range(len(place))) if isinstance(place, list) else []
            )
            if not keys:
                break
            parent, key = place, draw(st.sampled_from(list(keys)))
            place = place[key]
        if key is not None:
            parent[key] = draw(JSON)
    return whole


@settings(**SLOW)
@given(st.one_of(collections().map(json.dumps), mutated(collections().map(json.dumps))))
def test_any_geojson(text: str) -> None:
    content = text.encode("utf-8", "surrogatepass")
    check(or_error(from_file, "l.geojson", content, read_vector) or [])
