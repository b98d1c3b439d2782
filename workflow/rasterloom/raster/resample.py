"""Resampling from a raw sensor to an output grid: once, through one matrix, without a shift.

A matrix maps output edge coordinates to sensor edge coordinates. When it is a scale and a translation, each axis
is a banded sparse matrix: an axis that shrinks integrates the sensor over the footprint of each output pixel, an
axis that enlarges interpolates linearly between pixel centres. Any other affine matrix is supersampled.

The reconstruction that is integrated is linear within each sensor pixel, its mean is the pixel's value and its
slope comes from the neighbours (second-order conservative remapping). So the mean over whole pixels is exactly
their average, sums are kept, and a ramp comes out exact at every scale; plain box weights miss a ramp by up to an
eighth of a pixel where footprints cut pixels.

What that means for a single bright pixel: where an axis shrinks, its sum is kept and it comes out in the output pixel
that holds it; where an axis enlarges, it comes out as the tent of linear interpolation around its own place. Its sum
is then right on average over all places; that of one pixel wavers, by up to an eighth where the output's pixels are
three quarters of the sensor's and by less than 1 % below a quarter, since the tent is sampled at their centres.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.raster.grid import Matrix
from rasterloom.store.digest import BLOCK_ROWS

STRIP_ROWS = BLOCK_ROWS
"""Output rows computed at a time: the blocks of a digest."""

CHUNK_ROWS = 512
"""Sensor rows read at a time, whatever the scale."""

POINTS = 2**20
"""Points at which an affine matrix interpolates at a time."""

TRANSPOSED = 32
"""Columns transposed at a time: so many rows of both sides stay in a processor's cache."""

MARGIN = 0.5
"""Sensor pixels beyond the sensor's edge that still take the value of the edge."""

Floats = NDArray[np.float32]

Bytes = NDArray[np.uint8]

Mask = NDArray[np.bool_]

Shape = tuple[int, ...]

Strips = Iterator[tuple[int, Floats, Bytes]]
"""First row, values (C, rows, W) and validity (rows, W) of one strip after the other, from the top."""

Window = tuple[int, int, int, int]
"""Top, bottom, left, right."""

ReadRows = Callable[[int, int], tuple[NDArray[Any], Mask | None]]
"""read(start, stop) -> rows (C, stop - start, w) of the sensor, and their validity (rows, w) or None if all are."""


@dataclass(frozen=True)
class Axis:
    """Weights of one axis: `data` sums to 1 where the sensor reaches, `area` is not negative and says how much.

    Both are (outputs, inputs) CSR matrices, float32; `inputs(i, j)` gives the inputs that outputs i..j need.
    """

    data: Any
    area: Any

    def inputs(self, start: int, stop: int) -> tuple[int, int]:
        """The range of inputs that outputs start..stop need; empty, (0, 0), if they all lie outside."""
        columns = self.data.indices[self.data.indptr[start] : self.data.indptr[stop]]
        return (int(columns.min()), int(columns.max()) + 1) if columns.size else (0, 0)


def axis_weights(inputs: int, outputs: int, step: float, offset: float) -> Axis:
    """Weights that resample one axis: output edge i lies at input edge coordinate ``step * i + offset``.

    Parameters
    ----------
    inputs, outputs : int
        Pixels, at least 1.
    step : float
        Input pixels an output pixel, not 0; above 1 in size the axis shrinks, a negative one mirrors.
    offset : float

    Returns
    -------
    Axis
        Rows of `data` sum to 1, but to 0 where the footprint lies outside; rows of `area` sum to the fraction of
        the footprint within the input and `MARGIN` around it.
    """
    from scipy.sparse import coo_array

    size = abs(step)
    low = step * np.arange(outputs) + offset + min(step, 0.0)
    rows, columns, area, tilt = _shrinking(inputs, low, size) if size > 1 else _enlarging(inputs, low, size)
    shape = (outputs, inputs)
    area_matrix, tilts = (coo_array((own, (rows, columns)), shape=shape).tocsr() for own in (area, tilt))
    data_matrix = (area_matrix + tilts @ _slopes(inputs)).tocsr()
    total = np.asarray(area_matrix.sum(axis=1)).ravel()
    data_matrix.data /= np.repeat(np.where(total > 0, total, 1.0), np.diff(data_matrix.indptr))
    data_matrix.data[np.abs(data_matrix.data) < 1e-9] = 0.0
    data_matrix.eliminate_zeros()
    area_matrix.eliminate_zeros()
    data_matrix.sort_indices()
    return Axis(data_matrix.astype(np.float32), area_matrix.astype(np.float32))


