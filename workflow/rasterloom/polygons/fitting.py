"""Outlines with few vertices that stay clear of each other and of themselves.

Rings become chains of chords. A chord that comes near another one, or that leaves a whole ring on its wrong side, gets
its vertices back. That comes to an end, as the full outlines are clear.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from rasterloom.polygons.geometry import Polygons, from_rings
from rasterloom.polygons.sides import PORTION, Flags, Indices, Points, fitted_sides, neighbours, portions
from rasterloom.polygons.thin import edges
from rasterloom.raster.grid import Matrix


def fitted(
    points: Points,
    offsets: Indices,
    parts: Indices,
    probability: NDArray[np.uint8],
    level: float,
    tolerance: float,
    matrix: Matrix,
    *,
    grid: float,
    clearance: float,
    rectangular: bool = False,
) -> Polygons:
    """Polygons of straight sides through contours; where these would come near each other, the contours stay.

    Parameters
    ----------
    points, offsets, parts : (M,) complex128, (R + 1,) int64, (N + 1,) int64 arrays
        The contours of N polygons in pixels of an image: vertices, which are turned in place, where each ring starts
        among them, and where each polygon starts among the rings.
    probability : (H, W) uint8 array
        The image. Nothing is moved out of it.
    level : float
        Of the contours.
    tolerance : float
        Pixels by which a contour may bend within a side; 0 keeps every vertex.
    matrix : 2 x 3 list of rows
        From these pixels to those of the result. It leaves contours apart by at least `clearance`, once they are
        rounded.
    grid, clearance : float
        Spacing of the vertices, and the least distance between sides that are no neighbours, in pixels of the result.
    rectangular : bool
        Whether rings that allow for it get right angles.

    Returns
    -------
    (N,) array of shapely Polygons
        With the same holes, and a clearance of at least `clearance` together.

    Notes
    -----
    Time is linear but for search trees: 1.4 s per million vertices, of noise up to 6 s.
    """

    def mapped(places: Points) -> Points:
        y, x = (np.clip(own, 0, size) for own, size in zip((places.imag, places.real), probability.shape, strict=True))
        right, down = (np.round((row[0] * x + row[1] * y + row[2]) / grid) * grid for row in matrix)
        return np.asarray(right + 1j * down)

    kept, moved = np.ones(points.size, np.bool_), [points[:0]]
    for rings, own in portions(offsets):
        places = raw = points[own]
        if tolerance > 0:
            starts, sides = offsets[rings.start : rings.stop + 1] - own.start, edges(raw, probability, level)
            raw, kept[own], places = fitted_sides(raw, starts, sides, tolerance, rectangular)
        moved.append(mapped(places[kept[own]]))
        points[own] = mapped(raw)
    kept, found = cleared(points, offsets, kept, np.concatenate(moved), clearance)
    return from_rings(_plane(found), np.concatenate([[0], np.cumsum(kept)])[offsets], parts)


def _plane(points: Points) -> NDArray[np.float64]:
    """The x and y, (..., 2), of points."""
    return points.view(np.float64).reshape(*points.shape, 2)


def _box(points: Points) -> Points:
    """(2, K): the corners of the boxes around (n, K) points."""
    return np.stack([side.reduce(points.real) + 1j * side.reduce(points.imag) for side in (np.minimum, np.maximum)])


def segments(*ends: Points) -> NDArray[np.object_]:
    """Lines between (K,) points and others: for shapely's trees these are as good as boxes, and made faster."""
    return np.asarray(shapely.linestrings(_plane(np.stack(ends, axis=1))), dtype=object)


def cleared(points: Points, offsets: Indices, kept: Flags, moved: Points, clearance: float) -> tuple[Flags, Points]:
    """Give vertices back until no chord is nearer to another one than a clearance, and none has jumped over a ring.

    Parameters
    ----------
    points, offsets : (N,) complex128, (R + 1,) int64 arrays
        All vertices, which are clear, and where each ring starts.
    kept : (N,) bool array
        Those that are left: the first of each ring, and at least two others.
    moved : (K,) complex128 array
        Where these are now.
    clearance : float
        The least distance.

    Returns
    -------
    The same two with what is given back.
    """
    fresh = np.ones(moved.size, np.bool_)
    while True:
        first = np.flatnonzero(kept)
        following = neighbours(first, offsets)[1]
        sizes, away = np.diff(first, append=kept.size), moved != points[first]
        loose = (sizes > 1) | away | away[following]
        if not loose.any():
            return kept, moved
        new, ends = fresh | fresh[following], np.stack([moved, moved[following]])
        bad = _jumping(points, offsets, first, following, moved, loose & new)
        for pair in near(ends, following, new, clearance):
            for chords in pair:
                bad[chords[loose[chords]]] = True
        if not bad.any():
            return kept, moved
        back = np.repeat(bad, sizes)
        back[first[following[bad]]] = True
        left, kept = moved[~back[first]], kept | back
        fresh = back[kept]
        moved = points[kept]
        moved[~fresh] = left


