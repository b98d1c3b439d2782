"""Towns of rectangles, drawn and seen, for the tests of where labels lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from shapely import affinity, box

from rasterloom.polygons.coverage import coverage
from rasterloom.raster.grid import IDENTITY

SIDE = 256


def houses(number: int, seed: int = 0, side: int = SIDE) -> list[Any]:
    """Rectangles of different sizes and directions, none on another."""
    rng, found = np.random.default_rng(seed), list[Any]()
    while len(found) < number:
        x, y, width, height = *rng.uniform(30, side - 30, 2), *rng.uniform(8, 24, 2)
        house = affinity.rotate(box(x, y, x + width, y + height), float(rng.uniform(0, 90)))
        if all(house.distance(other) > 3 for other in found):
            found.append(house)
    return found


def town(
    polygons: list[Any], seed: int = 0, side: int = SIDE, contrasts: Sequence[float] = (-1, 1, 1)
) -> NDArray[np.float32]:
    """An image, (1, H, W), of dark and bright houses over ground that changes slowly, with noise."""
    rng = np.random.default_rng(seed + 100)
    image = gaussian_filter(rng.normal(size=(side, side)), 12) * 8
    for polygon in polygons:
        image += coverage([polygon], (side, side), IDENTITY) / 255 * rng.choice(contrasts) * rng.uniform(0.5, 1)
    return np.asarray(gaussian_filter(image, 0.7) + 0.15 * rng.normal(size=image.shape), dtype=np.float32)[None]
