"""Water that flows and water that stands, told apart by shape."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rasterloom.polygons.outlines import outlines
from rasterloom.polygons.water import by_shape

ROWS, COLUMNS = np.mgrid[:240, :300]
RIVER = np.abs(ROWS - 120 - 30 * np.sin(COLUMNS / 30)) < 5
POND = (ROWS - 40) ** 2 + (COLUMNS - 60) ** 2 < 15**2
LEVELS = (127.5, 90.5)


def image(*found: NDArray[np.bool_], value: int = 200) -> NDArray[np.uint8]:
    return np.where(np.any([np.zeros((240, 300), np.bool_), *found], axis=0), value, 20).astype(np.uint8)


def above(probability: NDArray[np.uint8], level: float) -> NDArray[np.bool_]:
    return np.asarray(probability > level)


def test_a_river_and_a_pond_change_places() -> None:
    flowing, standing, lines = by_shape(image(POND), image(RIVER, value=110), LEVELS)
    np.testing.assert_array_equal(above(flowing, LEVELS[0]), RIVER)
    np.testing.assert_array_equal(above(standing, LEVELS[1]), POND)
    assert len(lines) == 2
    assert "697 pixels around column 60, row 40 stand: 1.9 times" in lines[0] and "not at the border" in lines[0]
    assert "flow: " in lines[1] and lines[1].endswith("wide, at the border")


def test_what_both_find_goes_to_one() -> None:
    flowing, standing, lines = by_shape(image(RIVER), image(RIVER & (COLUMNS > 200), POND), LEVELS)
    np.testing.assert_array_equal(above(flowing, LEVELS[0]), RIVER)
    np.testing.assert_array_equal(above(standing, LEVELS[1]), POND)
    assert len(lines) == 1  # the pond was where it belongs


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(ROWS**2 + (COLUMNS - 150) ** 2 < 20**2, id="a pond at the border"),
        pytest.param((np.abs(ROWS - 100) < 3) & (np.abs(COLUMNS - 150) < 60), id="a canal within the scene"),
        pytest.param((np.abs(ROWS - 100) < 2) & (COLUMNS < 40), id="a ditch at the border, shorter than a quarter"),
    ],
)
def test_others_stay_where_they_were_found(body: NDArray[np.bool_]) -> None:
    for given in ((image(body), image()), (image(), image(body))):
        *found, lines = by_shape(*given, LEVELS)
        assert not lines and all(one is other for one, other in zip(found, given, strict=True))


def test_grids_may_differ_and_outlines_stay_sub_pixel() -> None:
    import cv2

    soft = cv2.GaussianBlur(image(POND, value=230), (0, 0), 2.0)
    coarse = np.asarray(cv2.resize(image(), (150, 120)), np.uint8)
    flowing, standing, lines = by_shape(soft, coarse, LEVELS)
    assert len(lines) == 1 and not above(flowing, LEVELS[0]).any()
    (pond,) = outlines(standing, LEVELS[1], [[2.0, 0, 0], [0, 2.0, 0]])
    (before,) = outlines(soft, LEVELS[0])
    assert pond.symmetric_difference(before).area < 0.03 * before.area
    back: Any = by_shape(coarse[::-1], soft[::-1], LEVELS)
    assert back[2] == [] and back[1].base is soft  # a pond that stands


def test_no_water_is_no_water() -> None:
    flowing, standing, lines = by_shape(image(), image(), LEVELS)
    assert not lines and flowing.max() == standing.max() == 20
    full = np.full((30, 30), 255, np.uint8)
    assert not by_shape(full, np.zeros_like(full), LEVELS)[2]  # at the border, and not long
