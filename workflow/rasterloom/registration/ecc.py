"""Refining the place of one signal on another: enhanced correlation coefficient maximisation (ECC).

In its inverse compositional form: what depends on the fixed signal (its gradients, and their Gram matrix) is computed
once, so that a step costs one interpolation of the other signal and a few scalar products.

Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient maximization", IEEE TPAMI
30 (2008); Baker and Matthews, "Lucas-Kanade 20 years on: a unifying framework", IJCV 56 (2004), for the inverse
composition.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rasterloom.raster.grid import Matrix, compose, invert
from rasterloom.registration.comparison import Floats, Mask
from rasterloom.registration.motions import moved_by, translation

STOP = 0.002
"""Pixels by which a step moves anything at most when the place is found."""

STEPS = 50
"""Steps after which it is given up; 3 or 4 are the rule."""

MOVED = 0.5
"""Pixels that the place may move before the pixels that count are chosen anew."""


class NotRefined(Exception):
    """A place could not be refined; says why."""


@dataclass(frozen=True)
class _Fixed:
    """What steps need of the fixed signal, over the pixels that count: both signals are known there.

    Attributes
    ----------
    corner : (x, y)
        Upper left pixel of the rectangle around them.
    size : (W, H)
        Of that rectangle.
    signal : (N,) float32 array
        The fixed signal in the rectangle, of mean 0 over pixels that count and 0 elsewhere.
    slopes : (K, N) float32 array
        By how much it changes with each parameter, likewise.
    inverse : (K, K) array
        Inverse of the slopes' Gram matrix.
    """

    corner: tuple[int, int]
    size: tuple[int, int]
    signal: Floats
    slopes: Floats
    inverse: NDArray[np.float64]

    def step(self, moving: Floats) -> NDArray[np.float64]:
        """By which parameters the fixed signal is to be moved to be most like the moving one, (N,) float32.

        The optimum of the correlation coefficient of a signal linear in its parameters (equations 18 to 20 of the
        paper). The moving signal's mean drops out, as everything it is multiplied with has mean 0.
        """
        own = (self.slopes @ self.signal).astype(np.float64)
        seen = (self.slopes @ moving).astype(np.float64)
        likeness = float(self.signal @ moving) - float(seen @ self.inverse @ own)
        if not likeness > 0:
            raise NotRefined("ECC did not converge (the signals are not alike at that place)")
        gain = (float(self.signal @ self.signal) - float(own @ self.inverse @ own)) / likeness
        return np.asarray(self.inverse @ (gain * seen - own))


def refine(one: Floats, other: Floats, start: Matrix, valid: tuple[Mask, Mask], motion: str = "translation") -> Matrix:
    """Refine the place of one signal on another by ECC.

    Parameters
    ----------
    one, other : (H, W) float32 arrays
    start : 2 x 3 list of rows
        Maps pixels of `one` to pixels of `other`.
    valid : two (H, W) bool arrays
        Where each may be used.
    motion : "translation" or "euclidean"

    Returns
    -------
    2 x 3 list of rows
        The map.

    Raises
    ------
    NotRefined
        If it does not converge, the signals do not overlap, or one of them is flat.

    Notes
    -----
    Memory: 32 bytes per pixel. Time: three to four steps of a bilinear interpolation and two to three scalar products.
    """
    rows, columns = one.shape
    corners = np.array([[0, columns, 0, columns], [0, 0, rows, rows], [1] * 4], dtype=np.float64)
    place, chosen_at, last, share = start, None, np.inf, 1.0
    for _ in range(STEPS):
        if chosen_at is None or _far(place, chosen_at, corners) > MOVED:
            fixed, chosen_at = _fixed(one, place, valid, motion), place
        change = fixed.step(_moving(other, place, fixed))
        moved = _motion(share * change, one.shape)
        place = compose(place, invert(moved))
        length = _far(moved, translation((0.0, 0.0)), corners)
        if length < STOP:
            return place
        share *= 0.5 if length >= last else 1.0  # it goes to and fro
        last = length
    raise NotRefined(f"ECC did not converge in {STEPS} steps")


def _far(one: Matrix, other: Matrix, corners: NDArray[np.float64]) -> float:
    """The largest distance along an axis between what two maps make of corners."""
    return float(np.abs((np.array(one) - np.array(other)) @ corners).max())


def _motion(parameters: NDArray[np.float64], shape: tuple[int, ...]) -> Matrix:
    """The map of a shift (dx, dy) and, if there is a third parameter, a turn about the middle of the image."""
    degrees = float(np.degrees(parameters[2])) if len(parameters) == 3 else 0.0
    return moved_by((parameters[0], parameters[1]), degrees, (shape[1] - 1, shape[0] - 1))


def _fixed(one: Floats, place: Matrix, valid: tuple[Mask, Mask], motion: str) -> _Fixed:
    """The pixels that count at a place, and what steps need of them."""
    import cv2

    rows, columns = one.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    known = valid[1].astype(np.uint8) * np.uint8(255)
    inside = valid[0] & (
        np.asarray(cv2.warpAffine(known, np.array(place, dtype=np.float64), (columns, rows), flags=flags)) == 255
    )
    x, y, width, height = cv2.boundingRect(inside.astype(np.uint8))
    if not width * height:
        raise NotRefined("ECC did not converge (the images do not overlap at that place)")
    window = slice(y, y + height), slice(x, x + width)
    whole, counts = bool(inside[window].all()), inside[window].astype(np.float32)
    number = np.float32(counts.sum(dtype=np.float64))

    def centred(values: Floats) -> Floats:
        used = values[window] if whole else values[window] * counts
        mean = used.sum(dtype=np.float64).astype(np.float32) / number
        return np.asarray(used - (mean if whole else mean * counts), dtype=np.float32).ravel()

    across = np.asarray(cv2.Sobel(one, cv2.CV_32F, 1, 0, ksize=1, scale=0.5), dtype=np.float32)
    down = np.asarray(cv2.Sobel(one, cv2.CV_32F, 0, 1, ksize=1, scale=0.5), dtype=np.float32)
    slopes = [centred(across), centred(down)]
    if motion == "euclidean":
        right = np.arange(columns, dtype=np.float32) - np.float32((columns - 1) / 2)
        below = np.arange(rows, dtype=np.float32) - np.float32((rows - 1) / 2)
        slopes.append(centred(down * right - across * below[:, None]))
    basis = np.stack(slopes)
    gram = (basis @ basis.T).astype(np.float64)
    if not np.linalg.cond(gram) < 1e12:
        raise NotRefined("ECC did not converge (nothing to be seen at that place)")
    inverse = np.asarray(np.linalg.inv(gram), dtype=np.float64)
    return _Fixed((x, y), (width, height), centred(one), basis, inverse)


def _moving(other: Floats, place: Matrix, fixed: _Fixed) -> Floats:
    """The moving signal brought to the fixed one's rectangle, (N,) float32."""
    import cv2

    there = np.array(compose(place, translation(fixed.corner)), dtype=np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(other, there, fixed.size, flags=flags), dtype=np.float32).ravel()
