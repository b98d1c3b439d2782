"""Thin things, which a contour at the half of a coverage tears apart: kept together, and as wide as they are."""

import numpy as np
from numpy.typing import NDArray

THINNEST, THIN = 1.15, 1.4
"""Pixels of width up to which a thing is thin altogether, and from which it is not at all."""

SHARPENING = 0.3
"""How much of a thin thing's curvature is added to it, to undo the mean over a pixel."""

HALO = 3
"""Pixels around one that decide how much it is raised."""

NARROW = 2.6
"""Pixels of width up to which the profile across a thing says where its edges are."""

ALONG = 1.5
"""Pixels by which a narrow thing goes on in either direction: a dot has no such profile."""

LOW = 0.08
"""Probability at which a profile across a narrow thing ends."""


def raised(probability: NDArray[np.uint8], level: float) -> NDArray[np.uint8]:
    """A probability that is higher along thin things: a wall between two columns of pixels has half of it in each.

    Parameters
    ----------
    probability : (H, W) uint8 array
    level : float
        That of the contours, 0..255.

    Returns
    -------
    (H, W) uint8 array
        Nowhere lower.
    """
    import cv2

    disc = np.array([[1, 2, 1], [2, 2, 2], [1, 2, 1]], np.float32) * (3 / 14)
    peak = np.array([[-1, -2, -1], [-2, 12, -2], [-1, -2, -1]], np.float32) * (SHARPENING / 4)
    share = np.minimum(probability * np.float32(0.5 / level), np.float32(1))
    width = cv2.dilate(cv2.filter2D(share, -1, disc, borderType=cv2.BORDER_REPLICATE), np.ones((3, 3), np.uint8))
    gain = cv2.filter2D(probability.astype(np.float32), -1, peak, borderType=cv2.BORDER_REPLICATE)
    gain = np.maximum(gain, 0) * np.clip((THIN - width) / (THIN - THINNEST), 0, 1)
    return np.asarray(np.clip(np.rint(probability + gain), 0, 255), np.uint8)


def edges(points: NDArray[np.complex128], probability: NDArray[np.uint8], level: float) -> NDArray[np.complex128]:
    """Points of contours, those of narrow things moved to where the profile across puts their edges.

    A profile's sum is the width, its centre the middle, wherever the thing lies between the samples.

    Parameters
    ----------
    points : (N,) complex128 array
        x + iy, in pixels.
    probability : (H, W) uint8 array
    level : float
        Of the contours, 0..255: half of what is sure.
    """
    from scipy.ndimage import map_coordinates

    def share(places: NDArray[np.complex128]) -> NDArray[np.float32]:
        where = [places.imag - 0.5, places.real - 0.5]
        found = map_coordinates(probability, where, np.float32, order=1, mode="nearest")
        return np.asarray(np.minimum(found * np.float32(0.5 / level), np.float32(1)))

    around, steps = np.exp(np.arange(6) * (np.pi / 3j)), np.arange(-1.5, 4.6, 0.125)
    slope = (share(points[:, None] + around) * around).sum(axis=1)
    inwards = slope / np.maximum(np.abs(slope), 1e-9)
    ends = share(points[:, None] + inwards[:, None] * np.arange(NARROW, NARROW + 1.5, 0.5)).min(axis=1) < LOW
    own, inwards = points[ends], inwards[ends]
    profile = share(own[:, None] + inwards[:, None] * steps)
    low = profile < LOW
    before, behind = low & (steps < 0), low & (steps > 0.5)
    first, last = steps.size - 1 - np.argmax(before[:, ::-1], axis=1), np.argmax(behind, axis=1)
    order = np.arange(steps.size)
    profile[(order < first[:, None]) | (order > last[:, None])] = 0
    width = profile.sum(axis=1) * 0.125
    middle = (profile * steps).sum(axis=1) * 0.125 / np.maximum(width, 1e-9)
    shift = middle - width / 2
    centre = (own + middle * inwards)[:, None] + (1j * inwards)[:, None] * np.array([-ALONG, 0, ALONG])
    one, centre_share, other = share(centre).T
    narrow = before.any(axis=1) & behind.any(axis=1) & (width < NARROW) & (np.abs(shift) <= 1)
    narrow &= np.minimum(one, other) > centre_share / 2
    moved = points.copy()
    moved[ends] += np.where(narrow, shift, 0) * inwards
    return moved
