"""Motions of the reference's pixels: maps from where the reference shows something to where a sensor would show it.

A motion is a 2 x 3 matrix in the reference's edge coordinates (0 to W, 0 to H). A sensor whose files place it by the
matrix `nominal` lies, after a motion, at x -> nominal(motion(x)).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rasterloom.raster.grid import Grid, Matrix, compose, invert


def translation(shift: tuple[float, float]) -> Matrix:
    """The matrix x -> x + shift."""
    return [[1.0, 0.0, float(shift[0])], [0.0, 1.0, float(shift[1])]]


def centred(linear: NDArray[np.float64], shift: Sequence[float] | NDArray[np.float64], size: tuple[int, int]) -> Matrix:
    """The motion with a linear part (2, 2) that moves the middle of an image of a size (W, H) by a shift."""
    middle = np.array(size) / 2
    motion: Matrix = np.column_stack([linear, np.array(shift) + middle - linear @ middle]).tolist()
    return motion


def rotation(degrees: float, size: tuple[int, int]) -> Matrix:
    """A turn about the middle of an image of a size (W, H), from x towards y."""
    c, s = float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))
    return centred(np.array([[c, -s], [s, c]]), (0.0, 0.0), size)


def moved_by(shift: tuple[float, float], degrees: float, size: tuple[int, int]) -> Matrix:
    """The motion of the reference's pixels (W, H) that turns them about the middle and moves that by a shift."""
    return translation(shift) if degrees == 0 else compose(translation(shift), rotation(degrees, size))


def turn_of(motion: Matrix) -> float:
    """By how many degrees a motion of the reference's pixels turns them, from x towards y.

    Examples
    --------
    >>> turn_of(rotation(-0.75, (300, 200)))
    -0.75
    """
    (a, b, _), (c, d, _) = motion
    return round(float(np.degrees(np.arctan2(c - b, a + d))), 6) + 0.0


def middle_shift(motion: Matrix, size: tuple[int, int]) -> tuple[float, float]:
    """By how much a motion of the reference's pixels moves the middle of the scene (W, H), reference pixels."""
    x, y = size[0] / 2, size[1] / 2
    moved = [row[0] * x + row[1] * y + row[2] for row in motion]
    return round(moved[0] - x, 4), round(moved[1] - y, 4)


def rounded(motion: Matrix, kind: str) -> Matrix:
    """A motion to a ten-thousandth of a pixel, so that what does not matter does not change what is made of it."""
    (a, b, x), (c, d, y) = motion
    linear = (1.0, 0.0, 0.0, 1.0) if kind == "translation" else tuple(round(value, 9) for value in (a, b, c, d))
    return [[linear[0], linear[1], round(x, 4)], [linear[2], linear[3], round(y, 4)]]


_CENTRES = translation((0.5, 0.5))
"""From coordinates with whole numbers at the centres of pixels, as OpenCV has them, to edge coordinates."""


def on_reference(motion: Matrix, grid: Grid) -> Matrix:
    """A motion of a grid's pixels (whole numbers at their centres) as one of the reference's edge coordinates."""
    inner = compose(invert(_CENTRES), invert(grid.matrix))
    return compose(grid.matrix, compose(_CENTRES, compose(motion, inner)))


def on_grid(motion: Matrix, grid: Grid) -> Matrix:
    """The reverse of `on_reference`."""
    outer = compose(invert(_CENTRES), invert(grid.matrix))
    return compose(outer, compose(motion, compose(grid.matrix, _CENTRES)))


def farthest(one: Matrix, other: Matrix, size: tuple[int, int]) -> float:
    """The largest distance between what two matrices make of the corners of an image (W, H)."""
    corners = np.array([[0, size[0], 0, size[0]], [0, 0, size[1], size[1]], [1] * 4], dtype=np.float64)
    return float(np.hypot(*((np.array(one) - np.array(other)) @ corners)).max())


def pixel_ratio(matrix: Matrix) -> float:
    """Side of a sensor's pixel in reference pixels, by the matrix from the reference to the sensor."""
    return float(abs(np.linalg.det(np.array(matrix)[:, :2])) ** -0.5)


def pixel_sides(matrix: Matrix) -> list[float]:
    """Sides (x, y) of a sensor's pixel in reference pixels, likewise; along its own rows and columns."""
    return [round(float(side), 4) for side in np.hypot(*np.linalg.inv(np.array(matrix)[:, :2]))]
