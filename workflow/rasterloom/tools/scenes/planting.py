"""Trees: woods, hedgerows, trees along the river and beside houses."""

from __future__ import annotations

import numpy as np
import shapely
from shapely.geometry import Polygon

from rasterloom.tools.scenes import shapes
from rasterloom.tools.scenes.model import F64, MARGIN, Crown, Ground
from rasterloom.tools.scenes.shapes import Occupancy

_CLEAR = shapes.ROAD | shapes.TRACK | shapes.WATER | shapes.BUILDING | shapes.FIELD | shapes.STRUCTURE | shapes.YARD


def build_trees(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """Plant trees until their crowns cover 11 to 14 % of the tile or no room is left."""
    wanted, covered, idle = float(rng.uniform(0.11, 0.14)) * ground.area, 0, 0
    while covered < wanted and idle < 400:
        spots, small = _clump(rng, ground)
        new = sum(_plant(rng, ground, taken, float(x), float(y), small) for x, y in spots)
        covered += new
        idle = 0 if new else idle + 1


def _clump(rng: np.random.Generator, ground: Ground) -> tuple[F64, bool]:
    """Places (N, 2) for the trees of a wood, a hedgerow, a riverside or a garden; and whether they are
    small."""
    kind, (width, height) = rng.random(), ground.size
    if kind < 0.22 and ground.fields:  # hedgerow
        edge = ground.fields[int(rng.integers(len(ground.fields)))].outline.buffer(11).exterior
        start, length = rng.uniform(0, edge.length), rng.uniform(60, 220)
        along = [edge.interpolate(float((start + d) % edge.length)) for d in np.arange(0, length, rng.uniform(9, 18))]
        return np.array([(p.x, p.y) for p in along]) + rng.normal(0, 2, (len(along), 2)), True
    if kind < 0.40 and ground.banks:  # riverside
        edge = ground.banks[int(rng.integers(len(ground.banks)))].buffer(9).exterior
        start, length = rng.uniform(0, edge.length), rng.uniform(60, 260)
        along = [edge.interpolate(float((start + d) % edge.length)) for d in np.arange(0, length, 12)]
        out = np.abs(rng.normal(0, 5, (len(along), 2)))
        return np.array([(p.x, p.y) for p in along]) + out * rng.choice([-1, 1]), False
    if kind < 0.62 and ground.buildings:  # garden
        house = ground.buildings[int(rng.integers(len(ground.buildings)))].wings[0]
        turn, away = rng.uniform(0, 6.28, 3), rng.uniform(24, 46, 3)
        return np.stack([house.x + away * np.cos(turn), house.y + away * np.sin(turn)], axis=1), False
    if kind < 0.75:  # a lone tree
        return rng.uniform(-MARGIN, np.array([[width + MARGIN, height + MARGIN]]), (1, 2)), False
    middle = rng.uniform(-MARGIN, np.array([width + MARGIN, height + MARGIN]))  # a wood
    spread = float(rng.uniform(16, 60)) * float(np.clip(min(width, height) / 700, 0.7, 1.6))
    count = int(np.clip((spread / 7.5) ** 2, 5, 160))
    return rng.normal(middle, spread * rng.uniform(0.6, 1.4, 2), (count, 2)), False


def _plant(rng: np.random.Generator, ground: Ground, taken: Occupancy, x: float, y: float, small: bool) -> int:
    """Plant one tree if its crown fits; returns the pixels of the tile that are newly covered."""
    radius = float(np.clip(rng.lognormal(2.0 if small else 2.3, 0.28), 4.5, 19))
    if not taken.clear(x, y, 0.9 * radius, _CLEAR):
        radius *= 0.62
        if radius < 4 or not taken.clear(x, y, 0.9 * radius, _CLEAR):
            return 0
    outline = shapes.crown_outline(rng, x, y, radius)
    if not taken.free(outline.buffer(1.5, quad_segs=2), _CLEAR):
        return 0
    height = 1.0 + 0.31 * radius * float(rng.uniform(1.3, 1.9))
    ground.crowns.append(Crown(outline, x, y, radius, height, float(rng.uniform(0.78, 1.2)), float(rng.uniform(0, 1))))
    return taken.add(outline, shapes.TREE)


def tree_outlines(ground: Ground) -> list[Polygon]:
    """Outlines of woods and trees as an annotator draws them: crowns merged, nooks rounded, tiny gaps
    closed."""
    merged = shapely.union_all([crown.outline for crown in ground.crowns])
    smooth = merged.buffer(0.8, quad_segs=3).buffer(-0.8, quad_segs=3).simplify(0.35)
    found = []
    for piece in shapes.parts(shapely.make_valid(smooth), 8):
        holes = [ring for ring in piece.interiors if Polygon(ring).area > 25]
        found.append(Polygon(piece.exterior, holes))
    return found
