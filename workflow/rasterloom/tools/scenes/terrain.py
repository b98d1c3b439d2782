"""The ground's large features: river, ponds, roads, tracks and crop fields."""

from __future__ import annotations

import numpy as np
import shapely
from shapely.geometry import LineString, Point, Polygon, box
from shapely.geometry.base import BaseGeometry

from rasterloom.tools.scenes import shapes
from rasterloom.tools.scenes.ids import Content
from rasterloom.tools.scenes.model import F64, MARGIN, Field, Ground, Way
from rasterloom.tools.scenes.shapes import Occupancy

FIELD_SHARE = 0.27
"""Share of a tile that crop fields reach before no more are laid out."""


def build_terrain(rng: np.random.Generator, ground: Ground, taken: Occupancy, wanted: Content) -> None:
    """Put river, ponds, roads and tracks on the ground, in this order."""
    axis = int(rng.integers(2))
    river_at = float(rng.choice([rng.uniform(0.13, 0.22), rng.uniform(0.78, 0.87)]))
    _roads(rng, ground, taken, axis, river_at)
    if wanted.river:
        _river(rng, ground, taken, axis, river_at)
    if wanted.pond:
        _ponds(rng, ground, taken)
    _tracks(rng, ground, taken)


def _way(line: LineString, width: float) -> Way:
    return Way(line, width, line.buffer(width / 2, cap_style="flat", quad_segs=4))


def _roads(rng: np.random.Generator, ground: Ground, taken: Occupancy, axis: int, river_at: float) -> None:
    """One road along the river's axis, more in larger tiles, and a crossing one in tiles that have room for
    it."""
    side = min(ground.size)
    along, cross = (
        max(1, round(side / 1200)),
        max(int(rng.integers(2)) if side >= 480 else 0, round(side / 1500)),
    )
    slots = [s for s in (np.arange(along) + 0.5) / along if abs(s - river_at) > 0.12 or along == 1]
    for share in slots:
        place = float(share) + rng.uniform(-0.08, 0.08) / along
        line = shapes.wandering(rng, ground.size, axis, place, 0.035 / along)
        ground.roads.append(_way(LineString(line), float(rng.uniform(17, 23))))
    for share in (np.arange(cross) + rng.uniform(0.25, 0.75)) / max(cross, 1):
        line = shapes.wandering(rng, ground.size, 1 - axis, float(share), 0.03 / cross)
        ground.roads.append(_way(LineString(line), float(rng.uniform(15, 19))))
    for road in ground.roads:
        taken.add(road.surface, shapes.ROAD)


def _river(rng: np.random.Generator, ground: Ground, taken: Occupancy, axis: int, share: float) -> None:
    """A meandering river that leaves the tile at two borders; roads cross it on bridges."""
    width = float(np.clip(0.032 * min(ground.size), 11, 60) * rng.uniform(0.85, 1.2))
    line = shapes.wandering(rng, ground.size, axis, share, 0.02, bend=1.1 * width, wave=rng.uniform(11, 15) * width)
    t = np.linspace(0, 1, len(line))
    swing = (
        1
        + 0.16 * np.sin(2 * np.pi * 3.3 * t + rng.uniform(0, 6.28))
        + 0.10 * np.sin(2 * np.pi * 9 * t + rng.uniform(0, 6.28))
    )
    surface = shapes.ribbon(line, width * swing)
    bridges = shapely.union_all([road.surface for road in ground.roads])
    ground.river = shapes.parts(surface.difference(bridges), 30)
    ragged = 1 + 0.35 * np.abs(np.convolve(rng.normal(size=len(line)), np.ones(5) / 2.2, mode="same"))
    bank = shapes.ribbon(line, width * swing + (4 + 0.16 * width) * ragged)
    ground.banks = shapes.parts(bank.difference(bridges), 30)
    for piece in ground.banks:
        taken.add(piece, shapes.WATER)


