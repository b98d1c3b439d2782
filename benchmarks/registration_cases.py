"""Scenes with known shifts, to measure how well a method registers: generated ones and real pairs.

    for case in generated_cases(sizes=[1024], scenes=20, cache=Path("/tmp/cases")): ...
    for case in real_cases(Path("/data")): ...

A case is a whole scene in memory: a reference, other sensors, where they have data, where their files put them and
where they truly lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.dataset.contest_ids import SENSORS, ground_of
from rasterloom.raster.georeference import stretched
from rasterloom.raster.grid import Matrix
from rasterloom.store.files import atomic_path
from rasterloom.tools.scenes.ids import generator, scene_ids, waters
from rasterloom.tools.scenes.model import Ground
from rasterloom.tools.scenes.sensing import generate_scene
from rasterloom.tools.scenes.settlement import build_traffic
from rasterloom.tools.scenes.shapes import Occupancy
from rasterloom.tools.scenes.terrain import build_fields, build_terrain

Shift = tuple[float, float]

VARIANTS = ("clean", "noisy", "inverted", "empty", "both empty", "saturated", "field")
"""What is done to a scene: see `generated_cases`."""

FULL_SIZE = 3396
"""Width of a scene of the contest; it is 3349 high."""

CACHE_VERSION = 2
"""Part of the names in the cache: raised when scenes are made otherwise."""

MAX_SHIFT = {"p": 8.0, "m": 24.0, "a": 80.0}
"""The largest plausible shift of each generated sensor, as config.yaml has it."""

EMPTY, SATURATED, NOISE = 0.25, 0.2, 0.5
"""Shares of the pixels that lose their data and that are clipped; noise in deviations of the band itself."""


@dataclass(frozen=True)
class Sensor:
    """One sensor of a case.

    Attributes
    ----------
    bands : (C, h, w) array of numbers
    valid : (h, w) bool array or None
        Where there is data; None: everywhere. Without data the bands are 0.
    nominal : 2 x 3 list of rows
        From the reference's edge coordinates to the sensor's, by the size of its pixels; of the reference the
        identity.
    shift : (dx, dy)
        The truth, reference pixels: what the reference shows at x lies at nominal(x + shift).
    max_shift : float
        The largest plausible shift that a method is told, reference pixels.
    stretch : 2 x 3 list of rows or None
        What the images' sizes say instead, which is all that most methods go by; None: nothing else.
    """

    bands: NDArray[Any]
    valid: NDArray[np.bool_] | None
    nominal: Matrix
    shift: Shift
    max_shift: float
    stretch: Matrix | None = None

    @property
    def pixel(self) -> float:
        """Side of the sensor's pixel in reference pixels."""
        return float((self.nominal[0][0] * self.nominal[1][1]) ** -0.5)


@dataclass(frozen=True)
class Case:
    """A scene to register.

    Attributes
    ----------
    scene : str
    size : int
        Nominal side of the reference in pixels.
    variant : str
    reference : str
        Its name in `sensors`.
    sensors : dict of Sensor
        The reference first, finer ones before coarser ones.
    """

    scene: str
    size: int
    variant: str
    reference: str
    sensors: dict[str, Sensor]

    @property
    def label(self) -> str:
        """Scene, size and variant, for messages."""
        return f"{self.scene} {self.size} {self.variant}"

    @property
    def others(self) -> dict[str, Sensor]:
        """All sensors but the reference."""
        return {name: sensor for name, sensor in self.sensors.items() if name != self.reference}

    @property
    def extent(self) -> tuple[int, int]:
        """(width, height) of the reference in pixels."""
        _, height, width = self.sensors[self.reference].bands.shape
        return width, height


def generated_cases(
    sizes: Sequence[int] = (1024,),
    scenes: int = 20,
    variants: Sequence[str] = VARIANTS,
    seed: int = 1,
    cache: Path | None = None,
) -> Iterator[Case]:
    """Generated scenes, each in several variants.

    Parameters
    ----------
    sizes : sequence of int
        Sides of the RGB image in pixels; `FULL_SIZE` stands for 3396 x 3349.
    scenes : int
        Scenes a size; all differ, and the first n are the same whatever the number.
    variants : sequence of str
        ``clean``; ``noisy``: noise of half a band's own deviation in all sensors; ``inverted``: the contrast of all
        sensors but the reference; ``empty``: no data in a quarter of each of them, cut off by a slanting line; ``both
        empty``: in the same quarter of the reference as well (the edges of the data coincide at no shift, which pulls
        at a method that takes them for edges of the ground); ``saturated``: the brightest fifth of each band clipped;
        ``field``: no houses, no trees, crop fields over some 70 % of the ground.
    seed : int
    cache : Path or None
        A folder that keeps generated scenes between runs; made if need be.

    Yields
    ------
    Case
        Sensors rgb (reference), p, m, a, uint16.

    Notes
    -----
    Generating takes about 1.5 s a scene of 1024 pixels and a minute and 2 GB at full size, from the cache
    milliseconds; the variants of one scene follow each other and share their arrays where these are equal.
    """
    for size in sizes:
        for scene in scene_ids(scenes, 0)[0]:
            for fields in (False, True):
                asked = [name for name in variants if (name == "field") == fields]
                base = _base(scene, size, seed, fields, cache) if asked else None
                for name in asked:
                    assert base is not None
                    yield variant(base, name, seed)


