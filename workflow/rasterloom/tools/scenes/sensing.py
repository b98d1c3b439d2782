"""From painted ground to the sensors' images: point spread, sampling, pan-sharpening, haze, noise, digital
numbers."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix

from rasterloom.tools.scenes import spectra
from rasterloom.tools.scenes.ids import check_id, generator, sensor_shifts, sensor_sizes
from rasterloom.tools.scenes.layout import build_ground, labels
from rasterloom.tools.scenes.model import F32, MARGIN, U16, Ground, Scene
from rasterloom.tools.scenes.painting import Date, Painter
from rasterloom.tools.scenes.raster import sampling

_SPREAD = {"rgb": 0.45, "p": 0.45, "m": 1.5, "a": 8.5}
"""Deviation of each sensor's point spread in RGB pixels, before averaging over its pixel."""


class Sensors:
    """Collects the radiance of every material in every band of the four sensors.

    Parameters
    ----------
    sizes : sensor -> (w, h).
    shifts : sensor -> (dx, dy) in RGB pixels.
    shape : (H, W) of the canvas.

    Notes
    -----
    Memory: four canvas-sized float32 arrays (P and RGB are kept at the canvas's resolution); M and A at
    their own.
    """

    def __init__(
        self,
        sizes: dict[str, tuple[int, int]],
        shifts: dict[str, tuple[float, float]],
        shape: tuple[int, int],
    ) -> None:
        self._table = spectra.reflectance()
        self._axes: dict[str, tuple[csr_matrix, csr_matrix]] = {}
        width, height = sizes["rgb"]
        for name, (w, h) in sizes.items():
            (dx, dy), spread = shifts[name], _SPREAD[name]
            down = sampling(h, height, dy, spread, shape[0], MARGIN)
            right = sampling(w, width, dx, spread, shape[1], MARGIN)
            self._axes[name] = (down, right)
        self.ground = {k: np.zeros((n, *shape), np.float32) for k, n in (("rgb", 3), ("pan", 1))}
        self.low = {k: np.zeros((8, sizes[k][1], sizes[k][0]), np.float32) for k in ("m", "a")}

    def __call__(self, material: str, weight: F32) -> None:
        """Add a material whose weight (share times brightness) at each canvas pixel is given."""
        row = self._table[spectra.MATERIALS.index(material)]
        for plane, band in zip(self.ground["rgb"], spectra.RGB_BANDS, strict=True):
            cv2.scaleAdd(weight, float(row[band]), plane, plane)
        cv2.scaleAdd(weight, float(row[16]), self.ground["pan"][0], self.ground["pan"][0])
        for name, bands in (("m", row[:8]), ("a", row[8:16])):
            self.low[name] += bands[:, None, None] * self.sample(name, weight)

    def sample(self, name: str, image: F32) -> F32:
        """A canvas-sized image as a sensor sees it."""
        down, right = self._axes[name]
        return np.asarray((right @ np.ascontiguousarray((down @ image).T)).T, dtype=np.float32)

    def sharpened(self) -> F32:
        """RGB reflectance (3, H, W): colours of M's resolution with the detail of the panchromatic band
        (Brovey)."""
        pan = self.ground["pan"][0]
        detail = pan / np.maximum(cv2.GaussianBlur(pan, (0, 0), 1.7), 1e-4)
        planes = [self.sample("rgb", cv2.GaussianBlur(plane, (0, 0), 1.7) * detail) for plane in self.ground["rgb"]]
        return np.stack(planes)


def _numbers(image: F32, gain: ArrayLike, offset: ArrayLike, noise: float, top: int, rng: np.random.Generator) -> U16:
    """Digital numbers of reflectances (bands, h, w): gain and offset a band, noise (its deviation in
    numbers), clipped to 0..top."""
    out = image * np.asarray(gain, np.float32).reshape(-1, 1, 1)
    out += np.asarray(offset, np.float32).reshape(-1, 1, 1)
    for plane in out:  # a plane at a time keeps memory low
        plane += np.float32(noise) * rng.standard_normal(plane.shape, dtype=np.float32)
    return np.asarray(np.clip(np.rint(out), 0, top), dtype=np.uint16)


def _expose(seed: int, scene_id: str, sensors: Sensors, date: Date) -> dict[str, U16]:
    """Digital numbers of all sensors."""
    m_gain, m_offset = spectra.M_GAIN * date.light, spectra.M_OFFSET + spectra.HAZE * date.haze
    rgb = list(spectra.RGB_BANDS)
    rgb_offset = spectra.RGB_OFFSET + spectra.HAZE[rgb] * date.haze
    p_offset = spectra.P_OFFSET + float(spectra.PAN @ spectra.HAZE) * date.haze
    pan = sensors.sample("p", sensors.ground["pan"][0])[None]

    def rng(name: str) -> np.random.Generator:
        return generator(seed, scene_id, "noise " + name)

    return {
        "rgb": _numbers(sensors.sharpened(), spectra.RGB_GAIN * date.light, rgb_offset, 2.5, 2047, rng("rgb")),
        "p": _numbers(pan, spectra.P_GAIN * date.light, p_offset, 3.5, 2047, rng("p"))[0],
        "m": _numbers(sensors.low["m"], m_gain, m_offset, 2.0, 2047, rng("m")),
        "a": _numbers(sensors.low["a"], spectra.A_GAIN * date.light, spectra.A_OFFSET, 14.0, 16383, rng("a")),
    }


def generate_scene(
    scene_id: str,
    seed: int,
    size: tuple[int, int],
    shifts: Mapping[str, tuple[float, float]] | None = None,
    ground: Ground | None = None,
) -> Scene:
    """Generate a scene; a function of its arguments alone.

    Parameters
    ----------
    scene_id : contest-style id, four digits, row and column: ``6040_2_2``.
    seed : seed of the data set.
    size : nominal (W, H) of the RGB image in pixels; the scene differs from it by up to three, as the
        contest's scenes do.
    shifts : sensor -> (dx, dy) in RGB pixels, see `Scene.shifts`; None: drawn by seed and id. The ground ends
        `MARGIN` pixels beyond the tile, so that the largest shift that A shows ground for is about 60.
    ground : what lies there, of the same `size`; None: `layout.build_ground`.

    Returns
    -------
    Scene with images, polygons and shifts.

    Raises
    ------
    InputError
        If the id has another form.

    Notes
    -----
    About a second for 512 x 512; for 3396 x 3349 under a minute and 2 GB.
    """
    check_id(scene_id)
    sizes = sensor_sizes(seed, scene_id, size)
    placed = sensor_shifts(seed, scene_id, size) | dict(shifts or {})
    ground = ground or build_ground(seed, scene_id, size)
    shape = (size[1] + 2 * MARGIN, size[0] + 2 * MARGIN)
    sensors = Sensors(sizes, placed, shape)
    painter = Painter(ground, seed, scene_id, sensors)
    painter.run()
    date = painter.date
    del painter
    images = _expose(seed, scene_id, sensors, date)
    return Scene(scene_id, sizes["rgb"], images, labels(ground, *sizes["rgb"]), placed)
