"""Sub-pixel outlines of a probability: from a raster to polygons that every validator accepts.

Contours (`contours`) never touch themselves. Where they cross a line between samples, they keep a margin from these; so
no part of an outline comes nearer to another one than what rounding needs.

A vertex lies within `MARGIN` of where the contour is, before it is rounded and simplified; no object and no hole is
lost but those that are too small. Memory: 100 bytes per vertex of the contours, beside the image. Time: linear in these
vertices, 1.5 s per million; noise, of which a megapixel has 600,000 to 900,000, takes 2 to 5 s a megapixel, as much of
it stays contour. Nearly nothing where the probability is low.
"""

from functools import partial
from math import ceil, floor, log2, log10, sqrt

import numpy as np
import shapely
from numpy.typing import NDArray

from rasterloom.errors import InputError
from rasterloom.polygons.contours import Contours, contours
from rasterloom.polygons.dividing import cuts, divided
from rasterloom.polygons.fitting import fitted
from rasterloom.polygons.geometry import Polygons, strictly_valid, transformed
from rasterloom.polygons.sides import Indices, Points
from rasterloom.polygons.thresholds import fixed_threshold
from rasterloom.raster.grid import IDENTITY, Matrix

GRID = 1 / 128
"""Vertices lie on multiples of this many reference pixels: no two are closer."""

MARGIN = 0.02
"""Reference pixels that vertices keep from the grid's samples, so that outlines stay apart when they are rounded."""

CLEARANCE = 0.008
"""Reference pixels by which a vertex may move at least before an outline could become invalid."""

ROUNDING = 0.003
"""Reference pixels by which rounding to the output's decimals may move a vertex."""

GAP = 0.025
"""Reference pixels between the parts of an object that is divided: as wide as rounding needs."""


def outlines(
    probability: NDArray[np.uint8],
    level: float,
    matrix: Matrix = IDENTITY,
    *,
    min_area: float = 0.0,
    max_area: float = 0.0,
    min_hole: float = 0.0,
    min_peak: float = 0.0,
    simplify: float = 0.25,
    shape: str = "free",
    divide: float = 0.0,
) -> Polygons:
    """Outlines of the regions where a probability exceeds a level.

    Parameters
    ----------
    probability : (H, W) uint8 array
    level : float, between two integers of 0..255, such as 127.5
    matrix : 2 x 3 list of rows
        From the edge coordinates of the array's grid to those of the reference image.
    min_area, max_area, min_hole : float
        Square reference pixels: smaller and larger objects go, smaller holes are filled with what is in them; or 0.
    min_peak : float
        Probability, 0..1, that an object reaches somewhere, or it is removed; 0 does nothing.
    simplify : float
        Pixels of the array by which a contour may bend within a straight side; 0 keeps every vertex.
    shape : str
        ``free``, or ``rectangular`` for right angles wherever a ring allows for them.
    divide : float
        Depth, 0..1, at which objects that touch are divided, as in `dividing.parts`; 0: they are not.

    Returns
    -------
    (N,) object array of shapely Polygons
        From the top; vertices on multiples of `GRID`; `strictly_valid` together, with a clearance of `CLEARANCE`.

    Raises
    ------
    InputError
        If the array is not a non-empty (H, W) uint8 array or the level is not half an odd number within 0..255.
    """
    _check(probability, level)
    unit = unit_of(matrix)
    margins = MARGIN * unit / np.hypot(*np.array(matrix)[:, :2])
    peak = max(fixed_threshold(min_peak), level)
    pixel = abs(matrix[0][0] * matrix[1][1] - matrix[0][1] * matrix[1][0])
    rings = _sized(contours(probability, level, peak, margins), pixel, min_area, max_area, min_hole)
    fit = partial(fitted, grid=GRID * unit, clearance=CLEARANCE * unit, rectangular=shape == "rectangular")
    polygons = fit(*rings, probability, level, simplify, matrix)
    polygons = ordered(polygons[shapely.area(polygons) >= min_area])
    return parted(polygons, probability, level, matrix, divide, min_area) if divide > 0 else polygons


def parted(
    polygons: Polygons, probability: NDArray[np.uint8], level: float, matrix: Matrix, depth: float, min_area: float
) -> Polygons:
    """The objects that `outlines` found without dividing them, (N,) shapely Polygons, divided at a depth above 0.

    The other parameters, and what comes back, are those of `outlines`.
    """
    unit = unit_of(matrix)
    polygons = divided(polygons, cuts(probability, level, depth, matrix), GAP * unit, GRID * unit, CLEARANCE * unit)
    return ordered(polygons[shapely.area(polygons) >= min_area])


