"""Division: objects that touch become as many as they have summits, and lose nothing but a cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from rasterloom.polygons import dividing
from rasterloom.polygons.dividing import STEP, cuts, parts
from rasterloom.polygons.geometry import strictly_valid
from rasterloom.polygons.outlines import CLEARANCE, GAP, outlines

IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def hills(*summits: tuple[float, float], side: int = 50, width: float = 6.0, height: float = 240.0) -> Any:
    y, x = np.mgrid[:side, :side] + 0.5
    values = [height * np.exp(-((x - east) ** 2 + (y - south) ** 2) / (2 * width**2)) for east, south in summits]
    return np.max(values, axis=0).astype(np.uint8)


TWO = hills((16, 25), (32, 25))


def test_parts_are_as_many_as_summits() -> None:
    assert parts(hills((25, 25)), 60.5, 0.05).max() == 1
    assert parts(TWO, 60.5, 0.05).max() == 2
    found = parts(hills((15, 15), (15, 33), (33, 15), (33, 33)), 60.5, 0.05)
    assert found.max() == 4 and (found > 0).sum() == (hills((15, 15), (15, 33), (33, 15), (33, 33)) > 60.5).sum()


def test_parts_need_their_depth() -> None:
    pass_ = int(TWO[25, 24])
    assert parts(TWO, 60.5, (240 - pass_ + 2 * STEP) / 255).max() == 1
    assert parts(TWO, 60.5, (240 - pass_ - 3 * STEP) / 255).max() == 2


def test_parts_of_an_image_without_objects() -> None:
    assert not parts(np.zeros((5, 5), np.uint8), 127.5, 0.1).any()
    assert cuts(np.zeros((5, 5), np.uint8), 127.5, 0.1, IDENTITY).lines.size == 0
    assert (parts(np.full((5, 5), 255, np.uint8), 127.5, 0.1) == 1).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.02, 0.1, 0.3]), st.integers(90, 170))
def test_parts_cover_the_objects_and_lie_within_one(seed: int, depth: float, level: int) -> None:
    noise = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(50, 60)), 2)
    image = np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)
    found = parts(image, level + 0.5, depth)
    np.testing.assert_array_equal(found > 0, image > level)
    objects, number = scipy.ndimage.label(image > level)
    owners = {(part, owner) for part, owner in zip(found.ravel(), objects.ravel(), strict=True) if part}
    assert len(owners) == found.max() >= number


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6), st.sampled_from([0.02, 0.1]), st.sampled_from([0.0, 0.25, 1.0]), st.sampled_from([1.0, 3.3])
)
def test_divided_outlines_are_valid_and_lose_a_cut_alone(
    seed: int, depth: float, simplify: float, pixel: float
) -> None:
    noise = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(60, 60)), 2)
    image = np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)
    matrix = [[pixel, 0.0, 0.0], [0.0, pixel, 0.0]]
    whole = outlines(image, 120.5, matrix, simplify=simplify)
    found = outlines(image, 120.5, matrix, simplify=simplify, divide=depth)
    assert strictly_valid(found) and found.size >= whole.size and not shapely.is_empty(found).any()
    assert strictly_valid(shapely.transform(found, lambda points: np.round(points, 2)))
    # What is lost are cuts as wide as rounding needs.
    lost = shapely.area(whole).sum() - shapely.area(found).sum()
    length = shapely.length(cuts(image, 120.5, depth, matrix).lines).sum()
    assert -0.01 <= lost <= 1.5 * GAP * length + 0.01


def test_divided_outlines_of_two_hills() -> None:
    (whole,), found = outlines(TWO, 60.5), outlines(TWO, 60.5, divide=0.05)
    assert found.size == 2 and shapely.area(found) == pytest.approx([whole.area / 2] * 2, rel=0.02)
    assert CLEARANCE < shapely.distance(*found) <= 2 * GAP
    assert found[0].bounds[2] == pytest.approx(24, abs=1) or found[1].bounds[2] == pytest.approx(24, abs=1)


@pytest.mark.parametrize("seed", range(4))
def test_divided_has_a_polygon_for_nearly_every_part(seed: int) -> None:
    """An object of many parts is divided even if some of its cuts meet each other, or a vertex of its outline."""
    noise = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(300, 300)), 3)
    image = np.clip(150 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)
    whole, found = outlines(image, 120.5), outlines(image, 120.5, divide=0.02)
    number = int(parts(image, 120.5, 0.02).max())
    assert whole.size < number / 8 and 0.9 * number <= found.size <= 1.1 * number
    assert not shapely.is_empty(found).any()


def test_divided_leaves_out_cuts_and_not_objects_where_very_many_meet() -> None:
    """In white noise hundreds of cuts come near each other: each costs itself alone, not the whole object."""
    image = np.random.default_rng(1).integers(0, 256, (100, 100)).astype(np.uint8)
    whole, found = outlines(image, 70.5), outlines(image, 70.5, divide=0.02)
    assert whole.size < 10 and found.size > 150
    assert strictly_valid(found) and not shapely.is_empty(found).any()
    assert 0.98 < shapely.area(found).sum() / shapely.area(whole).sum() < 1


def test_cuts_do_not_depend_on_strips_that_cut_no_object(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.concatenate([TWO, TWO])
    whole = cuts(image, 60.5, 0.05, IDENTITY)
    monkeypatch.setattr(dividing, "STRIP_PIXELS", TWO.size)
    found = cuts(image, 60.5, 0.05, IDENTITY)
    assert shapely.equals_exact(shapely.normalize(found.lines), shapely.normalize(whole.lines)).all()
    assert found.lines.size == 2
