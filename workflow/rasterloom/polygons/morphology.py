"""Openings and closings of probabilities by discs."""

import numpy as np
from numpy.typing import NDArray


def morphology(probability: NDArray[np.uint8], opening: float, closing: float) -> NDArray[np.uint8]:
    """Grey-scale opening, then closing, by discs: what is thinner goes, gaps that are narrower close.

    Parameters
    ----------
    probability : (H, W) uint8 array, 0..255
    opening, closing : float
        Radii in pixels of the array, rounded to halves; 0 does nothing.

    Returns
    -------
    (H, W) uint8 array
        Other outlines stay where they are, sub-pixel. What lies beyond the image neither grows into it nor eats it.
    """
    import cv2

    for radius, change in ((opening, cv2.MORPH_OPEN), (closing, cv2.MORPH_CLOSE)):
        if radius:
            probability = np.asarray(cv2.morphologyEx(probability, change, _disc(radius)), dtype=np.uint8)
    return probability


def _disc(radius: float) -> NDArray[np.uint8]:
    reach = max(0.5, round(2 * radius) / 2) + 0.5
    offsets = np.arange(-int(reach), int(reach) + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= reach**2).astype(np.uint8)
