"""Estimating the translation between two images of the same ground taken in different bands.

Brightness may be inverted between bands, edges stay where they are: everything here works on the magnitude of the
gradient. A cross-correlation over a wide range of shifts finds the peak, and how it compares with the second best;
`rasterloom.registration.refinement` refines it below a tenth of a pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.registration.comparison import Floats, Mask, View

DETAIL = 8.0
"""Deviation, in pixels, of the Gaussian mean that is taken off a signal: what varies slowly has a blunt peak."""

FINE_STEPS = np.arange(-15, 16) / 20
"""Shifts around a whole one at which a correlation is evaluated, pixels."""

BEYOND = 12
"""Pixels beyond the range of shifts, at least, in which rivals of a peak are looked for."""

PATCH = 6
"""Whole shifts either way from which it is interpolated."""


@dataclass(frozen=True)
class Peak:
    """The best shift between two images, by a surface of likeness over shifts.

    Attributes
    ----------
    shift : (dx, dy)
        In pixels; the ground seen at x of the first image is seen at x + dx of the second.
    height : float
        Likeness there: a correlation, -1..1, or a share of variance that is explained, 0..1.
    second : float
        The highest likeness outside the peak's surroundings, over the shifts of `lags`.
    """

    shift: tuple[float, float]
    height: float
    second: float


def gradient_signal(band: NDArray[Any], valid: Mask, blur: float) -> Floats:
    """Edges of a band: the root of the gradient's magnitude (few strong edges do not decide), less its local mean.

    Parameters
    ----------
    band : (H, W) array
    valid : (H, W) bool array
    blur : float
        Standard deviation of the Gaussian that is applied first, in pixels.

    Returns
    -------
    (H, W) float32 array
        Mean 0 and standard deviation 1 over usable pixels, 0 elsewhere (no-data and what the blur mixes with it).
    """
    import cv2

    across, down, usable = slopes(band, valid, blur)
    signal = np.sqrt(cv2.magnitude(across, down)) * usable
    return normalised(signal - local_mean(signal, usable, DETAIL), usable)


def slopes(band: NDArray[Any], valid: Mask, blur: float) -> tuple[Floats, Floats, Mask]:
    """The gradient of a blurred band across and down, (H, W) float32, and where it is usable; see `gradient_signal`."""
    import cv2

    usable, image = eroded(valid, blur), band.astype(np.float32)
    if not valid.all():
        image = np.where(valid, image, image[valid].mean() if valid.any() else np.float32(0))
    if blur > 0:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur), dtype=np.float32)
    across, down = (cv2.Sobel(image, cv2.CV_32F, dx, 1 - dx, ksize=3) for dx in (1, 0))
    return np.asarray(across), np.asarray(down), usable


def local_mean(signal: Floats, usable: Mask, deviation: float) -> Floats:
    """The Gaussian mean of an (H, W) float32 signal, 0 where it is not usable, over the usable pixels around each."""
    total = wide_blur(signal, deviation)
    if usable.all():
        return total
    share = wide_blur(usable.astype(np.float32), deviation)
    return np.asarray(total / np.maximum(share, np.float32(1e-3)))


def wide_blur(image: Floats, deviation: float) -> Floats:
    """A Gaussian blur of an (H, W) float32 image.

    One of 3 pixels or more works on an image averaged to half its size, which is three times as fast.
    """
    import cv2

    rows, columns = image.shape
    if deviation < 3 or min(rows, columns) < 64:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), dtype=np.float32)
    half = cv2.resize(image, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(wide_blur(np.asarray(half), deviation / 2), (columns, rows)), dtype=np.float32)


def eroded(valid: Mask, blur: float) -> Mask:
    """Valid pixels, (H, W) bool, that a blur and a gradient do not mix with others.

    The border of the image is not one of the others.
    """
    import cv2

    if bool(valid.all()):
        return valid
    radius = int(np.ceil(2 * blur)) + 1
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return np.asarray(cv2.erode(valid.astype(np.uint8), kernel, borderType=cv2.BORDER_REPLICATE) > 0)


def normalised(signal: NDArray[Any], usable: Mask) -> Floats:
    """A signal, (H, W), with mean 0 and standard deviation 1 over usable pixels and 0 elsewhere.

    Returns
    -------
    (H, W) float32 array
        All 0 if the signal is flat.
    """
    import cv2

    if not usable.any():
        return np.zeros(signal.shape, np.float32)
    whole, plane = bool(usable.all()), np.asarray(signal, dtype=np.float32)
    mean, deviation = (float(v[0, 0]) for v in cv2.meanStdDev(plane, mask=None if whole else usable.astype(np.uint8)))
    if deviation <= 1e-6 * max(1.0, abs(mean)):
        return np.zeros(signal.shape, np.float32)
    scaled = (plane - np.float32(mean)) * np.float32(1 / deviation)
    return scaled if whole else np.where(usable, scaled, np.float32(0))


def gradient_signals(shown: View, blur: float) -> list[Floats]:
    """The gradient signal, (H, W) float32, of every band and, with more than one, of all together."""
    single = [gradient_signal(band, shown.valid, blur) for band in shown.bands]
    together = [normalised(np.sum(single, axis=0), eroded(shown.valid, blur))] if len(single) > 1 else []
    return [*single, *together]


def combined_signal(shown: View, blur: float) -> Floats:
    """The gradient signal, (H, W) float32, of all bands together; of one band, its own."""
    total = sum(gradient_signal(band, shown.valid, blur) for band in shown.bands)
    return normalised(np.asarray(total), eroded(shown.valid, blur))


@dataclass(frozen=True)
class Spectra:
    """Fourier transforms of signals on a common padded grid.

    Attributes
    ----------
    items : (n, rows, columns // 2 + 1) complex64 array
    energy : (n,) array
        Sum of squares of each signal.
    shape : (rows, columns)
        Of the padded grid.
    reach : int
        Largest shift that is looked for, pixels.
    """

    items: NDArray[np.complex64]
    energy: NDArray[np.float64]
    shape: tuple[int, int]
    reach: int


def spectra(group: Sequence[Floats] | Floats, max_shift: float) -> Spectra:
    """Transforms of signals of one size, padded so that nothing wraps around.

    Parameters
    ----------
    group : (n, H, W) float32 array, or a sequence of (H, W) arrays
    max_shift : float
        Largest shift that is looked for, pixels.
    """
    from scipy import fft

    reach = max(1, int(np.ceil(max_shift)))
    beyond = int(lags(reach)[-1]) + 2  # so that no shift of `lags` wraps around
    rows, columns = (int(fft.next_fast_len(side + beyond, real=True)) for side in group[0].shape)
    shape = (rows, columns)
    items = np.stack([np.asarray(fft.rfft2(signal, shape), dtype=np.complex64) for signal in group])
    energy = np.array([np.square(signal).sum(dtype=np.float64) for signal in group])
    return Spectra(items, energy, shape, reach)


def correlations(one: Spectra, i: int, other: Spectra, span: NDArray[np.int64]) -> Floats:
    """Cross-correlations of signal `i` with all others at shifts (dy, dx) from `span`, (n, len(span), len(span)).

    Only rows of these shifts are transformed back along their second axis, which is most of the work.
    """
    from scipy import fft

    down = fft.ifft(np.conj(one.items[i]) * other.items, axis=1, overwrite_x=True)[:, span % one.shape[0]]
    return np.asarray(fft.irfft(down, one.shape[1], axis=2)[:, :, span % one.shape[1]], dtype=np.float32)


def lags(reach: int) -> NDArray[np.int64]:
    """Whole shifts, (L,) int64, at which a peak is compared with its rivals.

    Twice as far as the peak may lie, and well beyond itself.
    """
    span = max(2 * reach, reach + BEYOND)
    return np.arange(-span, span + 1)


def correlation_peak(one: Spectra, other: Spectra, width: float, exact: bool = True) -> Peak:
    """The best shift between two signals of mean 0.

    Parameters
    ----------
    one, other : Spectra
        Of one signal each.
    width : float
        Half width of the peak, pixels: rivals are looked for outside twice of it.
    exact : bool
        To a twentieth of a pixel; otherwise to a pixel.
    """
    norm = float(np.sqrt(one.energy[0] * other.energy[0]))
    if norm == 0:
        return Peak((0.0, 0.0), 0.0, 0.0)
    return peak_of(correlations(one, 0, other, lags(one.reach))[0] / norm, one.reach, width, exact)


def peak_of(surface: NDArray[Any], reach: int, width: float, exact: bool = True) -> Peak:
    """The best shift of a surface, (L, L), of likeness at the shifts of `lags`; see `correlation_peak`."""
    far = lags(reach)
    column, row = top(surface, reach)
    others = surface[np.maximum(np.abs(far[:, None] - row), np.abs(far - column)) > 2 * width]
    shift = sharp_top(surface, (column, row)) if exact else (float(column), float(row))
    height = float(surface[row + len(far) // 2, column + len(far) // 2])
    return Peak(shift, height, float(others.max()) if others.size else 0.0)


def top(surface: NDArray[Any], reach: int) -> tuple[int, int]:
    """The whole shift (dx, dy) of at most `reach` at which a surface of shifts, none in its middle, is highest."""
    middle = surface.shape[0] // 2
    inner = surface[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
    row, column = np.unravel_index(int(inner.argmax()), inner.shape)
    return int(column) - reach, int(row) - reach


def sharp_top(surface: NDArray[Any], near: tuple[int, int]) -> tuple[float, float]:
    """The maximum of a surface within 0.75 of a whole shift (dx, dy), to a twentieth, by splines of degree 5."""
    from scipy.ndimage import map_coordinates

    column, row = (value + surface.shape[0] // 2 for value in near)
    left, upper = max(0, column - PATCH), max(0, row - PATCH)
    patch = np.asarray(surface[upper : row + PATCH + 1, left : column + PATCH + 1], dtype=np.float64)
    places = np.stack(np.meshgrid(row - upper + FINE_STEPS, column - left + FINE_STEPS, indexing="ij"))
    fine = map_coordinates(patch, places, order=5, mode="nearest")
    y, x = np.unravel_index(int(fine.argmax()), fine.shape)
    return near[0] + float(FINE_STEPS[x]), near[1] + float(FINE_STEPS[y])


def best_pair(ones: Sequence[Floats], others: Sequence[Floats], max_shift: float) -> tuple[int, int]:
    """Which signals of two images correlate highest within a range of shifts.

    Parameters
    ----------
    ones, others : sequences of (H, W) float32 arrays
    max_shift : float
        Pixels, on either axis.

    Returns
    -------
    i, j : int
        Their indices.
    """
    if len(ones) == len(others) == 1:
        return 0, 0
    one, other = spectra(ones, max_shift), spectra(others, max_shift)
    near = np.arange(-one.reach, one.reach + 1)
    tops = np.stack([correlations(one, i, other, near).max(axis=(1, 2)) for i in range(len(ones))])
    norms = np.sqrt(np.outer(one.energy, other.energy))
    heights = np.divide(tops, norms, out=np.zeros_like(norms), where=norms > 0)
    i, j = np.unravel_index(int(heights.argmax()), heights.shape)
    return int(i), int(j)
