"""Sub-pixel outlines of a probability: from a raster to polygons that every validator accepts.

Pixel edges lie on integers, so the sample of pixel (row, column) lies at (column + 0.5, row + 0.5). Contours run
between samples by linear interpolation; beyond the outermost samples the image goes on as it is, up to the edge of
the scene, where outlines close. Levels lie between integers (n + 0.5), so a contour never meets a sample and raw
outlines never touch themselves. Where they cross a line between samples, they keep a margin from these; so no
part of an outline comes nearer to another one than what rounding needs.

Large images are traced in blocks of rows that share a row of samples; pieces are joined along it, and the result
does not depend on the blocks.

A vertex lies within `MARGIN` of where the contour is, before it is rounded and simplified; no object and no hole is
lost but those that are too small. Memory: about 300 MB for a block, whatever the size of the array, and some 200 bytes
per vertex of the result. Time: linear in the vertices of the contours. Noise, of which a megapixel has 600,000 to
900,000, takes 4 to 8 s a megapixel; nearly nothing where the probability is low.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import ceil, floor, log2, log10, sqrt

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import InputError
from rasterloom.polygons.dividing import cuts, divided
from rasterloom.polygons.fitting import fitted
from rasterloom.polygons.geometry import Polygons, from_rings, open_rings, strictly_valid, transformed
from rasterloom.polygons.thin import HALO, raised
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

BLOCK_SAMPLES = 4_000_000
"""Samples traced at a time: about 300 MB."""


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
    thin: bool = False,
    block_rows: int | None = None,
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
    thin : bool
        Whether objects that are thin in places are kept together there.
    block_rows : int or None
        Rows traced at a time (None: by memory); changes no result.

    Returns
    -------
    (N,) object array of shapely Polygons
        From the top; vertices on multiples of `GRID`; `strictly_valid` together, with a clearance of `CLEARANCE`.

    Raises
    ------
    InputError
        If the array is not a non-empty (H, W) uint8 array or the level is not half an odd number within 0..255.
    """
    import shapely

    _check(probability, level)
    unit = unit_of(matrix)
    traced = partial(_blocks, probability, matrix=matrix, block_rows=block_rows)
    fit = partial(fitted, grid=GRID * unit, clearance=CLEARANCE * unit, rectangular=shape == "rectangular")
    rings = open_rings(shapely.normalize(_sized(traced, level, matrix, min_area, max_area, min_hole, min_peak, thin)))
    polygons = fit(*rings, probability, level, simplify, matrix)
    if divide > 0:
        found = cuts(probability, level, divide, matrix)
        polygons = divided(polygons, found, GAP * unit, GRID * unit, CLEARANCE * unit)
    return ordered(polygons[shapely.area(polygons) >= min_area])


def _sized(
    traced: Callable[..., Iterator[tuple[Polygons, NDArray[np.bool_]]]],
    level: float,
    matrix: Matrix,
    min_area: float,
    max_area: float,
    min_hole: float,
    min_peak: float,
    thin: bool,
) -> Polygons:
    """The contours of all blocks, joined, without objects and holes of the wrong size, in the array's coordinates."""
    import shapely

    determinant = abs(matrix[0][0] * matrix[1][1] - matrix[0][1] * matrix[1][0])
    pieces = _joined(traced(level, thin=thin), min_hole / determinant)
    large = [part[shapely.area(part) * determinant >= min_area] for part in pieces]
    polygons = np.concatenate([np.empty(0, object), *large])
    if max_area > 0:
        polygons = polygons[shapely.area(polygons) * determinant <= max_area]
    peak = max(fixed_threshold(min_peak), level)
    if peak > level or thin:
        polygons = _peaked(polygons, _joined(traced(peak), 0.0))
    if min_hole > 0:
        polygons = _without_absorbed(polygons, min_hole / determinant)
    return polygons


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


