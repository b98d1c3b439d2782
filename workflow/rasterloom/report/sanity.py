"""Pictures of what a model has learned by heart: each scene beside its errors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rasterloom.report.backdrops import read_window
from rasterloom.report.pictures import Bytes, errors_picture, fitted, stretch_limits, stretched

SIDE = 640
"""Pixels of a scene's longer side."""


def scene_and_errors(reference: str, stack: Path, probability: Bytes, coverage: Bytes, threshold: float) -> Bytes:
    """A scene, and beside it what is right in green, too much in red and missed in blue.

    Parameters
    ----------
    reference : the sensor that is shown.
    stack : the scene's stack.
    probability, coverage : (H, W), 0..255; the truth is what is covered by half, as `split_counts` has it.
    threshold : what is predicted is above it.

    Returns
    -------
    (rows, columns, 3) uint8, at most 640 rows and 1280 columns.
    """
    import cv2

    height, width = coverage.shape
    true, found = coverage >= min(128, max(1, int(coverage.max()))), probability > threshold
    frame = fitted(0, 0, width, height, SIDE)
    kinds = np.stack([true & found, found & ~true, true & ~found]).astype(np.float32)
    fractions = [cv2.resize(kind, (frame.columns, frame.rows), interpolation=cv2.INTER_AREA) for kind in kinds]
    image, valid = read_window(stack, reference, frame, (width, height))
    shown = stretched(image, valid, stretch_limits(image, valid))
    return np.concatenate([shown, errors_picture(shown, np.stack(fractions))], axis=1)


def one_above_the_other(pictures: Sequence[Bytes]) -> Bytes:
    """Pictures (rows, columns, 3) uint8 in a column, with white where one is narrower."""
    width = max(picture.shape[1] for picture in pictures)
    padded = [np.pad(p, ((0, 8), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in pictures]
    return np.concatenate(padded)