def _sized(
    found: Contours, pixel: float, min_area: float, max_area: float, min_hole: float
) -> tuple[Points, Indices, Indices]:
    """Vertices, where rings start among them, and objects among rings: without those of the wrong size."""
    area = found.areas * pixel
    outer = found.shell == np.arange(area.size)
    filled = ~outer & (area < min_hole)
    whole = np.bincount(found.shell, np.where(outer, area, np.where(filled, 0, -area)), area.size)
    kept = outer & (whole >= min_area) & ((whole <= max_area) | (max_area <= 0))
    # What lies in a hole that is filled becomes part of its surroundings.
    within, gone = outer & (found.around >= 0) & filled[found.around], np.zeros(area.size, np.bool_)
    while (new := within & (kept | gone)[found.shell[found.around]]).sum() > gone.sum():
        gone = new
    stay = (kept & ~gone)[found.shell] & ~filled
    sizes = np.diff(found.offsets)
    offsets = np.concatenate([[0], np.cumsum(sizes[stay])])
    return found.points[np.repeat(stay, sizes)], offsets, np.append(np.flatnonzero(outer[stay]), offsets.size - 1)


def unit_of(matrix: Matrix) -> float:
    """What `GRID`, `MARGIN`, `CLEARANCE` and `ROUNDING` count in: a reference pixel, or less on grids that are finer.

    Parameters
    ----------
    matrix : 2 x 3 list of rows
        From the grid's coordinates to reference pixels.

    Returns
    -------
    float
        A power of two, at most 1 and at most four pixels of the grid.
    """
    return float(2.0 ** min(0, floor(log2(4 * _smallest(matrix)))))


def _smallest(matrix: Matrix) -> float:
    """The least length that a step of 1 becomes under a matrix."""
    smallest = float(np.linalg.svd(np.array(matrix)[:, :2], compute_uv=False)[-1])
    if smallest == 0:
        raise InputError(f"the matrix {matrix} is singular: it maps the image onto a line")
    return smallest


def _check(probability: NDArray[np.uint8], level: float) -> None:
    if probability.ndim != 2 or probability.dtype != np.uint8 or probability.size == 0:
        raise InputError(
            f"outlines need a non-empty (H, W) uint8 array of probabilities; given {probability.shape} "
            f"{probability.dtype}"
        )
    if not (0 < level < 255 and level % 1 == 0.5):
        raise InputError(f"a contour level lies between two integers of 0..255, such as 127.5; given {level}")


def ordered(polygons: Polygons) -> Polygons:
    """Polygons, (N,) object array, in a canonical form and order.

    The start and the direction of rings are fixed; polygons come by their top, their left, and the rest.
    """
    polygons = shapely.normalize(polygons)
    left, top, right, bottom = shapely.bounds(polygons).T
    wkb = shapely.to_wkb(polygons, byte_order=1)
    order = sorted(range(polygons.size), key=lambda i: (top[i], left[i], bottom[i], right[i], wkb[i]))
    return np.asarray(polygons[order], dtype=object)


def decimals_for(matrix: Matrix, error: float = ROUNDING) -> int:
    """Decimals of map coordinates that move no vertex by more than `error` reference pixels.

    Parameters
    ----------
    matrix : 2 x 3 list of rows
        From reference pixels to map coordinates.
    error : float
        In reference pixels.

    Examples
    --------
    >>> decimals_for([[0.5, 0.0, 733601.0], [0.0, -0.5, 3725139.0]])
    3
    """
    return max(0, ceil(-log10(error * _smallest(matrix) * 2 / sqrt(2))))


def on_map(polygons: Polygons, matrix: Matrix, decimals: int) -> Polygons:
    """Polygons in map coordinates, rounded to decimals and strictly valid.

    Parameters
    ----------
    polygons : (N,) array of shapely Polygons in reference pixels, as `outlines` gives them
    matrix : 2 x 3 list of rows
        From reference pixels to map coordinates.
    decimals : int
        Of the map coordinates; see `decimals_for`.

    Returns
    -------
    (N,) array of shapely Polygons
        In the same order.

    Raises
    ------
    InputError
        If so few decimals make polygons touch; those of `decimals_for` cannot, by the polygons' clearance.
    """
    mapped = shapely.transform(transformed(polygons, matrix), lambda points: np.round(points, decimals))
    if not strictly_valid(mapped):
        raise InputError(
            f"{decimals} decimals are too few for map coordinates with a pixel of {abs(matrix[0][0])}: polygons "
            f"would touch; give at least {decimals_for(matrix)}"
        )
    return np.asarray(mapped, dtype=object)
