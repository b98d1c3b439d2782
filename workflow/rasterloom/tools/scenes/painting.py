"""Painting the ground, material by material, from the top down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from shapely.affinity import translate
from shapely.geometry import Polygon

from rasterloom.dataset.contest_ids import GSD
from rasterloom.tools.scenes.ids import generator, ground_id
from rasterloom.tools.scenes.model import F32, MARGIN, Box, Crown, Field, Ground
from rasterloom.tools.scenes.raster import coverage, fractal, paint
from rasterloom.tools.scenes.shapes import rectangle, swept

Sink = Callable[[str, F32], None]
"""Takes a material and its (H, W) weight: share of the pixel times brightness."""


@dataclass(frozen=True)
class Date:
    """Light and air of a scene's day.

    `sun` is the unit vector in the image from the ground towards the sun, `reach` the shadow's length for
    one metre of height
    in metres, `light` the illumination's gain, `haze` its units above the mean, `green` how green the grass
    is.
    """

    sun: tuple[float, float]
    reach: float
    light: float
    haze: float
    green: float

    def shadow(self, height: float) -> tuple[float, float]:
        """Offset in pixels of the shadow's tip for a height in metres."""
        length = height * self.reach / GSD
        return -self.sun[0] * length, -self.sun[1] * length


def date_of(seed: int, scene_id: str) -> Date:
    """The day on which a scene was taken."""
    rng = generator(seed, scene_id, "date")
    azimuth = np.deg2rad(rng.uniform(105, 165))  # from north over east; the image's y points south
    light, haze = float(rng.uniform(0.92, 1.08)), float(rng.normal(0, 0.8))
    reach = 1 / float(np.tan(np.deg2rad(rng.uniform(48, 66))))
    return Date(
        (float(np.sin(azimuth)), float(-np.cos(azimuth))),
        reach,
        light,
        float(np.clip(haze, -1.5, 2)),
        float(rng.normal(0, 0.35)),
    )