def _enlarging(inputs: int, low: NDArray[Any], size: float) -> tuple[NDArray[Any], ...]:
    """Linear interpolation at the centres of outputs: rows, columns, weights, and no tilt."""
    centre = _snapped(low + size / 2)
    first = np.floor(centre - 0.5)
    fraction = centre - 0.5 - first
    inside = (centre >= -MARGIN) & (centre <= inputs + MARGIN)
    rows = np.repeat(np.arange(low.size), 2)
    columns = np.stack([first, first + 1], axis=1).ravel().clip(0, inputs - 1).astype(np.int64)
    weights = (np.stack([1 - fraction, fraction], axis=1) * inside[:, None]).ravel()
    return rows, columns, weights, np.zeros_like(weights)


def _shrinking(inputs: int, low: NDArray[Any], size: float) -> tuple[NDArray[Any], ...]:
    """Overlap of footprints with inputs: rows, columns, share of the footprint, first moment of the overlap."""
    low = _snapped(low)
    taps = ceil(size) + 1
    first = np.floor(low).astype(np.int64)
    columns = first[:, None] + np.arange(taps)
    start = np.maximum(low[:, None], columns)
    stop = np.minimum(low[:, None] + size, columns + 1.0)
    start, stop = np.maximum(start, -MARGIN), np.minimum(stop, inputs + MARGIN)
    length = np.maximum(stop - start, 0.0)
    inside = (columns >= 0) & (columns < inputs)
    moment = length * ((start + stop) / 2 - columns - 0.5) * inside
    rows = np.repeat(np.arange(low.size), taps)
    return rows, columns.clip(0, inputs - 1).ravel(), (length / size).ravel(), (moment / size).ravel()


def _snapped(position: NDArray[Any]) -> NDArray[Any]:
    """Positions within a millionth of a half pixel put there, so that rounding gives no stray taps."""
    nearest = np.round(position * 2) / 2
    return np.where(np.abs(position - nearest) < 1e-6, nearest, position)


def _slopes(inputs: int) -> Any:
    """(inputs, inputs) sparse matrix of slopes: central differences, one-sided at both ends."""
    from scipy.sparse import csr_array, diags_array

    if inputs == 1:
        return csr_array((1, 1))
    upper, lower, main = np.full(inputs - 1, 0.5), np.full(inputs - 1, -0.5), np.zeros(inputs)
    upper[0], main[0], lower[-1], main[-1] = 1.0, -1.0, -1.0, 1.0
    return diags_array([lower, main, upper], offsets=[-1, 0, 1]).tocsr()


def is_separable(matrix: Matrix, out_shape: Shape) -> bool:
    """Whether a matrix is a scale and a translation, up to a thousandth of a sensor pixel over the whole grid."""
    return abs(matrix[0][1]) * out_shape[0] < 1e-3 and abs(matrix[1][0]) * out_shape[1] < 1e-3


def resample_rows(read: ReadRows, in_shape: Shape, matrix: Matrix, out_shape: Shape) -> tuple[Floats, Bytes]:
    """`resample_strips` put together: values, (C, H, W) float32, and validity, (H, W) uint8."""
    out = np.empty((in_shape[0], *out_shape), np.float32)
    mask = np.empty(out_shape, np.uint8)
    for row, strip, good in resample_strips(read, in_shape, matrix, out_shape):
        out[:, row : row + strip.shape[1]] = strip
        mask[row : row + strip.shape[1]] = good
    return out, mask


def resample_strips(read: ReadRows, in_shape: Shape, matrix: Matrix, out_shape: Shape) -> Strips:
    """Resample an image through an affine matrix, in strips of `STRIP_ROWS` output rows.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` gives rows of the raw sensor, (C, stop - start, w), and their validity, (stop - start, w)
        bool: False where they are not to be used, whatever their value (NaN included); None: all of them may be used.
    in_shape : (C, h, w)
    matrix : 2 x 3 list of rows
        From output edge coordinates to sensor edge coordinates.
    out_shape : (H, W)

    Yields
    ------
    int, (C, rows, W) float32 array, (rows, W) uint8 array
        First row of the next strip, from top to bottom; values, 0 where not valid; and 255 where at least half of the
        footprint is valid, else 0. Values may exceed the input's range a little next to sharp edges.

    Notes
    -----
    Memory: one strip of output rows, as wide as the wider of sensor and output, and `CHUNK_ROWS` rows of the
    sensor; it grows neither with the height nor with the scale.
    """
    strips = _separable_strips if is_separable(matrix, out_shape) else _affine_strips
    return strips(read, in_shape, matrix, out_shape)