def _blocks(
    probability: NDArray[np.uint8], level: float, matrix: Matrix, block_rows: int | None, thin: bool = False
) -> Iterator[tuple[Polygons, NDArray[np.bool_]]]:
    """Pieces of each block of rows, and which of them reach the row of samples that it shares with a neighbour."""
    import shapely

    margins = MARGIN * unit_of(matrix) / np.hypot(*np.array(matrix)[:, :2])
    height, width = probability.shape
    rows = block_rows or max(64, BLOCK_SAMPLES // (width + 2))
    y = np.concatenate([[0.0], np.arange(height) + 0.5, [float(height)]])
    for start in range(0, height + 1, rows):
        stop = min(start + rows, height + 1)
        lines = np.clip(np.arange(start, stop + 1) - 1, 0, height - 1)
        window = slice(max(0, lines[0] - HALO), lines[-1] + HALO + 1)
        values = raised(probability[window], level) if thin else probability[window]
        pieces = _traced(values[lines - window.start], level, y[start : stop + 1], margins)
        bounds = shapely.bounds(pieces)
        yield pieces, ((bounds[:, 1] == y[start]) & (start > 0)) | ((bounds[:, 3] == y[stop]) & (stop <= height))


def _traced(lines: NDArray[np.uint8], level: float, y: NDArray[np.float64], margins: NDArray[np.float64]) -> Polygons:
    """Pieces within rows of samples at heights `y`, closed along the first and the last row.

    Where a contour crosses a line between samples, it keeps the (2,) margins from them. So it comes no nearer to
    itself than the smaller one.
    """
    import shapely
    from contourpy import FillType, contour_generator

    width = lines.shape[1]
    used = np.flatnonzero(lines.max(axis=0) > level)
    if not used.size:
        return np.empty(0, object)
    columns = np.arange(used[0], min(used[-1] + 2, width + 1) + 1)
    x = np.concatenate([[0.0], np.arange(width) + 0.5, [float(width)]])[columns]
    z = lines[:, np.clip(columns - 1, 0, width - 1)].astype(np.float64)
    generator = contour_generator(x, y, z, name="serial", fill_type=FillType.ChunkCombinedOffsetOffset)
    points, rings, parts = (part[0] for part in generator.filled(level, np.inf))
    if points is None or rings is None or parts is None:
        return np.empty(0, object)
    points = np.round(points * 2.0**20) / 2.0**20  # so that both sides of a seam have the very same vertices
    sample = np.floor(points - 0.5) + 0.5
    crossing = np.clip(points, sample + margins, sample + 1 - margins)
    points = np.where(points == sample, points, crossing)
    offsets = (rings.astype(np.int64), parts.astype(np.int64))
    return np.asarray(shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, offsets))


def _joined(blocks: Iterable[tuple[Polygons, NDArray[np.bool_]]], min_hole: float) -> Iterator[Polygons]:
    """Whole polygons: those within a block at once, those of several blocks at the end."""

    waiting = [np.empty(0, object)]
    for pieces, at_seam in blocks:
        yield filled(pieces[~at_seam], min_hole)
        waiting.append(pieces[at_seam])
    yield filled(_stitched(np.concatenate(waiting)), min_hole)


def _stitched(pieces: Polygons) -> Polygons:
    """Polygons of pieces whose edges along seams cover each other, each once in either direction."""
    import shapely
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not pieces.size:
        return pieces
    points, offsets, parts = open_rings(pieces)
    after = np.arange(1, len(points) + 1)
    after[offsets[1:] - 1] = offsets[:-1]
    piece = np.repeat(np.arange(pieces.size), np.diff(offsets[parts]))
    # Contours cross a row of samples; only seams run along it.
    leaving = np.flatnonzero((points[:, 1] == points[after, 1]) & (points[:, 1] % 1 == 0.5))
    left = np.minimum(points[leaving, 0], points[after[leaving], 0])
    one, other = leaving[np.lexsort((left, points[leaving, 1]))].reshape(-1, 2).T
    pairs = coo_array((np.ones(one.size), (piece[one], piece[other])), shape=(pieces.size, pieces.size))
    whole = connected_components(pairs, directed=False)[1]
    # Where an outline arrives at a seam, it goes on as that of the other piece.
    alive = np.ones(len(points), np.bool_)
    alive[after[leaving]] = False
    after[one], after[other] = after[after[other]], after[after[one]]
    order, offsets = _loops((np.cumsum(alive) - 1)[after[alive]])
    order = np.flatnonzero(alive)[order]
    rings = from_rings(points[order], offsets, np.arange(offsets.size))
    owner = whole[piece[order[offsets[:-1]]]]
    by_size = np.lexsort((-shapely.area(rings), owner))
    joined, where, _ = open_rings(rings[by_size])
    return from_rings(joined, where, np.searchsorted(owner[by_size], np.arange(owner.max() + 2)))


