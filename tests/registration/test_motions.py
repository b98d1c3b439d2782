"""Motions of the reference's pixels: shifts, turns, and what they are on another grid."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rasterloom.raster.grid import compose, invert
from rasterloom.registration import motions
from rasterloom.registration.comparison import comparison_grid
from rasterloom.registration.motions import (
    farthest,
    middle_shift,
    moved_by,
    on_grid,
    on_reference,
    rotation,
    translation,
    turn_of,
)

SHIFTS = st.tuples(st.floats(-90, 90), st.floats(-90, 90))
TURNS = st.floats(-3, 3)


def apply(matrix: list[list[float]], point: tuple[float, float]) -> NDArray[np.float64]:
    """The (x, y) that a matrix maps a point to."""
    return np.asarray(np.array(matrix) @ np.array([*point, 1.0]))


def test_examples_in_docstrings_hold() -> None:
    namespace = {**vars(motions)}
    assert doctest.testmod(motions, extraglobs=namespace).failed == 0


def test_motions_of_grids_and_of_the_reference() -> None:
    grid = comparison_grid((100, 60), 2.0, 1000)
    np.testing.assert_allclose(on_reference(translation((3, -1)), grid), translation((6, -2)), atol=1e-12)
    turn = rotation(10, (50, 30))
    np.testing.assert_allclose(on_grid(on_reference(turn, grid), grid), turn, atol=1e-12)
    assert farthest(translation((3, 4)), translation((0, 0)), (50, 30)) == pytest.approx(5)


def test_rotation_turns_about_the_middle_from_x_towards_y() -> None:
    assert apply(rotation(33, (50, 30)), (25.0, 15.0)) == pytest.approx((25, 15))
    assert apply(rotation(90, (2, 2)), (2.0, 1.0)) == pytest.approx((1, 2))
    assert middle_shift(rotation(33, (50, 30)), (50, 30)) == (0.0, 0.0)


@given(SHIFTS, TURNS)
def test_a_motion_has_the_shift_and_the_turn_that_it_was_made_of(shift: tuple[float, float], degrees: float) -> None:
    motion = moved_by(shift, degrees, (300, 200))
    assert middle_shift(motion, (300, 200)) == pytest.approx(shift, abs=1e-4)
    assert turn_of(motion) == pytest.approx(degrees, abs=1e-6)
    nominal = [[0.25, 0.0, 3.0], [0.0, 0.2, -1.0]]
    assert turn_of(compose(invert(nominal), compose(nominal, motion))) == pytest.approx(degrees, abs=1e-6)


@given(SHIFTS)
def test_a_shift_has_no_turn_at_all(shift: tuple[float, float]) -> None:
    nominal = [[0.27, 0.0, 3.1], [0.0, 0.19, -1.7]]
    assert str(turn_of(compose(invert(nominal), compose(nominal, translation(shift))))) == "0.0"
    assert moved_by(shift, 0.0, (300, 200)) == translation(shift)
