"""Straight sides through outlines: fitted by least squares, with corners where they meet.

A contour cuts corners, and waves along sides that run across the grid. Sides that are fitted to it run midway between
its waves, and their corners lie where those of the object are.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.complex128]
"""Points of the plane, and directions, as complex numbers."""

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

DIVIDE, MERGE = 0.66, 0.8
"""Shares of a tolerance: by how much an outline may bend within a side at first, and after sides have been merged."""

TRIM = 0.6
"""Pixels at either end of a side that do not count: the contour turns there."""

CORNER = 0.5
"""The largest area, in pixels, that a contour cuts from a corner."""

LONGER = 1.4
"""How many times longer both neighbours of a side are at least if it only cuts a corner."""

REACH = 1.5
"""Pixels from the contour to the corner where two sides meet, at most; else they are joined midway."""

LOSS = 0.01
"""Share of its area that a ring may gain and lose along its sides, besides a `CORNER` for each of its corners (a fifth
of it at most)."""

SQUARE_LOSS = 0.03
"""Share of its area that a ring may lose to right angles; else it keeps sides of any direction."""

STEP = 0.5
"""Pixels between two parallel sides in a row up to which they become one."""

ROUNDS = 20


PORTION = 50_000
"""Vertices looked at together: so few that they stay in the processor's cache."""


class Rings:
    """Points, (N,), of rings that start at offsets, (R + 1,); the ring of each, and the point after each."""

    def __init__(self, points: Points, offsets: Indices) -> None:
        self.points, self.offsets = points, offsets
        self.ring = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
        self.after = np.arange(1, points.size + 1)
        self.after[offsets[1:] - 1] = offsets[:-1]

    def from_start(self, start: Indices) -> Indices:
        """The order of the points with each ring turned to begin at one of its points, (R,)."""
        offsets, sizes = self.offsets[self.ring], np.diff(self.offsets)[self.ring]
        return np.asarray(offsets + (np.arange(offsets.size) - 2 * offsets + start[self.ring]) % sizes)

    def areas(self) -> NDArray[np.float64]:
        """(R,): what each ring encloses."""
        local = self.points - self.points[self.offsets[self.ring]]
        return np.asarray(np.abs(np.add.reduceat(cross(local, local[self.after]), self.offsets[:-1])) / 2)


def neighbours(heads: Indices, offsets: Indices) -> tuple[Indices, Indices]:
    """The side before and the side after each one in its ring, by the points, (K,), at which sides begin."""
    first = np.searchsorted(heads, offsets)
    before, after = np.arange(-1, heads.size - 1), np.arange(1, heads.size + 1)
    before[first[:-1]], after[first[1:] - 1] = first[1:] - 1, first[:-1]
    return before, after


def portions(offsets: Indices) -> Iterator[tuple[slice, slice]]:
    """Slices of rings that have about `PORTION` points, by where each ring starts, and of their points."""
    cuts = np.append(np.searchsorted(offsets, np.arange(0, offsets[-1], PORTION)), offsets.size - 1)
    for first, last in pairwise(np.unique(cuts).tolist()):
        yield slice(first, last), slice(int(offsets[first]), int(offsets[last]))


def fitted_sides(
    contours: Points, offsets: Indices, edges: Points, tolerance: float, rectangular: bool = False
) -> tuple[Points, Flags, Points]:
    """Rings of straight sides through rings of contours.

    Parameters
    ----------
    contours : (N,) complex128 array
        In pixels; vertices of all rings, one ring after the other, without those that close them.
    offsets : (R + 1,) int64 array
        Where each ring starts.
    edges : (N,) complex128 array
        Where the sides run: the contours, or better places for their vertices.
    tolerance : float
        Pixels by which the outline may bend within a side.
    rectangular : bool
        Whether the sides of a ring have two directions only, at right angles.

    Returns
    -------
    (N,) complex128 array, (N,) bool array, (N,) complex128 array
        The same vertices, each ring turned to start where a side does; the vertices between sides, or all of a ring
        whose area would change by more than `LOSS`; where they are moved to.

    Notes
    -----
    Time is linear: some passes over the vertices, .5 s per million, of noise 1 s.
    """
    rings = Rings(edges, offsets)
    middle = np.add.reduceat(edges, offsets[:-1]) / np.diff(offsets)
    far = np.lexsort((-np.abs(edges - middle[rings.ring]), rings.ring))[offsets[:-1]]  # at a corner
    order = rings.from_start(far)
    rings, contours = Rings(edges[order], offsets), contours[order]
    heads = _merged(rings, _breaks(rings, DIVIDE * tolerance), MERGE * tolerance)
    heads, centre, along = _without_cuts(rings, heads, *_lines(rings, heads, np.append(heads[1:], edges.size))[:2])
    corners = _corners(rings, heads, centre, along)
    loss, own = _losses(rings, heads, corners)
    fits = loss <= LOSS * own + np.minimum(CORNER * np.bincount(rings.ring[heads]), own / 5)
    choices = [(heads, corners, fits)]
    if rectangular:
        heads, corners = _squared(rings, heads, centre, along)
        choices.append((heads, corners, _losses(rings, heads, corners)[0] <= loss + SQUARE_LOSS * own))
    kept, moved = np.ones(contours.size, np.bool_), contours.copy()
    for heads, corners, fits in choices:
        kept[fits[rings.ring]] = False
        chosen = fits[rings.ring[heads]]
        kept[heads[chosen]], moved[heads[chosen]] = True, corners[chosen]
    first = np.flatnonzero(kept)
    order = rings.from_start(first[np.searchsorted(first, offsets[:-1])])
    return contours[order], kept[order], moved[order]