def _separable_strips(read: ReadRows, in_shape: Shape, matrix: Matrix, out_shape: Shape) -> Strips:
    (_, height, width), (rows, columns) = in_shape, out_shape
    vertical = axis_weights(height, rows, matrix[1][1], matrix[1][2])
    across = axis_weights(width, columns, matrix[0][0], matrix[0][2])
    for row in range(0, rows, STRIP_ROWS):
        stop = min(row + STRIP_ROWS, rows)
        values, shares = _down(read, in_shape, vertical, row, stop)
        strip = _across(values, across.data)
        if shares is None:
            fraction = np.outer(_sums(vertical.area)[row:stop], _sums(across.area))
        else:
            total, fraction = _across(shares[:1], across.data)[0], _across(shares[1:], across.area)[0]
            strip /= np.where(total > 1e-3, total, 1.0)
        good = fraction >= 0.5 - 1e-4
        strip[:, ~good] = 0.0
        yield row, strip, good.astype(np.uint8) * np.uint8(255)


def _sums(weights: Any) -> Floats:
    return np.asarray(weights.sum(axis=1), dtype=np.float32).ravel()


def _down(read: ReadRows, in_shape: Shape, axis: Axis, row: int, stop: int) -> tuple[Floats, Floats | None]:
    """Output rows row..stop of every channel at the sensor's columns, (C, rows, w), and weights of valid pixels.

    These are (2, rows, w): by `data` and by `area`; None where every pixel that was read is valid.
    """
    channels, _, width = in_shape
    values = np.zeros((channels, stop - row, width), np.float32)
    shares, masked = np.zeros((2, stop - row, width), np.float32), False
    first, last = axis.inputs(row, stop)
    for start in range(first, last, CHUNK_ROWS):
        end = min(start + CHUNK_ROWS, last)
        block, valid = read(start, end)
        data, reach = axis.data[row:stop, start:end], axis.area[row:stop, start:end]
        mask = None if valid is None or bool(valid.all()) else valid.astype(np.float32)
        for share, weights in zip(shares, (data, reach), strict=True):
            share += _sums(weights)[:, None] if mask is None else weights @ mask
        if mask is not None:
            block, masked = np.where(mask, block, 0), True
        for channel in range(channels):
            values[channel] += data @ block[channel].astype(np.float32, copy=False)
    return values, shares if masked else None


def _across(values: Floats, weights: Any) -> Floats:
    """Resample the last axis of (C, rows, w) with (W, w) weights."""
    out = np.empty((*values.shape[:2], weights.shape[0]), np.float32)
    turned = np.empty((values.shape[2], values.shape[1]), np.float32)
    for channel, plane in enumerate(values):
        _transpose(plane, turned)
        _transpose(weights @ turned, out[channel])
    return out


def _transpose(plane: Floats, out: Floats) -> None:
    """Write the transpose of (h, w) to (w, h), a block of columns at a time: four times as fast as at once."""
    for start in range(0, plane.shape[0], TRANSPOSED):
        out[:, start : start + TRANSPOSED] = plane[start : start + TRANSPOSED].T


def _affine_strips(read: ReadRows, in_shape: Shape, matrix: Matrix, out_shape: Shape) -> Strips:
    """Any affine matrix, in tiles that need about `CHUNK_ROWS` sensor rows: of a small turn, whole strips."""
    rows, columns = out_shape
    across, down = abs(matrix[1][0]), abs(matrix[1][1])
    high, wide = (max(1, floor(CHUNK_ROWS / 2 / max(rate, 1e-9))) for rate in (down, across))
    for row in range(0, rows, STRIP_ROWS):
        stop = min(row + STRIP_ROWS, rows)
        strip = np.zeros((in_shape[0], stop - row, columns), np.float32)
        good = np.zeros((stop - row, columns), np.uint8)
        for top in range(row, stop, high):
            for left in range(0, columns, wide):
                window = (top, min(top + high, stop), left, min(left + wide, columns))
                _affine_tile(read, in_shape, matrix, window, strip[:, top - row :], good[top - row :])
        yield row, strip, good


