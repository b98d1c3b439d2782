"""Images of invented ground for tests of registration."""

import cv2
import numpy as np
from numpy.typing import NDArray


def ground(seed: int = 0, side: int = 400) -> NDArray[np.float32]:
    """Fields and houses: rectangles of one brightness each, smoothed."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side), 100, np.float32)
    for _ in range(side * 2):
        x, y, w, h = rng.integers(0, side, 2).tolist() + rng.integers(4, 40, 2).tolist()
        image[y : y + h, x : x + w] = rng.integers(20, 250)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), dtype=np.float32)


def moved(image: NDArray[np.float32], dx: float, dy: float) -> NDArray[np.float32]:
    """What is at x in `image` is at x + dx."""
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    return np.asarray(cv2.warpAffine(image, matrix, image.shape[::-1], borderMode=cv2.BORDER_REFLECT))
