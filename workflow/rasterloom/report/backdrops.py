"""Images behind the report's pictures: the reference image of a stack, in no more pixels than a picture has."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.raster.grid import IDENTITY, Matrix, compose
from rasterloom.raster.resample import resample_rows
from rasterloom.raster.stacks import open_stack
from rasterloom.report.pages import Picture
from rasterloom.report.pictures import Frame, fitted, jpeg, stretch_limits, stretched
from rasterloom.store.files import atomic_path
from rasterloom.store.job import Job

KEPT = 16
"""Images that are kept in memory between pictures, some 3 MB each."""

OVERVIEW_PIXELS = 1024


def fineness(scale: Mapping[str, Any]) -> float:
    """About how many pixels per side a scale gives, for comparing scales without knowing the scenes."""
    if scale.get("gsd"):
        return 3400.0 * min(1.0, 0.3 / float(scale["gsd"]))
    return float(scale.get("size") or 3400.0 * (scale.get("factor") or 1.0))


def finest(scales: Sequence[Mapping[str, Any]]) -> str:
    """Name of the finest of some scales."""
    return str(max(scales, key=lambda scale: (fineness(scale), scale["name"]))["name"])


def overview(tables: Mapping[str, Mapping[str, Any]], pixels: int = OVERVIEW_PIXELS) -> str:
    """Name of the coarsest scale of so many pixels a side, which fill a picture of a whole scene; else the finest."""
    enough = [scale for scale in tables.values() if fineness(scale) >= pixels]
    if not enough:
        return finest(list(tables.values()))
    return str(min(enough, key=lambda scale: (fineness(scale), scale["name"]))["name"])


def read_window(
    path: Path, sensor: str, frame: Frame, size: tuple[int, int], every: bool = False, motion: Matrix = IDENTITY
) -> tuple[NDArray[Any], NDArray[Any]]:
    """A sensor of a stack as a picture shows it, without reading what the picture does not show.

    Parameters
    ----------
    path : Path
        A stack.
    sensor : str
        If the stack lacks it, its first sensor is shown.
    frame : Frame
        It may reach beyond the image: not valid there.
    size : (width, height)
        Of the reference image.
    every : bool
        All of the sensor's bands.
    motion : 2 x 3 list of rows
        What is shown at a place of the reference lies at motion(place) in the stack.

    Returns
    -------
    (C, rows, columns) float32 array, (rows, columns) bool array
        Three bands, or one if the sensor has fewer than three, or every one; and where they are valid.

    Notes
    -----
    Memory: the picture, and strips of the stack; nothing that grows with the height of the scene.
    """
    with open_stack(path) as stack:
        plane = stack.sensors.index(sensor) if sensor in stack.sensors else 0
        first, count = sum(stack.channels[:plane]), stack.channels[plane]
        bands = slice(first, first + (count if every else 3 if count >= 3 else 1))
        cells = np.array(stack.shape[::-1])
        on_stack = [[cells[0] / size[0], 0.0, 0.0], [0.0, cells[1] / size[1], 0.0]]
        matrix = np.array(compose(on_stack, compose(motion, frame.matrix)))
        corners = matrix @ [[0, frame.columns] * 2, [0, 0, frame.rows, frame.rows], [1] * 4]
        low = np.clip(np.floor(corners.min(axis=1)).astype(int) - 3, 0, cells - 1)
        high = np.clip(np.ceil(corners.max(axis=1)).astype(int) + 3, low + 1, cells)
        (x0, y0), (x1, y1) = low.tolist(), high.tolist()

        def read(start: int, stop: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
            block = np.asarray(stack.data[bands, y0 + start : y0 + stop, x0:x1], dtype=np.float32)
            good = np.asarray(stack.valid[plane, y0 + start : y0 + stop, x0:x1]) != 0
            good &= np.isfinite(block).all(axis=0)
            return np.where(good, block, np.float32(0)), good

        matrix[:, 2] -= low
        shape = (bands.stop - bands.start, y1 - y0, x1 - x0)
        image, mask = resample_rows(read, shape, matrix.tolist(), (frame.rows, frame.columns))
    return image, mask != 0


class Images:
    """The folder of pictures, and the images behind them: of whole scenes, the latest kept in memory; of windows, read.

    Parameters
    ----------
    job : Job
        Of the report, beside whose output the pictures lie.
    sizes : mapping of scene to (width, height)
        Of the reference images.

    Attributes
    ----------
    folder : Path
        Where the pictures lie.
    written : set of Path
        The pictures of this report.
    """

    def __init__(self, job: Job, sizes: Mapping[str, tuple[int, int]]) -> None:
        self.job, self.sizes, self.folder = job, sizes, job.output.parent / "pictures"
        self.written: set[Path] = set()
        self._whole = lru_cache(KEPT)(self._stretched)

    def stack(self, scale: str, scene: str) -> Path:
        """The stack of a scene."""
        return self.job.store.open_path(self.job.items(f"stacks/{scale}", [scene])[scene])

    def frame(self, scene: str) -> Frame:
        """The frame of a whole scene."""
        return fitted(0.0, 0.0, *self.sizes[scene])

    def whole(self, scene: str) -> NDArray[np.uint8]:
        """A scene, stretched by its own limits, (rows, columns, 3) uint8."""
        return self._whole(scene)[0]

    def window(self, scene: str, scale: str, frame: Frame) -> NDArray[np.uint8]:
        """A window of a scene from a scale, (rows, columns, 3) uint8, stretched as the whole scene is."""
        return stretched(*self._read(scene, scale, frame), self._whole(scene)[1])

    def put(self, name: str, image: NDArray[np.uint8], text: str) -> Picture:
        """Write a picture, (rows, columns, 3) uint8, under a temporary name, then rename it."""
        file = f"{name}.jpg"
        with atomic_path(self.folder / file) as temporary:
            temporary.write_bytes(jpeg(image))
        self.written.add(self.folder / file)
        return Picture(f"{self.folder.name}/{file}", text, image.shape[1], image.shape[0])

    def _stretched(self, scene: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """A whole scene and the limits it was stretched by."""
        image, valid = self._read(scene, overview(self.job.spec["scales"]), self.frame(scene))
        limits = stretch_limits(image, valid)
        return stretched(image, valid, limits), limits

    def _read(self, scene: str, scale: str, frame: Frame) -> tuple[NDArray[Any], NDArray[Any]]:
        return read_window(self.stack(scale, scene), self.job.spec["reference"], frame, self.sizes[scene])
