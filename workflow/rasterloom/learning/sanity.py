"""Sanity: can a member learn a few scenes by heart? If not, a long training would learn no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

SANITY = "sanity"
"""Name, in place of a fold's, of the checkpoint that has learned a few scenes by heart."""

SCENES = 3
"""Scenes that are learned, those with most of the class."""

STEPS = 400
"""Steps of the training, unless the recipe has fewer."""

GOOD, FAIR = 0.95, 0.8
"""Jaccard from which a class is learned, and from which it may be."""

_OFF = {
    "flips": False,
    "rotation": False,
    "colour": 0.0,
    "contrast": 0.0,
    "zoom": 1.0,
    "sensor_dropout": 0.0,
    "channel_dropout": 0.0,
}

_FLAT = 26
"""Range of the probabilities, of 255, below which they say nothing."""

_NARROW = 0.5
"""Share of the class's pixels that are only partly covered above which its objects are narrow for the scale."""

_FALLING = 0.8
"""The mean loss of the last tenth of the steps, relative to the tenth before it, below which it still falls."""


def by_heart(training: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a network's training for learning by heart: short, and without random changes of the patches."""
    augment = {name: _OFF.get(name, value) for name, value in training["augment"].items()}
    return {**training, "steps": min(int(training["steps"]), STEPS), "augment": augment}


def verdict(jaccard: float | None, joint: NDArray[np.int64], loss: NDArray[Any]) -> str:
    """Whether to go on, in words, and what to look at if not.

    Parameters
    ----------
    jaccard : of all pixels at the best threshold, 0..1; None if there is no pixel of the class.
    joint : (256, 256) number of pixels of each coverage (row) and probability (column).
    loss : (n,) learning curve, evenly spread over the steps; empty for a model per pixel.
    """
    if jaccard is not None and jaccard >= GOOD:
        return "go on"
    start = "look at the picture before you go on" if (jaccard or 0.0) >= FAIR else "do not go on yet"
    return "; ".join([start, *_reasons(joint, loss)])


def _reasons(joint: NDArray[np.int64], loss: NDArray[Any]) -> Iterator[str]:
    tenth = len(loss) // 10
    seen, covered = np.flatnonzero(joint.sum(axis=0)), joint[1:].sum(axis=1)
    if np.ptp(seen) < _FLAT:
        yield "it predicts nearly the same everywhere: try a tenth of `learning_rate`, or three times as much"
    elif tenth and loss[-tenth:].mean() < _FALLING * loss[-2 * tenth : -tenth].mean():
        yield "the loss was still falling: more `steps` will help"
    if covered[:-1].sum() > _NARROW * covered.sum():
        yield "its objects are hardly wider than a pixel: choose a finer scale"
    yield (
        "in the picture, red on one side of the objects and blue on the other means that the labels are shifted, red "
        "objects that they lack labels, blue ones that the channels or the scale do not show them"
    )
