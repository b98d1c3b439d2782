"""Geometry of generated ground: rectangles, ribbons, blobs, crowns; and a raster of what is occupied."""

from __future__ import annotations

import cv2
import numpy as np
import shapely
from shapely.affinity import translate
from shapely.geometry import LineString, MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from rasterloom.tools.scenes.model import F64, MARGIN, U8, Box

ROAD, TRACK, WATER, BUILDING, YARD, FIELD, STRUCTURE, TREE = (1 << k for k in range(8))


def parts(geometry: BaseGeometry, least: float = 0.0) -> list[Polygon]:
    """The polygons in a geometry whose area exceeds `least` pixels."""
    flat = shapely.get_parts(geometry).tolist()
    found: list[Polygon] = []
    for piece in flat:
        if isinstance(piece, Polygon):
            found.append(piece)
        elif isinstance(piece, MultiPolygon):
            found.extend(piece.geoms)
    return [piece for piece in found if piece.area > least]


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
    """Surface along a line (N, 2) with a width at each point."""
    along = np.gradient(line, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    half = normal * widths[:, None] / 2
    surface = shapely.make_valid(Polygon(np.concatenate([line + half, (line - half)[::-1]])))
    return max(parts(surface), key=lambda p: p.area)


def blob(rng: np.random.Generator, x: float, y: float, radius: float, rough: float, points: int = 48) -> Polygon:
    """A smooth irregular outline: a circle whose radius varies by Fourier terms 2..6 of relative size
    `rough`."""
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
    """A line (N, 2) across the tile and its margins along `axis` (0: left to right, 1: top to bottom).

    `share` is its mean place across, `wander` the size of its slow swings, both fractions of the tile;
    `bend` (pixels) and `wave`
    (pixels) add meanders.
    """
    long, short = size[axis], size[1 - axis]
    t = np.arange(-MARGIN - 48, long + MARGIN + 49, 8.0)
    across = np.full(t.size, share * short)
    for k in (1, 2, 3):
        across += (
            wander
            * short
            / k
            * rng.normal()
            * 0.7
            * np.sin(2 * np.pi * k * t / (long * rng.uniform(1.0, 1.5)) + rng.uniform(0, 6.28))
        )
    if bend:
        phase = 2 * np.pi * t / wave + 1.2 * np.sin(2 * np.pi * t / (wave * 3.7) + rng.uniform(0, 6.28))
        across += bend * np.sin(phase + rng.uniform(0, 6.28))
    return np.stack([t, across] if axis == 0 else [across, t], axis=1)


def swept(outline: Polygon, dx: float, dy: float, start: float = 0.0) -> Polygon:
    """Shadow of a convex outline: the hull of it (moved by `start` of the way) and of it moved by (dx,
    dy)."""
    near = translate(outline, dx * start, dy * start)
    hull = shapely.union_all([near, translate(outline, dx, dy)]).convex_hull
    return hull if isinstance(hull, Polygon) else outline


class Occupancy:
    """A raster of the tile and its margin with a bit a kind of object; answers whether a place is free.

    Parameters
    ----------
    size : (W, H) of the tile.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.bits: U8 = np.zeros((size[1] + 2 * MARGIN, size[0] + 2 * MARGIN), np.uint8)

    def _window(self, outline: Polygon) -> tuple[tuple[slice, slice], U8] | None:
        x0, y0, x1, y1 = (int(v) for v in np.floor(np.array(outline.bounds) + MARGIN))
        height, width = self.bits.shape
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1 + 1, width), min(y1 + 1, height)
        if x1 <= x0 or y1 <= y0:
            return None
        rings = [outline.exterior, *outline.interiors]
        offset = np.array([MARGIN - x0 - 0.5, MARGIN - y0 - 0.5])
        points = [np.round(np.asarray(ring.coords) + offset).astype(np.int32) for ring in rings]
        cover = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(cover, points, 1)
        return (slice(y0, y1), slice(x0, x1)), cover

    def add(self, outline: Polygon, bit: int) -> int:
        """Mark an outline; returns how many pixels of the tile proper are new."""
        found = self._window(outline)
        if found is None:
            return 0
        where, cover = found
        view = self.bits[where]
        rows = np.arange(where[0].start, where[0].stop) - MARGIN
        cols = np.arange(where[1].start, where[1].stop) - MARGIN
        in_tile = ((rows >= 0) & (rows < self.size[1]))[:, None] & ((cols >= 0) & (cols < self.size[0]))
        new = int(np.count_nonzero((cover > 0) & ((view & bit) == 0) & in_tile))
        view |= cover * np.uint8(bit)
        return new

    def clear(self, x: float, y: float, radius: float, bits: int) -> bool:
        """Whether the middle and eight points of a circle carry none of the bits; a quick first look."""
        height, width = self.bits.shape
        for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7), (0.7, -0.7), (-0.7, 0.7), (-0.7, -0.7)):
            col, row = int(x + dx * radius + MARGIN), int(y + dy * radius + MARGIN)
            if 0 <= col < width and 0 <= row < height and self.bits[row, col] & bits:
                return False
        return True

    def free(self, outline: Polygon, bits: int) -> bool:
        """Whether no pixel of the outline carries any of the bits (what lies beyond the margin counts as
        free)."""
        found = self._window(outline)
        if found is None:
            return True
        where, cover = found
        return not bool(np.any((self.bits[where] & np.uint8(bits)) & (cover * np.uint8(255))))


def smooth_line(points: F64) -> LineString:
    """A line through points, rounded by two passes of corner cutting (Chaikin)."""
    for _ in range(2):
        a, b = points[:-1], points[1:]
        inner = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], axis=1).reshape(-1, 2)
        points = np.vstack([points[:1], inner, points[-1:]])
    return LineString(points)
