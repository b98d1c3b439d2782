"""Sanity: can a member learn a few scenes by heart? If not, a long training would learn no more."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.config.model import AugmentConfig

SANITY = "sanity"
"""Name, in place of a fold's, of the checkpoint that has learned a few scenes by heart."""

SCENES = 3
"""Scenes that are learned, those with most of the class."""

GOOD, FAIR = 0.95, 0.8
"""Jaccard from which a class is learned, and from which it may be."""

_FLAT = 26
"""Range of the probabilities, of 255, below which they say nothing."""

_NARROW = 0.5
"""Share of the class's pixels that are only partly covered above which its objects are narrow for the scale."""

_RISING = 0.02
"""How much the Jaccard on patches rises between the two last fifths of the steps if more of them will help."""

PICTURE = (
    "in a picture, red on one side of the objects and blue on the other means that the labels are shifted, red objects "
    "that they lack labels, blue ones that the channels or the scale do not show them"
)


def by_heart(training: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Settings of a network's training for learning by heart: in so many steps, without random changes of patches."""
    augment = AugmentConfig(flips=False, rotation=False, colour=0.0)
    return {**training, "steps": steps, "augment": augment.model_dump()}


def verdict(jaccard: float | None, joint: NDArray[np.int64], curve: NDArray[Any]) -> str:
    """Whether to go on, in words, and what to change if not.

    Parameters
    ----------
    jaccard : of all pixels at the best threshold, 0..1; None if there is no pixel of the class.
    joint : (256, 256) number of pixels of each coverage (row) and probability (column).
    curve : (n,) Jaccard on patches, evenly spread over the steps; empty for a model per pixel.
    """
    if jaccard is not None and jaccard >= GOOD:
        return "go on"
    start = "look at the picture before you go on" if (jaccard or 0.0) >= FAIR else "do not go on yet"
    return "; ".join([start, *_reasons(joint, curve)])


def _reasons(joint: NDArray[np.int64], curve: NDArray[Any]) -> Iterator[str]:
    fifth = len(curve) // 5
    seen, covered = np.flatnonzero(joint.sum(axis=0)), joint[1:].sum(axis=1)
    if np.ptp(seen) < _FLAT:
        yield "it predicts nearly the same everywhere: try a tenth of `learning_rate`, or three times as much"
    elif fifth and curve[-fifth:].mean() - curve[-2 * fifth : -fifth].mean() > _RISING:
        yield "it was still learning: try again with three times the `sanity.steps`"
    if covered[:-1].sum() > _NARROW * covered.sum():
        yield "its objects are hardly wider than a pixel: choose a finer scale"