class Painter:
    """Paints a ground on its canvas (tile and margin) and hands every material's weight to a sink.

    Objects are painted from the top down: `left` is the share of each pixel that nothing has covered yet,
    and what lies under
    crowns and roofs is darkened by `lit`, 1 in the sun.
    """

    def __init__(self, ground: Ground, seed: int, scene_id: str, sink: Sink) -> None:
        self.ground, self.seed, self.scene_id, self._sink = ground, seed, scene_id, sink
        self.date = date_of(seed, scene_id)
        self.shape = (ground.size[1] + 2 * MARGIN, ground.size[0] + 2 * MARGIN)
        self.left: F32 = np.ones(self.shape, np.float32)
        self.lit: F32 = np.ones(self.shape, np.float32)
        rng = generator(seed, ground_id(scene_id), "texture")
        self.low = fractal(rng, self.shape, (240, 120, 60), 0.75)
        self.mid = fractal(rng, self.shape, (28, 14, 7), 0.8)
        self.fine = fractal(rng, self.shape, (4, 2, 1), 0.75)

    def _give(self, material: str, share: F32, grain: tuple[float, float], bright: F32 | None = None) -> None:
        """Hand over a material that covers `share` of the pixels (already a share of what is left)."""
        weight = share * self.lit
        weight *= 1 + np.float32(grain[0]) * self.fine + np.float32(grain[1]) * self.mid
        if bright is not None:
            weight *= bright
        self._sink(material, np.maximum(weight, 0, out=weight))

    def _cover(self, share: F32) -> F32:
        """Take a coverage out of what is left; returns the part taken."""
        taken = self.left * share
        self.left -= taken
        return taken

    def _layer(self, material: str, items: list[tuple[Polygon, float]], grain: tuple[float, float]) -> None:
        if items:
            cover, bright = paint(items, self.shape, MARGIN)
            self._give(material, self._cover(cover), grain, bright)

    def run(self) -> None:
        """Paint everything."""
        self._trees()
        self._roofs()
        self._shadows()
        self._vehicles()
        self._paved()
        self._water()
        self._crops()
        self._background()

    def _trees(self) -> None:
        """Crowns: domes lit from one side, with leafy texture, a mixture of dark and light leaves."""
        cover, bright, mix = (np.zeros(self.shape, np.float32) for _ in range(3))
        for crown in sorted(self.ground.crowns, key=lambda c: c.height):
            found = coverage(crown.outline, self.shape, MARGIN)
            if found is None:
                continue
            where, share = found
            dome = _dome(crown, where, self.date.sun)
            for layer, value in ((cover, np.float32(1)), (bright, dome), (mix, np.float32(crown.light))):
                layer[where] += share * (value - layer[where])
        if not self.ground.crowns:
            return
        bright /= np.maximum(cover, np.float32(1e-6))
        mix /= np.maximum(cover, np.float32(1e-6))
        taken = self._cover(cover)
        mix = np.clip(mix + 0.22 * self.fine, 0, 1)
        self._give("canopy_light", taken * mix, (0.22, 0.12), bright)
        self._give("canopy_dark", taken * (1 - mix), (0.22, 0.12), bright)

    def _roofs(self) -> None:
        """Roofs (lit and shaded halves), then sheds, tanks and walls."""
        sheets: dict[str, list[tuple[Polygon, float]]] = {}
        for house in self.ground.buildings:
            items = sheets.setdefault(house.material, [])
            items.append((house.outline, house.tone))
            if house.gable:
                items.extend((half, house.tone * b) for wing in house.wings for half, b in self._halves(wing))
        for thing in self.ground.structures:
            sheets.setdefault(thing.material, []).append((thing.outline, thing.tone))
        for material, items in sheets.items():
            self._layer(material, items, (0.08, 0.14) if material in ("rust", "wood") else (0.035, 0.05))

    def _halves(self, wing: Box) -> Iterator[tuple[Polygon, float]]:
        """The two halves of a gable roof with their brightness."""
        normal = (-np.sin(wing.angle), np.cos(wing.angle))
        facing = float(normal[0] * self.date.sun[0] + normal[1] * self.date.sun[1])
        yield rectangle(wing, across=(0.0, 0.5)), 1 + 0.26 * facing
        yield rectangle(wing, across=(-0.5, 0.0)), 1 - 0.26 * facing

    def _shadows(self) -> None:
        """Darken the ground beside crowns, houses, walls and vehicles."""
        dark = np.zeros(self.shape, np.float32)
        for outline in self._casts():
            found = coverage(outline, self.shape, MARGIN)
            if found is not None:
                np.maximum(dark[found[0]], found[1], out=dark[found[0]])
        dark = np.asarray(cv2.GaussianBlur(dark, (0, 0), 0.8), np.float32)
        self.lit = 1 - np.float32(0.66) * dark

    def _casts(self) -> Iterator[Polygon]:
        for house in self.ground.buildings:
            for wing in house.wings:
                yield swept(rectangle(wing), *self.date.shadow(house.height))
        for thing in self.ground.structures:
            dx, dy = self.date.shadow(thing.height)
            if thing.outline.convex_hull.area < 1.15 * thing.outline.area:
                yield swept(thing.outline, dx, dy)
            else:
                yield from (translate(thing.outline, dx * t, dy * t) for t in (0.25, 0.5, 0.75, 1.0))
        for crown in self.ground.crowns:
            yield swept(crown.outline, *self.date.shadow(0.85 * crown.height), 0.3)
        for vehicle in self.ground.vehicles:
            yield swept(vehicle.outline, *self.date.shadow(vehicle.height))

    def _vehicles(self) -> None:
        """Windows, then bodies colour by colour; they stand in the light, not in their own shadows."""
        shade, self.lit = self.lit, np.ones(self.shape, np.float32)
        self._layer("glass", [(pane, 1.0) for v in self.ground.vehicles for pane in v.glass], (0.02, 0.0))
        colours: dict[str, list[tuple[Polygon, float]]] = {}
        upper: dict[str, list[tuple[Polygon, float]]] = {}
        for vehicle in self.ground.vehicles:
            (body, paint_name, tone), (top, top_name, top_tone) = vehicle.parts
            upper.setdefault(top_name, []).append((top, top_tone))
            colours.setdefault(paint_name, []).append((body, tone))
        for sheets in (upper, colours):
            for name, items in sheets.items():
                self._layer(name, items, (0.02, 0.0))
        self.lit = shade

    def _paved(self) -> None:
        """Lane marks, roads with wheel lanes, depots, tracks."""
        marks, roads = [], []
        rng = generator(self.seed, ground_id(self.scene_id), "paving")
        for road in self.ground.roads:
            roads.append((road.surface, float(rng.uniform(0.85, 1.25))))
            if rng.random() < 0.6:
                points = [road.at(d) for d in np.arange(6.0, road.line.length - 6, 22)]
                marks += [(rectangle(Box(x, y, 9, 0.55, angle)), 0.8) for x, y, angle in points]
        self._layer("paint_white", marks, (0.1, 0.1))
        self._layer("asphalt", roads, (0.05, 0.07))
        self._layer(
            "paving",
            [(rectangle(pad), float(rng.uniform(0.8, 1.1))) for pad in self.ground.pads],
            (0.04, 0.06),
        )
        ruts: list[tuple[Polygon, float]] = [
            (track.line.buffer(track.width * 0.13), 0.86) for track in self.ground.tracks
        ]
        surfaces = [(track.surface, float(rng.uniform(0.9, 1.1))) for track in self.ground.tracks]
        self._layer("track", surfaces + ruts, (0.07, 0.08))

    def _water(self) -> None:
        """River, ponds, and their banks."""
        self._layer("river", [(piece, 1.0) for piece in self.ground.river], (0.03, 0.06))
        self._layer("pond", [(pond, 1.0) for pond in self.ground.ponds], (0.03, 0.05))
        self._layer("bank", [(bank, 1.0) for bank in self.ground.banks], (0.10, 0.16))

    def _crops(self) -> None:
        """Fields in several states, with rows: plants of one kind over furrows."""
        rng = generator(self.seed, self.scene_id, "crops")
        sheets = {name: np.zeros(self.shape, np.float32) for name in ("lush", "ripe")}
        cover, bright = np.zeros(self.shape, np.float32), np.ones(self.shape, np.float32)
        for plot in self.ground.fields:
            found = coverage(plot.outline, self.shape, MARGIN)
            (kind, plants), tone = _state(rng), np.float32(rng.uniform(0.86, 1.14))
            spacing, depth, phase = rng.uniform(5.0, 10.0), rng.uniform(0.16, 0.34), rng.uniform(0, 6.28)
            if found is None:
                continue
            where, share = found
            rows = _rows(plot, where, spacing, phase, self.mid[where])
            dense = plants + depth * rows + 0.10 * self.mid[where] + 0.16 * self.low[where] + 0.07 * self.fine[where]
            sheets[kind][where] += np.clip(dense, 0, 1) * share
            np.maximum(cover[where], share, out=cover[where])
            np.copyto(bright[where], tone, where=share > 0)
        taken = self._cover(cover)
        bare = np.maximum(cover - sheets["lush"] - sheets["ripe"], 0)
        safe = np.maximum(cover, np.float32(1e-6))
        for name, plants_share in (*sheets.items(), ("furrow", bare)):
            self._give(name, taken * plants_share / safe, (0.05, 0.05), bright)

    def _background(self) -> None:
        """Yards, then grass and soil in patches of all sizes."""
        trodden = [
            *self.ground.yards,
            *[way.line.buffer(way.width / 2 + 4) for way in (*self.ground.roads, *self.ground.tracks)],
        ]
        blurred = paint([(patch, 1.0) for patch in trodden], self.shape, MARGIN)[0]
        blurred = np.asarray(cv2.GaussianBlur(blurred, (0, 0), 2.5), np.float32)
        yard = np.clip(blurred * (0.85 + 0.3 * self.mid), 0, 1)
        self._give("yard", self._cover(yard), (0.07, 0.08))
        bushy = _smooth(0.75 * self.low + 0.5 * self.mid + 0.28 * self.fine + np.float32(self.date.green) - 0.1)
        dry = _smooth(1.1 * self.mid - 0.7 * self.low + 0.45 * self.fine + 0.3)
        dark = _smooth(1.3 * self.low[::-1, ::-1] + 0.7 * self.mid[::-1] + 0.4 * self.fine[::-1])
        grain = (0.08, 0.06)
        self._give("grass_green", self.left * bushy, grain)
        rest = self.left * (1 - bushy)
        self._give("grass_dry", rest * dry, grain)
        rest *= 1 - dry
        self._give("soil_dark", rest * dark, grain)
        self._give("soil", rest * (1 - dark), grain)


