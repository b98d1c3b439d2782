"""Data structures of generated scenes: what lies on the ground, and what the sensors saw of it."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import LineString, Polygon

F32 = NDArray[np.float32]

F64 = NDArray[np.float64]

U8 = NDArray[np.uint8]

U16 = NDArray[np.uint16]

MARGIN = 96
"""Ground drawn beyond each border of the tile, in RGB pixels: covers the largest shift and the widest point spread."""


@dataclass(frozen=True)
class Scene:
    """A generated scene: the sensors' images and the truth.

    Attributes
    ----------
    scene_id : str
        Contest-style id, ``SSSS_r_c``.
    size : (W, H)
        Of the RGB image in pixels.
    sensors : dict of sensor to uint16 array
        ``rgb`` (3, H, W), ``p`` (h, w), ``m`` (8, h, w), ``a`` (8, h, w); 0..2047, `a` 0..16383.
    polygons : dict of class id to list of Polygon
        In RGB pixel coordinates (x right, y down, pixel edges on integers); all ten classes.
    shifts : dict of sensor to (dx, dy)
        In RGB pixels. A point at RGB edge coordinates (x, y) lies at edge coordinates ``((x + dx) / n, (y + dy) / n)``
        of the sensor whose pixels are n RGB pixels wide (1, 4 or 25), whatever the size of its image.
    """

    scene_id: str
    size: tuple[int, int]
    sensors: dict[str, U16]
    polygons: dict[int, list[Polygon]]
    shifts: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Way:
    """A road or track: centre line and width in pixels."""

    line: LineString
    width: float

    @cached_property
    def surface(self) -> Polygon:
        """What it covers."""
        return self.line.buffer(self.width / 2, cap_style="flat", quad_segs=4)

    def at(self, distance: float) -> tuple[float, float, float]:
        """Point and heading (radians, x towards y) at a distance in pixels along the centre line."""
        here = self.line.interpolate(distance)
        back = self.line.interpolate(max(distance - 4.0, 0.0))
        ahead = self.line.interpolate(min(distance + 4.0, self.line.length))
        return here.x, here.y, float(np.arctan2(ahead.y - back.y, ahead.x - back.x))


@dataclass(frozen=True)
class Box:
    """A rotated rectangle: centre, length along `angle` (radians), width across; pixels."""

    x: float
    y: float
    length: float
    width: float
    angle: float


@dataclass(frozen=True)
class Building:
    """A house of one or two wings, or a wall, shed or tank without any; height in metres.

    A `gable` roof has a lit and a shaded half.
    """

    outline: Polygon
    material: str
    height: float
    tone: float
    wings: tuple[Box, ...] = ()
    gable: bool = False


@dataclass(frozen=True)
class Crown:
    """A tree's crown: outline, middle, mean radius (pixels), height (m), brightness and share of light leaves."""

    outline: Polygon
    x: float
    y: float
    radius: float
    height: float
    tone: float
    light: float


@dataclass(frozen=True)
class Field:
    """A crop field and the direction of its rows (radians)."""

    outline: Polygon
    angle: float


@dataclass(frozen=True)
class Vehicle:
    """A vehicle: what is labelled, body and upper part (outline, material, tone), the windows, its height (m)."""

    outline: Polygon
    large: bool
    parts: tuple[tuple[Polygon, str, float], ...]
    glass: tuple[Polygon, ...]
    height: float


@dataclass
class Ground:
    """Everything on the ground of a tile and its margin.

    Coordinates are RGB pixels of the tile, negative in the margin. `structures` are buildings without wings.
    """

    size: tuple[int, int]
    river: list[Polygon] = field(default_factory=list)
    banks: list[Polygon] = field(default_factory=list)
    ponds: list[Polygon] = field(default_factory=list)
    roads: list[Way] = field(default_factory=list)
    tracks: list[Way] = field(default_factory=list)
    pads: list[Box] = field(default_factory=list)
    yards: list[Polygon] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)
    buildings: list[Building] = field(default_factory=list)
    structures: list[Building] = field(default_factory=list)
    crowns: list[Crown] = field(default_factory=list)
    vehicles: list[Vehicle] = field(default_factory=list)

    @property
    def area(self) -> float:
        """Area of the tile in pixels."""
        return float(self.size[0] * self.size[1])

    def inside(self, x: float, y: float, border: float = 0.0) -> bool:
        """Whether a point lies in the tile, at least `border` pixels from its edge."""
        return border <= x <= self.size[0] - border and border <= y <= self.size[1] - border
