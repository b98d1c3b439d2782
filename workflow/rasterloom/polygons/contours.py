"""Contours of a probability: where it crosses a level, ring after ring, object after object.

Pixel edges lie on integers, so the sample of pixel (row, column) lies at (column + 0.5, row + 0.5). Contours run
between samples by linear interpolation; beyond the outermost samples the image goes on as it is, up to the edge of
the scene, where they close. Levels lie between integers (n + 0.5), so a contour never meets a sample.

A vertex lies on each line between neighbouring samples of which one is above the level. The cell of four samples that
a contour enters there says which vertex follows. The image is read in strips of rows, which change no result.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rasterloom.polygons.sides import Flags, Indices, Points, Rings, portions
from rasterloom.polygons.thin import HALO, raised

Samples = NDArray[np.uint8]
Floats = NDArray[np.float64]

STRIP_SAMPLES = 500_000
"""Samples read at a time: so few that they stay in the processor's cache."""


@dataclass(frozen=True)
class Contours:
    """Rings of objects: those of one object after the other, its shell before its holes."""

    points: Points
    """(N,) complex128: x + iy in pixels; each ring in the direction and from the vertex of shapely's normal form."""

    offsets: Indices
    """(R + 1,): where each ring starts."""

    areas: Floats
    """(R,): what each ring encloses, in square pixels."""

    shell: Indices
    """(R,): the shell of each ring's object."""

    around: Indices
    """(R,): the hole that each shell lies in, or -1; of no meaning for holes."""


class _Crossings(NamedTuple):
    """Lines between neighbouring samples on either side of the level: N, of which 2 M lie along rows."""

    points: Points
    """(N,): where contours cross them."""

    along: Flags
    """(N,): whether a line lies along a row. These are in order."""

    entered: Indices
    """(N,): the cell that the contour enters there, and by which of two sides; the cell's number is the half of it."""

    left: Indices
    """(N,): the cell that the contour leaves, and by which side."""

    high: Flags
    """(M,): whether the samples between two lines along a row, which are above the level, reach the peak."""

    swapped: Flags
    """For each cell that two contours pass: whether they join its left line to the lower one, not to the upper one."""


def contours(probability: Samples, level: float, peak: float, margins: Floats) -> Contours:
    """Contours of the objects of an image; what is thin in places is kept together there.

    Parameters
    ----------
    probability : (H, W) uint8 array
    level, peak : float, n + 0.5 on 0..255
        Of the contours, and what an object exceeds somewhere before thin things are `raised`.
    margins : (2,) float array
        Pixels in x and y that vertices keep from samples.
    """
    from scipy.sparse.csgraph import connected_components

    found = _crossings(probability, level, peak, margins)
    after = _following(found)
    label = connected_components(_graph(after), connection="strong")[1]
    # The first of a ring's lines along rows enters an object or, for a hole, leaves it.
    rows = np.flatnonzero(found.along)
    first = np.empty(label.max(initial=-1) + 1, np.int64)
    first[label[rows[::-1]]] = np.arange(rows.size)[::-1]
    own, hole, before = np.arange(first.size), first % 2 == 1, label[rows[first - 1]]
    beside = (first > 0) & (found.points[rows[first]].imag == found.points[rows[first - 1]].imag)
    shell = _settled(np.where(hole, before, own), ~hole)
    around = _settled(np.append(np.where(hole, own, np.where(beside, before, -1)), -1), np.append(hole, True))
    high = np.zeros(first.size, np.bool_)
    high[shell[label[rows[::2][found.high]]]] = True
    chosen = np.flatnonzero(high[shell])
    chosen = chosen[np.lexsort((first[chosen], first[shell[chosen]]))]
    rank = np.full(first.size + 1, -1)
    rank[chosen] = np.arange(chosen.size)
    # At a corner of the image, lines along a row and a column meet in the sample: one of the two goes.
    single = found.points != found.points[after]
    offsets = np.append(0, np.cumsum(np.bincount(label, single, first.size)[chosen], dtype=np.int64))
    order = _in_turn(after, rows[first[chosen]], rank, label)
    order = order[single[order]]
    points, areas = np.empty(order.size, np.complex128), np.empty(chosen.size)
    for rings, span in portions(offsets):
        part = Rings(found.points[order[span]], offsets[rings.start : rings.stop + 1] - span.start)
        least = np.minimum.reduceat(part.points, part.offsets[:-1])
        points[span] = part.points[part.from_start(np.flatnonzero(part.points == least[part.ring]))]
        areas[rings] = part.areas()
    return Contours(points, offsets, areas, rank[shell[chosen]], rank[around[chosen]])


