"""Learning by heart: its settings, and what is said of the outcome."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rasterloom.config.model import TrainingConfig
from rasterloom.learning.sanity import by_heart, verdict
from rasterloom.polygons.thresholds import joint_histogram

RISING = np.linspace(0.2, 0.6, 400)


def joint(coverage: list[int], probability: list[int]) -> NDArray[np.int64]:
    return joint_histogram(np.array([probability], np.uint8), np.array([coverage], np.uint8))


WIDE = joint([0, 0, 255, 255, 255], [0, 0, 250, 250, 100])


def test_by_heart_is_short_and_without_changes_of_the_patches() -> None:
    training = TrainingConfig(steps=5000, learning_rate=0.02).model_dump()
    found = by_heart(training, 400)
    assert found["steps"] == 400
    assert not any(found["augment"][name] for name in ("flips", "rotation", "colour"))
    assert {k: v for k, v in found.items() if k not in ("steps", "augment")} == {
        k: v for k, v in training.items() if k not in ("steps", "augment")
    }
    TrainingConfig.model_validate(found)


def test_every_random_change_is_off() -> None:
    """A new key of `augment` needs a value by which it does nothing."""
    off = by_heart({"augment": dict.fromkeys(TrainingConfig().augment.model_dump(), "on")}, 1)["augment"]
    assert "on" not in off.values()


@pytest.mark.parametrize(
    ("jaccard", "start"),
    [
        (1.0, "go on"),
        (0.95, "go on"),
        (0.949, "look at the picture before you go on"),
        (0.8, "look at the picture before you go on"),
        (0.79, "do not go on yet"),
        (None, "do not go on yet"),
    ],
)
def test_verdict_by_jaccard(jaccard: float | None, start: str) -> None:
    assert verdict(jaccard, WIDE, np.full(400, 0.1)) == start
    words = verdict(jaccard, joint([0, 100], [7, 7]), np.full(400, 0.1))
    assert words.startswith(start)
    assert (words == start) == (start == "go on")


def test_verdict_names_what_the_figures_show() -> None:
    flat, narrow = joint([0, 255], [90, 110]), joint([0, 60, 100, 255], [0, 200, 200, 200])
    level = np.full(400, 0.1)
    words = [verdict(0.5, *given) for given in ((WIDE, level), (flat, level), (narrow, level), (WIDE, RISING))]
    said = ("a tenth of `learning_rate`", "a finer scale", "`sanity.steps`")
    assert [[text in found for text in said] for found in words] == [
        [False, False, False],
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]
    assert "`sanity.steps`" not in verdict(0.5, WIDE, np.zeros(0)), "a model per pixel has no learning curve"
