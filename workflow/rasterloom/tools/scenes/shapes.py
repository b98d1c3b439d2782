"""Geometry of generated ground: rectangles, ribbons, blobs, crowns; and a raster of what is occupied."""

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import translate
from shapely.geometry import LineString, Polygon
from shapely.geometry.base import BaseGeometry

from rasterloom.tools.scenes.model import F64, MARGIN, U8, Box

ROAD, TRACK, WATER, BUILDING, YARD, FIELD, STRUCTURE, TREE = (1 << k for k in range(8))

T = TypeVar("T")

Window = tuple[slice, slice]

_COMPASS = np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7), (0.7, -0.7), (-0.7, 0.7), (-0.7, -0.7)])


def pick(rng: np.random.Generator, things: Sequence[T]) -> T:
    """One of some things, all equally likely."""
    return things[int(rng.integers(len(things)))]


def parts(geometry: BaseGeometry | Sequence[BaseGeometry], least: float = 0.0) -> list[Polygon]:
    """The polygons in one or more geometries whose area exceeds `least` pixels."""
    flat = shapely.get_parts(shapely.get_parts(geometry)).tolist()
    return [piece for piece in flat if isinstance(piece, Polygon) and piece.area > least]


def turned(points: F64, x: float, y: float, angle: float) -> F64:
    """Points (N, 2) turned by `angle` (radians, x towards y) and moved to (x, y)."""
    c, s = np.cos(angle), np.sin(angle)
    return np.asarray(points @ np.array([[c, s], [-s, c]]) + (x, y), dtype=np.float64)


def rectangle(box: Box, along: tuple[float, float] = (-0.5, 0.5), across: tuple[float, float] = (-0.5, 0.5)) -> Polygon:
    """A rotated rectangle, or the part of it between two fractions of its length and of its width."""
    (a0, a1), (c0, c1) = along, across
    corners = np.array([[a0, c0], [a1, c0], [a1, c1], [a0, c1]]) * (box.length, box.width)
    return Polygon(turned(corners, box.x, box.y, box.angle))


def rounded(box: Box, radius: float) -> Polygon:
    """A rotated rectangle with rounded corners."""
    inner = rectangle(Box(box.x, box.y, box.length - 2 * radius, box.width - 2 * radius, box.angle))
    return inner.buffer(radius, quad_segs=3)


def ribbon(line: F64, widths: F64) -> Polygon:
    """Surface along a line (N, 2) with a width (N) at each point."""
    along = np.gradient(line, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    half = normal * widths[:, None] / 2
    surface = shapely.make_valid(Polygon(np.concatenate([line + half, (line - half)[::-1]])))
    return max(parts(surface), key=lambda piece: piece.area)


def blob(rng: np.random.Generator, x: float, y: float, radius: float, rough: float, points: int = 48) -> Polygon:
    """A smooth irregular outline: a circle whose radius varies by Fourier terms 2..6 of relative size `rough`."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    wave = np.zeros(points)
    for k in range(2, 7):
        wave += rng.normal(0, rough / (k - 0.5)) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    r = radius * np.clip(1 + wave, 0.45, 1.7)
    return Polygon(np.stack([x + r * np.cos(angle), y + r * np.sin(angle)], axis=1))


def crown_outline(rng: np.random.Generator, x: float, y: float, radius: float) -> Polygon:
    """A tree's crown seen from above: lobed, a little elongated."""
    count = int(np.clip(radius * 1.6, 14, 30))
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    k, phase = rng.integers(4, 8), rng.uniform(0, 2 * np.pi, 2)
    r = radius * (1 + 0.10 * np.cos(2 * angle + phase[0]) + 0.07 * np.cos(k * angle + phase[1]))
    r = r * rng.uniform(0.93, 1.07, count)
    return Polygon(np.stack([x + r * np.cos(angle), y + r * np.sin(angle)], axis=1))


def wandering(
    rng: np.random.Generator,
    size: tuple[int, int],
    axis: int,
    share: float,
    wander: float,
    bend: float = 0.0,
    wave: float = 1.0,
) -> F64:
    """A line across the tile and its margins.

    Parameters
    ----------
    rng : numpy.random.Generator
    size : (W, H)
        Of the tile.
    axis : int
        0: left to right, 1: top to bottom.
    share, wander : float
        Its mean place across and the size of its slow swings, fractions of the tile.
    bend, wave : float
        Height and length of its meanders in pixels.

    Returns
    -------
    (N, 2) float64 array
    """
    long, short = size[axis], size[1 - axis]
    t = np.arange(-MARGIN - 48, long + MARGIN + 49, 8.0)
    across = np.full(t.size, share * short)
    for k in (1, 2, 3):
        swing = wander * short / k * rng.normal() * 0.7
        across += swing * np.sin(2 * np.pi * k * t / (long * rng.uniform(1.0, 1.5)) + rng.uniform(0, 6.28))
    if bend:
        phase = 2 * np.pi * t / wave + 1.2 * np.sin(2 * np.pi * t / (wave * 3.7) + rng.uniform(0, 6.28))
        across += bend * np.sin(phase + rng.uniform(0, 6.28))
    return np.stack([t, across] if axis == 0 else [across, t], axis=1)


def smooth_line(points: F64) -> LineString:
    """A line through points (N, 2), rounded by two passes of corner cutting (Chaikin)."""
    for _ in range(2):
        a, b = points[:-1], points[1:]
        inner = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], axis=1).reshape(-1, 2)
        points = np.vstack([points[:1], inner, points[-1:]])
    return LineString(points)