def _crossings(probability: Samples, level: float, peak: float, margins: Floats) -> _Crossings:
    """The lines of a whole image, strip by strip."""
    height, width = probability.shape
    x, parts = np.clip(np.arange(width + 4) - 1.5, 0, width), []
    # Small integers where there is room: all lines are held at once.
    kind = np.int32 if (height + 4) * x.size < 2**30 else np.int64
    step = max(1, STRIP_SAMPLES // width)
    for top in range(0, height + 3, step):
        rows = np.arange(top, min(top + step, height + 3) + 1) - 2
        near, frame = np.clip(rows, 0, height - 1), (rows < -1) | (rows > height)
        halo = slice(max(0, near[0] - HALO), near[-1] + HALO + 1)
        samples = _framed(raised(probability[halo], level)[near - halo.start], frame)
        plain, y = _framed(probability[near], frame), np.clip(rows + 0.5, 0, height)
        parts.append(_of_strip(samples, plain, (level, peak), margins, x, y, kind(2 * top * x.size)))
    return _Crossings(*map(np.concatenate, zip(*parts, strict=True)))


def _framed(values: Samples, frame: Flags) -> Samples:
    """Rows of samples that go on by one on either side, and by one more of zeros; rows of the frame are zeros."""
    found = np.pad(np.pad(values, ((0, 0), (1, 1)), mode="edge"), ((0, 0), (1, 1)))
    found[frame] = 0
    return found


def _of_strip(
    samples: Samples, plain: Samples, levels: tuple[float, float], margins: Floats, x: Floats, y: Floats, base: Any
) -> _Crossings:
    """The lines from all rows but the last, which begins the next strip; `plain` has samples as they are given."""
    wide, size, values = samples.shape[1], samples[:-1].size, samples.ravel()
    inside = values > int(levels[0])
    across = inside[:-1] != inside[1:]
    rows, columns = np.flatnonzero(across[:size]), np.flatnonzero(inside[:size] != inside[wide:])
    start, along = np.append(rows, columns), np.arange(rows.size + columns.size) < rows.size
    end = start + np.where(along, 1, wide)
    first, last = (x[own % wide] + 1j * y[own // wide] for own in (start, end))
    share = (levels[0] - values[start]) / (values[end].astype(np.float64) - values[start])
    margin = np.where(along, margins[0], margins[1])
    share, step = np.round(share * 2.0**20) / 2.0**20, last - first
    points = np.where(share > 1 - margin, last - margin * step, first + np.maximum(share, margin) * step)
    # Above the level is what lies on the right hand of a contour, with x to the right and y upwards.
    ahead, below = inside[start] == along, (2 * start + base).astype(base.dtype)
    above = below - np.where(along, 2 * wide - 1, 1).astype(base.dtype)
    high = np.maximum.reduceat(plain.ravel(), rows + 1)[::2] > int(levels[1])
    # Cells with contours through all four lines.
    four = columns[:-1][np.diff(columns) == 1]
    four = four[across[four] & across[four + wide]]
    middle = values[four[:, None] + [0, 1, wide, wide + 1]].sum(axis=1, dtype=np.int64)
    swapped = (middle > 4 * levels[0]) == inside[four]
    return _Crossings(points, along, np.where(ahead, above, below), np.where(ahead, below, above), high, swapped)


def _following(found: _Crossings) -> Indices:
    """The crossing that follows each one: that by which the contour leaves the cell which it enters there."""
    order = np.argsort(found.left).astype(found.left.dtype)
    double = np.flatnonzero(np.diff(found.left[order] // 2) == 0)[found.swapped]
    order[double], order[double + 1] = order[double + 1], order[double]
    after = np.empty_like(order)
    after[np.argsort(found.entered)] = order
    return after


def _graph(after: Indices) -> Any:
    from scipy.sparse import csr_array

    return csr_array((np.ones(after.size), after, np.arange(after.size + 1)), shape=(after.size, after.size))


def _settled(target: Indices, goal: Flags) -> Indices:
    """Where one comes to by going from target to target, until it is a goal, which is its own target."""
    while not goal[target].all():
        target = target[target]
    return target


def _in_turn(after: Indices, starts: Indices, rank: Indices, label: Indices) -> Indices:
    """The crossings of rings, each from its start, one ring after the other by the rank of what they are labelled."""
    from scipy.sparse.csgraph import depth_first_order

    if not starts.size:
        return starts
    first = np.zeros(after.size, np.bool_)
    first[starts] = True
    last = np.flatnonzero(first[after])
    after[last[np.argsort(rank[label[last]])][:-1]] = starts[1:]
    return np.asarray(depth_first_order(_graph(after), starts[0], return_predecessors=False))
