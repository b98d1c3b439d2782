"""What sensors show on a common grid: raw bands brought to the grid on which they are compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.raster.grid import Grid, Matrix, compose
from rasterloom.raster.sensor import SensorReader

Floats = NDArray[np.float32]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class View:
    """What a sensor shows on the grid on which images are compared.

    Attributes
    ----------
    bands : (B, H, W) array of numbers
    valid : (H, W) bool array
    """

    bands: NDArray[Any]
    valid: Mask


def comparison_grid(size: tuple[int, int], pixel: float, side: int) -> Grid:
    """A grid over the reference with at most `side` pixels per side, and none smaller than `pixel` reference pixels.

    Parameters
    ----------
    size : (W, H)
        Of the reference.
    pixel : float
    side : int
    """
    step = max(1.0, pixel, max(size) / side)
    shape = max(1, round(size[1] / step)), max(1, round(size[0] / step))
    return Grid(*shape, [[size[0] / shape[1], 0.0, 0.0], [0.0, size[1] / shape[0], 0.0]])


def view(source: SensorReader, matrix: Matrix, grid: Grid, bands: Sequence[int] | None = None) -> View:
    """A sensor on a grid.

    Parameters
    ----------
    source : SensorReader
    matrix : 2 x 3 list of rows
        Reference to sensor edge coordinates.
    grid : Grid
    bands : sequence of int or None
        Which of its bands; None: all.

    Notes
    -----
    Memory: 4 bytes per pixel of the grid and band; the sensor is read in strips of rows.
    """
    from rasterloom.raster.resample import resample_rows

    shape = (source.shape[0] if bands is None else len(bands), *source.shape[1:])
    values, good = resample_rows(partial(source.read, bands=bands), shape, compose(matrix, grid.matrix), grid.shape)
    return View(values, good > 0)
