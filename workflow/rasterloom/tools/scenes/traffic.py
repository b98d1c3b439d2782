"""Vehicles: on roads and tracks, on depots, beside houses. They belong to a date, not to the ground."""

from __future__ import annotations

import numpy as np

from rasterloom.tools.scenes import shapes
from rasterloom.tools.scenes.model import Box, Ground, Vehicle
from rasterloom.tools.scenes.shapes import Occupancy, rectangle, rounded

_PAINTS = ("paint_white", "paint_silver", "paint_black", "paint_red", "paint_blue", "paint_yellow")

_CAR_SHARES = (0.36, 0.24, 0.12, 0.12, 0.10, 0.06)

_LORRY_SHARES = (0.40, 0.10, 0.02, 0.16, 0.16, 0.16)

_BLOCKED = shapes.BUILDING | shapes.STRUCTURE | shapes.TREE | shapes.WATER


def build_traffic(rng: np.random.Generator, ground: Ground, taken: Occupancy) -> None:
    """Put vehicles on the ground: about 17 small and 6 large ones a 512 x 512 tile, at least 6 and 3.

    Larger tiles have fewer by area.
    """
    own = Occupancy(ground.size)
    share = ground.area / 512**2
    share = min(share, share**0.7)  # roads grow more slowly than the tile
    _fill(rng, ground, taken, own, True, max(3, round(float(rng.uniform(5, 7.5)) * share)))
    _fill(rng, ground, taken, own, False, max(6, round(float(rng.uniform(14, 22)) * share)))


def _fill(rng: np.random.Generator, ground: Ground, taken: Occupancy, own: Occupancy, large: bool, wanted: int) -> None:
    inside = 0
    for _ in range(wanted * 60):
        if inside >= wanted:
            break
        place = _place(rng, ground, large)
        vehicle = _lorry(rng, *place) if large else _car(rng, *place)
        room = vehicle.outline.buffer(2.5, quad_segs=1)
        if taken.free(room, _BLOCKED) and own.free(room, 1):
            ground.vehicles.append(vehicle)
            own.add(vehicle.outline, 1)
            inside += ground.inside(place[0], place[1], 4)


def _place(rng: np.random.Generator, ground: Ground, large: bool) -> tuple[float, float, float]:
    """Middle and heading: on a depot's slots, in a lane of a road, on a track or in a yard."""
    kind = rng.random()
    if kind < (0.45 if large else 0.22) and ground.pads:
        pad = ground.pads[int(rng.integers(len(ground.pads)))]
        u, v = rng.uniform(-0.32, 0.32) * pad.length, float(rng.choice([-0.24, 0.0, 0.24])) * pad.width
        if large:
            v = float(rng.choice([-0.27, 0.0, 0.27])) * pad.width
        x, y = shapes.turned(np.array([[u, v]]), pad.x, pad.y, pad.angle)[0]
        return float(x), float(y), pad.angle + float(rng.normal(0, 0.04))
    if not large and kind < 0.42 and ground.buildings:
        house = ground.buildings[int(rng.integers(len(ground.buildings)))].wings[0]
        turn = float(rng.choice([0, 1, 2, 3])) * np.pi / 2
        reach = (house.length if abs(np.cos(turn)) > 0.5 else house.width) / 2 + float(rng.uniform(7, 13))
        slide = float(rng.uniform(-8, 8))
        u, v = reach * np.cos(turn) - slide * np.sin(turn), reach * np.sin(turn) + slide * np.cos(turn)
        x, y = shapes.turned(np.array([[u, v]]), house.x, house.y, house.angle)[0]
        return (
            float(x),
            float(y),
            house.angle + float(rng.choice([0, np.pi / 2])) + float(rng.normal(0, 0.15)),
        )
    on_track = kind > (0.97 if large else 0.88) and bool(ground.tracks)
    ways = ground.tracks if on_track else ground.roads
    way = ways[int(rng.integers(len(ways)))]
    x, y, heading = way.at(float(rng.uniform(0, way.line.length)))
    side = 0.0 if on_track else float(rng.choice([-1, 1])) * way.width * 0.24
    return x - side * np.sin(heading), y + side * np.cos(heading), heading + (np.pi if side < 0 else 0.0)


def _car(rng: np.random.Generator, x: float, y: float, angle: float) -> Vehicle:
    """A car of about 4.5 x 1.9 m with windscreen and rear window."""
    body = Box(x, y, float(rng.uniform(13.2, 15.4)), float(rng.uniform(5.7, 6.5)), angle)
    paint = str(rng.choice(_PAINTS, p=_CAR_SHARES))
    tone = float(rng.uniform(0.85, 1.12))
    outline = rounded(body, 1.3)
    roof = rectangle(body, (-0.2, 0.12), (-0.38, 0.38))
    glass = (rectangle(body, (0.12, 0.25), (-0.4, 0.4)), rectangle(body, (-0.34, -0.24), (-0.38, 0.38)))
    return Vehicle(outline, False, ((outline, paint, tone), (roof, paint, tone * 1.12)), glass, 1.5)


def _lorry(rng: np.random.Generator, x: float, y: float, angle: float) -> Vehicle:
    """A lorry or bus of 8 to 12 x 2.6 m: cab, windscreen, box."""
    body = Box(x, y, float(rng.uniform(26, 38)), float(rng.uniform(8.0, 8.8)), angle)
    cargo, cab = (str(rng.choice(_PAINTS, p=_LORRY_SHARES)) for _ in range(2))
    tone = float(rng.uniform(0.85, 1.12))
    outline = rectangle(body)
    front = 0.5 - 7.5 / body.length
    painted = ((outline, cargo, tone), (rectangle(body, (front, 0.5)), cab, tone * 0.95))
    glass = (
        rectangle(body, (0.455, 0.485), (-0.42, 0.42)),
        rectangle(body, (front - 0.022, front), (-0.5, 0.5)),
    )
    return Vehicle(outline, True, painted, glass, 3.0)
