"""Cut a patch out of a scene: flips, rotation and zoom in one resampling, then normalisation, colour and dropout.

Data, coverage and validity always move together; what lies outside the scene is its mirror image with valid
0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.config.model import AugmentConfig
from rasterloom.learning.sampling import Patch, SceneIndex, generator
from rasterloom.learning.windows import Bytes, Floats, reflected

Window = tuple[NDArray[np.uint16] | Floats, Bytes, Bytes]
"""Data (C, h, w), valid (S, h, w) and coverage, (h, w) or (K, h, w) of several classes, of a window.

A scene without labels has one plane of coverage more, the last: 255 where the others are known."""

Read = Callable[[int, int, int, int], Window]
"""Reads the window of rows y0..y1 and columns x0..x1 (exclusive), which lies within the scene."""

_JITTER, _DROPOUT = 2**62, 2**62 + 2**61
"""Added to an item's number for draws that are independent of where its patch lies."""


def source_window(patch: Patch, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Rows y0..y1 and columns x0..x1 of the scene that a patch needs, clipped to its (H, W); never empty."""
    corners = np.array([[0, 0], [0, patch.size], [patch.size, 0], [patch.size, patch.size]], dtype=np.float64)
    matrix = patch.matrix
    mapped = corners @ matrix[:, :2].T + matrix[:, 2]
    margin = 0 if is_exact(patch) else shrinking(patch)  # the neighbours that bilinear interpolation needs
    low = np.floor(mapped.min(axis=0)).astype(int) - margin
    high = np.ceil(mapped.max(axis=0)).astype(int) + margin
    x0, y0 = (min(max(0, int(low[i])), shape[1 - i] - 1) for i in (0, 1))
    x1, y1 = (max(min(shape[1 - i], int(high[i])), (x0, y0)[i] + 1) for i in (0, 1))
    return y0, y1, x0, x1


def is_exact(patch: Patch) -> bool:
    """Whether a patch's pixels are pixels of the scene, only reordered."""
    return patch.angle % 90.0 == 0.0 and patch.scale == 1.0


def shrinking(patch: Patch) -> int:
    """Pixels of the scene along a side that are averaged before a patch is interpolated.

    So many that interpolation is left with a factor from 2/3 to 4/3, at which it skips no detail.
    """
    return max(1, round(1 / patch.scale))


def cut(patch: Patch, read: Read, shape: tuple[int, int]) -> tuple[Floats, Bytes, Bytes]:
    """Cut a patch out of a scene.

    Parameters
    ----------
    patch : where it lies.
    read : reads a window of the scene.
    shape : (H, W) of the scene.

    Returns
    -------
    data : (C, size, size) float32, digital numbers.
    valid : (S, size, size) uint8, 1 where the scene and all interpolated neighbours are valid, else 0.
    coverage : (size, size) or (K, size, size) uint8, 0..255.

    Notes
    -----
    Data are interpolated linearly, or copied where the patch's pixels are the scene's. A patch that shows the scene
    smaller interpolates means of squares of pixels (see `shrinking`); a square is valid if all of it is. What lies
    outside the scene is reflected about the window that was read. Memory: about twice the patch, turned.
    """
    y0, y1, x0, x1 = source_window(patch, shape)
    data, valid, coverage = read(y0, y1, x0, x1)
    matrix = patch.matrix.copy()
    matrix[:, 2] -= (x0, y0)
    if not is_exact(patch):
        side = min(shrinking(patch), *coverage.shape[-2:])
        return _warp(*_shrunk((data, valid, coverage), side), matrix / side, patch.size)
    rows, columns, inside = _indices(matrix, patch.size, data.shape[-2:])

    def turned(array: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(np.swapaxes(array, -1, -2) if matrix[0, 0] == 0.0 else array)

    place = np.s_[..., rows[:, None], columns]
    seen = turned((valid != 0)[place] & inside).astype(np.uint8)
    return turned(data[place]).astype(np.float32), seen, turned(coverage[place])


def _indices(
    matrix: NDArray[np.float64], size: int, shape: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Source rows, source columns (reflected) and which (row, column) lie inside, of an exact patch."""
    centres = np.arange(size, dtype=np.float64) + 0.5
    along = matrix[0, 0] + matrix[0, 1], matrix[1, 0] + matrix[1, 1]  # +-1 each: one of the two is 0
    columns = np.floor(along[0] * centres + matrix[0, 2]).astype(np.intp)
    rows = np.floor(along[1] * centres + matrix[1, 2]).astype(np.intp)
    inside = np.logical_and.outer((rows >= 0) & (rows < shape[0]), (columns >= 0) & (columns < shape[1]))
    return reflected(rows, shape[0]), reflected(columns, shape[1]), inside


def _shrunk(window: Window, side: int) -> Window:
    """Means over squares of side x side pixels; rows and columns that fill no square are left out."""
    import cv2

    if side == 1:
        return window
    height, width = (length // side for length in window[2].shape[-2:])

    def mean(plane: NDArray[Any]) -> NDArray[Any]:
        whole = np.ascontiguousarray(plane[: height * side, : width * side])
        return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))

    data, valid, coverage = window
    seen = np.stack([mean((mask != 0).astype(np.float32)) > 0.999 for mask in valid])
    means = np.stack([mean(plane.astype(np.float32)) for plane in data])
    return means, seen.astype(np.uint8), _planewise(mean, coverage)


def _planewise(change: Callable[[Bytes], NDArray[Any]], coverage: Bytes) -> Bytes:
    """A change of each plane of a coverage, (h, w) or (K, h, w)."""
    planes = np.stack([change(plane) for plane in coverage.reshape(-1, *coverage.shape[-2:])])
    return planes.reshape(*coverage.shape[:-2], *planes.shape[1:]).astype(np.uint8, copy=False)


def _warp(
    data: NDArray[np.uint16] | Floats, valid: Bytes, coverage: Bytes, matrix: NDArray[np.float64], size: int
) -> tuple[Floats, Bytes, Bytes]:
    import cv2

    y, x = np.mgrid[:size, :size] + 0.5
    columns, rows = ((a * x + b * y + c - 0.5).astype(np.float32) for a, b, c in matrix)

    def remap(plane: NDArray[Any], border: int) -> NDArray[Any]:
        return np.asarray(cv2.remap(plane, columns, rows, cv2.INTER_LINEAR, borderMode=border, borderValue=0))

    warped = np.stack([remap(plane.astype(np.float32), cv2.BORDER_REFLECT_101) for plane in data])
    seen = np.stack([remap((mask != 0).astype(np.float32), cv2.BORDER_CONSTANT) for mask in valid]) > 0.999
    return warped, seen.astype(np.uint8), _planewise(partial(remap, border=cv2.BORDER_REFLECT_101), coverage)


def jitter(data: Floats, valid: Bytes, sensors: NDArray[np.intp], augment: AugmentConfig, patch: Patch) -> Floats:
    """Vary contrast and brightness of a normalised patch.

    Parameters
    ----------
    data : (C, H, W) float32, normalised; not changed.
    valid : (S, H, W), 0 where a sensor is invalid.
    sensors : (C,) number of each channel's sensor.
    augment : standard deviations; by `colour` a sensor's common brightness moves, by half as much each channel's gain
        and offset, and by `contrast` the gain that a sensor's channels share. 0 and 0 give the data back.
    patch : its (seed, step, item) decides the draw.

    Returns
    -------
    (C, H, W) float32, 0 where invalid.
    """
    if augment.colour == augment.contrast == 0.0:
        return data
    seed, step, item = patch.item
    rng = generator(seed, step, item + _JITTER)
    normal = rng.standard_normal(len(valid) + 2 * len(data))
    common, gain, offset = np.split(normal * augment.colour, [len(valid), len(valid) + len(data)])
    contrast = rng.standard_normal(len(valid)) * augment.contrast
    factor = np.exp(gain / 2 + contrast[sensors]).astype(np.float32)
    shift = (common[sensors] + offset / 2).astype(np.float32)
    return _valid_only(data * factor[:, None, None] + shift[:, None, None], valid, sensors)


def kept_channels(sensors: NDArray[np.intp], augment: AugmentConfig, patch: Patch) -> NDArray[np.bool_]:
    """Which channels of a patch are not left out.

    Parameters
    ----------
    sensors : (C,) number of each channel's sensor; 0 is the reference.
    augment : by `sensor_dropout` one sensor that is not the reference is left out, if there is another; by
        `channel_dropout` each channel for itself, but the last.
    patch : its (seed, step, item) decides the draw.

    Returns
    -------
    (C,) bool, at least one true.
    """
    if augment.sensor_dropout == augment.channel_dropout == 0.0:
        return np.ones(len(sensors), dtype=np.bool_)
    seed, step, item = patch.item
    one, which, *own = generator(seed, step, item + _DROPOUT).random(2 + len(sensors))
    present = np.unique(sensors)
    others = present[present > 0]
    lost = one < augment.sensor_dropout and len(present) > 1
    left = sensors != (others[int(which * len(others))] if lost else -1)
    kept: NDArray[np.bool_] = left & (np.array(own) >= augment.channel_dropout)
    return kept if kept.any() else np.arange(len(sensors)) == np.argmax(np.where(left, own, -1.0))


def _valid_only(data: Floats, valid: Bytes, sensors: NDArray[np.intp]) -> Floats:
    """The same (C, H, W) array, 0 where the (S, H, W) plane of a channel's sensor is."""
    for channel, sensor in enumerate(sensors):
        data[channel][valid[sensor] == 0] = 0.0
    return data


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of every channel, and the valid plane of each.

    Attributes
    ----------
    mean, sd : (C,) float32; an sd of 0 counts as 1.
    planes : (C,) number of each channel's plane of `valid`; plane 0 is the reference sensor's.
    """

    mean: Floats
    sd: Floats
    planes: NDArray[np.intp]

    def apply(self, data: NDArray[Any], valid: Bytes) -> Floats:
        """Zero mean and unit variance, and 0 where a sensor is invalid.

        Parameters
        ----------
        data : (C, H, W) digital numbers; not changed.
        valid : (S, H, W), not 0 where a sensor is valid.

        Returns
        -------
        (C, H, W) float32.
        """
        scale = np.where(self.sd > 0, self.sd, np.float32(1)).astype(np.float32)
        out = data.astype(np.float32)
        out -= self.mean[:, None, None]
        out /= scale[:, None, None]
        return _valid_only(out, valid, self.planes)


@dataclass(frozen=True)
class TrainingScene:
    """A labelled scene: its index, how to read a window of it, and what normalises its channels."""

    name: str
    index: SceneIndex
    read: Read
    normalisation: Normalisation
