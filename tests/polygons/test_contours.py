"""Contours: those that contourpy traces, ring by ring, whatever the image and the strips."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rasterloom.polygons import contours as module
from rasterloom.polygons.contours import Contours, contours
from rasterloom.polygons.geometry import from_rings
from rasterloom.polygons.thin import raised
from traced import objects

NONE = np.zeros(2)
"""No margins."""


def polygons(found: Contours) -> NDArray[np.object_]:
    points = found.points.view(np.float64).reshape(-1, 2)
    shells = np.flatnonzero(found.shell == np.arange(found.shell.size))
    return from_rings(points, found.offsets, np.append(shells, found.shell.size))


def drawn(seed: int, shape: tuple[int, int], kinds: int) -> NDArray[np.uint8]:
    levels = np.linspace(0, 255, kinds).round().astype(np.uint8)
    return levels[np.random.default_rng(seed).integers(0, kinds, shape)]


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(st.integers(1, 14), st.integers(1, 14)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([2, 4, 16, 256]),
    st.integers(0, 254),
    st.integers(0, 60),
)
def test_contours_are_those_of_contourpy(
    shape: tuple[int, int], seed: int, kinds: int, level: int, higher: int
) -> None:
    values, level_, peak = drawn(seed, shape, kinds), level + 0.5, min(level + higher, 254) + 0.5
    expected = shapely.normalize(objects(values, raised(values, level_), level_, peak))
    found = polygons(contours(values, level_, peak, NONE))
    assert found.size == expected.size
    if not found.size:
        return
    # The vertex and the direction of each ring are already those of the normal form.
    normal = shapely.normalize(found)
    for own, other in zip(found, normal, strict=True):
        assert own.exterior.equals_exact(other.exterior, 0)
        assert {ring.wkt for ring in own.interiors} == {ring.wkt for ring in other.interiors}
    assert {polygon.wkt for polygon in normal} == {polygon.wkt for polygon in expected}


@pytest.mark.parametrize("rows", [1, 2, 7, 30])
def test_contours_do_not_depend_on_strips(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = drawn(1, (61, 83), 256)
    whole = contours(values, 127.5, 150.5, NONE)
    monkeypatch.setattr(module, "STRIP_SAMPLES", rows * 83)
    strips = contours(values, 127.5, 150.5, NONE)
    for name in ("points", "offsets", "areas", "shell", "around"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(strips, name))


def test_contours_know_what_lies_in_what() -> None:
    values = np.zeros((13, 17), np.uint8)
    values[1:12, 1:12], values[2:11, 2:11], values[3:7, 3:9], values[4:6, 4:8], values[8:10, 3:5] = 255, 0, 255, 0, 255
    values[5, 14] = 255
    found = contours(values, 127.5, 127.5, NONE)
    # From the top: a frame, its hole, in it a smaller frame, its hole; beside them a pixel; a box.
    assert found.shell.tolist() == [0, 0, 2, 2, 4, 5]
    assert found.around[[0, 2, 4, 5]].tolist() == [-1, 1, -1, 1]
    np.testing.assert_allclose(found.areas, [120.5, 80.5, 23.5, 7.5, 0.5, 3.5])


def test_contours_keep_margins_from_samples() -> None:
    values = np.zeros((8, 8), np.uint8)
    values[2:6, 2:6] = 128
    found = contours(values, 127.5, 127.5, np.array([0.02, 0.1]))
    np.testing.assert_allclose(polygons(found)[0].bounds, [2.48, 2.4, 5.52, 5.6])


def test_contours_of_nothing() -> None:
    found = contours(np.full((3, 4), 127, np.uint8), 127.5, 127.5, NONE)
    assert found.points.size == 0 and found.offsets.tolist() == [0] and found.shell.size == 0
