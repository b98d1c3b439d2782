"""Sub-pixel outlines of a probability: from a raster to polygons that every validator accepts.

Pixel edges lie on integers, so the sample of pixel (row, column) lies at (column + 0.5, row + 0.5). Contours run
between samples by linear interpolation; beyond the outermost samples the image goes on as it is, up to the edge of
the scene, where outlines close. Levels lie between integers (n + 0.5), so a contour never meets a sample and raw
outlines never touch themselves.

Large images are traced in blocks of rows that share a row of samples; pieces are joined along it, and the result
does not depend on the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import ceil, log10, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import InputError
from rasterloom.polygons.geometry import strictly_valid, transformed
from rasterloom.raster.grid import IDENTITY, Matrix

Polygons = NDArray[np.object_]
"""(N,) array of shapely Polygons."""

GRID = 1 / 64
"""Vertices lie on multiples of this many reference pixels: no two are closer."""

CLEARANCE = 0.008
"""Reference pixels by which a vertex may move at least before an outline could become invalid."""

ROUNDING = 0.003
"""Reference pixels by which rounding to the output's decimals may move a vertex."""

OPENING = 0.03
"""Reference pixels by which an outline that touches itself is opened at first; doubled until it is clear."""

ATTEMPTS = 6

PORTION = 4096
"""Polygons simplified at a time."""

CROWD = 16
"""Neighbours from which it pays to prepare a geometry."""

BLOCK_SAMPLES = 4_000_000
"""Samples traced at a time: about 300 MB."""


def outlines(
    probability: NDArray[np.uint8],
    level: float,
    matrix: Matrix = IDENTITY,
    *,
    min_area: float = 0.0,
    min_hole: float = 0.0,
    simplify: float = 0.25,
    block_rows: int | None = None,
) -> Polygons:
    """Outlines of the regions where a probability exceeds a level.

    Parameters
    ----------
    probability : (H, W) uint8 array
    level : float, between two integers of 0..255, such as 127.5
    matrix : 2 x 3 list of rows
        From the edge coordinates of the array's grid to those of the reference image.
    min_area, min_hole : float
        In square reference pixels: smaller objects are removed, smaller holes filled with what is in them.
    simplify : float
        Tolerance in reference pixels; 0 keeps every vertex.
    block_rows : int or None
        Rows traced at a time (None: by memory); changes no result.

    Returns
    -------
    (N,) object array of shapely Polygons
        In reference pixels, vertices on multiples of `GRID`, holes kept, from the top; together they pass
        `strictly_valid` and have a clearance of `CLEARANCE`.

    Raises
    ------
    InputError
        If the array is not a non-empty (H, W) uint8 array or the level is not half an odd number within 0..255.

    Notes
    -----
    Memory: about 300 MB for a block, whatever the size of the array, and some 200 bytes per vertex of the result.
    Cost: half a minute per hundred million pixels of dense noise; nearly none where the probability is low.

    Examples
    --------
    >>> image = np.zeros((4, 4), np.uint8)
    >>> image[1:3, :2] = 255
    >>> [polygon.bounds for polygon in outlines(image, 127.5)]
    [(0.0, 1.0, 2.0, 3.0)]
    """
    import shapely

    _check(probability, level)
    determinant = abs(matrix[0][0] * matrix[1][1] - matrix[0][1] * matrix[1][0])
    pieces = _joined(_blocks(probability, level, block_rows), min_hole / determinant)
    large = [part[shapely.area(part) * determinant >= min_area] for part in pieces]
    polygons = np.concatenate([np.empty(0, object), *large])
    if min_hole > 0:
        polygons = _without_absorbed(polygons, min_hole / determinant)
    polygons = shapely.normalize(transformed(polygons, matrix))
    polygons = settled(simplified(polygons, simplify) if simplify > 0 else polygons)
    return np.asarray(polygons[shapely.area(polygons) >= min_area], dtype=object)


def _check(probability: NDArray[np.uint8], level: float) -> None:
    if probability.ndim != 2 or probability.dtype != np.uint8 or probability.size == 0:
        raise InputError(
            f"outlines need a non-empty (H, W) uint8 array of probabilities; given {probability.shape} "
            f"{probability.dtype}"
        )
    if not (0 < level < 255 and level % 1 == 0.5):
        raise InputError(f"a contour level lies between two integers of 0..255, such as 127.5; given {level}")