def _affine_tile(read: ReadRows, in_shape: Shape, matrix: Matrix, window: Window, strip: Floats, good: Bytes) -> None:
    """One tile (top, bottom, left, right) of output pixels, written to rows from 0 of a strip and its validity."""
    _, height, width = in_shape
    top, bottom, left, right = window
    (first, last), (start, end) = _reach(matrix, window, (height, width))
    if first >= last or start >= end:
        return
    rows, mask = read(first, last)
    samples = _samples(matrix)
    step = max(1, POINTS // ((bottom - top) * samples[0] * samples[1]))
    for column in range(left, right, step):
        part = (top, bottom, column, min(column + step, right))
        where = (slice(0, bottom - top), slice(column, part[3]))
        strip[:, *where], good[where] = _sampled(rows, mask, (first, height), matrix, part, samples)


def _reach(matrix: Matrix, window: Window, shape: Shape) -> tuple[Shape, Shape]:
    """Rows and columns, first and last, of a sensor of a shape that output pixels (top, bottom, left, right) need."""
    top, bottom, left, right = window
    corners = np.array([(x, y, 1.0) for x in (left, right) for y in (top, bottom)]) @ np.array(matrix).T
    low, high = np.floor(corners.min(axis=0)) - 1, np.ceil(corners.max(axis=0)) + 1
    rows, columns = ((max(0, int(low[axis])), min(shape[1 - axis], int(high[axis]))) for axis in (1, 0))
    return rows, columns


def _samples(matrix: Matrix) -> Shape:
    """Points an output pixel, down and across: one where that axis enlarges, else two to three a sensor pixel.

    So many that the sum of a single bright pixel wavers least, by 2 % an axis at most.
    """
    down, across = (float(np.hypot(matrix[0][axis], matrix[1][axis])) for axis in (1, 0))
    return _points(down), _points(across)


def _points(size: float) -> int:
    if size <= 1 + 1e-3:
        return 1
    return min(range(ceil(2 * size), ceil(3 * size) + 1), key=lambda points: wavering(size / points))


def wavering(step: float) -> float:
    """How far the sum of a single bright pixel, interpolated linearly in steps of at most 1, is off at most.

    Interpolation turns it into a tent; the sum of samples of a tent is its spectrum at multiples of their rate.
    """
    return float(2 * (np.sinc(np.arange(1, 100) / step) ** 2).sum())


def _sampled(
    rows: NDArray[Any], mask: Mask | None, extent: Shape, matrix: Matrix, window: Window, samples: Shape
) -> tuple[Floats, Bytes]:
    """Values and validity of output pixels, by linear interpolation at points within each.

    Parameters
    ----------
    rows, mask
        (C, n, w) rows of the sensor and their validity, or None.
    extent : (first, height)
        Which row of the sensor comes first, and how many it has.
    matrix, window, samples
        The matrix, the pixels (top, bottom, left, right), and points a pixel, down and across.
    """
    from scipy.ndimage import affine_transform

    (a, b, c), (d, e, f) = matrix
    (first, height), (down, across) = extent, samples
    _, (left, right) = _reach(matrix, window, (height, rows.shape[2]))
    shape = (window[1] - window[0], window[3] - window[2])
    if left >= right:
        return np.zeros((len(rows), *shape), np.float32), np.zeros(shape, np.uint8)
    fine = (shape[0] * down, shape[1] * across)
    y = window[0] + (np.arange(fine[0]) + 0.5)[:, None] / down
    x = window[2] + (np.arange(fine[1]) + 0.5)[None, :] / across
    inside = _within(a * x + b * y + c, rows.shape[2]) & _within(d * x + e * y + f, height)
    place = d * x[0, 0] + e * y[0, 0] + f - first - 0.5, a * x[0, 0] + b * y[0, 0] + c - left - 0.5
    turn = [[e / down, d / across], [b / down, a / across]]

    everywhere = bool(inside.all())

    def mean(plane: NDArray[Any]) -> Floats:
        values: Floats = affine_transform(
            plane.astype(np.float32, copy=False), turn, place, fine, np.float32, order=1, mode="nearest"
        )
        return _block_mean(values if everywhere else values * inside, samples)

    block = rows[:, :, left:right]
    mask = None if mask is None or bool(mask[:, left:right].all()) else mask[:, left:right]
    if mask is None and everywhere:
        return np.stack([mean(plane) for plane in block]), np.full(shape, 255, np.uint8)
    usable = np.ones(block.shape[1:], np.bool_) if mask is None else mask
    fraction = mean(usable)
    good = fraction >= 0.5 - 1e-4
    share = np.where(good, fraction, np.float32(1))
    values = np.stack([np.where(good, mean(np.where(usable, plane, 0)) / share, np.float32(0)) for plane in block])
    return values, good.astype(np.uint8) * np.uint8(255)


def _block_mean(values: Floats, size: Shape) -> Floats:
    """Means of blocks of so many rows and columns."""
    for axis, count in enumerate(size):
        if count > 1:
            parts = np.moveaxis(values, axis, 0)
            total = parts[::count].copy()
            for part in range(1, count):
                total += parts[part::count]
            values = np.moveaxis(total, 0, axis) / np.float32(count)
    return values


def _within(position: NDArray[Any], length: int) -> Mask:
    """Whether positions lie on an axis of so many pixels or within `MARGIN` of it."""
    return np.asarray((position >= -MARGIN) & (position <= length + MARGIN))
