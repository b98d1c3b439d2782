"""The ground's large features: river, ponds, roads, tracks, crop fields and trees."""

import numpy as np
import shapely
from shapely.geometry import LineString, Point, Polygon, box
from shapely.geometry.base import BaseGeometry

from rasterloom.tools.scenes import shapes
from rasterloom.tools.scenes.model import F64, MARGIN, Crown, Field, Ground, Way
from rasterloom.tools.scenes.shapes import Occupancy, pick

FIELD_SHARE = 0.27
"""Share of a tile that crop fields reach before no more are laid out."""

_TREELESS = shapes.ROAD | shapes.TRACK | shapes.WATER | shapes.BUILDING | shapes.FIELD | shapes.STRUCTURE | shapes.YARD


def build_terrain(rng: np.random.Generator, ground: Ground, taken: Occupancy, waters: tuple[bool, bool]) -> None:
    """Put roads, river, ponds and tracks on the ground, in this order; `waters`: whether with river, with ponds."""
    axis = int(rng.integers(2))
    river_at = float(rng.choice([rng.uniform(0.13, 0.22), rng.uniform(0.78, 0.87)]))
    _roads(rng, ground, taken, axis, river_at)
    if waters[0]:
        _river(rng, ground, taken, axis, river_at)
    if waters[1]:
        _ponds(rng, ground, taken)
    _tracks(rng, ground, taken)


def _roads(rng: np.random.Generator, ground: Ground, taken: Occupancy, axis: int, river_at: float) -> None:
    """One road along the river's axis, more in larger tiles, and a crossing one in tiles that have room for it."""
    side = min(ground.size)
    along = max(1, round(side / 1200))
    cross = max(int(rng.integers(2)) if side >= 480 else 0, round(side / 1500))
    for share in (np.arange(along) + 0.5) / along:
        if abs(share - river_at) > 0.12 or along == 1:
            place = float(share) + rng.uniform(-0.08, 0.08) / along
            line = shapes.wandering(rng, ground.size, axis, place, 0.035 / along)
            ground.roads.append(Way(LineString(line), rng.uniform(17, 23)))
    for share in (np.arange(cross) + rng.uniform(0.25, 0.75)) / max(cross, 1):
        line = shapes.wandering(rng, ground.size, 1 - axis, float(share), 0.03 / cross)
        ground.roads.append(Way(LineString(line), rng.uniform(15, 19)))
    for road in ground.roads:
        taken.add(road.surface, shapes.ROAD)


def _river(rng: np.random.Generator, ground: Ground, taken: Occupancy, axis: int, share: float) -> None:
    """A meandering river that leaves the tile at two borders; roads cross it on bridges."""
    width = float(np.clip(0.032 * min(ground.size), 11, 60) * rng.uniform(0.85, 1.2))
    line = shapes.wandering(rng, ground.size, axis, share, 0.02, bend=1.1 * width, wave=rng.uniform(11, 15) * width)
    t, swing = np.linspace(0, 1, len(line)), np.ones(len(line))
    for height, waves in ((0.16, 3.3), (0.10, 9)):
        swing += height * np.sin(2 * np.pi * waves * t + rng.uniform(0, 6.28))
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
    least = 0.055 * min(ground.size)
    for tries in range(400):
        if len(ground.ponds) >= wanted:
            break
        radius = float(np.clip(rng.uniform(0.9, 1.4) * least, 12, 70)) * (0.995**tries)
        spread = 1.5 * radius + 4
        x, y = rng.uniform(spread, ground.size[0] - spread), rng.uniform(spread, ground.size[1] - spread)
        if taken.free(Point(x, y).buffer(1.45 * radius + 6), shapes.ROAD | shapes.WATER):
            pond = shapes.blob(rng, x, y, radius, 0.17)
            ground.ponds.append(pond)
            ground.banks.append(shapes.blob(rng, x, y, radius, 0.0).union(pond).buffer(3.5 + 0.06 * radius))
            taken.add(ground.banks[-1], shapes.WATER)


def _walk(
    rng: np.random.Generator, ground: Ground, taken: Occupancy, start: tuple[float, float, float], longest: float
) -> F64:
    """Points (N, 2) of a curvy walk until it leaves the ground, meets water or grows long enough."""
    x, y, heading = start
    turn, points = 0.0, [(x, y)]
    while len(points) * 14 < longest:
        turn = 0.75 * turn + rng.normal(0, 0.055)
        heading += turn
        x, y = x + 14 * np.cos(heading), y + 14 * np.sin(heading)
        if not (ground.inside(x, y, -MARGIN - 20) and taken.free(Point(x, y).buffer(9), shapes.WATER)):
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
        source = pick(rng, ground.roads + (ground.tracks if rng.random() < 0.35 else []))
        x, y, heading = source.at(rng.uniform(0.1, 0.9) * source.line.length)
        if not ground.inside(x, y, 8):
            continue
        away = heading + float(rng.choice([-1, 1])) * np.pi / 2 + rng.normal(0, 0.3)
        points = _walk(rng, ground, taken, (x, y, away), rng.uniform(0.5, 1.0) * longest)
        if len(points) < 8:
            continue
        way = Way(shapes.smooth_line(points), rng.uniform(7, 10.5))
        near = [track.surface for track in ground.tracks if track.surface.distance(way.line) < 30]
        if any(other.buffer(16).intersection(way.line).length > 0.25 * way.line.length for other in near):
            continue
        ground.tracks.append(way)
        taken.add(way.surface, shapes.TRACK)
        covered += way.surface.intersection(tile).area


