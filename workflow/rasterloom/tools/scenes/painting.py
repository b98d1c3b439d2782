"""Painting the ground, material by material, from the top down."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from shapely.affinity import translate
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from rasterloom.dataset.contest_ids import GSD, ground_of
from rasterloom.grouping import grouped
from rasterloom.tools.scenes.ids import generator
from rasterloom.tools.scenes.model import F32, MARGIN, U8, Box, Crown, Field, Ground
from rasterloom.tools.scenes.shapes import Window, rectangle, rings, swept, window

Sink = Callable[[str, F32], None]
"""Takes a material and its (H, W) weight: share of the pixel times brightness."""

_SHIFT = 6
"""Binary digits after the point of the coordinates that OpenCV takes."""

_PLANTS = (("lush", 0.55, 0.85), ("lush", 0.3, 0.55), ("ripe", 0.6, 0.9), ("lush", 0.06, 0.2))
"""States of a field: kind of plants, and between which shares of the soil they hide."""

Grain = tuple[float, float]
"""How much a material's brightness varies over few pixels and over many."""


@dataclass(frozen=True)
class Date:
    """Light and air of a scene's day.

    Attributes
    ----------
    sun : (x, y)
        Unit vector in the image from the ground towards the sun.
    reach : float
        Length of the shadow of one metre of height, in metres.
    light : float
        Gain of the illumination.
    haze : float
        Units above the mean.
    green : float
        How green the grass is.
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
    light, haze = rng.uniform(0.92, 1.08), float(np.clip(rng.normal(0, 0.8), -1.5, 2))
    reach = 1 / float(np.tan(np.deg2rad(rng.uniform(48, 66))))
    return Date((float(np.sin(azimuth)), float(-np.cos(azimuth))), reach, light, haze, rng.normal(0, 0.35))


class Painter:
    """Paints a ground on its canvas (tile and margin) and hands every material's weight to a sink.

    Objects are painted from the top down: `left` is the share of each pixel that nothing has covered yet, and what
    lies under crowns and roofs is darkened by `lit`, 1 in the sun; both (H, W) float32.
    """

    def __init__(self, ground: Ground, seed: int, scene_id: str, sink: Sink) -> None:
        self.ground, self.seed, self.scene_id, self._sink = ground, seed, scene_id, sink
        self.date = date_of(seed, scene_id)
        self.shape = (ground.size[1] + 2 * MARGIN, ground.size[0] + 2 * MARGIN)
        self.left: F32 = np.ones(self.shape, np.float32)
        self.lit: F32 = np.ones(self.shape, np.float32)
        rng = generator(seed, ground_of(scene_id), "texture")
        self.low = fractal(rng, self.shape, (240, 120, 60), 0.75)
        self.mid = fractal(rng, self.shape, (28, 14, 7), 0.8)
        self.fine = fractal(rng, self.shape, (4, 2, 1), 0.75)

    def _give(self, material: str, share: F32, grain: Grain, bright: F32 | None = None) -> None:
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

    def _layer(self, material: str, items: list[tuple[Polygon, float]], grain: Grain) -> None:
        """Paint polygons of one material, each with a brightness."""
        if items:
            cover, bright = paint(items, self.shape, MARGIN)
            self._give(material, self._cover(cover), grain, bright)

    def _layers(
        self, parts: Iterable[tuple[Polygon, str, float]], grain: Grain, others: Mapping[str, Grain] | None = None
    ) -> None:
        """Paint polygons, each with a material and a brightness, material by material."""
        for material, items in grouped((material, (outline, tone)) for outline, material, tone in parts).items():
            self._layer(material, items, (others or {}).get(material, grain))

    def run(self) -> None:
        """Paint everything."""
        self._trees()
        rough = {"rust": (0.08, 0.14), "wood": (0.08, 0.14)}
        self._layers(self._roofs(), (0.035, 0.05), rough)
        self._shadows()
        self._vehicles()
        self._paved()
        self._water()
        self._crops()
        self._background()

    def _trees(self) -> None:
        """Crowns: domes lit from one side, with leafy texture, a mixture of dark and light leaves."""
        if not self.ground.crowns:
            return
        cover, bright, mix = (np.zeros(self.shape, np.float32) for _ in range(3))
        for crown in sorted(self.ground.crowns, key=lambda c: c.height):
            where, share = coverage(crown.outline, self.shape, MARGIN)
            dome = _dome(crown, where, self.date.sun)
            for layer, value in ((cover, np.float32(1)), (bright, dome), (mix, np.float32(crown.light))):
                layer[where] += share * (value - layer[where])
        bright /= np.maximum(cover, np.float32(1e-6))
        mix /= np.maximum(cover, np.float32(1e-6))
        taken = self._cover(cover)
        mix = np.clip(mix + 0.22 * self.fine, 0, 1)
        self._give("canopy_light", taken * mix, (0.22, 0.12), bright)
        self._give("canopy_dark", taken * (1 - mix), (0.22, 0.12), bright)

    def _roofs(self) -> Iterator[tuple[Polygon, str, float]]:
        """Roofs and the lit and shaded halves of gable roofs, then sheds, tanks and walls."""
        for house in (*self.ground.buildings, *self.ground.structures):
            yield house.outline, house.material, house.tone
            for wing in house.wings if house.gable else ():
                facing = float(np.cos(wing.angle) * self.date.sun[1] - np.sin(wing.angle) * self.date.sun[0])
                yield rectangle(wing, across=(0.0, 0.5)), house.material, house.tone * (1 + 0.26 * facing)
                yield rectangle(wing, across=(-0.5, 0.0)), house.material, house.tone * (1 - 0.26 * facing)

    def _shadows(self) -> None:
        """Darken the ground beside crowns, houses, walls and vehicles."""
        dark = np.zeros(self.shape, np.float32)
        for outline in self._casts():
            where, share = coverage(outline, self.shape, MARGIN)
            np.maximum(dark[where], share, out=dark[where])
        self.lit = 1 - np.float32(0.66) * blurred(dark, 0.8)

    def _casts(self) -> Iterator[BaseGeometry]:
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
        """Windows, upper parts, bodies; they stand in the light, not in their own shadows."""
        vehicles = self.ground.vehicles
        shade, self.lit = self.lit, np.ones(self.shape, np.float32)
        self._layer("glass", [(pane, 1.0) for vehicle in vehicles for pane in vehicle.glass], (0.02, 0.0))
        for part in (1, 0):
            self._layers((vehicle.parts[part] for vehicle in vehicles), (0.02, 0.0))
        self.lit = shade

    def _paved(self) -> None:
        """Lane marks, roads with wheel lanes, depots, tracks."""
        marks, roads = [], []
        rng = generator(self.seed, ground_of(self.scene_id), "paving")
        for road in self.ground.roads:
            roads.append((road.surface, rng.uniform(0.85, 1.25)))
            if rng.random() < 0.6:
                points = [road.at(d) for d in np.arange(6.0, road.line.length - 6, 22)]
                marks += [(rectangle(Box(x, y, 9, 0.55, angle)), 0.8) for x, y, angle in points]
        pads = [(rectangle(pad), rng.uniform(0.8, 1.1)) for pad in self.ground.pads]
        tracks = [(track.surface, rng.uniform(0.9, 1.1)) for track in self.ground.tracks]
        tracks += [(track.line.buffer(track.width * 0.13), 0.86) for track in self.ground.tracks]
        self._layer("paint_white", marks, (0.1, 0.1))
        self._layer("asphalt", roads, (0.05, 0.07))
        self._layer("paving", pads, (0.04, 0.06))
        self._layer("track", tracks, (0.07, 0.08))

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
            where, share = coverage(plot.outline, self.shape, MARGIN)
            kind, least, most = _PLANTS[int(rng.choice(4, p=[0.34, 0.28, 0.24, 0.14]))]
            plants, tone = rng.uniform(least, most), rng.uniform(0.86, 1.14)
            spacing, depth, phase = rng.uniform(5.0, 10.0), rng.uniform(0.16, 0.34), rng.uniform(0, 6.28)
            rows = _rows(plot, where, spacing, phase, self.mid[where])
            dense = plants + depth * rows + 0.10 * self.mid[where] + 0.16 * self.low[where] + 0.07 * self.fine[where]
            sheets[kind][where] += np.clip(dense, 0, 1) * share
            np.maximum(cover[where], share, out=cover[where])
            bright[where][share > 0] = tone
        taken = self._cover(cover)
        bare = np.maximum(cover - sheets["lush"] - sheets["ripe"], 0)
        safe = np.maximum(cover, np.float32(1e-6))
        for name, plants_share in (*sheets.items(), ("furrow", bare)):
            self._give(name, taken * plants_share / safe, (0.05, 0.05), bright)

    def _background(self) -> None:
        """Yards, then grass and soil in patches of all sizes."""
        ways = [way.line.buffer(way.width / 2 + 4) for way in (*self.ground.roads, *self.ground.tracks)]
        trodden = paint([(patch, 1.0) for patch in (*self.ground.yards, *ways)], self.shape, MARGIN)[0]
        yard = np.clip(blurred(trodden, 2.5) * (0.85 + 0.3 * self.mid), 0, 1)
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


def coverage(outline: BaseGeometry, shape: tuple[int, int], origin: float) -> tuple[Window, F32]:
    """Share of each pixel that a polygon covers.

    Parameters
    ----------
    outline : Polygon
        In pixel coordinates (x right, y down, pixel edges on integers).
    shape : (H, W)
        Of the canvas.
    origin : float
        The coordinate of the canvas's left and upper edges is ``-origin``.

    Returns
    -------
    pair of slices, (h, w) float32 array
        Window of the canvas that the polygon touches, empty if it lies outside, and its coverage in 0..1.

    Notes
    -----
    16 x 16 supersampling for small polygons, 4 x 4 for the largest. OpenCV fills a polygon with its outline, so that
    shapes would grow by half a sample: samples on the outline count half.
    """
    where = window(outline, shape, origin)
    height, width = (span.stop - span.start for span in where)
    if not height:
        return where, np.zeros((0, 0), np.float32)
    side = max(height, width)
    samples = 16 if side <= 64 else 8 if side <= 256 else 4
    lines = rings(outline, where, origin)
    points = [((line * samples - 0.5) * (1 << _SHIFT)).round().astype(np.int32) for line in lines]
    fine: U8 = np.zeros((height * samples, width * samples), np.uint8)
    cv2.fillPoly(fine, points, 255, cv2.LINE_8, _SHIFT)
    cv2.polylines(fine, points, True, 128, 1, cv2.LINE_8, _SHIFT)
    return where, cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)


def paint(items: Iterable[tuple[Polygon, float]], shape: tuple[int, int], origin: float) -> tuple[F32, F32]:
    """Coverage and brightness of many polygons, the later ones on top.

    Returns
    -------
    two (H, W) float32 arrays
        Coverage in 0..1 (the largest of any polygon), and brightness, 1 where nothing is painted.
    """
    cover, bright = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    for outline, tone in items:
        where, share = coverage(outline, shape, origin)
        np.maximum(cover[where], share, out=cover[where])
        bright[where][(share > 0.5) | ((share > 0) & (bright[where] == 1))] = tone
    return cover, bright


def fractal(rng: np.random.Generator, shape: tuple[int, int], scales: Iterable[int], fall: float) -> F32:
    """Sum of smooth random fields of several grain sizes (pixels), (H, W) float32, mean 0, deviation 1.

    `fall` is how much weaker each next size is than the one before.
    """
    total, weight, power = np.zeros(shape, np.float32), 1.0, 0.0
    for scale in scales:
        rows, cols = shape[0] // scale + 3, shape[1] // scale + 3
        grid = rng.standard_normal((rows, cols), dtype=np.float32)
        if scale > 1:
            grid = np.asarray(cv2.resize(grid, (cols * scale, rows * scale), interpolation=cv2.INTER_CUBIC), np.float32)
        total += np.float32(weight) * grid[: shape[0], : shape[1]]
        power += weight**2 * (1.0 if scale == 1 else 0.66)
        weight *= fall
    return total / np.float32(np.sqrt(power))


def blurred(image: F32, sigma: float) -> F32:
    """An image (H, W) after a Gaussian of a deviation in pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def _smooth(x: F32) -> F32:
    """Logistic function of a field of deviation about 1."""
    return np.asarray(1 / (1 + np.exp(-2 * x)), dtype=np.float32)


