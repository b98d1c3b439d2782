"""What people built: houses along the roads, yards, walls, sheds, tanks, depots."""

from __future__ import annotations

import numpy as np
import shapely
from shapely.geometry import LineString, Point, Polygon
from shapely.geometry.base import BaseGeometry

from rasterloom.tools.scenes import shapes
from rasterloom.tools.scenes.model import MARGIN, Box, Building, Ground, Structure, Way
from rasterloom.tools.scenes.shapes import Occupancy, rectangle

ROOFS = ("zinc", "rust", "tile", "blue_sheet", "white_roof", "grey_roof")

_SOLID = shapes.ROAD | shapes.TRACK | shapes.WATER | shapes.BUILDING | shapes.YARD | shapes.STRUCTURE


def build_settlement(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """Put depots, houses and small structures on the ground."""
    _depots(rng, ground, taken)
    _houses(rng, ground, taken)
    _yards(rng, ground)
    _structures(rng, ground, taken)


def _beside(
    rng: np.random.Generator, way: Way, distance: float, gap: float, depth: float
) -> tuple[float, float, float]:
    """Middle and heading of a lot of a depth beside a way, `gap` pixels off its edge."""
    x, y, heading = way.at(distance)
    side = float(rng.choice([-1, 1]))
    off = side * (way.width / 2 + gap + depth / 2)
    return x - off * np.sin(heading), y + off * np.cos(heading), heading


def _depots(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """Paved pads beside a road where lorries stand; at least one if any place is free."""
    wanted, side = max(1, round(ground.area / 800**2)), min(ground.size)
    for _ in range(wanted * 60):
        if len(ground.pads) >= wanted:
            break
        length = float(rng.uniform(70, 110)) * min(1.0, side / 400)
        depth = float(rng.uniform(52, 70)) * min(1.0, side / 340)
        road = ground.roads[int(rng.integers(len(ground.roads)))]
        x, y, heading = _beside(rng, road, float(rng.uniform(0, road.line.length)), 1.5, depth)
        pad = Box(x, y, length, depth, heading)
        if not ground.inside(x, y, 0.55 * max(length, depth)):
            continue
        if taken.free(rectangle(pad), shapes.WATER | shapes.TRACK | shapes.YARD | shapes.ROAD):
            ground.pads.append(pad)
            taken.add(rectangle(pad), shapes.YARD)


def _wings(rng: np.random.Generator, x: float, y: float, angle: float) -> tuple[Box, ...]:
    """A rectangular house, or an L of two wings."""
    length, width = float(rng.uniform(27, 50)), float(rng.uniform(19, 30))
    if rng.random() < 0.12:  # a hall
        length, width = float(rng.uniform(60, 85)), float(rng.uniform(30, 42))
    main = Box(x, y, length, width, angle)
    if rng.random() > 0.34:
        return (main,)
    short, deep, side = 0.45 * length, 0.75 * width, float(rng.choice([-1, 1]))
    shift = np.array([[(length - short) / 2 * float(rng.choice([-1, 1])), side * (width + deep) / 2]])
    wx, wy = shapes.turned(shift, x, y, angle)[0]
    return main, Box(float(wx), float(wy), deep + 0.02, short, angle + np.pi / 2)


def _candidates(rng: np.random.Generator, ground: Ground) -> list[tuple[float, float, float]]:
    """Places for houses: beside roads (in two rows) and tracks, the nearest to a hamlet's middle first."""
    hamlets = max(1, round(ground.area / 650**2))
    middles = []
    for _ in range(hamlets * 30):
        road = ground.roads[int(rng.integers(len(ground.roads)))]
        x, y, _ = road.at(float(rng.uniform(0, road.line.length)))
        if ground.inside(x, y, 0.16 * min(ground.size)):
            middles.append((x, y))
        if len(middles) == hamlets:
            break
    centres = np.array(middles or [(ground.size[0] / 2, ground.size[1] / 2)])
    places, keys = [], []
    for way, rows, extra in [(r, 2, 0.0) for r in ground.roads] + [(t, 1, 60.0) for t in ground.tracks]:
        for distance in np.arange(rng.uniform(10, 30), way.line.length, 9.0):
            depth = 26.0 * float(rng.uniform(0.9, 1.5))
            gap = float(rng.uniform(7, 16)) + (float(rng.integers(rows)) * rng.uniform(50, 62))
            x, y, heading = _beside(rng, way, float(distance), gap, depth)
            if -MARGIN < x < ground.size[0] + MARGIN and -MARGIN < y < ground.size[1] + MARGIN:
                places.append((x, y, heading))
                keys.append(float(np.hypot(*(centres - (x, y)).T).min() + extra + rng.exponential(70)))
    return [places[i] for i in np.argsort(keys)]


def _houses(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """About 13 houses a 512 x 512 tile, at least 5."""
    wanted, inside = max(5, round(float(rng.uniform(11, 16)) * ground.area / 512**2)), 0
    places = _candidates(rng, ground)
    more = rng.uniform(0, 1, (400, 2)) * ground.size
    places += [(float(x), float(y), float(rng.uniform(0, np.pi))) for x, y in more]
    for x, y, heading in places:
        if inside >= wanted:
            break
        angle = heading + float(rng.normal(0, 0.05)) + float(rng.choice([0, np.pi / 2], p=[0.75, 0.25]))
        wings = _wings(rng, x, y, angle)
        outline = shapes.parts(shapely.union_all([rectangle(wing) for wing in wings]))[0]
        if not taken.free(outline.buffer(7, quad_segs=2), _SOLID):
            continue
        material = str(rng.choice(ROOFS, p=[0.30, 0.24, 0.14, 0.08, 0.10, 0.14]))
        gable = material in ("zinc", "rust", "tile") or rng.random() < 0.4
        ground.buildings.append(
            Building(wings, outline, material, float(rng.uniform(3, 5.5)), gable, float(rng.uniform(0.82, 1.15)))
        )
        taken.add(outline, shapes.BUILDING)
        inside += ground.inside(x, y)


def _yards(rng: np.random.Generator, ground: Ground) -> None:
    """Trodden earth around houses."""
    for house in ground.buildings:
        if rng.random() < 0.85:
            main = house.wings[0]
            yard = shapes.blob(rng, main.x, main.y, 0.5 * main.length + rng.uniform(8, 20), 0.12, 28)
            ground.yards += shapes.parts(yard.union(house.outline.buffer(4)))


def _wall(rng: np.random.Generator, house: Building, blocked: BaseGeometry) -> list[Polygon]:
    """Three to four sides of a wall around a house, with a gate; none where `blocked`."""
    main = house.wings[0]
    gap = float(rng.uniform(9, 20))
    lot = Box(main.x, main.y, main.length + 2 * gap, main.width + 2 * gap, main.angle)
    ring = np.asarray(rectangle(lot).exterior.coords)
    ring = np.roll(ring[:-1], int(rng.integers(4)), axis=0)
    ring = np.concatenate([ring, ring[:1]])
    line = LineString(ring)
    start, end = rng.uniform(0.02, 0.1), rng.uniform(0.72, 0.96)
    points = [line.interpolate(t, normalized=True) for t in np.linspace(start, end, 60)]
    kept = LineString(
        [
            points[0],
            *[Point(p) for p in ring[1:-1] if start < line.project(Point(p), normalized=True) < end],
            points[-1],
        ]
    )
    surface = kept.buffer(float(rng.uniform(0.9, 1.3)), cap_style="flat", join_style="mitre")
    return shapes.parts(surface.difference(blocked.union(house.outline.buffer(3))), 45)


def _small(rng: np.random.Generator, x: float, y: float, angle: float) -> Structure:
    """A tank or a shed."""
    if rng.random() < 0.35:
        tank = Point(x, y).buffer(float(rng.uniform(4.2, 9)), quad_segs=6)
        return Structure(
            tank,
            str(rng.choice(["tank", "white_roof"])),
            float(rng.uniform(2, 4)),
            float(rng.uniform(0.9, 1.2)),
        )
    shed = rectangle(Box(x, y, float(rng.uniform(9, 16)), float(rng.uniform(7.5, 11)), angle))
    return Structure(
        shed,
        str(rng.choice(["rust", "grey_roof", "zinc", "wood"])),
        float(rng.uniform(2, 2.8)),
        float(rng.uniform(0.8, 1.1)),
    )


def _structures(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """Walls around some houses; sheds and tanks near houses and here and there in the open."""
    solid = _SOLID | shapes.FIELD
    ways = [way.surface.buffer(4) for way in (*ground.roads, *ground.tracks)]
    blocked = shapely.union_all(
        [*ways, *[rectangle(pad).buffer(3) for pad in ground.pads], *[b.buffer(2) for b in ground.banks]]
    )
    for house in ground.buildings:
        if rng.random() < 0.45:
            pieces = _wall(rng, house, blocked)
            tone = float(rng.uniform(0.8, 1.25))
            for piece in pieces:
                if taken.free(piece, shapes.BUILDING | shapes.STRUCTURE):
                    ground.structures.append(Structure(piece, "wall", 1.8, tone))
                    taken.add(piece, shapes.STRUCTURE)
    wanted, inside = max(4, round(9 * ground.area / 512**2)), 0
    for _ in range(wanted * 30):
        if inside >= wanted:
            break
        house = ground.buildings[int(rng.integers(len(ground.buildings)))]
        away, turn = float(rng.uniform(24, 60)), float(rng.uniform(0, 2 * np.pi))
        x, y = house.wings[0].x + away * np.cos(turn), house.wings[0].y + away * np.sin(turn)
        thing = _small(rng, x, y, house.wings[0].angle)
        if taken.free(thing.outline.buffer(3), solid):
            ground.structures.append(thing)
            taken.add(thing.outline, shapes.STRUCTURE)
            inside += ground.inside(x, y)
