"""Outlines with few vertices that stay clear of each other and of themselves.

Rings become chains of chords. A chord that comes near another one, or that leaves a whole ring on its wrong side, gets
its vertices back. That comes to an end, as the full outlines are clear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rasterloom.polygons.geometry import Polygons, from_rings, open_rings

Points = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass
class Chain:
    """Rings, and what is left of their vertices.

    Attributes
    ----------
    points : (N, 2) float64 array
        Vertices of all rings, one ring after the other, without those that close them.
    start : (R,) int64 array
        The first vertex of each ring.
    kept : (N,) bool array
        Vertices that are left: the first of each ring, and at least two others.
    moved : (N, 2) float64 array
        Where those are now.
    """

    points: Points
    start: Indices
    kept: Flags
    moved: Points

    def chords(self) -> tuple[Indices, Indices, Indices]:
        """First vertex and next chord of each chord, (K,) each, and the chord of each vertex, (N,)."""
        owner = np.cumsum(self.kept) - 1
        heads = owner[self.start]
        following = np.arange(1, owner[-1] + 2)
        following[np.append(heads[1:] - 1, owner[-1])] = heads
        return np.flatnonzero(self.kept), following, owner


def simplified(polygons: Polygons, tolerance: float, clearance: float) -> Polygons:
    """Polygons with fewer vertices, moved by at most a tolerance; where chords would come near, all vertices stay.

    Parameters
    ----------
    polygons : (N,) array of shapely Polygons
        Together with a clearance of at least `clearance`.
    tolerance, clearance : float
        In the polygons' units.

    Returns
    -------
    (N,) array of shapely Polygons
        With the same holes, and a clearance of at least `clearance` together.

    Notes
    -----
    Cost: linear, but for trees.
    """
    if not polygons.size or tolerance <= 0:
        return polygons
    points, offsets, parts = open_rings(polygons)
    start = offsets[:-1]
    chain = Chain(points, start, _corners(points, start, tolerance), points.copy())
    clear(chain, clearance)
    first, _, _ = chain.chords()
    return from_rings(chain.moved[first], np.searchsorted(first, offsets), parts)


def _corners(points: Points, start: Indices, tolerance: float) -> Flags:
    """The vertices that Douglas and Peucker keep; all of a ring of which they leave fewer than three."""
    import shapely

    ring = np.repeat(np.arange(start.size), np.diff(start, append=len(points)))
    numbered = np.column_stack([points, np.arange(len(points))])
    lines = shapely.simplify(shapely.linearrings(numbered, indices=ring), tolerance, preserve_topology=False)
    kept = np.zeros(len(points), np.bool_)
    kept[shapely.get_coordinates(lines, include_z=True)[:, 2].astype(np.int64)] = True
    kept[start] = True
    return np.asarray(kept | (np.add.reduceat(kept, start, dtype=np.int64) < 3)[ring], dtype=np.bool_)


def clear(chain: Chain, clearance: float) -> None:
    """Give vertices back until no chord is nearer to another one than a clearance, and none has jumped over a ring."""
    fresh, looked = np.ones(len(chain.points), np.bool_), False
    while True:
        first, following, owner = chain.chords()
        last = first[following]
        away = (chain.moved != chain.points).any(axis=1)
        loose = (np.bincount(owner) > 1) | away[first] | away[last]
        new = fresh[first] | fresh[last]
        asked = new if looked else loose
        bad = loose & _near(chain.moved[first], chain.moved[last], following, asked, clearance)
        bad |= _jumping(chain, loose & new)
        if not bad.any():
            return
        fresh, looked = bad[owner], True
        fresh[last[bad]] = True
        chain.kept |= fresh
        chain.moved[fresh] = chain.points[fresh]


def _near(start: Points, end: Points, following: Indices, asked: Flags, clearance: float) -> Flags:
    """Which segments, given by (K, 2) points, come near one that is asked about; both of each pair."""
    import shapely

    segments = np.asarray(shapely.linestrings(np.stack([start, end], axis=1)), dtype=object)
    asking = np.flatnonzero(asked)
    one, other = shapely.STRtree(segments).query(segments[asking], predicate="dwithin", distance=clearance)
    one = asking[one]
    apart = (following[one] != other) & (following[other] != one) & (one != other)
    found = np.zeros(len(start), np.bool_)
    found[one[apart]] = found[other[apart]] = True
    # Neighbours share a point: what counts is how far the other point of each is from the other segment.
    one = np.flatnonzero(asked | asked[following])
    other = following[one]
    ahead = shapely.distance(shapely.points(end[other]), segments[one])
    back = shapely.distance(shapely.points(start[one]), segments[other])
    sharp = np.minimum(ahead, back) < clearance
    found[one[sharp]] = found[other[sharp]] = True
    return found


def _jumping(chain: Chain, asked: Flags) -> Flags:
    """Which of the chords asked about have a ring between them and their full outline, which crosses neither."""
    import shapely

    first, following, owner = chain.chords()
    found = np.zeros(first.size, np.bool_)
    if chain.start.size < 2 or not asked.any():
        return found
    # The region that a chord has passed over: along the full outline to its last point, and back.
    asking = np.flatnonzero(asked)
    first, last = first[asking], first[following[asking]]
    sizes = np.bincount(owner)[asking]
    ends = np.cumsum(sizes)
    places = np.stack([ends - sizes, ends, ends], axis=1).ravel()
    added = np.stack([chain.moved[first], chain.points[last], chain.moved[last]], axis=1).reshape(-1, 2)
    points = np.insert(chain.points[asked[owner]], places, added, axis=0)
    regions = shapely.polygons(shapely.linearrings(points, indices=np.repeat(np.arange(asking.size), sizes + 3)))
    # A ring lies as a whole where its first vertex does.
    ways = shapely.linestrings(np.stack([chain.points[chain.start], chain.moved[chain.start]], axis=1))
    region, ring = shapely.STRtree(np.asarray(ways, dtype=object)).query(regions, predicate="intersects")
    other = np.searchsorted(chain.start, first[region], side="right") - 1 != ring
    found[asking[region[other]]] = True
    return found