def true_shifts(seed: int, scene: str, size: int) -> dict[str, Shift]:
    """Shifts of a generated scene in RGB pixels.

    P up to 2 and M up to 12 in any direction, their lengths uniform; A uniform in -51..16 on either axis.
    """
    rng = generator(seed, scene, f"benchmark shifts {size}")

    def anywhere(longest: float) -> NDArray[np.float64]:
        length, angle = rng.uniform(0, longest), rng.uniform(0, 2 * np.pi)
        return length * np.array([np.cos(angle), np.sin(angle)])

    drawn = {"p": anywhere(2.0), "m": anywhere(12.0), "a": rng.uniform(-51, 16, 2)}
    return {name: (round(float(v[0]), 3), round(float(v[1]), 3)) for name, v in drawn.items()}


def field_ground(seed: int, scene: str, size: tuple[int, int]) -> Ground:
    """A ground of fields, ways and water, without houses and trees."""
    place, ground, taken = ground_of(scene), Ground(size), Occupancy(size)
    build_terrain(generator(seed, place, "terrain"), ground, taken, waters(scene))
    build_fields(generator(seed, place, "fields"), ground, taken, share=1.0)
    build_traffic(generator(seed, scene, "traffic"), ground, taken)
    return ground


def _base(scene: str, size: int, seed: int, fields: bool, cache: Path | None) -> Case:
    """A scene as it was generated, from the cache if it is there."""
    path = None
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        path = cache / f"v{CACHE_VERSION}-{scene}-{size}-{seed}{'-field' if fields else ''}.npz"
        if path.exists():
            with np.load(path) as found:
                return _as_case(scene, size, {name: found[name] for name in found.files}, seed)
    extent = (size, 3349 if size == FULL_SIZE else size)
    ground = field_ground(seed, scene, extent) if fields else None
    bands = generate_scene(scene, seed, extent, true_shifts(seed, scene, size), ground).sensors
    if path is not None:
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, rgb=bands["rgb"], p=bands["p"], m=bands["m"], a=bands["a"])
    return _as_case(scene, size, bands, seed)


def _as_case(scene: str, size: int, bands: dict[str, NDArray[np.uint16]], seed: int) -> Case:
    height, width = bands["rgb"].shape[-2:]
    shifts = {"rgb": (0.0, 0.0)} | true_shifts(seed, scene, size)
    sensors = {}
    for name in ("rgb", "p", "m", "a"):
        image = bands[name] if bands[name].ndim == 3 else bands[name][None]
        side = 1 / SENSORS[name].pixel
        stretch = stretched((width, height), (image.shape[2], image.shape[1]))
        nominal = [[side, 0.0, 0.0], [0.0, side, 0.0]]
        sensors[name] = Sensor(image, None, nominal, shifts[name], MAX_SHIFT.get(name, 0.0), stretch)
    return Case(scene, size, "clean", "rgb", sensors)


def variant(base: Case, name: str, seed: int) -> Case:
    """A scene in one of the `VARIANTS`; its draws depend on seed, scene, variant and sensor alone."""
    if name not in VARIANTS:
        raise ValueError(f"variant {name!r} given; there are {', '.join(VARIANTS)}")
    angle = float(generator(seed, base.scene, f"benchmark {name}").uniform(0, 2 * np.pi))
    sensors = {}
    for key, sensor in base.sensors.items():
        rng = generator(seed, base.scene, f"benchmark {name} {key}")
        lead = key == base.reference
        if name == "noisy":
            sensor = replace(sensor, bands=np.stack([_noisy(band, rng) for band in sensor.bands]))
        elif name == "saturated":
            sensor = replace(sensor, bands=np.stack([_saturated(band) for band in sensor.bands]))
        elif name == "inverted" and not lead:
            sensor = replace(sensor, bands=np.stack([band.max() - (band - band.min()) for band in sensor.bands]))
        elif name == "both empty" or (name == "empty" and not lead):
            valid = ~corner(sensor.bands.shape[1:], angle)
            sensor = replace(sensor, bands=sensor.bands * valid, valid=valid)
        sensors[key] = sensor
    return replace(base, variant=name, sensors=sensors)


def _noisy(band: NDArray[np.uint16], rng: np.random.Generator) -> NDArray[np.uint16]:
    noise = rng.standard_normal(band.shape, dtype=np.float32) * np.float32(NOISE * float(band.std()))
    return np.clip(np.rint(band + noise), 0, 65535).astype(np.uint16)


def _saturated(band: NDArray[np.uint16]) -> NDArray[np.uint16]:
    return np.minimum(band, np.uint16(np.quantile(band, 1 - SATURATED)))


def corner(shape: tuple[int, ...], angle: float) -> NDArray[np.bool_]:
    """The quarter of an image farthest in a direction (radians, x towards y), cut off by a straight line.

    The same line at every resolution: distances are measured in shares of the image's sides.
    """
    y, x = ((np.arange(n) + 0.5) / n - 0.5 for n in shape)
    distance = np.cos(angle) * x[None, :] + np.sin(angle) * y[:, None]
    fine = (np.arange(256) + 0.5) / 256 - 0.5
    limit = np.quantile(np.cos(angle) * fine[None, :] + np.sin(angle) * fine[:, None], 1 - EMPTY)
    return np.asarray(distance > limit)