def near(ends: Points, following: Indices, asked: Flags, clearance: float) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of segments that come nearer to each other than a clearance, one of which is asked about.

    Parameters
    ----------
    ends : (2, K) complex128 array
        Where they begin and end.
    following : (K,) int64 array
        The segment that begins where each ends. These are no pair unless one folds back onto the other.
    asked : (K,) bool array
    clearance : float

    Yields
    ------
    two (M,) int64 arrays, of one band of the plane after the other; a pair may come twice
    """
    low, high = _box(np.stack([*ends - clearance * (1 + 1j), *ends + clearance * (1 + 1j)]))
    # From band to band, so that memory stays small.
    for top, bottom in pairwise(np.append(np.sort(low.imag)[::PORTION], np.inf).tolist()):
        own = np.flatnonzero((low.imag <= bottom) & (high.imag >= top))
        some, lines = own[asked[own]], segments(*ends[:, own])
        one, other = shapely.STRtree(lines).query(segments(low[some], high[some]))
        first, second = some[one], own[other]
        apart = (first != second) & (following[first] != second) & (following[second] != first)
        first, second = first[apart], second[apart]
        close = shapely.distance(segments(*ends[:, first]), lines[other[apart]]) <= clearance
        yield first[close], second[close]
    # Neighbours share a point: what counts is how far the other point of each is from the other segment.
    one = np.flatnonzero(asked | asked[following])
    other = following[one]
    sharp = np.minimum(_away(ends[1, other], ends[:, one]), _away(ends[0, one], ends[:, other])) < clearance
    yield one[sharp], other[sharp]


def _away(points: Points, chords: Points) -> NDArray[np.float64]:
    """The distances of points, (K,), from (2, K) segments."""
    way, off = chords[1] - chords[0], points - chords[0]
    share = np.clip((off * way.conj()).real / np.maximum((way * way.conj()).real, 1e-300), 0, 1)
    return np.asarray(np.abs(off - share * way))


def _jumping(
    points: Points, offsets: Indices, first: Indices, following: Indices, moved: Points, asked: Flags
) -> Flags:
    """Which of the chords asked about have a ring between them and their full outline, which crosses neither."""
    found = np.zeros(first.size, np.bool_)
    # A ring lies as a whole where its first vertex does.
    starts, last, sizes = offsets[:-1], first[following], np.diff(first, append=points.size)
    tree = shapely.STRtree(segments(points[starts], moved[np.searchsorted(first, starts)]))
    ring, sides = np.searchsorted(starts, first, side="right") - 1, (np.minimum, np.maximum)
    extent = [side.reduceat(points.real, first) + 1j * side.reduceat(points.imag, first) for side in sides]
    low, high = _box(np.stack([*extent, points[last], moved, moved[following]]))
    for own in np.split(np.flatnonzero(asked), np.arange(PORTION, asked.sum(), PORTION)):
        chord, other = tree.query(segments(low[own], high[own]))
        own = np.unique(own[chord[ring[own[chord]] != other]])
        # The region that a chord has passed over: along the full outline to its last point, and back.
        size = sizes[own]
        after = np.cumsum(size)
        outline = points[np.repeat(first[own] - after + size, size) + np.arange(size.sum())]
        places = np.stack([after - size, after, after], axis=1).ravel()
        corners = np.stack([moved[own], points[last[own]], moved[following[own]]], axis=1)
        outline = np.insert(outline, places, corners.ravel())
        shapes = shapely.linearrings(_plane(outline), indices=np.repeat(np.arange(own.size), size + 3))
        region, other = tree.query(shapely.polygons(shapes), "intersects")
        found[own[region[ring[own[region]] != other]]] = True
    return found
