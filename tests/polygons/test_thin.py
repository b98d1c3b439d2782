"""Thin things: kept together, as wide as they are, and nothing else changed."""

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from shapely import LineString, Polygon

from rasterloom.polygons import contours
from rasterloom.polygons.coverage import coverage
from rasterloom.polygons.geometry import strictly_valid
from rasterloom.polygons.jaccard import areas
from rasterloom.polygons.outlines import outlines
from rasterloom.polygons.thin import edges, raised
from rasterloom.raster.grid import IDENTITY
from traced import traced


def walls(width: float, seed: int = 0) -> list[Polygon]:
    """Walls 16 pixels long at any angle."""
    rng, found = np.random.default_rng(seed), []
    for x in range(20, 200, 30):
        for y in range(20, 200, 30):
            angle = rng.uniform(0, np.pi)
            middle = np.array([x, y]) + rng.uniform(-1, 1, 2)
            step = 8 * np.array([np.cos(angle), np.sin(angle)])
            found.append(LineString([middle - step, middle + step]).buffer(width / 2, cap_style="flat"))
    return found


def jaccard(truth: list[Polygon], found: NDArray[np.object_]) -> float:
    own = areas(truth, found)
    return own.tp / (own.tp + own.fp + own.fn)


@pytest.mark.parametrize(("width", "least"), [(0.8, 0.84), (0.95, 0.895), (1.3, 0.92), (2.0, 0.95)])
def test_thin_walls_stay_whole_and_as_wide_as_they_are(width: float, least: float) -> None:
    truth = walls(width)
    image = coverage(truth, (220, 220), IDENTITY)
    found = outlines(image, 127.5)
    assert found.size == len(truth)
    assert strictly_valid(found)
    assert jaccard(truth, found) >= least
    assert abs(shapely.area(found).sum() / (16 * width * len(truth)) - 1) < 0.05
    if width < 1:
        assert traced(image, 127.5).size > 1.5 * len(truth)


def test_walls_at_other_levels() -> None:
    truth = walls(0.95)
    image = (coverage(truth, (220, 220), IDENTITY) * 0.6).astype(np.uint8)
    found = outlines(image, 76.5)
    assert len(truth) - 1 <= found.size <= len(truth)  # one is nowhere above the level
    assert jaccard(truth, found) >= 0.86


def test_raised_changes_nothing_wide() -> None:
    image = np.zeros((30, 30), np.uint8)
    image[5:15, 5:15] = 200
    image[20:22, 5:25] = 120
    found = raised(image, 127.5)
    np.testing.assert_array_equal(found[:17], image[:17])
    assert (found >= image).all() and (found[20:22, 7:23] > 127).all()


def test_raised_makes_no_object_of_its_own() -> None:
    image = np.zeros((30, 30), np.uint8)
    image[20, 5:25] = 120
    assert (raised(image, 127.5) > 127).any()
    assert outlines(image, 127.5).size == 0
    image[20, 5] = 128
    assert outlines(image, 127.5).size == 1


@pytest.mark.parametrize("rows", [1, 5, 40])
def test_thin_outlines_do_not_depend_on_strips(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = coverage(walls(0.9), (220, 220), IDENTITY)
    whole = outlines(image, 127.5)
    monkeypatch.setattr(contours, "STRIP_SAMPLES", rows * 220)
    assert shapely.equals_exact(whole, outlines(image, 127.5), 0.0).all()


def test_edges_of_a_line_between_two_columns() -> None:
    image = np.zeros((20, 20), np.uint8)
    image[:, 9], image[:, 10] = 153, 89  # .6 and .35: from 9.4 to 10.35
    points = np.array([9.3 + 10j, 10.7 + 10j, 9.3 + 5.5j])
    np.testing.assert_allclose(edges(points, image, 127.5), [9.4 + 10j, 10.35 + 10j, 9.4 + 5.5j], atol=0.03)


def test_edges_of_wide_things_stay() -> None:
    image = np.zeros((20, 20), np.uint8)
    image[5:15, 5:15] = 255
    points = np.array([5 + 10j, 15 + 10j, 10 + 5j])
    np.testing.assert_array_equal(edges(points, image, 127.5), points)