def swept(outline: Polygon, dx: float, dy: float, start: float = 0.0) -> BaseGeometry:
    """Shadow of a convex outline: the hull of it (moved by `start` of the way) and of it moved by (dx, dy)."""
    near = translate(outline, dx * start, dy * start)
    return shapely.union_all([near, translate(outline, dx, dy)]).convex_hull


def window(outline: BaseGeometry, shape: tuple[int, int], origin: float) -> Window:
    """Rows and columns of a canvas of a shape (H, W) that an outline touches; empty slices if it lies outside.

    The coordinate of the canvas's left and upper edges is ``-origin``.
    """
    bounds = np.array(outline.bounds) + origin
    x0, y0 = (max(int(v), 0) for v in np.floor(bounds[:2]))
    x1, y1 = (min(int(v) + 1, most) for v, most in zip(np.ceil(bounds[2:]), shape[::-1], strict=True))
    return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else (slice(0, 0), slice(0, 0))


def rings(outline: BaseGeometry, where: Window, origin: float) -> list[F64]:
    """Exterior and holes of a polygon, (N, 2) each, in coordinates of a window of the canvas."""
    offset = np.array([origin - where[1].start, origin - where[0].start])
    return [shapely.get_coordinates(ring)[:-1] + offset for ring in shapely.get_rings(outline)]


class Occupancy:
    """A raster of the tile and its margin with one bit per kind of object; answers whether a place is free.

    Parameters
    ----------
    size : (W, H)
        Of the tile.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.bits: U8 = np.zeros((size[1] + 2 * MARGIN, size[0] + 2 * MARGIN), np.uint8)
        self.tile: NDArray[np.bool_] = np.pad(np.ones(size[::-1], np.bool_), MARGIN)

    def _covered(self, outline: Polygon) -> tuple[Window, NDArray[np.bool_]]:
        """A window and the pixels in it that an outline covers."""
        where = window(outline, self.bits.shape, MARGIN)
        cover = np.zeros(self.bits[where].shape, np.uint8)
        if cover.size:
            cv2.fillPoly(cover, [np.round(ring).astype(np.int32) for ring in rings(outline, where, MARGIN - 0.5)], 1)
        return where, cover > 0

    def add(self, outline: Polygon, bit: int) -> int:
        """Mark an outline; returns how many pixels of the tile proper are new."""
        where, covered = self._covered(outline)
        new = covered & (self.bits[where] & bit == 0)
        self.bits[where][new] |= bit
        return int(np.count_nonzero(new & self.tile[where]))

    def free(self, outline: Polygon, bits: int) -> bool:
        """Whether no pixel of the outline carries any of the bits (what lies beyond the margin counts as free)."""
        where, covered = self._covered(outline)
        return not (self.bits[where][covered] & bits).any()

    def clear(self, x: float, y: float, radius: float, bits: int) -> bool:
        """Whether the middle and eight points of a circle carry none of the bits; a quick first look."""
        columns, rows = (_COMPASS * radius + (x, y) + MARGIN).astype(int).T
        on = (columns >= 0) & (rows >= 0) & (columns < self.bits.shape[1]) & (rows < self.bits.shape[0])
        return not (self.bits[rows[on], columns[on]] & bits).any()
