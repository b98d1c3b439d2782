"""Dilation and erosion of probabilities by discs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def morphology(probability: NDArray[np.uint8], dilate: int, erode: int) -> NDArray[np.uint8]:
    """Grey-scale dilation, then erosion, by discs: outlines move but stay sub-pixel.

    Parameters
    ----------
    probability : (H, W) uint8 array, 0..255
    dilate, erode : int
        Radii in pixels of the array; 0 does nothing. Equal radii close gaps.

    Returns
    -------
    (H, W) uint8 array
        What lies beyond the image neither grows into it nor eats it.
    """
    import cv2

    if dilate:
        probability = np.asarray(cv2.dilate(probability, _disc(dilate)), dtype=np.uint8)
    if erode:
        probability = np.asarray(cv2.erode(probability, _disc(erode)), dtype=np.uint8)
    return probability


def _disc(radius: int) -> NDArray[np.uint8]:
    offsets = np.arange(-radius, radius + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= (radius + 0.5) ** 2).astype(np.uint8)
