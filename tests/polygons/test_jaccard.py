"""Areas and Jaccard by geometry."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import LineString, MultiPolygon, Polygon, box

from rasterloom.errors import LabelError
from rasterloom.polygons.jaccard import Areas, areas, areas_of, united


def test_areas_unite_each_side_first() -> None:
    found = areas([box(0, 0, 2, 1), box(0, 0, 1, 1)], [box(1, 0, 3, 1), box(1, 0, 2, 1)])
    assert found == Areas(1, 1, 1)
    assert found.jaccard == pytest.approx(1 / 3)


def test_areas_of_nothing_have_no_jaccard() -> None:
    assert areas([], []) == Areas(0, 0, 0)
    assert areas([], []).jaccard is None
    assert areas([box(0, 0, 1, 1)], []) == Areas(0, 0, 1)
    assert areas([], [box(0, 0, 1, 1)]) == Areas(0, 1, 0)
    assert areas([box(0, 0, 1, 1)], []).jaccard == 0


def test_areas_of_equal_sides_are_all_true() -> None:
    ring = Polygon([(0, 0), (4, 0), (4, 4), (0, 4)], [[(1, 1), (2, 1), (2, 2), (1, 2)]])
    assert areas([ring], [ring]) == Areas(15, 0, 0)
    assert areas([ring], MultiPolygon([ring]).geoms).jaccard == 1


def test_areas_accept_invalid_polygons() -> None:
    bow = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    assert not bow.is_valid
    assert areas([bow], [box(0, 0, 2, 2)]) == Areas(2, 2, 0)
    spike = Polygon([(0, 0), (1, 0), (5, 0), (1, 0), (1, 1), (0, 1)])
    assert areas([spike, Polygon(), None], [box(0, 0, 1, 1)]) == Areas(1, 0, 0)


def test_areas_refuse_lines() -> None:
    with pytest.raises(LabelError, match="LineString"):
        areas([LineString([(0, 0), (1, 1)])], [])


boxes = st.lists(
    st.tuples(*[st.integers(0, 9)] * 2, *[st.integers(1, 5)] * 2).map(lambda t: (t[0], t[1], t[0] + t[2], t[1] + t[3])),
    max_size=5,
)


@settings(max_examples=80, deadline=None)
@given(boxes, boxes)
def test_areas_equal_counting_pixels(
    one: list[tuple[int, int, int, int]], other: list[tuple[int, int, int, int]]
) -> None:
    def burn(rectangles: list[tuple[int, int, int, int]]) -> np.ndarray:
        image = np.zeros((15, 15), bool)
        for left, top, right, bottom in rectangles:
            image[top:bottom, left:right] = True
        return image

    truth, found = burn(one), burn(other)
    measured = areas([box(*corners) for corners in one], [box(*corners) for corners in other])
    expected = ((truth & found).sum(), (found & ~truth).sum(), (truth & ~found).sum())
    np.testing.assert_allclose([measured.tp, measured.fp, measured.fn], expected, atol=1e-9)


def test_areas_of_many_trees_against_one_forest() -> None:
    places = np.random.default_rng(0).random((400, 2)) * 300
    trees = shapely.buffer(shapely.points(places), 4)
    forest = [shapely.union_all(trees)]
    measured = areas(trees, forest)
    assert measured.jaccard == pytest.approx(1)
    assert measured.tp == pytest.approx(shapely.area(united(trees)).sum())


def test_areas_are_those_of_two_unions() -> None:
    random = np.random.default_rng(1)
    truth = shapely.buffer(shapely.points(random.random((300, 2)) * 120), random.uniform(0.5, 6, 300))
    found = shapely.buffer(shapely.points(random.random((300, 2)) * 120), random.uniform(0.5, 6, 300))
    one, other = shapely.union_all(truth), shapely.union_all(found)
    measured = areas(truth, found)
    expected = (one & other).area, (other - one).area, (one - other).area
    np.testing.assert_allclose([measured.tp, measured.fp, measured.fn], expected, rtol=1e-12)


def test_united_touch_at_points_only() -> None:
    touching = united([box(0, 0, 1, 1), box(1, 1, 2, 2), box(2, 0, 3, 1), box(3, 0, 4, 1), None, Polygon()])
    assert sorted(shapely.area(touching)) == [1, 1, 2]
    assert shapely.is_valid(shapely.multipolygons(touching))
    assert areas_of(touching, united([box(-1, -1, 9, 9)])) == Areas(4, 96, 0)


def test_areas_add_up_areas_not_scores() -> None:
    total = Areas(1, 0, 0) + Areas(0, 8, 1)
    assert total == Areas(1, 8, 1)
    assert total.jaccard == 0.1
