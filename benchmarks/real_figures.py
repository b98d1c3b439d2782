"""What benchmarks/real.py counts: pooled pixel Jaccard, objects, and trees matched one to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray
from real_data import Scene
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from rasterloom.polygons.objects import Objects, objects
from rasterloom.polygons.outlines import outlines
from rasterloom.polygons.thresholds import jaccards, joint_histogram, split_counts
from rasterloom.polygons.tuning import DEPTHS

REACH = 6.0
"""Metres within which a found tree may be matched with one of the truth."""
LEAST = 25.0
"""Square pixels of the smallest house."""
SMOOTH, APART = 1.0, 5
"""Pixels: deviation of a Gaussian over the probability, and width of the window whose largest value is a peak."""


def figures(scenes: Sequence[Scene], probabilities: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
    """Figures of the predicted scenes, from probabilities (H, W) 0..1 by scene."""
    found = pooled([scene for scene in scenes if scene.trains], probabilities)
    if not all(scene.trains for scene in scenes):
        everywhere = pooled(scenes, probabilities)
        found |= {f"{key}_all": everywhere[key] for key in ("jaccard", "jaccard_half")}
    if scenes[0].points is not None:
        return found | trees(scenes, probabilities)
    return found | houses([scene for scene in scenes if scene.trains], probabilities, found["threshold"])


def pooled(scenes: Sequence[Scene], probabilities: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """Pixel Jaccard pooled over scenes, at its best threshold and at one half."""
    counts = np.zeros((2, 256), np.int64)
    for scene in scenes:
        level = np.where(scene.valid[0] != 0, np.rint(255 * probabilities[scene.name]), 0).astype(np.uint8)
        counts += split_counts(joint_histogram(level, np.where(scene.valid[0] != 0, scene.coverage, 0)))
    curve = jaccards(counts)
    assert curve is not None
    best = int(np.argmax(curve))
    return {"jaccard": float(curve[best]), "threshold": (best + 0.5) / 255, "jaccard_half": float(curve[127])}


def houses(
    scenes: Sequence[Scene], probabilities: Mapping[str, NDArray[np.float32]], threshold: float
) -> dict[str, float]:
    """Objects at an IoU of one half, of outlines at a threshold, divided at the depth of the best F1."""
    level, best = np.floor(255 * threshold) + 0.5, {"f1": -1.0}
    for depth in (0.0, *DEPTHS):
        found = Objects(0, 0, 0)
        for scene in scenes:
            truth = outlines(np.ascontiguousarray(scene.coverage), 127.5)
            image = np.rint(255 * probabilities[scene.name] * (scene.valid[0] != 0)).astype(np.uint8)
            own = objects(truth, outlines(image, level, min_area=LEAST, divide=depth))
            found = Objects(*map(sum, zip(astuple(found), astuple(own), strict=True)))
        if (f1 := found.f1 or 0.0) > best["f1"]:
            best = {"f1": f1, "count_error": found.count_error or 0.0, "depth": depth}
    return best


def trees(scenes: Sequence[Scene], probabilities: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """Precision, recall and F of matched peaks, at the threshold of the best F."""
    peaks = [_peaks(probabilities[scene.name]) for scene in scenes]
    best: dict[str, float] = {"f": -1.0}
    for threshold in np.arange(0.05, 0.95, 0.025):
        right = found = there = 0
        for scene, (places, heights) in zip(scenes, peaks, strict=True):
            assert scene.points is not None
            chosen = places[heights > threshold]
            right += matched(chosen, scene.points, REACH / scene.metres)
            found, there = found + len(chosen), there + len(scene.points)
        f = 2 * right / max(1, found + there)
        if f > best["f"]:
            best = {"f": f, "precision": right / max(1, found), "recall": right / max(1, there), "f_at": threshold}
    return {name: float(value) for name, value in best.items()}


def _peaks(probability: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Places (x, y) of the local maxima, in pixel edge coordinates, and their heights."""
    smooth = ndimage.gaussian_filter(probability, SMOOTH)
    rows, columns = np.nonzero((smooth == ndimage.maximum_filter(smooth, APART)) & (smooth > 0.02))
    return np.column_stack([columns, rows]) + 0.5, smooth[rows, columns]


def matched(found: NDArray[np.float64], truth: NDArray[np.float64], reach: float) -> int:
    """The largest number of one-to-one pairs within reach."""
    if not len(found) or not len(truth):
        return 0
    near = cdist(found, truth) <= reach
    rows, columns = linear_sum_assignment(~near)
    return int(near[rows, columns].sum())
