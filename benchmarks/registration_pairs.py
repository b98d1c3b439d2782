"""Real images of several resolutions with shifts put between them: Rotterdam PAN and MS, Sentinel-2 at 10, 20, 60 m.

The images are cut anew: the finest by whole pixels of its own against the coarser ones and these by whole pixels of
theirs, which is exact. Every other case moves the finest by a fraction of its pixel as well, by a Fourier shift. How
the files themselves lie is not known to a hundredth of a pixel, so every pair comes first without a shift, and an
estimate is judged by how far it moved from the one of that case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from registration_cases import Case, Sensor, Shift

from rasterloom.raster.georeference import stretched
from rasterloom.tools.scenes.ids import generator

REACH = 12.0
"""The longest shift that is put in, fine pixels."""
BORDER = 24
"""Fine pixels cut off on every side, so that there is ground to move over; every sensor's pixels divide it."""
MAX_SHIFT = 30.0
"""The largest plausible shift that a method is told, fine pixels."""
SOFT = 3
"""Fine pixels beside no-data that a Fourier shift makes unusable."""


@dataclass(frozen=True)
class Pair:
    """Images of one place.

    Attributes
    ----------
    name : str
    files : dict
        Sensor -> names of its files below the folder, the finest first, which is the reference.
    ratios : dict
        Sensor -> sides of its pixel in fine pixels.
    nodata : float or None
        Digital number without data, where all bands have it.
    """

    name: str
    files: dict[str, tuple[str, ...]]
    ratios: dict[str, int]
    nodata: float | None


def _rotterdam(number: int) -> Pair:
    files: dict[str, tuple[str, ...]]
    files = {kind: (f"spacenet-rotterdam/{kind}{number}.tif",) for kind in ("pan", "ms")}
    return Pair(f"rotterdam {number}", files, {"pan": 1, "ms": 2}, 0.0)


def _sentinel(bands: dict[str, tuple[str, ...]], ratios: dict[str, int]) -> Pair:
    files = {name: tuple(f"sentinel2-T48QUE/{band}.tif" for band in names) for name, names in bands.items()}
    return Pair("sentinel-2", files, ratios, None)


PAIRS = (
    _rotterdam(1),
    _rotterdam(2),
    _sentinel(
        {"rgb": ("B04", "B03", "B02"), "edge": ("B05",), "swir": ("B11",), "coast": ("B01",)},
        {"rgb": 1, "edge": 2, "swir": 2, "coast": 6},
    ),
)


def real_cases(folder: Path, moves: int = 8, seed: int = 1) -> Iterator[Case]:
    """The pairs, each once as the files lie (variant ``unmoved``) and then with shifts (``moved``).

    Parameters
    ----------
    folder : Path
        Of the imagery: ``spacenet-rotterdam/pan1.tif`` and so on; pairs that are not there are left out.
    moves : int
        Shifts a pair, at most 12 fine pixels long, each sensor another one; every other one whole fine pixels.
    seed : int

    Yields
    ------
    Case
        `Sensor.shift` is what was put in, without what the files themselves are off.
    """
    for pair in PAIRS:
        paths = {name: [folder / file for file in files] for name, files in pair.files.items()}
        if not all(path.is_file() for group in paths.values() for path in group):
            continue
        images = {name: _read(group) for name, group in paths.items()}
        for number in range(moves + 1):
            yield moved(pair, images, number, seed)


def _read(paths: list[Path]) -> NDArray[np.float32]:
    import rasterio

    bands = []
    for path in paths:
        with rasterio.open(path) as file:
            bands.append(file.read().astype(np.float32))
    return np.concatenate(bands)


@dataclass(frozen=True)
class Move:
    """How a case is cut: the finest image's window moved by `whole` pixels, then its content by `fraction` of one;
    the others' windows by whole pixels of their own."""

    whole: tuple[int, int]
    fraction: Shift
    others: dict[str, tuple[int, int]]

    def shift(self, name: str, ratio: int) -> Shift:
        """The shift that a sensor gets, fine pixels."""
        own = self.others[name]
        x, y = (round(self.whole[i] - self.fraction[i] - ratio * own[i], 3) for i in (0, 1))
        return x, y


