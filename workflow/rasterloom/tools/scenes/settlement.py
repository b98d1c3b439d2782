"""What people built: houses along the roads, yards, walls, sheds, tanks, depots; and their vehicles."""

import numpy as np
import shapely
from shapely.geometry import LineString, Point, Polygon
from shapely.geometry.base import BaseGeometry

from rasterloom.tools.scenes import shapes
from rasterloom.tools.scenes.model import MARGIN, Box, Building, Ground, Vehicle, Way
from rasterloom.tools.scenes.shapes import Occupancy, pick, rectangle, rounded

Place = tuple[float, float, float]
"""Middle in pixels, and heading in radians."""

_ROOFS = ("zinc", "rust", "tile", "blue_sheet", "white_roof", "grey_roof")

_PAINTS = ("paint_white", "paint_silver", "paint_black", "paint_red", "paint_blue", "paint_yellow")

_CAR_SHARES = (0.36, 0.24, 0.12, 0.12, 0.10, 0.06)

_LORRY_SHARES = (0.40, 0.10, 0.02, 0.16, 0.16, 0.16)

_SOLID = shapes.ROAD | shapes.TRACK | shapes.WATER | shapes.BUILDING | shapes.YARD | shapes.STRUCTURE

_NO_PARKING = shapes.BUILDING | shapes.STRUCTURE | shapes.TREE | shapes.WATER