def _blocks(
    probability: NDArray[np.uint8], level: float, block_rows: int | None
) -> Iterator[tuple[float, float, Polygons]]:
    """Top, bottom and pieces of each block of rows, from the top; neighbours share a row of samples."""
    height, width = probability.shape
    rows = block_rows or max(64, BLOCK_SAMPLES // (width + 2))
    y = np.concatenate([[0.0], np.arange(height) + 0.5, [float(height)]])
    for start in range(0, height + 1, rows):
        stop = min(start + rows, height + 1)
        lines = np.clip(np.arange(start, stop + 1) - 1, 0, height - 1)
        yield float(y[start]), float(y[stop]), _traced(probability[lines], level, y[start : stop + 1])


def _traced(lines: NDArray[np.uint8], level: float, y: NDArray[np.float64]) -> Polygons:
    """Pieces within rows of samples at heights `y`, closed along the first and the last row."""
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
    offsets = (rings.astype(np.int64), parts.astype(np.int64))
    return np.asarray(shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, offsets))


def _joined(blocks: Iterable[tuple[float, float, Polygons]], min_hole: float) -> Iterator[Polygons]:
    """Whole polygons, as soon as no later block can touch them."""
    import shapely

    waiting = np.empty(0, object)
    for top, bottom, traced in blocks:
        pieces = filled(traced, min_hole)
        if waiting.size:
            touching = shapely.bounds(pieces)[:, 1] == top
            union = shapely.coverage_union_all(np.concatenate([waiting, pieces[touching]]))
            pieces = np.concatenate([filled(shapely.get_parts(union), min_hole), pieces[~touching]])
        at_seam = shapely.bounds(pieces)[:, 3] == bottom
        waiting = pieces[at_seam]
        yield pieces[~at_seam]
    yield waiting


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


def _without_absorbed(polygons: Polygons, min_hole: float) -> Polygons:
    """Polygons less those that lie within another one, whose hole around them has been filled."""
    import shapely

    small = np.flatnonzero(shapely.area(polygons) < min_hole)
    if not small.size or polygons.size < 2:
        return polygons
    _, inner = near(polygons, 0.0, shapely.contains)
    return np.delete(polygons, np.intersect1d(inner, small))


def simplified(polygons: Polygons, tolerance: float) -> Polygons:
    """Polygons with fewer vertices, moved by at most a tolerance; rings that would then cross keep all of theirs.

    Parameters
    ----------
    polygons : (N,) array of valid shapely Polygons that do not overlap
    tolerance : float
        In the polygons' units.

    Notes
    -----
    Ring by ring: GEOS's simplification of a polygon with all its holes takes time with the square of their number
    (measured: five minutes for one with 20,000 holes, against seconds here).
    """
    import shapely

    counts = shapely.get_num_interior_rings(polygons) + 1
    parts = np.concatenate([[0], np.cumsum(counts)])
    # Portion by portion, so that whole copies of all rings are never held.
    portions = [polygons[start : start + PORTION] for start in range(0, polygons.size, PORTION)]
    rings = np.concatenate([np.empty(0, object), *(_simplified_rings(portion, tolerance) for portion in portions)])
    for _ in range(ATTEMPTS):
        undone = np.unique(np.concatenate(near(rings, 0.0, shapely.intersects)))
        if not undone.size:
            break
        for index in undone:
            owner = int(np.searchsorted(parts, index, side="right")) - 1
            place = int(index - parts[owner]) - 1
            whole = polygons[owner]
            rings[index] = whole.exterior if place < 0 else shapely.get_interior_ring(whole, place)
    lengths = np.concatenate([[0], np.cumsum(shapely.get_num_coordinates(rings))])
    points = shapely.get_coordinates(rings)
    return np.asarray(shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, (lengths, parts)))


def _simplified_rings(polygons: Polygons, tolerance: float) -> NDArray[np.object_]:
    """The rings of polygons, shell first, each simplified for itself."""
    import shapely

    rings = shapely.polygons(shapely.get_rings(polygons))
    return np.asarray(shapely.get_exterior_ring(shapely.simplify(rings, tolerance)), dtype=object)