def _smooth(x: F32) -> F32:
    """Logistic function of a field of deviation about 1."""
    return np.asarray(1 / (1 + np.exp(-2 * x)), dtype=np.float32)


def _dome(crown: Crown, where: tuple[slice, slice], sun: tuple[float, float]) -> F32:
    """Brightness of a crown: the side towards the sun is lighter, the rim darker."""
    y = np.arange(where[0].start, where[0].stop, dtype=np.float32)[:, None] + np.float32(0.5 - MARGIN - crown.y)
    x = np.arange(where[1].start, where[1].stop, dtype=np.float32)[None, :] + np.float32(0.5 - MARGIN - crown.x)
    slope = (x * np.float32(sun[0]) + y * np.float32(sun[1])) / np.float32(crown.radius)
    rim = (x * x + y * y) / np.float32(crown.radius**2)
    return np.asarray(crown.tone * np.clip(1.08 + 0.42 * slope - 0.22 * rim, 0.35, 1.6), dtype=np.float32)


def _state(rng: np.random.Generator) -> tuple[str, float]:
    """Kind of plants on a field and how much of the soil they hide."""
    kind, low, high = (("lush", 0.55, 0.85), ("lush", 0.3, 0.55), ("ripe", 0.6, 0.9), ("lush", 0.06, 0.2))[
        int(rng.choice(4, p=[0.34, 0.28, 0.24, 0.14]))
    ]
    return kind, float(rng.uniform(low, high))


def _rows(plot: Field, where: tuple[slice, slice], spacing: float, phase: float, wobble: F32) -> F32:
    """Rows of plants across a window, -1..1."""
    y = np.arange(where[0].start, where[0].stop, dtype=np.float32)[:, None]
    x = np.arange(where[1].start, where[1].stop, dtype=np.float32)[None, :]
    across = y * np.float32(np.cos(plot.angle)) - x * np.float32(np.sin(plot.angle))
    return np.asarray(
        np.sin(across * np.float32(2 * np.pi / spacing) + 0.5 * wobble + np.float32(phase)), dtype=np.float32
    )