def drawn_move(pair: Pair, number: int, seed: int) -> Move:
    """The move of a case; number 0 is none, even ones are whole pixels."""
    names = list(pair.files)[1:]
    if number == 0:
        return Move((0, 0), (0.0, 0.0), dict.fromkeys(names, (0, 0)))
    rng = generator(seed, pair.name, f"benchmark move {number}")
    length, angle = rng.uniform(0, REACH - 0.5), rng.uniform(0, 2 * np.pi)
    target = length * np.array([np.cos(angle), np.sin(angle)])
    whole = np.rint(target).astype(int)
    fraction = (0.0, 0.0) if number % 2 == 0 else tuple(float(v) for v in np.round(whole - target, 3))
    others = {}
    for name in names:
        ratio = pair.ratios[name]
        limit = min(int(REACH) // ratio, BORDER // ratio)
        while True:
            own = rng.integers(-limit, limit + 1, 2)
            if np.hypot(*(target - ratio * own)) <= REACH - 0.5:
                break
        others[name] = (int(own[0]), int(own[1]))
    return Move((int(whole[0]), int(whole[1])), (fraction[0], fraction[1]), others)


def moved(pair: Pair, images: dict[str, NDArray[np.float32]], number: int, seed: int) -> Case:
    """The images of a pair cut and moved."""
    move = drawn_move(pair, number, seed)
    lead, *names = pair.files
    fine, valid = images[lead], _valid(images[lead], pair.nodata)
    if move.fraction != (0.0, 0.0):
        fine, valid = fourier_shifted(fine, valid, move.fraction)
    side = min(min(image.shape[1:]) * pair.ratios[name] for name, image in images.items())
    size = (side - 2 * BORDER) // max(pair.ratios.values()) * max(pair.ratios.values())
    sensors = {lead: _cut(fine, valid, size, 1, move.whole, (0.0, 0.0))}
    for name in names:
        own, ratio = images[name], pair.ratios[name]
        shift = move.shift(name, ratio)
        sensors[name] = _cut(own, _valid(own, pair.nodata), size, ratio, move.others[name], shift)
    return Case(pair.name, size, "moved" if number else "unmoved", lead, sensors)


def _valid(image: NDArray[np.float32], nodata: float | None) -> NDArray[np.bool_] | None:
    if nodata is None:
        return None
    valid = np.asarray((image != nodata).any(axis=0))
    return None if valid.all() else valid


def _cut(
    image: NDArray[np.float32],
    valid: NDArray[np.bool_] | None,
    size: int,
    ratio: int,
    offset: tuple[int, int],
    shift: Shift,
) -> Sensor:
    """The window of an image that covers `size` fine pixels, moved by whole pixels of its own."""
    pixels = size // ratio
    left, top = (BORDER // ratio + value for value in offset)
    window = (slice(top, top + pixels), slice(left, left + pixels))
    nominal = stretched((size, size), (pixels, pixels))
    kept = None if valid is None else valid[window]
    return Sensor(np.ascontiguousarray(image[:, *window]), kept, nominal, shift, MAX_SHIFT)


def fourier_shifted(
    image: NDArray[np.float32], valid: NDArray[np.bool_] | None, shift: Shift
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """An image whose content lies (dx, dy) pixels further right and down, band-limited, and where it is usable.

    The image is mirrored at its edges, and no-data filled with the nearest pixel, so that nothing rings.
    """
    from scipy import ndimage

    height, width = image.shape[1:]
    if valid is not None:
        _, (rows, columns) = ndimage.distance_transform_edt(~valid, return_indices=True)
        image = image[:, rows, columns]
    mirrored = np.pad(image, ((0, 0), (0, height), (0, width)), mode="symmetric")
    planes: list[NDArray[Any]] = []
    for plane in mirrored:
        spectrum = ndimage.fourier_shift(np.fft.rfft2(plane), (shift[1], shift[0]), n=plane.shape[1])
        planes.append(np.fft.irfft2(spectrum, plane.shape)[:height, :width])
    out = np.stack(planes).astype(np.float32)
    if valid is None:
        return out, None
    usable = ndimage.binary_erosion(valid, np.ones((2 * SOFT + 1, 2 * SOFT + 1)), border_value=1)
    return out * usable, np.asarray(usable)