def near(
    geometries: NDArray[np.object_], distance: float, test: Callable[[Any, Any], Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of geometries that pass a test, among those whose boxes come within a distance.

    Parameters
    ----------
    geometries : (N,) array of shapely geometries
    distance : float
    test : callable
        A vectorised predicate, such as ``shapely.intersects``, of the geometry with more vertices and the other.

    Returns
    -------
    (K,) int64 array, (K,) int64 array
        Indices; each pair once, the geometry with more vertices first.

    Notes
    -----
    Only geometries with many neighbours are prepared, and only meanwhile: a prepared one takes over 100 bytes a
    vertex.
    """
    import shapely

    left, top, right, bottom = shapely.bounds(geometries).T
    boxes = shapely.box(left - distance, top - distance, right + distance, bottom + distance)
    first, second = shapely.STRtree(geometries).query(boxes)
    size = shapely.get_num_coordinates(geometries)
    once = (size[first] > size[second]) | ((size[first] == size[second]) & (first < second))
    first, second = first[once], second[once]
    crowded = geometries[np.bincount(first, minlength=geometries.size) >= CROWD]
    shapely.prepare(crowded)
    passed = np.asarray(test(geometries[first], geometries[second]), dtype=np.bool_)
    shapely.destroy_prepared(crowded)
    return first[passed], second[passed]


def settled(polygons: Polygons, grid: float = GRID) -> Polygons:
    """Polygons on a grid of coordinates that stay valid, whatever way they are rounded afterwards.

    Those that touch or overlap each other are united; those whose rings touch, or almost do, are opened there: a
    neck narrower than a few hundredths of a pixel is cut, a gap as narrow widened.

    Parameters
    ----------
    polygons : (N,) array of shapely Polygons, in reference pixels; valid or not
    grid : float
        Spacing of the coordinates.

    Returns
    -------
    (M,) object array of shapely Polygons, in a fixed order

    Notes
    -----
    What cannot be cleared within `ATTEMPTS` openings, the last of about a pixel, is dropped.
    """
    import shapely

    polygons = _parts(shapely.make_valid(polygons[~shapely.is_valid(polygons)]), polygons[shapely.is_valid(polygons)])
    polygons = _snapped(polygons, grid)
    opening = OPENING
    for _ in range(ATTEMPTS):
        bad = _offenders(polygons)
        if not bad.any():
            break
        opened = shapely.buffer(shapely.union_all(polygons[bad]), -opening, join_style="mitre", mitre_limit=2)
        opened = shapely.buffer(opened, opening / 2, join_style="mitre", mitre_limit=2)
        polygons = _snapped(_parts(opened, polygons[~bad]), grid)
        opening *= 2
    else:
        polygons = polygons[~_offenders(polygons)]
    return ordered(polygons)


def _parts(geometries: Any, others: Polygons) -> Polygons:
    """The polygons that geometries consist of (lines and points dropped), and others."""
    import shapely

    parts = shapely.get_parts(shapely.get_parts(np.atleast_1d(np.asarray(geometries, dtype=object))))
    polygonal = parts[(shapely.get_type_id(parts) == 3) & ~shapely.is_empty(parts)]
    return np.concatenate([polygonal, others])


def _snapped(polygons: Polygons, grid: float) -> Polygons:
    import shapely

    snapped = shapely.set_precision(polygons, grid)
    return _parts(shapely.set_precision(snapped, 0.0), np.empty(0, object))


def _offenders(polygons: Polygons) -> NDArray[np.bool_]:
    """Which polygons could become invalid, alone or with another one, if their vertices moved a little."""
    import shapely

    if not polygons.size:
        return np.zeros(0, np.bool_)
    bad = ~shapely.is_valid(polygons) | ~shapely.is_simple(shapely.boundary(polygons))
    bad |= shapely.minimum_clearance(polygons) < CLEARANCE
    for index in near(polygons, CLEARANCE, lambda one, other: shapely.dwithin(one, other, CLEARANCE)):
        bad[index] = True
    return np.asarray(bad, dtype=np.bool_)


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
    smallest = float(np.linalg.svd(np.array(matrix)[:, :2], compute_uv=False)[-1])
    if smallest == 0:
        raise InputError(f"the matrix {matrix} is singular: it maps the image onto a line")
    return max(0, ceil(-log10(error * smallest * 2 / sqrt(2))))


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
