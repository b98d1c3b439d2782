"""Thresholds: histograms of probabilities, and the level with the best pixel Jaccard."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FALLBACK = 127.5
"""Threshold where there is nothing to tune on."""

Counts = NDArray[Any]
"""(2, 256) counts or areas of probabilities 0..255 outside (row 0) and inside (row 1) the truth."""


def joint_histogram(probability: NDArray[np.uint8], fraction: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Number of pixels of each coverage (row) and probability (column).

    Parameters
    ----------
    probability, fraction : (H, W) uint8 arrays, 0..255

    Returns
    -------
    (256, 256) int64 array

    Notes
    -----
    Memory: 10 bytes per pixel, so large images go through it in strips of rows, whose counts add up.
    """
    joint = fraction.astype(np.uint16) << 8 | probability
    return np.bincount(joint.ravel(), minlength=65536).reshape(256, 256).astype(np.int64, copy=False)


def split_counts(joint: NDArray[np.int64]) -> Counts:
    """Counts, (2, 256), of each probability outside and inside the truth, from a scene's (256, 256) `joint_histogram`.

    The truth are the pixels of coverage `first_true` or more.
    """
    first = first_true(joint)
    return np.stack([joint[:first].sum(axis=0), joint[first:].sum(axis=0)])


def first_true(joint: NDArray[np.int64]) -> int:
    """The least coverage of a true pixel: 128; if none of the scene reaches it, the largest coverage above 0."""
    return min(128, int(np.flatnonzero(joint.any(axis=1)).max(initial=0)) or 1)


def jaccards(counts: Counts) -> NDArray[np.float64] | None:
    """Pixel Jaccard at each threshold 0.5, 1.5 .. 254.5, (255,) float64; None without any truth pixel."""
    if counts[1].sum() == 0:
        return None
    # Pixels above n, for n = 0..254.
    false, true = (counts.sum(axis=1, keepdims=True) - np.cumsum(counts, axis=1))[:, :255]
    return np.asarray(true / (counts[1].sum() + false))


def best_threshold(counts: Counts) -> tuple[float, float | None, str | None]:
    """The threshold with the best Jaccard; of equally good ones, the middle of the longest run.

    Parameters
    ----------
    counts : (2, 256) int64 array
        Sum of `split_counts` over scenes.

    Returns
    -------
    float, float or None, str or None
        Threshold n + 0.5 on 0..255; its Jaccard, None if unknown; the reason if it was not found by a search.
    """
    found = jaccards(counts)
    if found is None:
        return FALLBACK, None, "no truth pixel on any out-of-fold scene"
    best = float(found.max())
    if best == 0:
        return FALLBACK, 0.0, "no threshold finds any truth pixel"
    ties = np.flatnonzero(found == best)
    runs = np.split(ties, np.flatnonzero(np.diff(ties) > 1) + 1)
    run = max(runs, key=len)
    return float(run[len(run) // 2 if len(run) % 2 else len(run) // 2 - 1]) + 0.5, best, None


def fixed_threshold(probability: float) -> float:
    """The threshold n + 0.5 on 0..255 of a probability 0..1: 0.5 gives 127.5."""
    return float(np.clip(np.floor(probability * 255), 0, 254)) + 0.5


def tuning(counts: Mapping[str, Counts], ground: Mapping[str, str]) -> dict[str, Any]:
    """Thresholds from histograms: of all scenes together, and for each scene without its ground.

    Parameters
    ----------
    counts : mapping of scene to (2, 256) int64 array
        `split_counts` of out-of-fold scenes.
    ground : mapping of scene to ground
        Scenes of one ground show the same place.

    Returns
    -------
    dict
        ``threshold``, ``jaccard``, ``reason``; ``scenes``: the same for each scene, from all others but its ground.
    """
    none = np.zeros((2, 256), np.int64)
    total = sum(counts.values(), none)
    by_ground: dict[str, Counts] = {}
    for scene, found in sorted(counts.items()):
        by_ground[ground[scene]] = by_ground.get(ground[scene], none) + found
    without = {name: tuning_entry(best_threshold(total - found)) for name, found in by_ground.items()}
    return {
        **tuning_entry(best_threshold(total)),
        "scenes": {scene: without[ground[scene]] for scene in sorted(counts)},
    }


def tuning_entry(found: tuple[float, float | None, str | None]) -> dict[str, Any]:
    """What `best_threshold` found, as a tuning says it."""
    threshold, score, reason = found
    return {"threshold": threshold, "jaccard": None if score is None else round(score, 6), "reason": reason}


def threshold_of(tuned: Mapping[str, Any], scene: str) -> float:
    """The threshold for a scene: its own if it was tuned on, else the common one."""
    return float(tuned["scenes"].get(scene, tuned)["threshold"])