def _ponds(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """Ponds that lie wholly in the tile; at least one."""
    wanted = max(1, round(ground.area / 1500**2 * rng.uniform(0.8, 1.6)))
    tries, least = 0, 0.055 * min(ground.size)
    while len(ground.ponds) < wanted and tries < 400:
        radius = float(np.clip(rng.uniform(0.9, 1.4) * least, 12, 70)) * (0.995**tries)
        spread = 1.5 * radius + 4
        x, y = rng.uniform(spread, ground.size[0] - spread), rng.uniform(spread, ground.size[1] - spread)
        tries += 1
        if not taken.free(Point(x, y).buffer(1.45 * radius + 6), shapes.ROAD | shapes.WATER):
            continue
        pond = shapes.blob(rng, x, y, radius, 0.17)
        ground.ponds.append(pond)
        ground.banks.append(shapes.blob(rng, x, y, radius, 0.0).union(pond).buffer(3.5 + 0.06 * radius))
        taken.add(ground.banks[-1], shapes.WATER)


def _walk(
    rng: np.random.Generator,
    ground: Ground,
    taken: Occupancy,
    start: tuple[float, float, float],
    longest: float,
) -> F64:
    """Points of a curvy walk until it leaves the ground, meets water or grows long enough."""
    x, y, heading = start
    turn, points = 0.0, [(x, y)]
    while len(points) * 14 < longest:
        turn = 0.75 * turn + rng.normal(0, 0.055)
        heading += turn
        x, y = x + 14 * np.cos(heading), y + 14 * np.sin(heading)
        if not (-MARGIN - 20 < x < ground.size[0] + MARGIN + 20 and -MARGIN - 20 < y < ground.size[1] + MARGIN + 20):
            break
        if not taken.free(Point(x, y).buffer(9), shapes.WATER):
            break
        points.append((x, y))
    return np.array(points)


def _tracks(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """Tracks that start at a road or another track, until they cover about 2.6 % of the tile."""
    tile = box(0, 0, *ground.size)
    covered, longest = 0.0, 1.1 * max(ground.size)
    for _ in range(40 + int(ground.area / 300**2) * 4):
        if covered > 0.026 * ground.area:
            break
        sources = ground.roads + (ground.tracks if rng.random() < 0.35 else [])
        source = sources[int(rng.integers(len(sources)))]
        x, y, heading = source.at(float(rng.uniform(0.1, 0.9)) * source.line.length)
        if not ground.inside(x, y, 8):
            continue
        away = heading + float(rng.choice([-1, 1])) * np.pi / 2 + rng.normal(0, 0.3)
        points = _walk(rng, ground, taken, (x, y, away), float(rng.uniform(0.5, 1.0)) * longest)
        if len(points) < 8:
            continue
        way = _way(shapes.smooth_line(points), float(rng.uniform(7, 10.5)))
        near = [t for t in ground.tracks if t.surface.distance(way.line) < 30]
        if any(t.surface.buffer(16).intersection(way.line).length > 0.25 * way.line.length for t in near):
            continue
        ground.tracks.append(way)
        taken.add(way.surface, shapes.TRACK)
        covered += way.surface.intersection(tile).area


def _cells(rng: np.random.Generator, ground: Ground, angle: float) -> list[Polygon]:
    """A patchwork of four-cornered cells with jittered corners, turned by `angle`, over the whole ground."""
    width, height = ground.size
    pitch = float(np.clip(0.27 * min(width, height), 75, 210))
    reach = float(np.hypot(width, height)) / 2 + MARGIN
    n = int(np.ceil(reach / pitch))
    steps = np.arange(-n, n + 1) * pitch
    u, v = np.meshgrid(steps, steps * rng.uniform(0.6, 0.9), indexing="ij")
    grid = np.stack([u, v], axis=-1) + rng.normal(0, 0.075 * pitch, (*u.shape, 2))
    grid = shapes.turned(grid.reshape(-1, 2), width / 2, height / 2, angle).reshape(*u.shape, 2)
    cells = []
    for i in range(len(steps) - 1):
        for j in range(len(steps) - 1):
            cell = Polygon([grid[i, j], grid[i + 1, j], grid[i + 1, j + 1], grid[i, j + 1]])
            if cell.is_valid:
                cells.append(cell)
    return cells


def _obstacles(ground: Ground) -> BaseGeometry:
    """All that a field keeps clear of, already grown by the distance it keeps."""
    ways = [way.surface.buffer(5) for way in (*ground.roads, *ground.tracks)]
    built = [b.outline.buffer(14) for b in ground.buildings] + [s.outline.buffer(5) for s in ground.structures]
    pads = [shapes.rectangle(pad).buffer(6) for pad in ground.pads]
    return shapely.union_all([*ways, *[b.buffer(5) for b in ground.banks], *built, *pads, *ground.yards])


def build_fields(rng: np.random.Generator, ground: Ground, taken: Occupancy, share: float = FIELD_SHARE) -> None:
    """Crop fields between all else, in blocks, until they cover a share of the tile or no room is left."""
    road = ground.roads[0]
    angle = road.at(road.line.length / 2)[2] + rng.normal(0, 0.12)
    cells, blocked, tile = _cells(rng, ground, angle), _obstacles(ground), box(0, 0, *ground.size)
    shapely.prepare(blocked)
    blocks = max(1, round(ground.area / 700**2))
    middles = rng.uniform(0.1, 0.9, (blocks, 2)) * ground.size
    spread = 0.35 * np.sqrt(ground.area / blocks)
    keys = [
        min(np.hypot(c.centroid.x - mx, c.centroid.y - my) for mx, my in middles) + rng.normal(0, spread) for c in cells
    ]
    covered = 0.0
    for index in np.argsort(keys):
        if covered > share * ground.area:
            break
        cell = cells[int(index)]
        free = cell.buffer(-rng.uniform(2.5, 6)).difference(blocked).buffer(-4).buffer(4, quad_segs=3)
        pieces = sorted(shapes.parts(free, 0.16 * cell.area), key=lambda p: -p.area)[:2]
        rows = angle + rng.choice([0, np.pi / 2]) + rng.normal(0, 0.05)
        for piece in pieces:
            outline = piece.simplify(0.3)
            if outline.area > 900 and not any(
                outline.contains(Point(b.wings[0].x, b.wings[0].y)) for b in ground.buildings
            ):
                ground.fields.append(Field(shapes.parts(outline)[0], float(rows)))
                taken.add(ground.fields[-1].outline, shapes.FIELD)
                covered += piece.intersection(tile).area