def cross(one: Points, other: Points) -> NDArray[np.float64]:
    """The cross products of vectors."""
    return np.asarray((one.conj() * other).imag)


def _exact(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values rounded so that their sums are exact: what is summed before a ring does not change it."""
    return np.round(values * 2.0**20) / 2.0**20


def _losses(rings: Rings, heads: Indices, corners: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Areas between outlines and their sides, (R,), left and right of a side set off; and those of the outlines."""
    offsets, ring = rings.offsets, rings.ring[heads]
    local = rings.points - rings.points[offsets[rings.ring]]
    total = np.concatenate([[0.0], np.cumsum(_exact(cross(local, local[rings.after])))])
    own = total[offsets[1:]] - total[offsets[:-1]]
    following = neighbours(heads, rings.offsets)[1]
    end, corners = heads[following], corners - rings.points[offsets[ring]]
    area = total[end] - total[heads] + (end <= heads) * own[ring]
    area += cross(local[end], corners[following]) + cross(corners[following], corners) + cross(corners, local[heads])
    return np.asarray(np.bincount(ring, np.abs(area) / 2), np.float64), np.abs(own) / 2


def _breaks(rings: Rings, tolerance: float) -> Indices:
    """The points that Douglas and Peucker keep, and all of a ring of which they leave fewer than three."""
    import shapely

    lasts, order = rings.offsets[1:], np.arange(rings.points.size)
    order = np.insert(order, lasts, rings.offsets[:-1])
    closed = np.column_stack([rings.points[order].real, rings.points[order].imag, order])
    lines = shapely.linestrings(closed, indices=np.insert(rings.ring, lasts, rings.ring[lasts - 1]))
    left = shapely.get_coordinates(shapely.simplify(lines, tolerance, preserve_topology=False), include_z=True)
    head = np.bincount(left[:, 2].astype(np.int64), minlength=rings.points.size) > 0
    few = np.bincount(rings.ring, head) < 3
    return np.flatnonzero(head | few[rings.ring])


def _lines(rings: Rings, first: Indices, last: Indices) -> tuple[Points, Points, NDArray[np.float64]]:
    """A point and the direction of the line through each side by least squares, and its largest distance from it.

    Sides go from their first points, (K,), to the points after those before their last ones, which do not count.
    """
    sizes = last - first
    begin = np.cumsum(sizes) - sizes
    side = np.repeat(np.arange(first.size), sizes)
    order = np.arange(side.size) + (first - begin)[side]
    points, origin = rings.points[order], rings.points[first]
    step = rings.points[rings.after[order]] - points
    start = points - origin[side]  # near zero, for the sake of precision
    middle, length = start + step / 2, _exact(np.abs(step))
    way = np.cumsum(length) - length
    half = np.add.reduceat(length, begin) / 2
    from_middle = np.abs(way + length / 2 - (way[begin] + half)[side])
    weight = np.where(from_middle <= (half - np.minimum(TRIM, half / 2))[side], length, 1e-9 * length)
    total = np.add.reduceat(weight, begin)
    centre = np.add.reduceat(weight * middle, begin) / total
    squares = np.add.reduceat(weight * (middle**2 + step**2 / 12), begin) / total
    along = np.exp(0.5j * np.angle(squares - centre**2))
    away = [np.abs(cross(along[side], place - centre[side])) for place in (start, start + step)]
    return centre + origin, along, np.maximum.reduceat(np.maximum(*away), begin)


def _sparing(dropped: Flags, ring: Indices) -> Flags:
    """Which sides to drop, but none of a ring that would be left with fewer than three."""
    return np.asarray(dropped & (np.bincount(ring, weights=~dropped) >= 3)[ring], dtype=np.bool_)


def _merged(rings: Rings, heads: Indices, tolerance: float) -> Indices:
    """Heads of sides, those left out whose two sides are one within a tolerance; best pairs first."""
    apart = np.full(heads.size, np.inf)  # of a side and the one before it
    stale = rings.offsets[rings.ring[heads]] < heads
    for _ in range(ROUNDS):
        new = np.flatnonzero(stale)
        apart[new] = _lines(rings, heads[new - 1], np.append(heads, rings.points.size)[new + 1])[2]
        best = (apart <= tolerance) & (apart <= np.roll(apart, 1)) & (apart < np.roll(apart, -1))
        best = _sparing(best, rings.ring[heads])
        if not best.any():
            break
        stale = ((np.roll(best, 1) | np.roll(best, -1)) & (apart < np.inf))[~best]
        heads, apart = heads[~best], apart[~best]
    return heads


def _meeting(centre: Points, along: Points, one: Any, other: Any) -> tuple[Points, NDArray[np.float64]]:
    """Where lines meet, and the sines of the angles between them."""
    sine = cross(along[one], along[other])
    steps = cross(centre[other] - centre[one], along[other]) / np.where(np.abs(sine) > 1e-6, sine, 1e-6)
    return centre[one] + steps * along[one], np.abs(sine)


def _feet(points: Points, centre: Points, along: Points) -> Points:
    """The points of lines that are nearest to points."""
    return np.asarray(centre + ((points - centre) * along.conj()).real * along)


def _corners(rings: Rings, heads: Indices, centre: Points, along: Points) -> Points:
    """Where each side meets the one before it, or the middle between the two if that is far from the contour."""
    raw, before = rings.points[heads], neighbours(heads, rings.offsets)[0]
    corner, sine = _meeting(centre, along, before, slice(None))
    midway = (_feet(raw, centre, along) + _feet(raw, centre[before], along[before])) / 2
    return np.where((sine > 0.17) & (np.abs(corner - raw) <= REACH), corner, midway)


def _without_cuts(rings: Rings, heads: Indices, centre: Points, along: Points) -> tuple[Indices, Points, Points]:
    """Sides without those that only cut a corner, the least first: their neighbours are made to meet."""
    for _ in range(ROUNDS):
        before, after = neighbours(heads, rings.offsets)
        start = _corners(rings, heads, centre, along)
        end = start[after]
        corner, sine = _meeting(centre, along, before, after)
        length, area = np.abs(end - start), np.abs(cross(end - start, corner - start)) / 2
        onwards = ((corner - start) * (start - start[before]).conj()).real > 0
        onwards &= ((corner - end) * (end - end[after]).conj()).real > 0
        cut = onwards & (sine > 0.3) & (area <= CORNER) & (np.minimum(length[before], length[after]) > LONGER * length)
        area = np.where(cut, area, np.inf)
        cut = _sparing(cut & (area <= area[after]) & (area < area[before]), rings.ring[heads])
        if not cut.any():
            break
        # The point nearer to the corner becomes the head of the side after it.
        nearer = np.abs(rings.points[heads] - corner) < np.abs(rings.points[heads[after]] - corner)
        taken = cut & nearer & (heads < heads[after])
        heads = heads.copy()
        heads[after[taken]] = heads[taken]
        heads, centre, along = heads[~cut], centre[~cut], along[~cut]
    return heads, centre, along


def _squared(rings: Rings, heads: Indices, centre: Points, along: Points) -> tuple[Indices, Points]:
    """Heads and corners of sides that are turned to two directions of their ring, at right angles."""
    before, after = neighbours(heads, rings.offsets)
    first = np.searchsorted(heads, rings.offsets[:-1])
    length = np.abs(rings.points[heads[after]] - rings.points[heads])
    main = np.exp(0.25j * np.angle(np.add.reduceat(length * along**4, first)))[rings.ring[heads]]
    across = np.abs(cross(main, along)) > 0.5**0.5
    along = np.where(across, 1j * main, main)
    # Sides that go on in one direction become one if they are hardly apart.
    new = (across != across[before]) | (np.abs(cross(along, centre - centre[before])) > STEP)
    new[first] = True
    runs = np.flatnonzero(new)
    centre = np.asarray(np.add.reduceat(length * centre, runs) / np.add.reduceat(length, runs), np.complex128)
    heads, along, across = heads[new], along[new], across[new]
    # Others get a step between them, at the point that follows.
    before, _ = neighbours(heads, rings.offsets)
    corners = _corners(rings, heads, centre, along)
    step = np.flatnonzero((across == across[before]) & (np.append(heads[1:], rings.points.size) > heads + 1))
    raw, before = rings.points[heads[step]], before[step]
    corners[step] = _feet(raw, centre[before], along[before])
    second = _feet(raw, centre[step], along[step])
    return np.insert(heads, step + 1, heads[step] + 1), np.insert(corners, step + 1, second)