# Fields -----------------------------------------------------------------------------------------------------


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
    corners = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], axis=2)
    return [cell for cell in map(Polygon, corners.reshape(-1, 4, 2)) if cell.is_valid]


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
    houses = [Point(house.wings[0].x, house.wings[0].y) for house in ground.buildings]
    blocks = max(1, round(ground.area / 700**2))
    middles = rng.uniform(0.1, 0.9, (blocks, 2)) * ground.size
    centres = shapely.get_coordinates(shapely.centroid(cells))
    apart = np.hypot(*(centres[:, None] - middles).T).min(axis=0)
    covered = 0.0
    for index in np.argsort(apart + rng.normal(0, 0.35 * np.sqrt(ground.area / blocks), len(cells))):
        if covered > share * ground.area:
            break
        cell = cells[int(index)]
        free = cell.buffer(-rng.uniform(2.5, 6)).difference(blocked).buffer(-4).buffer(4, quad_segs=3)
        pieces = sorted(shapes.parts(free, 0.16 * cell.area), key=lambda p: -p.area)[:2]
        rows = angle + rng.choice([0, np.pi / 2]) + rng.normal(0, 0.05)
        for piece in pieces:
            outline = piece.simplify(0.3)
            if outline.area > 900 and not any(map(outline.contains, houses)):
                ground.fields.append(Field(shapes.parts(outline)[0], float(rows)))
                taken.add(ground.fields[-1].outline, shapes.FIELD)
                covered += piece.intersection(tile).area


# Trees ------------------------------------------------------------------------------------------------------


def build_trees(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """Plant trees until their crowns cover 11 to 14 % of the tile or no room is left."""
    wanted, covered, idle = rng.uniform(0.11, 0.14) * ground.area, 0, 0
    while covered < wanted and idle < 400:
        spots, small = _clump(rng, ground)
        new = sum(_plant(rng, ground, taken, float(x), float(y), small) for x, y in spots)
        covered += new
        idle = 0 if new else idle + 1


def _along(rng: np.random.Generator, outline: Polygon, longest: float, step: float | None = None) -> F64:
    """Points (N, 2) along a stretch of an outline, at equal steps (drawn if none is given)."""
    edge = outline.exterior
    start, length = rng.uniform(0, edge.length), rng.uniform(60, longest)
    distances = (start + np.arange(0, length, step or rng.uniform(9, 18))) % edge.length
    return shapely.get_coordinates(shapely.line_interpolate_point(edge, distances))


def _clump(rng: np.random.Generator, ground: Ground) -> tuple[F64, bool]:
    """Places (N, 2) for the trees of a wood, a hedgerow, a riverside or a garden; and whether they are small."""
    kind, (width, height) = rng.random(), ground.size
    if kind < 0.22 and ground.fields:  # hedgerow
        along = _along(rng, pick(rng, ground.fields).outline.buffer(11), 220)
        return along + rng.normal(0, 2, along.shape), True
    if kind < 0.40 and ground.banks:  # riverside
        along = _along(rng, pick(rng, ground.banks).buffer(9), 260, 12)
        out = np.abs(rng.normal(0, 5, along.shape))
        return along + out * rng.choice([-1, 1]), False
    if kind < 0.62 and ground.buildings:  # garden
        house = pick(rng, ground.buildings).wings[0]
        turn, away = rng.uniform(0, 6.28, 3), rng.uniform(24, 46, 3)
        return np.stack([house.x + away * np.cos(turn), house.y + away * np.sin(turn)], axis=1), False
    if kind < 0.75:  # a lone tree
        return rng.uniform(-MARGIN, np.array([[width + MARGIN, height + MARGIN]]), (1, 2)), False
    middle = rng.uniform(-MARGIN, np.array([width + MARGIN, height + MARGIN]))  # a wood
    spread = rng.uniform(16, 60) * float(np.clip(min(width, height) / 700, 0.7, 1.6))
    count = int(np.clip((spread / 7.5) ** 2, 5, 160))
    return rng.normal(middle, spread * rng.uniform(0.6, 1.4, 2), (count, 2)), False


def _plant(rng: np.random.Generator, ground: Ground, taken: Occupancy, x: float, y: float, small: bool) -> int:
    """Plant one tree if its crown fits; returns the pixels of the tile that are newly covered."""
    radius = float(np.clip(rng.lognormal(2.0 if small else 2.3, 0.28), 4.5, 19))
    if not taken.clear(x, y, 0.9 * radius, _TREELESS):
        radius *= 0.62
        if radius < 4 or not taken.clear(x, y, 0.9 * radius, _TREELESS):
            return 0
    outline = shapes.crown_outline(rng, x, y, radius)
    if not taken.free(outline.buffer(1.5, quad_segs=2), _TREELESS):
        return 0
    height = 1.0 + 0.31 * radius * rng.uniform(1.3, 1.9)
    ground.crowns.append(Crown(outline, x, y, radius, height, rng.uniform(0.78, 1.2), rng.uniform(0, 1)))
    return taken.add(outline, shapes.TREE)


def tree_outlines(ground: Ground) -> list[Polygon]:
    """Outlines of woods and trees as an annotator draws them: crowns merged, nooks rounded, tiny gaps closed."""
    merged = shapely.union_all([crown.outline for crown in ground.crowns])
    smooth = merged.buffer(0.8, quad_segs=3).buffer(-0.8, quad_segs=3).simplify(0.35)
    return [
        Polygon(piece.exterior, [ring for ring in piece.interiors if Polygon(ring).area > 25])
        for piece in shapes.parts(shapely.make_valid(smooth), 8)
    ]
