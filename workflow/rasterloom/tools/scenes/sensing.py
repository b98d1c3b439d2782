"""From painted ground to the sensors' images: point spread, sampling, pan-sharpening, haze, noise, digital numbers."""

from collections.abc import Mapping

import cv2
import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import ndtr

from rasterloom.dataset.contest_ids import SENSORS
from rasterloom.tools.scenes import spectra
from rasterloom.tools.scenes.ids import generator, sensor_shifts, sensor_sizes
from rasterloom.tools.scenes.layout import build_ground, labels
from rasterloom.tools.scenes.model import F32, F64, MARGIN, U16, Ground, Scene
from rasterloom.tools.scenes.painting import Date, Painter, blurred, date_of

_SPREAD = {"rgb": 0.45, "p": 0.45, "m": 1.5, "a": 8.5}
"""Deviation of each sensor's point spread in RGB pixels, before averaging over its pixel."""


def _blurred_step(t: F64, sigma: float) -> F64:
    """Antiderivative of the normal distribution function with deviation `sigma`."""
    z = t / sigma
    return np.asarray(t * ndtr(z) + sigma * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi), dtype=np.float64)


def sampling(count: int, step: int, shift: float, sigma: float, length: int) -> csr_matrix:
    """Operator of one axis from canvas to sensor pixels: shift, point spread and averaging over the pixel, exactly.

    Parameters
    ----------
    count : int
        Pixels of the sensor along the axis.
    step : int
        Side of a pixel of the sensor in pixels of RGB.
    shift : float
        A point at RGB coordinate x lies at sensor coordinate ``(x + shift) / step``.
    sigma : float
        Deviation of the Gaussian point spread in RGB pixels.
    length : int
        Pixels of the canvas along the axis; its first edge is at RGB coordinate ``-MARGIN``.

    Returns
    -------
    (count, length) sparse float32 matrix
        Rows sum to 1.
    """
    start = np.arange(count) * step - shift + MARGIN
    width = int(np.ceil(step + 8 * sigma)) + 2
    column = np.floor(start - 4 * sigma).astype(np.int64)[:, None] + np.arange(width)
    left, right = column - start[:, None], column - start[:, None] + 1.0
    value = _blurred_step(right, sigma) - _blurred_step(right - step, sigma)
    value -= _blurred_step(left, sigma) - _blurred_step(left - step, sigma)
    value /= value.sum(axis=1, keepdims=True)
    places = (np.repeat(np.arange(count), width), np.clip(column, 0, length - 1).ravel())
    return csr_matrix((value.astype(np.float32).ravel(), places), shape=(count, length))


class Sensors:
    """Collects the radiance of every material in every band of the four sensors.

    Parameters
    ----------
    sizes : dict of sensor to (w, h)
    shifts : dict of sensor to (dx, dy)
        In RGB pixels.
    shape : (H, W)
        Of the canvas.

    Attributes
    ----------
    rgb, pan : (3, H, W), (H, W) float32 arrays
        At the canvas's resolution.
    low : dict of sensor to (8, h, w) float32 array
        M and A at their own resolution.
    """

    def __init__(
        self, sizes: dict[str, tuple[int, int]], shifts: dict[str, tuple[float, float]], shape: tuple[int, int]
    ) -> None:
        self._table = spectra.reflectances()
        self._axes: dict[str, tuple[csr_matrix, csr_matrix]] = {}
        for name, (w, h) in sizes.items():
            (dx, dy), spread, step = shifts[name], _SPREAD[name], SENSORS[name].pixel
            self._axes[name] = sampling(h, step, dy, spread, shape[0]), sampling(w, step, dx, spread, shape[1])
        self.rgb, self.pan = np.zeros((3, *shape), np.float32), np.zeros(shape, np.float32)
        self.low = {name: np.zeros((8, sizes[name][1], sizes[name][0]), np.float32) for name in ("m", "a")}

    def __call__(self, material: str, weight: F32) -> None:
        """Add a material whose weight (share times brightness) at each canvas pixel is given."""
        row = self._table[material]
        for plane, band in zip((*self.rgb, self.pan), (*spectra.RGB_BANDS, 16), strict=True):
            cv2.scaleAdd(weight, float(row[band]), plane, plane)
        for name, bands in (("m", row[:8]), ("a", row[8:16])):
            self.low[name] += bands[:, None, None] * self.sample(name, weight)

    def sample(self, name: str, image: F32) -> F32:
        """A canvas-sized image (H, W) as a sensor sees it, (h, w)."""
        down, right = self._axes[name]
        return np.asarray((right @ np.ascontiguousarray((down @ image).T)).T, dtype=np.float32)

    def sharpened(self) -> F32:
        """RGB reflectance (3, h, w): colours of M's resolution with the detail of the panchromatic band (Brovey)."""
        detail = np.asarray(self.pan / np.maximum(blurred(self.pan, 1.7), 1e-4), np.float32)
        return np.stack([self.sample("rgb", blurred(plane, 1.7) * detail) for plane in self.rgb])


def _expose(seed: int, scene_id: str, sensors: Sensors, date: Date) -> dict[str, U16]:
    """Digital numbers of all sensors."""
    seen = {"rgb": sensors.sharpened(), "p": sensors.sample("p", sensors.pan)[None], **sensors.low}
    images = {}
    for name, image in seen.items():
        gain, offset = spectra.GAIN[name] * date.light, spectra.OFFSET[name] + spectra.HAZE[name] * date.haze
        image *= gain.astype(np.float32)[:, None, None]
        image += offset.astype(np.float32)[:, None, None]
        rng = generator(seed, scene_id, f"noise {name}")
        for plane in image:  # a plane at a time keeps memory low
            plane += np.float32(spectra.NOISE[name]) * rng.standard_normal(plane.shape, dtype=np.float32)
        images[name] = np.clip(np.rint(image), 0, spectra.TOP[name]).astype(np.uint16)
    return images | {"p": images["p"][0]}


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
    scene_id : str
        Contest-style id, four digits, row and column: ``6040_2_2``.
    seed : int
        Of the data set.
    size : (W, H)
        Nominal, of the RGB image in pixels; the scene differs from it by up to three, as the contest's scenes do.
    shifts : mapping of sensor to (dx, dy), optional
        In RGB pixels, see `Scene.shifts`; drawn by seed and id where not given. The ground ends `MARGIN` pixels beyond
        the tile, so that the largest shift that A shows ground for is about 60.
    ground : Ground, optional
        What lies there, of the same `size`; `layout.build_ground` if not given.

    Notes
    -----
    About a second for 512 x 512; for 3396 x 3349 under a minute and 2 GB.
    """
    sizes = sensor_sizes(seed, scene_id, size)
    placed = sensor_shifts(seed, scene_id, size) | dict(shifts or {})
    ground = ground or build_ground(seed, scene_id, size)
    sensors = Sensors(sizes, placed, (size[1] + 2 * MARGIN, size[0] + 2 * MARGIN))
    Painter(ground, seed, scene_id, sensors).run()
    images = _expose(seed, scene_id, sensors, date_of(seed, scene_id))
    return Scene(scene_id, sizes["rgb"], images, labels(ground, *sizes["rgb"]), placed)
