"""Rasters for generated scenes: exact pixel coverage, fractal noise, and the operators that turn ground
into sensor pixels."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import ndtr
from shapely.geometry import Polygon

from rasterloom.tools.scenes.model import F32, F64, U8

_SHIFT = 6

Window = tuple[slice, slice]


def coverage(outline: Polygon, shape: tuple[int, int], origin: float) -> tuple[Window, F32] | None:
    """Share of each pixel that a polygon covers.

    Parameters
    ----------
    outline : polygon in pixel coordinates (x right, y down, pixel edges on integers).
    shape : (H, W) of the canvas.
    origin : coordinate of the canvas's left and upper edges is ``-origin``.

    Returns
    -------
    Window of the canvas that the polygon touches and its (h, w) float32 coverage in 0..1, or None outside.

    Notes
    -----
    16 x 16 supersampling for small polygons, 4 x 4 for the largest. OpenCV fills a polygon with its outline, so that
    shapes would grow by half a sample: samples on the outline count half.
    """
    x0, y0, x1, y1 = (np.array(outline.bounds) + origin).tolist()
    c0, r0 = max(int(np.floor(x0)), 0), max(int(np.floor(y0)), 0)
    c1, r1 = min(int(np.ceil(x1)) + 1, shape[1]), min(int(np.ceil(y1)) + 1, shape[0])
    if c1 <= c0 or r1 <= r0:
        return None
    side = max(r1 - r0, c1 - c0)
    samples = 16 if side <= 64 else 8 if side <= 256 else 4
    offset = np.array([origin - c0, origin - r0])
    rings: list[NDArray[np.int32]] = []
    for ring in (outline.exterior, *outline.interiors):
        points = ((np.asarray(ring.coords)[:-1] + offset) * samples - 0.5) * (1 << _SHIFT)
        rings.append(np.round(points).astype(np.int32))
    fine: U8 = np.zeros(((r1 - r0) * samples, (c1 - c0) * samples), np.uint8)
    cv2.fillPoly(fine, rings, 255, cv2.LINE_8, _SHIFT)
    cv2.polylines(fine, rings, True, 128, 1, cv2.LINE_8, _SHIFT)
    small = cv2.resize(fine, (c1 - c0, r1 - r0), interpolation=cv2.INTER_AREA)
    return (slice(r0, r1), slice(c0, c1)), small.astype(np.float32) / np.float32(255)


def paint(items: Iterable[tuple[Polygon, float]], shape: tuple[int, int], origin: float) -> tuple[F32, F32]:
    """Coverage and brightness of many polygons, the later ones on top.

    Returns
    -------
    Two (H, W) float32 arrays: coverage in 0..1 (the largest of any polygon), and brightness, 1 where
    nothing is painted.
    """
    cover, bright = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    for outline, tone in items:
        found = coverage(outline, shape, origin)
        if found is not None:
            where, share = found
            np.maximum(cover[where], share, out=cover[where])
            np.copyto(bright[where], np.float32(tone), where=share > 0.5)
            fringe = (share > 0) & (share <= 0.5) & (bright[where] == 1)
            np.copyto(bright[where], np.float32(tone), where=fringe)
    return cover, bright


def fractal(rng: np.random.Generator, shape: tuple[int, int], scales: Iterable[int], fall: float = 1.0) -> F32:
    """Sum of smooth random fields of several grain sizes (pixels), mean 0, deviation 1.

    `fall` is how much weaker each next size is than the one before.
    """
    total, weight, power = np.zeros(shape, np.float32), 1.0, 0.0
    for scale in scales:
        rows, cols = shape[0] // scale + 3, shape[1] // scale + 3
        grid = rng.standard_normal((rows, cols), dtype=np.float32)
        if scale > 1:
            grid = np.asarray(cv2.resize(grid, (cols * scale, rows * scale), interpolation=cv2.INTER_CUBIC), np.float32)
        piece = grid[: shape[0], : shape[1]]
        total += np.float32(weight) * piece
        power += weight**2 * (1.0 if scale == 1 else 0.66)
        weight *= fall
    return total / np.float32(np.sqrt(power))


def _blurred_step(t: F64, sigma: float) -> F64:
    """Antiderivative of the normal distribution function with deviation `sigma`."""
    z = t / sigma
    return np.asarray(t * ndtr(z) + sigma * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi), dtype=np.float64)


def sampling(count: int, extent: int, shift: float, sigma: float, length: int, origin: float) -> csr_matrix:
    """Operator of one axis from canvas pixels to sensor pixels: shift, point spread and averaging over the
    pixel, exactly.

    Parameters
    ----------
    count : pixels of the sensor along the axis.
    extent : pixels of RGB along the axis; both images show the same ground but for the shift.
    shift : a point at RGB coordinate x lies at sensor coordinate ``(x + shift) * count / extent``.
    sigma : deviation of the Gaussian point spread in RGB pixels.
    length, origin : pixels of the canvas along the axis; its first edge is at RGB coordinate ``-origin``.

    Returns
    -------
    (count, length) sparse float32 matrix, rows sum to 1.
    """
    step = extent / count
    start = np.arange(count) * step - shift + origin
    width = int(np.ceil(step + 8 * sigma)) + 2
    first = np.floor(start - 4 * sigma).astype(np.int64)
    column = first[:, None] + np.arange(width)
    left = column - start[:, None]

    def mass(t: F64) -> F64:
        return _blurred_step(t, sigma) - _blurred_step(t - step, sigma)

    value = mass(left + 1.0) - mass(left.astype(np.float64))
    column = np.clip(column, 0, length - 1)
    value /= value.sum(axis=1, keepdims=True)
    row = np.repeat(np.arange(count), width)
    return csr_matrix((value.astype(np.float32).ravel(), (row, column.ravel())), shape=(count, length))
