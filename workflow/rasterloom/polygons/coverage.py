"""From polygons to pixels: the fraction of each pixel that polygons cover."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import LabelError
from rasterloom.polygons.geometry import polygonal, transformed
from rasterloom.raster.grid import Matrix, invert

STRIP_BYTES = 32 * 2**20
"""Samples rasterised at a time."""


def coverage(polygons: Any, shape: tuple[int, int], transform: Matrix, supersample: int = 4) -> NDArray[np.uint8]:
    """Fraction of each pixel covered by the union of polygons.

    Parameters
    ----------
    polygons : shapely geometry, or sequence or array of them
        Polygons and multipolygons; empty ones and None are passed over. Overlaps count once.
    shape : (H, W)
    transform : 2 x 3 list of rows
        From the grid's edge coordinates (x right, y down, pixel edges on integers) to the polygons' coordinates.
    supersample : int
        Samples along each side of a pixel; a sample is covered if its centre is.

    Returns
    -------
    (H, W) uint8 array
        0 = untouched, 255 = fully covered, rounded half up; error at most about 1/supersample**2 of a pixel for
        straight edges. At least half covered means 128 or more.

    Raises
    ------
    LabelError
        If a geometry is neither polygon nor multipolygon, or supersample is less than 1.

    Notes
    -----
    Memory: the result and a strip of rows, O(W * supersample**2), at least one row, otherwise about 32 MB.

    Examples
    --------
    >>> from shapely import box
    >>> coverage([box(0, 0, 1.5, 1)], (1, 3), [[1, 0, 0], [0, 1, 0]])
    array([[255, 128,   0]], dtype=uint8)
    """
    strips = list(coverage_strips(polygons, shape, transform, supersample))
    return np.concatenate(strips) if strips else np.zeros(shape, np.uint8)


def coverage_strips(
    polygons: Any, shape: tuple[int, int], transform: Matrix, supersample: int = 4, rows: int | None = None
) -> Iterator[NDArray[np.uint8]]:
    """`coverage` in strips of rows, from top to bottom.

    Parameters
    ----------
    polygons, shape, transform, supersample
        As for `coverage`.
    rows : int or None
        Of each strip but the last; None: as many as fit in `STRIP_BYTES`.

    Yields
    ------
    (rows, W) uint8 array
    """
    import shapely

    if supersample < 1:
        raise LabelError(f"coverage needs at least one sample a pixel: supersample is {supersample}")
    height, width = shape
    in_grid = transformed(polygonal(polygons), invert(transform))
    bounds = shapely.bounds(in_grid).reshape(-1, 4)
    most = max(1, STRIP_BYTES // max(1, width * supersample**2))
    for start in range(0, height, rows or most):
        stop = min(start + (rows or most), height)
        strip = np.zeros((stop - start, width), np.uint8)
        for top in range(start, stop, most):
            bottom = min(top + most, stop)
            touching = in_grid[(bounds[:, 3] >= top) & (bounds[:, 1] <= bottom)]
            if touching.size:
                strip[top - start : bottom - start] = _sampled(touching, top, bottom, width, supersample)
        yield strip


def _sampled(polygons: Any, top: int, bottom: int, width: int, supersample: int) -> NDArray[np.uint8]:
    """Coverage of rows top..bottom by polygons in grid coordinates."""
    from rasterio import Affine
    from rasterio.features import rasterize

    rows = bottom - top
    samples = rasterize(
        list(polygons),
        out_shape=(rows * supersample, width * supersample),
        transform=Affine(1 / supersample, 0.0, 0.0, 0.0, 1 / supersample, float(top)),
        dtype="uint8",
    )
    total = supersample**2
    # Two sums of one axis each are far faster than one over both.
    counts = samples.reshape(rows, supersample, -1).sum(axis=1, dtype=np.uint32)
    counts = counts.reshape(rows, width, supersample).sum(axis=2, dtype=np.uint32)
    return np.asarray((counts * np.uint32(255) + np.uint32(total // 2)) // np.uint32(total)).astype(np.uint8)