def build_settlement(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """Put depots, houses and small structures on the ground."""
    _depots(rng, ground, taken)
    _houses(rng, ground, taken)
    _yards(rng, ground)
    _walls(rng, ground, taken)
    _sheds(rng, ground, taken)


def _beside(rng: np.random.Generator, way: Way, distance: float, gap: float, depth: float) -> Place:
    """A lot of a depth beside a way, `gap` pixels off its edge."""
    x, y, heading = way.at(distance)
    off = float(rng.choice([-1, 1])) * (way.width / 2 + gap + depth / 2)
    return x - off * np.sin(heading), y + off * np.cos(heading), heading


def _depots(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """Paved pads beside a road where lorries stand; at least one if any place is free."""
    wanted, side = max(1, round(ground.area / 800**2)), min(ground.size)
    for _ in range(wanted * 60):
        if len(ground.pads) >= wanted:
            break
        length = rng.uniform(70, 110) * min(1.0, side / 400)
        depth = rng.uniform(52, 70) * min(1.0, side / 340)
        road = pick(rng, ground.roads)
        x, y, heading = _beside(rng, road, rng.uniform(0, road.line.length), 1.5, depth)
        pad = Box(x, y, length, depth, heading)
        solid = shapes.WATER | shapes.TRACK | shapes.YARD | shapes.ROAD
        if ground.inside(x, y, 0.55 * max(length, depth)) and taken.free(rectangle(pad), solid):
            ground.pads.append(pad)
            taken.add(rectangle(pad), shapes.YARD)


# Houses -----------------------------------------------------------------------------------------------------


def _wings(rng: np.random.Generator, x: float, y: float, angle: float) -> tuple[Box, ...]:
    """A rectangular house, or an L of two wings."""
    length, width = rng.uniform(27, 50), rng.uniform(19, 30)
    if rng.random() < 0.12:  # a hall
        length, width = rng.uniform(60, 85), rng.uniform(30, 42)
    main = Box(x, y, length, width, angle)
    if rng.random() > 0.34:
        return (main,)
    short, deep, side = 0.45 * length, 0.75 * width, float(rng.choice([-1, 1]))
    shift = np.array([[(length - short) / 2 * float(rng.choice([-1, 1])), side * (width + deep) / 2]])
    wx, wy = shapes.turned(shift, x, y, angle)[0].tolist()
    return main, Box(wx, wy, deep + 0.02, short, angle + np.pi / 2)


def _hamlets(rng: np.random.Generator, ground: Ground) -> list[tuple[float, float]]:
    """Middles of hamlets, on roads; the tile's middle if no road comes far enough in."""
    wanted = max(1, round(ground.area / 650**2))
    middles: list[tuple[float, float]] = []
    for _ in range(wanted * 30):
        if len(middles) == wanted:
            break
        road = pick(rng, ground.roads)
        x, y, _ = road.at(rng.uniform(0, road.line.length))
        if ground.inside(x, y, 0.16 * min(ground.size)):
            middles.append((x, y))
    return middles or [(ground.size[0] / 2, ground.size[1] / 2)]


def _lots(rng: np.random.Generator, ground: Ground) -> list[Place]:
    """Places for houses: beside roads (in two rows) and tracks, the nearest to a hamlet's middle first."""
    centres = np.array(_hamlets(rng, ground))
    places, keys = [], []
    for way, rows, extra in [(r, 2, 0.0) for r in ground.roads] + [(t, 1, 60.0) for t in ground.tracks]:
        for distance in np.arange(rng.uniform(10, 30), way.line.length, 9.0):
            depth = 26.0 * rng.uniform(0.9, 1.5)
            gap = rng.uniform(7, 16) + float(rng.integers(rows)) * rng.uniform(50, 62)
            x, y, heading = _beside(rng, way, float(distance), gap, depth)
            if ground.inside(x, y, -MARGIN):
                places.append((x, y, heading))
                keys.append(np.hypot(*(centres - (x, y)).T).min() + extra + rng.exponential(70))
    return [places[i] for i in np.argsort(keys)]


def _houses(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """About 13 houses per 512 x 512 tile, at least 5."""
    wanted, inside = max(5, round(rng.uniform(11, 16) * ground.area / 512**2)), 0
    places = _lots(rng, ground)
    more = rng.uniform(0, 1, (400, 2)) * ground.size
    places += [(x, y, rng.uniform(0, np.pi)) for x, y in more.tolist()]
    for x, y, heading in places:
        if inside >= wanted:
            break
        angle = heading + rng.normal(0, 0.05) + float(rng.choice([0, np.pi / 2], p=[0.75, 0.25]))
        wings = _wings(rng, x, y, angle)
        outline = shapes.parts(shapely.union_all([rectangle(wing) for wing in wings]))[0]
        if not taken.free(outline.buffer(7, quad_segs=2), _SOLID):
            continue
        material = str(rng.choice(_ROOFS, p=[0.30, 0.24, 0.14, 0.08, 0.10, 0.14]))
        gable = material in ("zinc", "rust", "tile") or rng.random() < 0.4
        height, tone = rng.uniform(3, 5.5), rng.uniform(0.82, 1.15)
        ground.buildings.append(Building(outline, material, height, tone, wings, gable))
        taken.add(outline, shapes.BUILDING)
        inside += ground.inside(x, y)


def _yards(rng: np.random.Generator, ground: Ground) -> None:
    """Trodden earth around houses."""
    for house in ground.buildings:
        if rng.random() < 0.85:
            main = house.wings[0]
            yard = shapes.blob(rng, main.x, main.y, 0.5 * main.length + rng.uniform(8, 20), 0.12, 28)
            ground.yards += shapes.parts(yard.union(house.outline.buffer(4)))


# Walls, sheds, tanks ----------------------------------------------------------------------------------------


def _wall(rng: np.random.Generator, house: Building, blocked: BaseGeometry) -> list[Polygon]:
    """Three to four sides of a wall around a house, with a gate; none where `blocked`."""
    main, gap = house.wings[0], rng.uniform(9, 20)
    lot = Box(main.x, main.y, main.length + 2 * gap, main.width + 2 * gap, main.angle)
    ring = np.roll(np.asarray(rectangle(lot).exterior.coords)[:-1], int(rng.integers(4)), axis=0)
    line = LineString([*ring, ring[0]])
    start, end = rng.uniform(0.02, 0.1), rng.uniform(0.72, 0.96)
    corners = [Point(corner) for corner in ring[1:]]
    kept = [corner for corner in corners if start < line.project(corner, normalized=True) < end]
    first, last = (line.interpolate(place, normalized=True) for place in (start, end))
    surface = LineString([first, *kept, last]).buffer(rng.uniform(0.9, 1.3), cap_style="flat", join_style="mitre")
    return shapes.parts(surface.difference(blocked.union(house.outline.buffer(3))), 45)


def _walls(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """Walls around some houses."""
    ways = [way.surface.buffer(4) for way in (*ground.roads, *ground.tracks)]
    pads = [rectangle(pad).buffer(3) for pad in ground.pads]
    blocked = shapely.union_all([*ways, *pads, *[bank.buffer(2) for bank in ground.banks]])
    for house in ground.buildings:
        if rng.random() < 0.45:
            pieces, tone = _wall(rng, house, blocked), rng.uniform(0.8, 1.25)
            for piece in pieces:
                if taken.free(piece, shapes.BUILDING | shapes.STRUCTURE):
                    ground.structures.append(Building(piece, "wall", 1.8, tone))
                    taken.add(piece, shapes.STRUCTURE)


def _shed(rng: np.random.Generator, x: float, y: float, angle: float) -> Building:
    """A tank or a shed."""
    if rng.random() < 0.35:
        tank = Point(x, y).buffer(rng.uniform(4.2, 9), quad_segs=6)
        return Building(tank, str(rng.choice(["tank", "white_roof"])), rng.uniform(2, 4), rng.uniform(0.9, 1.2))
    shed = rectangle(Box(x, y, rng.uniform(9, 16), rng.uniform(7.5, 11), angle))
    material = str(rng.choice(["rust", "grey_roof", "zinc", "wood"]))
    return Building(shed, material, rng.uniform(2, 2.8), rng.uniform(0.8, 1.1))


def _sheds(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """Sheds and tanks near houses and here and there in the open."""
    wanted, inside = max(4, round(9 * ground.area / 512**2)), 0
    for _ in range(wanted * 30):
        if inside >= wanted:
            break
        main = pick(rng, ground.buildings).wings[0]
        away, turn = rng.uniform(24, 60), rng.uniform(0, 2 * np.pi)
        x, y = main.x + away * np.cos(turn), main.y + away * np.sin(turn)
        thing = _shed(rng, x, y, main.angle)
        if taken.free(thing.outline.buffer(3), _SOLID | shapes.FIELD):
            ground.structures.append(thing)
            taken.add(thing.outline, shapes.STRUCTURE)
            inside += ground.inside(x, y)


# Vehicles ---------------------------------------------------------------------------------------------------


def build_traffic(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """Put vehicles on the ground: about 17 small and 6 large ones per 512 x 512 tile, at least 6 and 3.

    Larger tiles have fewer by area: roads grow more slowly than the tile. Vehicles belong to a date, not to the ground.
    """
    own, share = Occupancy(ground.size), ground.area / 512**2
    for large, least, counts in ((True, 3, (5, 7.5)), (False, 6, (14, 22))):
        wanted, inside = max(least, round(rng.uniform(*counts) * min(share, share**0.7))), 0
        for _ in range(wanted * 60):
            if inside >= wanted:
                break
            place = _parking(rng, ground, large)
            vehicle = _lorry(rng, *place) if large else _car(rng, *place)
            room = vehicle.outline.buffer(2.5, quad_segs=1)
            if taken.free(room, _NO_PARKING) and own.free(room, 1):
                ground.vehicles.append(vehicle)
                own.add(vehicle.outline, 1)
                inside += ground.inside(place[0], place[1], 4)


def _within(box: Box, u: float, v: float, turn: float) -> Place:
    """A place in a box's own coordinates, turned against it."""
    x, y = shapes.turned(np.array([[u, v]]), box.x, box.y, box.angle)[0].tolist()
    return x, y, box.angle + turn


def _parking(rng: np.random.Generator, ground: Ground, large: bool) -> Place:
    """A place on a depot's slots, in a lane of a road, on a track or in a yard."""
    kind = rng.random()
    if kind < (0.45 if large else 0.22) and ground.pads:
        pad = pick(rng, ground.pads)
        u, v = rng.uniform(-0.32, 0.32) * pad.length, float(rng.choice([-0.24, 0.0, 0.24])) * pad.width
        if large:
            v = float(rng.choice([-0.27, 0.0, 0.27])) * pad.width
        return _within(pad, u, v, rng.normal(0, 0.04))
    if not large and kind < 0.42 and ground.buildings:
        house = pick(rng, ground.buildings).wings[0]
        turn = float(rng.choice([0, 1, 2, 3])) * np.pi / 2
        reach = (house.length if abs(np.cos(turn)) > 0.5 else house.width) / 2 + rng.uniform(7, 13)
        slide = rng.uniform(-8, 8)
        u, v = reach * np.cos(turn) - slide * np.sin(turn), reach * np.sin(turn) + slide * np.cos(turn)
        x, y, angle = _within(house, u, v, float(rng.choice([0, np.pi / 2])))
        return x, y, angle + rng.normal(0, 0.15)
    on_track = kind > (0.97 if large else 0.88) and bool(ground.tracks)
    way = pick(rng, ground.tracks if on_track else ground.roads)
    x, y, heading = way.at(rng.uniform(0, way.line.length))
    side = 0.0 if on_track else float(rng.choice([-1, 1])) * way.width * 0.24
    return x - side * np.sin(heading), y + side * np.cos(heading), heading + (np.pi if side < 0 else 0.0)


def _car(rng: np.random.Generator, x: float, y: float, angle: float) -> Vehicle:
    """A car of about 4.5 x 1.9 m with windscreen and rear window."""
    body = Box(x, y, rng.uniform(13.2, 15.4), rng.uniform(5.7, 6.5), angle)
    paint, tone = str(rng.choice(_PAINTS, p=_CAR_SHARES)), rng.uniform(0.85, 1.12)
    outline = rounded(body, 1.3)
    roof = rectangle(body, (-0.2, 0.12), (-0.38, 0.38))
    glass = (rectangle(body, (0.12, 0.25), (-0.4, 0.4)), rectangle(body, (-0.34, -0.24), (-0.38, 0.38)))
    return Vehicle(outline, False, ((outline, paint, tone), (roof, paint, tone * 1.12)), glass, 1.5)


def _lorry(rng: np.random.Generator, x: float, y: float, angle: float) -> Vehicle:
    """A lorry or bus of 8 to 12 x 2.6 m: cab, windscreen, box."""
    body = Box(x, y, rng.uniform(26, 38), rng.uniform(8.0, 8.8), angle)
    cargo, cab = (str(rng.choice(_PAINTS, p=_LORRY_SHARES)) for _ in range(2))
    tone = rng.uniform(0.85, 1.12)
    outline = rectangle(body)
    front = 0.5 - 7.5 / body.length
    painted = ((outline, cargo, tone), (rectangle(body, (front, 0.5)), cab, tone * 0.95))
    glass = (rectangle(body, (0.455, 0.485), (-0.42, 0.42)), rectangle(body, (front - 0.022, front), (-0.5, 0.5)))
    return Vehicle(outline, True, painted, glass, 3.0)
