"""Where labels lie on their image: outlines against edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from arrays import ArraySource
from shapely import affinity

from common import says
from rasterloom.labels.alignment import FEWEST, align
from rasterloom.raster.grid import IDENTITY
from rasterloom.registration import search
from towns import SIDE, houses, town


def moved(polygons: list[Any], shift: tuple[float, float]) -> list[Any]:
    return [affinity.translate(polygon, *shift) for polygon in polygons]


@pytest.mark.parametrize("shift", [(0.0, 0.0), (7.3, -11.6), (-20.0, 4.5)])
def test_align_finds_by_how_much_labels_lie_beside_the_image(shift: tuple[float, float]) -> None:
    drawn = houses(30)
    place = align(ArraySource(town(drawn)), moved(drawn, shift), 30.0)
    assert place.accepted and place.method == "outlines" and place.against == "30 polygons"
    assert place.shift == pytest.approx(shift, abs=0.3)
    assert place.matrix == [[1.0, 0.0, place.shift[0]], [0.0, 1.0, place.shift[1]]]
    assert align(ArraySource(town(drawn)), moved(drawn, shift), 30.0) == place, "the same each time"


def test_align_states_a_standard_error_that_grows_with_what_is_drawn_carelessly() -> None:
    drawn, rng = houses(30), np.random.default_rng(5)
    careless = [affinity.translate(house, *rng.normal(0, 2, 2)) for house in drawn]
    exact, rough = (align(ArraySource(town(drawn)), labels, 30.0).error for labels in (drawn, careless))
    assert exact is not None and rough is not None
    assert max(exact) < 0.3 < max(rough)


@pytest.mark.parametrize("seed", range(4))
def test_align_refuses_labels_of_other_ground(seed: int) -> None:
    place = align(ArraySource(town(houses(30, seed), seed)), houses(30, seed + 50), 30.0)
    assert not place.accepted and place.shift == (0.0, 0.0) and place.matrix == IDENTITY
    assert says(str(place.fallback), "outlines: ... needed")


def test_align_refuses_too_few_polygons_and_images_without_edges() -> None:
    drawn = houses(FEWEST)
    few = align(ArraySource(town(drawn)), drawn[1:], 30.0)
    assert (few.accepted, few.attempts, few.fallback) == (False, (), "4 polygons in the scene, 5 are needed")
    assert align(ArraySource(town(drawn)), drawn[:1], 30.0).fallback == "1 polygon in the scene, 5 are needed"
    flat = np.full((3, SIDE, SIDE), 7, np.uint8)
    for source in (ArraySource(flat), ArraySource(flat, np.zeros((SIDE, SIDE), bool))):
        assert says(str(align(source, drawn, 30.0).fallback), "confidence is 0.00")


def test_align_refuses_outlines_that_are_too_smooth() -> None:
    drawn = houses(30)
    smooth = [house.centroid.buffer(25) for house in drawn]
    assert not align(ArraySource(town(drawn)), moved(smooth, (9.0, 0.0)), 30.0).accepted


def test_align_refuses_what_may_lie_on_shadows() -> None:
    drawn = houses(30)
    assert align(ArraySource(town(drawn, contrasts=[1])), drawn, 30.0).accepted
    dark = align(ArraySource(town(drawn, contrasts=[-1])), drawn, 30.0)
    assert not dark.accepted and says(str(dark.fallback), "in every band it is darker there ... shadow")
    bands = np.concatenate([town(drawn, contrasts=[-1]), town(drawn, contrasts=[1])])
    assert align(ArraySource(bands), drawn, 30.0).accepted, "in one band it is brighter, as leaves in infrared"


def test_align_refuses_what_lies_farther_than_max_shift() -> None:
    drawn = houses(30)
    assert not align(ArraySource(town(drawn)), moved(drawn, (14.0, 0.0)), 10.0).accepted


def test_align_heeds_where_the_image_has_data() -> None:
    drawn, valid = houses(40), np.ones((SIDE, SIDE), bool)
    valid[:, :90] = False
    image = np.where(valid, town(drawn), 0).astype(np.float32)
    place = align(ArraySource(image, valid), moved(drawn, (-6.0, 5.0)), 30.0)
    assert place.accepted and place.shift == pytest.approx((-6.0, 5.0), abs=0.4)


def test_align_looks_at_a_window_of_a_large_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "FINE_SIDE", 256)
    drawn = moved(houses(30), (310.0, 250.0))
    place = align(ArraySource(town(drawn, side=640)), moved(drawn, (5.0, 8.0)), 20.0)
    assert place.accepted and place.shift == pytest.approx((5.0, 8.0), abs=0.4)


def test_align_is_the_same_for_any_order_of_few_polygons() -> None:
    drawn = houses(12)
    places = [align(ArraySource(town(drawn)), order, 30.0) for order in (drawn, drawn[::-1])]
    assert places[0].shift == places[1].shift
    assert shapely.area(drawn).min() > 0