def _loops(after: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order of vertices by what follows each of them, one loop after the other, and where each loop starts."""
    heads = np.flatnonzero(np.append(True, after[:-1] != np.arange(1, after.size)))
    ends = np.append(heads[1:], after.size)
    successor = np.searchsorted(heads, after[ends - 1]).tolist()
    runs: list[int] = []
    firsts: list[int] = []
    seen = [False] * len(successor)
    for run in range(len(successor)):
        if not seen[run]:
            firsts.append(len(runs))
        while not seen[run]:
            seen[run] = True
            runs.append(run)
            run = successor[run]
    sizes = (ends - heads)[runs]
    places = np.concatenate([[0], np.cumsum(sizes)])
    order = np.arange(after.size) + np.repeat(heads[runs] - places[:-1], sizes)
    return order, np.append(places[firsts], after.size)


def filled(polygons: Polygons, min_hole: float) -> Polygons:
    """Polygons, (N,) object array, without their holes smaller than `min_hole`."""
    import shapely

    if min_hole <= 0 or not polygons.size:
        return polygons
    _, points, (rings, parts) = shapely.to_ragged_array(polygons)
    cross = points[:-1, 0] * points[1:, 1] - points[1:, 0] * points[:-1, 1]
    sums = np.concatenate([[0.0], np.cumsum(cross)])
    area = np.abs(sums[rings[1:] - 1] - sums[rings[:-1]]) / 2
    keep = area >= min_hole
    keep[parts[:-1]] = True
    if keep.all():
        return polygons
    lengths = np.diff(rings)
    kept_rings = np.concatenate([[0], np.cumsum(lengths[keep])])
    kept_parts = np.concatenate([[0], np.cumsum(keep)])[parts]
    kept = points[np.repeat(keep, lengths)]
    return np.asarray(shapely.from_ragged_array(shapely.GeometryType.POLYGON, kept, (kept_rings, kept_parts)))


def _peaked(polygons: Polygons, peaks: Iterable[Polygons]) -> Polygons:
    """The polygons in which one of the outlines at a higher level lies."""
    import shapely

    points = [shapely.get_point(shapely.get_exterior_ring(found), 0) for found in peaks]
    tree = shapely.STRtree(np.concatenate([np.empty(0, object), *points]))
    kept = np.unique(tree.query(polygons, predicate="intersects")[0])
    return np.asarray(polygons[kept], dtype=object)


def _without_absorbed(polygons: Polygons, min_hole: float) -> Polygons:
    """Polygons less those that lie within another one, whose hole around them has been filled."""
    import shapely

    small = np.flatnonzero(shapely.area(polygons) < min_hole)
    corners = shapely.get_point(shapely.get_exterior_ring(polygons[small]), 0)
    _, inner = shapely.STRtree(corners).query(polygons, predicate="contains")
    return np.delete(polygons, small[inner])


def ordered(polygons: Polygons) -> Polygons:
    """Polygons, (N,) object array, in a canonical form and order.

    The start and the direction of rings are fixed; polygons come by their top, their left, and the rest.
    """
    import shapely

    if not polygons.size:
        return polygons
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
    import shapely

    mapped = shapely.transform(transformed(polygons, matrix), lambda points: np.round(points, decimals))
    if not strictly_valid(mapped):
        raise InputError(
            f"{decimals} decimals are too few for map coordinates with a pixel of {abs(matrix[0][0])}: polygons "
            f"would touch; give at least {decimals_for(matrix)}"
        )
    return np.asarray(mapped, dtype=object)
