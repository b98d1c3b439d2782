"""Objects that match."""

import numpy as np
import pytest
import shapely
from shapely import box

from rasterloom.polygons.objects import Objects, matches, objects


def test_matches_need_half_of_what_both_cover() -> None:
    truth = [box(0, 0, 3, 1), box(10, 0, 13, 1), box(20, 0, 23, 1)]
    found = [box(1, 0, 4, 1), box(11.01, 0, 14.01, 1), box(40, 0, 41, 1), box(20, 0, 23, 1)]
    np.testing.assert_array_equal(matches(truth, found), [0, -1, -1, 2])
    np.testing.assert_array_equal(matches(truth, found, 0.4), [0, 1, -1, 2])


def test_matches_are_one_to_one_and_as_many_as_possible() -> None:
    # The second of the truth can only be the first of the prediction, which both would match.
    truth = [box(0, 0, 10, 1), box(0, 0, 6, 1)]
    found = [box(0, 0, 8, 1), box(0, 0, 9, 1)]
    np.testing.assert_array_equal(matches(truth, found, 0.7), [1, 0])
    np.testing.assert_array_equal(matches([box(0, 0, 1, 1)], [box(0, 0, 1, 1)] * 3) >= 0, [True, False, False])


def test_matches_of_nothing() -> None:
    square = [box(0, 0, 1, 1)]
    assert matches([], []).shape == (0,)
    np.testing.assert_array_equal(matches([], square), [-1])
    assert matches(square, []).shape == (0,)
    np.testing.assert_array_equal(matches(square, [box(1, 0, 2, 1)]), [-1])


def test_matches_are_those_of_every_pair() -> None:
    random = np.random.default_rng(2)
    truth = shapely.buffer(shapely.points(random.random((200, 2)) * 40), random.uniform(0.5, 2, 200))
    found = shapely.affinity.translate(shapely.multipolygons(truth), 0.3, 0.1).geoms
    pairs = [(a.intersection(b).area / a.union(b).area) for b in found for a in truth]
    own = matches(truth, list(found))
    assert len({*own} - {-1}) == np.count_nonzero(own >= 0) > 100
    assert all(pairs[200 * place + index] >= 0.5 for place, index in enumerate(own) if index >= 0)


def test_objects_add_up() -> None:
    total = objects([box(0, 0, 1, 1)], [box(0, 0, 1, 1), box(5, 5, 6, 6)]) + Objects(3, 1, 0)
    assert total == Objects(4, 3, 1)
    assert (total.precision, total.recall, total.count_error) == (1 / 3, 1 / 4, -1 / 4)
    assert total.f1 == pytest.approx(2 / 7)


def test_objects_that_are_not_there_say_nothing() -> None:
    nothing = Objects()
    assert (nothing.precision, nothing.recall, nothing.f1, nothing.count_error) == (None,) * 4
    assert (Objects(0, 2, 0).precision, Objects(0, 2, 0).recall, Objects(0, 2, 0).f1) == (0, None, 0)
    assert (Objects(2, 0, 0).precision, Objects(2, 0, 0).f1, Objects(2, 0, 0).count_error) == (None, 0, -1)
