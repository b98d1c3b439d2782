"""Sub-pixel outlines: convention, holes, borders, seams, and validity whatever the input."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely import Polygon, affinity, box, union_all
from shapely.geometry.base import BaseGeometry

from rasterloom.errors import InputError
from rasterloom.polygons import contours
from rasterloom.polygons.coverage import coverage
from rasterloom.polygons.fitting import fitted
from rasterloom.polygons.geometry import Polygons, strictly_valid
from rasterloom.polygons.outlines import (
    CLEARANCE,
    GRID,
    MARGIN,
    decimals_for,
    on_map,
    outlines,
    unit_of,
)
from rasterloom.polygons.record import polygons_of
from rasterloom.polygons.thin import raised
from rasterloom.polygons.tuning import SETTINGS
from rasterloom.polygons.wkt import multipolygon_wkt
from rasterloom.raster.grid import IDENTITY, scale_grid
from traced import objects

NOWHERE = np.full((100, 100), 255, np.uint8)
"""An image in which nothing is thin."""

DSTL = [[0.009169 * 3404 / 3403**2, 0.0, 0.0], [0.0, -0.009042 * 3350 / 3349**2, 0.0]]


def image(*rows: str) -> NDArray[np.uint8]:
    """`.` 0, digits n * 28, `#` 255."""
    values = {".": 0, "#": 255, **{str(n): n * 28 for n in range(10)}}
    return np.array([[values[c] for c in row] for row in rows], np.uint8)


def smooth(seed: int, shape: tuple[int, int], sigma: float, mean: float = 110) -> NDArray[np.uint8]:
    import cv2

    field = cv2.GaussianBlur(np.random.default_rng(seed).random(shape).astype(np.float32), (0, 0), sigma)
    field = (field - field.mean()) / max(float(field.std()), 1e-9) * 60 + mean
    return np.asarray(np.clip(np.round(field), 0, 255), dtype=np.uint8)


def iou(a: Polygons, b: Polygons) -> float:
    one, other = union_all(a), union_all(b)
    return float(one.intersection(other).area / one.union(other).area)


def test_outlines_have_edges_on_integers() -> None:
    full = image("....", ".##.", ".##.", "....")
    (found,) = outlines(full, 127.5, simplify=0)
    assert found.centroid.equals_exact(shapely.Point(2, 2), 1e-9)
    assert found.bounds == (1, 1, 3, 3)  # halfway between 0 and 255, corners cut
    np.testing.assert_allclose(found.area, 4 - 4 * 0.125, atol=0.05)


def test_outlines_are_sub_pixel() -> None:
    # Coverage 255, 128: the right edge lies half way into the second pixel of the half-plane.
    half = np.repeat(image("##4..."), 5, axis=0)
    half[:, 2] = 128
    (found,) = outlines(half, 127.5)
    assert found.equals_exact(box(0, 0, 2.5, 5).normalize(), 0.03)


def test_outlines_close_at_the_border() -> None:
    (found,) = outlines(np.full((3, 5), 130, np.uint8), 127.5)
    assert found.equals(box(0, 0, 5, 3))
    (pixel,) = outlines(np.array([[200]], np.uint8), 127.5)
    assert pixel.equals(box(0, 0, 1, 1))


def test_outlines_of_nothing() -> None:
    found = outlines(np.zeros((4, 7), np.uint8), 127.5)
    assert found.shape == (0,)
    assert strictly_valid(found)


def test_outlines_keep_holes_and_islands() -> None:
    rings = image(
        "#########",
        "#.......#",
        "#.#####.#",
        "#.#...#.#",
        "#.#.#.#.#",
        "#.#...#.#",
        "#.#####.#",
        "#.......#",
        "#########",
    )
    found = outlines(rings, 127.5)
    assert [len(polygon.interiors) for polygon in found] == [1, 1, 0]
    assert outlines(rings, 127.5, min_area=4).size == 2
    # A hole of 9 pixels is filled, and the island in it is part of its surroundings.
    assert [len(polygon.interiors) for polygon in outlines(rings, 127.5, min_hole=12)] == [1, 0]
    (whole,) = outlines(rings, 127.5, min_hole=60)
    assert whole.equals(box(0, 0, 9, 9))


def test_outlines_keep_an_island_whose_surroundings_go() -> None:
    rings = image("........", ".66666..", ".6...6..", ".6.#.6..", ".6...6..", ".66666..", "........")
    areas = shapely.area(outlines(rings, 127.5, simplify=0))
    small = float(areas.min())
    kept = outlines(rings, 127.5, min_area=small * 1.01)
    assert len(kept) == 1 and len(kept[0].interiors) == 1


def test_outlines_areas_are_in_reference_pixels() -> None:
    spot = image("....", ".##.", "....")
    matrix = [[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    (found,) = outlines(spot, 127.5, matrix, min_area=8)
    assert found.bounds == (3, 2, 9, 4)
    assert outlines(spot, 127.5, matrix, min_area=12).size == 0


@pytest.mark.parametrize("level", [0.5, 127.5, 254.5])
def test_outlines_levels_include_their_pixels(level: float) -> None:
    values = np.full((3, 3), int(level - 0.5), np.uint8)
    assert outlines(values, level).size == 0
    assert outlines(values + np.uint8(1), level)[0].equals(box(0, 0, 3, 3))


def test_outlines_refuse_what_they_cannot_trace() -> None:
    with pytest.raises(InputError, match="level"):
        outlines(np.zeros((2, 2), np.uint8), 128.0)
    with pytest.raises(InputError, match="level"):
        outlines(np.zeros((2, 2), np.uint8), 255.5)
    with pytest.raises(InputError, match="uint8"):
        outlines(np.zeros((2, 2), np.float32), 127.5)
    with pytest.raises(InputError, match="non-empty"):
        outlines(np.zeros((0, 2), np.uint8), 127.5)


@pytest.mark.parametrize("rows", [1, 2, 7, 30])
@pytest.mark.parametrize("simplify", [0.0, 0.25])
def test_outlines_do_not_depend_on_strips(rows: int, simplify: float, monkeypatch: pytest.MonkeyPatch) -> None:
    values = smooth(3, (61, 83), 1.5)
    whole = outlines(values, 127.5, min_area=3, min_hole=5, simplify=simplify)
    monkeypatch.setattr(contours, "STRIP_SAMPLES", rows * 83)
    strips = outlines(values, 127.5, min_area=3, min_hole=5, simplify=simplify)
    assert len(whole) > 10
    assert len(whole) == len(strips)
    assert shapely.equals_exact(whole, strips, 0.0).all()


def test_outlines_order_is_fixed() -> None:
    found = outlines(smooth(4, (80, 80), 2), 127.5)
    tops = shapely.bounds(found)[:, 1]
    assert (np.diff(tops) >= 0).all()


small_images = st.tuples(
    st.integers(1, 14), st.integers(1, 14), st.integers(0, 2**32 - 1), st.sampled_from([2, 4, 256])
)


@settings(max_examples=150, deadline=None)
@given(
    small_images,
    st.integers(0, 254),
    st.sampled_from([0.0, 0.25, 2.0]),
    st.sampled_from([0.0, 1.0, 6.0]),
    st.sampled_from([1.0, 1.66, 3.3]),
)
def test_outlines_are_always_strictly_valid(
    drawn: tuple[int, int, int, int], level: int, simplify: float, smallest: float, scale: float
) -> None:
    height, width, seed, kinds = drawn
    levels = np.linspace(0, 255, kinds).round().astype(np.uint8)
    values = levels[np.random.default_rng(seed).integers(0, kinds, (height, width))]
    matrix = [[scale, 0.0, 0.0], [0.0, scale, 0.0]]
    found = outlines(values, level + 0.5, matrix, min_area=smallest, min_hole=smallest, simplify=simplify)
    assert strictly_valid(found)
    assert all(polygon.geom_type == "Polygon" for polygon in found)
    if found.size:
        assert (shapely.area(found) >= smallest).all()
        left, top, right, bottom = shapely.total_bounds(found)
        assert left >= 0 and top >= 0 and right <= width * scale + 0.01 and bottom <= height * scale + 0.01
        assert shapely.minimum_clearance(found).min() >= CLEARANCE
    mapped = on_map(found, DSTL, decimals_for(DSTL))
    assert strictly_valid(shapely.from_wkt(shapely.to_wkt(mapped, rounding_precision=decimals_for(DSTL))))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1.0, 2.0, 4.0]), st.integers(90, 160))
def test_outlines_area_is_that_of_the_pixels(seed: int, sigma: float, mean: int) -> None:
    values = smooth(seed, (60, 60), sigma, mean)
    found = outlines(values, 127.5)
    length = float(shapely.length(found).sum())
    assert abs(shapely.area(found).sum() - (values > 127.5).sum()) <= 0.35 * length + 5


def test_outlines_of_one_polygon_with_many_holes() -> None:
    # GEOS simplifies such a polygon in time quadratic in the number of holes; rings one by one are linear.
    values = smooth(5, (500, 500), 1.5, 150)
    found = outlines(values, 127.5)
    assert max(len(polygon.interiors) for polygon in found) > 500
    assert strictly_valid(found)


# Round trip: coverage, then outlines ------------------------------------------------------------------------


def scattered(seed: int, width: float, height: float) -> list[Polygon]:
    """Boxes of a size at sub-pixel places and any angle."""
    rng = np.random.default_rng(seed)
    found = []
    for row in range(6):
        for column in range(6):
            x, y = 20 + 30 * column + rng.uniform(-3, 3), 20 + 30 * row + rng.uniform(-3, 3)
            shape = box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            found.append(affinity.rotate(shape, rng.uniform(0, 180)))
    return found


def hard(truth: list[Polygon], shape: tuple[int, int]) -> list[BaseGeometry]:
    """Pixel-centre mask and pixel-edge polygons."""
    import rasterio.features

    binary = coverage(truth, shape, IDENTITY, supersample=1)
    return [shapely.geometry.shape(found) for found, value in rasterio.features.shapes(binary) if value]


@pytest.mark.parametrize(("width", "height", "least"), [(4.5, 9, 0.965), (12, 20, 0.99), (8, 20, 0.985)])
def test_round_trip_beats_hard_masks(width: float, height: float, least: float) -> None:
    truth = scattered(7, width, height)
    found = outlines(coverage(truth, (200, 200), IDENTITY), 127.5)
    sub_pixel = iou(found, np.array(truth))
    pixel_edge = iou(np.array(hard(truth, (200, 200))), np.array(truth))
    assert sub_pixel >= least
    assert shapely.get_num_coordinates(found).sum() <= 7 * len(truth)
    assert sub_pixel > pixel_edge + 0.01


def test_round_trip_on_a_coarser_grid_is_not_shifted() -> None:
    truth = scattered(8, 14, 22)
    grid = scale_grid({"size": 120}, 210, 200)
    found = outlines(coverage(truth, (120, 120), grid.matrix), 127.5, grid.matrix)
    assert iou(found, np.array(truth)) > 0.95
    pairs = shapely.STRtree(truth).nearest(shapely.centroid(found))
    assert sorted(pairs) == list(range(36))
    offset = shapely.get_coordinates(shapely.centroid(found)) - shapely.get_coordinates(
        shapely.centroid(np.array(truth)[pairs])
    )
    assert np.abs(offset.mean(axis=0)).max() < 0.05


# Validity -------------------------------------------------------------------------------------------------


def test_strictly_valid_refuses_what_only_some_validators_accept() -> None:
    square = [(0, 0), (4, 0), (4, 4), (0, 4)]
    pinched = Polygon(square, [[(0, 0), (2, 1), (1, 2)]])  # a hole that touches its shell at a point
    assert pinched.is_valid and not strictly_valid([pinched])
    corners = [box(0, 0, 1, 1), box(1, 1, 2, 2)]  # parts that touch at a point, at the rings' own start
    assert shapely.MultiPolygon(corners).is_valid and not strictly_valid(corners)
    assert not strictly_valid([Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])])
    assert not strictly_valid([box(0, 0, 2, 2), box(1, 1, 3, 3)])
    assert strictly_valid([box(0, 0, 1, 1), box(1.01, 1, 2, 2)])
    assert strictly_valid([])
    hole = [(1, 1), (3, 1), (3, 3), (1, 3)]
    within, inside = Polygon(square, [hole]), box(1.5, 1.5, 2, 2)
    assert strictly_valid([within, inside])
    assert not strictly_valid([box(0, 0, 4, 4), inside])  # an object within another one
    assert not strictly_valid([box(6, 0, 9, 4), Polygon(square, [[(7, 1), (8, 1), (8, 2)]])])  # a hole elsewhere
    assert not strictly_valid([Polygon(square, [hole, inside.exterior])])  # a hole within a hole
    assert not strictly_valid([Polygon([(0, 0), (0, 0), (0, 0)])])


def noise(seed: int, side: int, sigma: float, mean: float) -> NDArray[np.uint8]:
    import cv2

    field: Any = np.random.default_rng(seed).random((side, side)).astype(np.float32)
    field = cv2.GaussianBlur(field, (0, 0), sigma) if sigma else field
    values = (field - field.mean()) / field.std() * 60 + mean
    return np.asarray(np.clip(np.round(values), 0, 255), dtype=np.uint8)


def as_traced(values: NDArray[np.uint8]) -> tuple[int, float]:
    """Number and area of the contours, before anything is done to them."""
    found = objects(values, raised(values, 127.5), 127.5, 127.5)
    return found.size, float(shapely.area(found).sum())


@pytest.mark.parametrize(("sigma", "mean"), [(0.0, 128), (0.5, 150), (0.7, 140), (0.7, 128)])
@pytest.mark.parametrize("simplify", [0.0, 0.25])
def test_outlines_of_noise_lose_nothing(sigma: float, mean: float, simplify: float) -> None:
    values = noise(1, 250, sigma, mean)
    count, area = as_traced(values)
    found = outlines(values, 127.5, simplify=simplify)
    assert found.size == count
    assert abs(shapely.area(found).sum() / area - 1) < 0.01
    assert strictly_valid(found)
    assert shapely.minimum_clearance(shapely.multipolygons(found)) >= CLEARANCE


def test_outlines_move_by_a_few_hundredths_of_a_pixel() -> None:
    # The contour of a pixel just above the level passes within .001 of it: a neck, opened to twice the margin.
    values = image("###", "...", "###")
    values[1, 1] = 128
    (found,) = outlines(values, 127.5, simplify=0)
    neck = shapely.intersection(found, shapely.LineString([(0, 1.5), (3, 1.5)]))
    assert 2 * MARGIN - GRID <= neck.length <= 2 * MARGIN + GRID


def test_outlines_on_a_grid_much_finer_than_the_reference() -> None:
    matrix = [[0.04, 0.0, 0.0], [0.0, 0.05, 0.0]]
    found = outlines(noise(2, 120, 0.7, 140), 127.5, matrix)
    assert found.size == as_traced(noise(2, 120, 0.7, 140))[0]
    assert strictly_valid(found)
    assert shapely.minimum_clearance(shapely.multipolygons(found)) >= CLEARANCE * unit_of(matrix)
    reference = {"width": 5, "height": 6, "transform": DSTL, "crs": None}
    settings = {**dict.fromkeys(SETTINGS, 0.0), "threshold": 127.5, "simplify": 0.25, "shape": "free"}
    _, mapped = polygons_of(noise(2, 120, 0.7, 140), reference, settings)
    assert strictly_valid(mapped)


TRANSFORMS = {
    "contest": DSTL,
    "utm": [[0.5, 0.0, 733601.0], [0.0, -0.5, 3725139.0]],
    "rotated": [[0.21, 0.17, 733601.3], [0.17, -0.21, 3725139.7]],
    "degrees": [[2.7e-6, 0.0, -84.43], [0.0, -2.7e-6, 33.62]],
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_outlines_are_strictly_valid_as_text(name: str) -> None:
    matrix = TRANSFORMS[name]
    mapped = on_map(outlines(noise(3, 150, 0.6, 140), 127.5), matrix, decimals_for(matrix))
    text = multipolygon_wkt(mapped)
    assert strictly_valid(shapely.get_parts(shapely.from_wkt(text)))


def test_outlines_of_one_object_with_many_holes_over_many_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contours, "STRIP_SAMPLES", 7 * 400)
    values = np.full((400, 400), 255, np.uint8)
    values[2:-2:3, 2:-2:3] = 0
    (found,) = outlines(values, 127.5)
    assert len(found.interiors) == 132 * 132
    assert outlines(values, 127.5, min_hole=2)[0].equals(box(0, 0, 400, 400))


def test_outlines_take_little_memory_per_vertex() -> None:
    # 20000 x 20000 pixels with 90,000 objects have 10 million vertices.
    values = smooth(6, (1500, 1500), 4)
    vertices = contours.contours(values, 127.5, 127.5, np.zeros(2)).points.size
    tracemalloc.start()
    outlines(values, 127.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert vertices > 200_000
    assert peak < 130 * vertices + 10_000_000  # what is looked at in portions does not grow


# Fitted sides ---------------------------------------------------------------------------------------------


def open_rings(polygons: list[Polygon]) -> tuple[NDArray[np.complex128], NDArray[np.int64], NDArray[np.int64]]:
    """What `fitted` takes: vertices but those that close rings, where rings start, and where polygons do."""
    _, points, (rings, parts) = shapely.to_ragged_array(polygons)
    return np.delete(points, rings[1:] - 1, axis=0) @ np.array([1, 1j]), rings - np.arange(rings.size), parts


def test_fitted_keeps_contours_that_would_cross() -> None:
    # Two coast lines 0.1 apart: a tolerance of 1 would make them cross.
    x = np.linspace(0, 20, 81)
    wave = 0.8 * np.sin(x)
    lower = Polygon(np.concatenate([np.stack([x, wave], 1), [[20, -5], [0, -5]]]))
    upper = Polygon(np.concatenate([np.stack([x + 0.4, np.round(wave, 3) + 0.1], 1), [[20.4, 5], [0.4, 5]]]))
    polygons = np.array([lower, upper.difference(lower.buffer(0.03))], dtype=object)
    polygons = shapely.transform(polygons, lambda points: points + 10)
    found = fitted(*open_rings(list(polygons)), NOWHERE, 127.5, 1.0, IDENTITY, grid=GRID, clearance=CLEARANCE)
    assert shapely.distance(*found) >= CLEARANCE
    assert shapely.get_num_coordinates(found).sum() < shapely.get_num_coordinates(polygons).sum()


def test_fitted_leaves_no_hole_outside_its_shell() -> None:
    shell = [(0, 1), (5, 1.0), (5.25, 0.5), (5.5, 1), (10, 1), (10, 8), (0, 8)]
    polygon = Polygon(shell, [[(5.125, 0.875), (5.25, 0.75), (5.375, 0.875)]])
    (found,) = fitted(*open_rings([polygon]), NOWHERE, 127.5, 1.0, IDENTITY, grid=GRID, clearance=CLEARANCE)
    assert strictly_valid([found])
    assert found.contains(shapely.Point(5.25, 0.8)) is False and len(found.interiors) == 1


def test_fitted_gives_corners_back() -> None:
    cut = Polygon([(1, 0), (9, 0), (9.5, 0.5), (9.5, 5.5), (9, 6), (1, 6), (0.5, 5.5), (0.5, 0.5)])
    (found,) = fitted(
        *open_rings([shapely.segmentize(cut, 1.0)]),
        NOWHERE,
        127.5,
        0.25,
        IDENTITY,
        grid=GRID,
        clearance=CLEARANCE,
    )
    assert found.normalize().equals_exact(box(0.5, 0, 9.5, 6).normalize(), GRID)


@pytest.mark.parametrize("radius", [3.6, 9.8, 40.0])
def test_fitted_keeps_the_area_of_circles(radius: float) -> None:
    circle = shapely.Point(50, 50).buffer(radius, quad_segs=int(16 * radius))
    (found,) = fitted(*open_rings([circle]), NOWHERE, 127.5, 0.25, IDENTITY, grid=GRID, clearance=CLEARANCE)
    assert abs(found.area / circle.area - 1) < 0.015
    assert shapely.hausdorff_distance(found, circle) <= 0.3
    assert shapely.get_num_coordinates(found) <= 8 + 6 * radius**0.5


def test_fitted_counts_in_pixels() -> None:
    values = coverage(scattered(7, 4.5, 9), (200, 200), IDENTITY)
    fine = outlines(values, 127.5)
    coarse = outlines(values, 127.5, [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    assert shapely.get_num_coordinates(coarse).sum() == pytest.approx(shapely.get_num_coordinates(fine).sum(), rel=0.02)


@pytest.mark.parametrize(
    "shape", [box(0, 0, 9, 4.5), Polygon([(0, 0), (20, 0), (20, 7), (12, 7), (12, 14), (0, 14)])], ids=["box", "L"]
)
def test_rectangular_outlines_have_right_angles(shape: Polygon) -> None:
    truth = [affinity.translate(affinity.rotate(shape, 23 + i), 40 * i + 20, 20) for i in range(8)]
    found = outlines(coverage(truth, (60, 340), IDENTITY), 127.5, shape="rectangular")
    assert found.size == 8
    for polygon in found:
        steps = np.diff(shapely.get_coordinates(polygon), axis=0)
        angles = np.degrees(np.arctan2(steps[:, 1], steps[:, 0]))
        assert np.abs((np.diff(angles) + 45) % 90 - 45).max() < 1.0
    assert iou(found, np.array(truth)) > 0.97


def test_rectangular_outlines_of_circles_stay_round() -> None:
    truth = [shapely.Point(20 + 40 * i, 20).buffer(8) for i in range(4)]
    found = outlines(coverage(truth, (40, 160), IDENTITY), 127.5, shape="rectangular")
    assert iou(found, np.array(truth)) > 0.96


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (DSTL, 8),
        ([[0.5, 0, 7e5], [0, -0.5, 4e6]], 3),
        ([[30.0, 0, 0], [0, -30.0, 0]], 1),
        ([[900.0, 0, 0], [0, 900.0, 0]], 0),
    ],
)
def test_decimals_for_keep_a_hundredth_of_a_pixel(matrix: list[list[float]], expected: int) -> None:
    assert decimals_for(matrix) == expected
    assert 0.5 * 10.0**-expected * 2**0.5 / abs(matrix[0][0]) <= 0.003


def test_decimals_for_refuses_a_line() -> None:
    with pytest.raises(InputError, match="singular"):
        decimals_for([[1, 0, 0], [1, 0, 0]])


def test_on_map_refuses_too_few_decimals() -> None:
    found = outlines(image("#.#", "...", "#.#"), 127.5)
    assert strictly_valid(on_map(found, DSTL, decimals_for(DSTL)))
    with pytest.raises(InputError, match="give at least 8"):
        on_map(found, DSTL, 5)