def _dome(crown: Crown, where: Window, sun: tuple[float, float]) -> F32:
    """Brightness of a crown: the side towards the sun is lighter, the rim darker."""
    y = np.arange(where[0].start, where[0].stop, dtype=np.float32)[:, None] + np.float32(0.5 - MARGIN - crown.y)
    x = np.arange(where[1].start, where[1].stop, dtype=np.float32)[None, :] + np.float32(0.5 - MARGIN - crown.x)
    slope = (x * np.float32(sun[0]) + y * np.float32(sun[1])) / np.float32(crown.radius)
    rim = (x * x + y * y) / np.float32(crown.radius**2)
    return np.asarray(crown.tone * np.clip(1.08 + 0.42 * slope - 0.22 * rim, 0.35, 1.6), dtype=np.float32)


def _rows(plot: Field, where: Window, spacing: float, phase: float, wobble: F32) -> F32:
    """Rows of plants across a window, -1..1."""
    y = np.arange(where[0].start, where[0].stop, dtype=np.float32)[:, None]
    x = np.arange(where[1].start, where[1].stop, dtype=np.float32)[None, :]
    across = y * np.float32(np.cos(plot.angle)) - x * np.float32(np.sin(plot.angle))
    wave = np.sin(across * np.float32(2 * np.pi / spacing) + 0.5 * wobble + np.float32(phase))
    return np.asarray(wave, dtype=np.float32)
