"""Objects that touch, divided where the probability between them is lower than in both, by cuts between pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rasterloom.polygons.fitting import near, segments
from rasterloom.polygons.geometry import Polygons, transformed
from rasterloom.polygons.sides import neighbours
from rasterloom.raster.grid import Matrix

STEP = 8
"""Between the levels at which a probability, 0..255, is looked at."""

SMOOTHING = 0.7
"""Standard deviation in pixels of the grid: noise makes no summits."""

REACH = 2.0
"""Pixels of the grid by which a cut goes on beyond the pixels of an object, so that it reaches the outline."""

STRAIGHT = 0.8
"""Pixels of the grid by which a cut may leave the edges of pixels, so that it has no stairs."""

TRIES = 8
"""Times that an object is divided, each time without the cuts that made parts too narrow before."""

STRIP_PIXELS = 50_000_000
"""Pixels looked at a time, of 40 bytes each; an object that goes on is divided on either side by itself."""


@dataclass(frozen=True)
class Cuts:
    """Lines that divide objects, (N,) arrays of MultiLineStrings, and a Point of each that lies within its object."""

    lines: NDArray[np.object_]
    points: NDArray[np.object_]


def parts(probability: NDArray[np.uint8], level: float, depth: float) -> NDArray[np.int32]:
    """Which part of an object each pixel belongs to.

    Parameters
    ----------
    probability : (H, W) uint8 array
    level : float, n + 0.5 on 0..255
    depth : float
        Probability, 0..1, by which the summit of a part rises above the highest pass to a higher summit, within `STEP`.

    Returns
    -------
    (H, W) int32 array
        A number for each part; 0 outside the objects, which consist of one part at least.

    Notes
    -----
    The smoothed probability is flooded from above: an area without a part becomes one as soon as its summit lies
    `depth` above the level; what a level adds to an area goes to the nearest part in it.
    """
    import cv2

    smooth = np.asarray(cv2.GaussianBlur(probability, (0, 0), SMOOTHING), np.uint8)
    found, number = np.zeros(probability.size, np.int32), 0
    for low in [*np.arange(254.5 - STEP, level, -STEP), level]:
        last = low == level
        inside = ((probability > level) & (last | (smooth > low))).astype(np.uint8)
        count, areas = cv2.connectedComponents(inside, connectivity=4, ltype=cv2.CV_32S)
        place = np.flatnonzero(inside)
        area, own = np.asarray(areas, np.int32).ravel()[place], found[place]
        top, first = np.zeros(count, np.uint8), np.zeros(count, np.int32)
        np.maximum.at(top, area, smooth.ravel()[place])
        np.maximum.at(first, area, own)
        first[0] = -1  # what is outside
        new = np.flatnonzero((first == 0) & ((top > low + 255 * depth) | last))
        home = np.zeros(number + 1, np.int32)
        home[own] = area
        home[0] = 0
        near = _nearest(found.reshape(smooth.shape), np.inf).ravel()[place]
        first[new] = number + 1 + np.arange(new.size)
        number += new.size
        found[place] = np.where(own > 0, own, np.where((near > 0) & (home[near] == area), near, first[area]))
    return found.reshape(probability.shape)


def _nearest(found: NDArray[np.int32], reach: float) -> NDArray[np.int32]:
    """The nearest part of each pixel, if one is within reach."""
    import cv2

    if not found.any():
        return found
    free = (found == 0).astype(np.uint8)
    distance, index = cv2.distanceTransformWithLabels(free, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    owner = np.zeros(int(index.max()) + 1, np.int32)
    owner[index[free == 0]] = found[free == 0]
    return np.where(distance <= reach, owner[index], 0).astype(np.int32)


def cuts(probability: NDArray[np.uint8], level: float, depth: float, matrix: Matrix) -> Cuts:
    """Where objects are to be divided, as `parts` divides them.

    Parameters
    ----------
    probability, level, depth
        As for `parts`.
    matrix : 2 x 3 list of rows
        From the edge coordinates of the grid to those of the lines.
    """
    rows = max(1, STRIP_PIXELS // probability.shape[1])
    found = [Cuts(np.empty(0, object), np.empty(0, object))]
    for top in range(0, probability.shape[0], rows):
        shifted = [[a, b, c + b * top] for a, b, c in matrix]
        found.append(_cuts(parts(probability[top : top + rows], level, depth), shifted))
    return Cuts(*(np.concatenate([getattr(own, name) for own in found]) for name in ("lines", "points")))


def _cuts(found: NDArray[np.int32], matrix: Matrix) -> Cuts:
    wide, most = _nearest(found, REACH), int(found.max()) + 1
    edges, pairs, within = [], [], []
    for turn in (False, True):
        own, grown = (found.T, wide.T) if turn else (found, wide)
        row, column = np.nonzero((grown[:-1] != grown[1:]) & (grown[:-1] > 0) & (grown[1:] > 0))
        ends = np.stack([column, row + 1, column + 1, row + 1], axis=1).reshape(-1, 2, 2)
        one, other = grown[row, column].astype(np.int64), grown[row + 1, column].astype(np.int64)
        edges.append(ends[:, :, ::-1] if turn else ends)
        pairs.append(np.minimum(one, other) * most + np.maximum(one, other))
        within.append((own[row, column] > 0) & (own[row + 1, column] > 0))
    edge, pair, inner = np.concatenate(edges), np.concatenate(pairs), np.concatenate(within)
    order = np.argsort(pair[inner], kind="stable")
    known, first, count = np.unique(pair[inner][order], return_index=True, return_counts=True)
    middle = order[first + count // 2]
    chosen = np.flatnonzero(np.isin(pair, known))
    chosen = chosen[np.argsort(pair[chosen], kind="stable")]
    lines: Any = shapely.linestrings(edge[chosen].astype(np.float64))
    joined = shapely.multilinestrings(lines, indices=np.searchsorted(known, pair[chosen]))
    straight = shapely.simplify(shapely.line_merge(joined), STRAIGHT)
    return Cuts(transformed(straight, matrix), transformed(shapely.points(edge[inner][middle].mean(axis=1)), matrix))


def divided(polygons: Polygons, found: Cuts, gap: float, grid: float, clearance: float) -> Polygons:
    """Polygons divided by cuts.

    Parameters
    ----------
    polygons : (N,) array of valid shapely Polygons that keep a clearance from each other
    found : Cuts
    gap : float
        Width of a cut.
    grid : float
        Vertices lie on multiples of it.
    clearance : float
        What vertices and polygons keep from each other. A cut is left out where it would bring them nearer.
    """
    for _ in range(TRIES):
        if found.points.size:
            polygons, found = _divided(polygons, found, gap, grid, clearance)
    return polygons


def _divided(polygons: Polygons, found: Cuts, gap: float, grid: float, clearance: float) -> tuple[Polygons, Cuts]:
    """Polygons after those were divided whose parts keep the clearance; cuts that may divide the others."""
    # The trees hold what is small: shapely prepares what is asked, here objects that may have very many vertices.
    owner, line = shapely.STRtree(found.points).query(polygons, predicate="intersects")
    order = np.lexsort((line, owner))
    line, (owners, starts, own) = line[order], np.unique(owner[order], return_index=True, return_inverse=True)
    slots = shapely.buffer(found.lines[line], gap / 2, cap_style="square", join_style="mitre", quad_segs=1)
    one = [shapely.disjoint_subset_union_all(part) for part in np.split(slots, starts[1:]) if part.size]
    loose, source = shapely.get_parts(
        shapely.difference(polygons[owners], np.array(one, dtype=object)), return_index=True
    )
    # Corners where a cut meets a vertex or another cut may lie nearer to each other than the clearance.
    snapped = shapely.set_precision(shapely.simplify(loose, clearance), grid)
    pieces, part = shapely.get_parts(shapely.set_precision(snapped, 0.0), return_index=True)
    some = ~shapely.is_empty(pieces)  # slivers vanish
    pieces, source = pieces[some], source[part[some]]
    piece, faults = _narrow(pieces, clearance)
    other, close = shapely.STRtree(pieces).query(polygons, predicate="dwithin", distance=clearance)
    close, other = (pair[owners[source[close]] != other] for pair in (close, other))
    good = np.ones(owners.size, np.bool_)
    good[source[np.append(close, piece)]] = False
    left = ~good[own]
    left[shapely.STRtree(slots).nearest(np.append(faults, shapely.shortest_line(pieces[close], polygons[other])))] = (
        False
    )
    polygons = np.concatenate([np.delete(polygons, owners[good]), pieces[good[source]]])
    return polygons, Cuts(found.lines[line[left]], found.points[line[left]])


def _narrow(polygons: Polygons, clearance: float) -> tuple[NDArray[np.intp], Polygons]:
    """Where outlines come nearer to each other, or to themselves, than a clearance: the polygon, and a line there."""
    rings, owner = shapely.get_rings(polygons, return_index=True)
    sizes = shapely.get_num_coordinates(rings)
    points = shapely.get_coordinates(rings) @ (1, 1j)
    last = np.cumsum(sizes) - 1  # which is the first once more
    first = np.delete(np.arange(points.size), last)
    offsets = np.append(0, last - np.arange(last.size))
    ends, following = np.stack([points[first], points[first + 1]]), neighbours(np.arange(first.size), offsets)[1]
    pairs = [np.stack(pair) for pair in near(ends, following, np.ones(first.size, np.bool_), clearance)]
    one, other = np.concatenate(pairs, axis=1)
    ring = np.repeat(np.arange(sizes.size), sizes - 1)[one]
    return owner[ring], shapely.shortest_line(segments(*ends[:, one]), segments(*ends[:, other]))
