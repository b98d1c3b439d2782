"""Outlines with few vertices that stay clear of each other and of themselves.

Rings become chains of chords. A chord that comes near another one, or that leaves a whole ring on its wrong side, gets
its vertices back. That comes to an end, as the full outlines are clear.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rasterloom.polygons.geometry import Polygons, from_rings
from rasterloom.polygons.sides import Flags, Indices, Points, Rings, fitted_sides
from rasterloom.polygons.thin import edges
from rasterloom.raster.grid import Matrix

PORTION = 4096
"""Rings fitted, or chords looked at, together: so that memory stays small."""


def fitted(
    vertices: NDArray[np.float64],
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
    vertices, offsets, parts
        The contours of N polygons as `open_rings` gives them, in pixels of an image.
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
    Time is linear but for search trees: 4 to 8 s per million vertices.
    """
    if not len(vertices):
        return np.empty(0, object)
    points = vertices @ np.array([1, 1j])
    kept, moved = np.ones(points.size, np.bool_), points.copy()
    for first in range(0, offsets.size - 1, PORTION) if tolerance > 0 else ():
        own = offsets[first : first + PORTION + 1]
        span = slice(own[0], own[-1])
        places = points[span], own - own[0], edges(points[span], probability, level)
        points[span], kept[span], moved[span] = fitted_sides(*places, tolerance, rectangular)

    def mapped(places: Points) -> Points:
        y, x = (np.clip(own, 0, size) for own, size in zip((places.imag, places.real), probability.shape, strict=True))
        right, down = (np.round((row[0] * x + row[1] * y + row[2]) / grid) * grid for row in matrix)
        return np.asarray(right + 1j * down)

    moved = mapped(moved)
    clear(Rings(mapped(points), offsets), kept, moved, clearance)
    return from_rings(_plane(moved[kept]), np.concatenate([[0], np.cumsum(kept)])[offsets], parts)


def _plane(points: Points) -> NDArray[np.float64]:
    """The x and y, (..., 2), of points."""
    return points.view(np.float64).reshape(*points.shape, 2)


def clear(rings: Rings, kept: Flags, moved: Points, clearance: float) -> None:
    """Give vertices back until no chord is nearer to another one than a clearance, and none has jumped over a ring.

    Parameters
    ----------
    rings : Rings
        All vertices; they are clear.
    kept : (N,) bool array
        Those that are left: the first of each ring, and at least two others. Changed in place.
    moved : (N,) complex128 array
        Where these are now. Changed in place.
    """
    fresh, looked = np.ones(kept.size, np.bool_), False
    while True:
        first, owner = np.flatnonzero(kept), np.cumsum(kept) - 1
        following = rings.neighbours(first)[1]
        last, away = first[following], moved != rings.points
        loose = (np.bincount(owner) > 1) | away[first] | away[last]
        if not loose.any():
            return
        new, ends = fresh[first] | fresh[last], np.stack([moved[first], moved[last]], axis=1)
        bad = loose & _near(ends, following, new if looked else loose, clearance)
        bad |= _jumping(rings, first, last, moved, loose & new)
        if not bad.any():
            return
        fresh, looked = bad[owner], True
        fresh[last[bad]] = True
        kept |= fresh
        moved[fresh] = rings.points[fresh]


def _near(ends: Points, following: Indices, asked: Flags, clearance: float) -> Flags:
    """Which segments, given by (K, 2) points, come near one that is asked about; both of each pair."""
    import shapely

    segments = np.asarray(shapely.linestrings(_plane(ends)), dtype=object)
    asking = np.flatnonzero(asked)
    one, other = shapely.STRtree(segments).query(segments[asking], predicate="dwithin", distance=clearance)
    one = asking[one]
    apart = (following[one] != other) & (following[other] != one) & (one != other)
    found = np.zeros(asked.size, np.bool_)
    found[one[apart]] = found[other[apart]] = True
    # Neighbours share a point: what counts is how far the other point of each is from the other segment.
    one = np.flatnonzero(asked | asked[following])
    other = following[one]
    ahead = shapely.distance(shapely.points(_plane(ends[other, 1])), segments[one])
    back = shapely.distance(shapely.points(_plane(ends[one, 0])), segments[other])
    sharp = np.minimum(ahead, back) < clearance
    found[one[sharp]] = found[other[sharp]] = True
    return found


def _jumping(rings: Rings, first: Indices, last: Indices, moved: Points, asked: Flags) -> Flags:
    """Which of the chords asked about have a ring between them and their full outline, which crosses neither."""
    import shapely

    found = np.zeros(first.size, np.bool_)
    if rings.offsets.size < 3 or not asked.any():
        return found
    # A ring lies as a whole where its first vertex does.
    starts = rings.offsets[:-1]
    ways = shapely.linestrings(_plane(np.stack([rings.points[starts], moved[starts]], axis=1)))
    tree, sizes = shapely.STRtree(np.asarray(ways, dtype=object)), np.diff(first, append=moved.size)
    for own in np.split(np.flatnonzero(asked), np.arange(PORTION, asked.sum(), PORTION)):
        # The region that a chord has passed over: along the full outline to its last point, and back.
        start, end, size = first[own], last[own], sizes[own]
        ends = np.cumsum(size)
        points = rings.points[np.repeat(start - ends + size, size) + np.arange(ends[-1])]
        places = np.stack([ends - size, ends, ends], axis=1).ravel()
        points = np.insert(points, places, np.stack([moved[start], rings.points[end], moved[end]], axis=1).ravel())
        outlines = shapely.linearrings(_plane(points), indices=np.repeat(np.arange(own.size), size + 3))
        region, ring = tree.query(shapely.polygons(outlines), "intersects")
        found[own[region[rings.ring[start[region]] != ring]]] = True
    return found
