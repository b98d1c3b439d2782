"""The learning curve of a network, from what every step counted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.learning.checkpoint import Arrays
from rasterloom.learning.windows import Floats

HISTORY_BINS = 400
"""Points of the learning curve in a checkpoint."""


def jaccard(rows: NDArray[Any]) -> float:
    """Jaccard of pixels pooled over rows of (loss, true positives, false positives, false negatives)."""
    hit, wrong, missed = np.asarray(rows, dtype=np.float64)[:, 1:].sum(axis=0)
    total = hit + wrong + missed
    return float(hit / total) if total else 1.0


def learning_curve(history: Floats) -> Arrays:
    """The history of a training in at most `HISTORY_BINS` points.

    Parameters
    ----------
    history : (steps, 4) as in `Trained`.

    Returns
    -------
    dict of (n,) arrays: ``history.step`` int64 (steps done), ``history.loss`` and ``history.iou`` float32
    (means of the steps since the point before; IoU on augmented training patches, at one half).
    """
    bins = np.array_split(np.arange(len(history)), min(HISTORY_BINS, len(history)))
    return {
        "history.step": np.array([b[-1] + 1 for b in bins], dtype=np.int64),
        "history.loss": np.array([history[b, 0].astype(np.float64).mean() for b in bins], dtype=np.float32),
        "history.iou": np.array([jaccard(history[b]) for b in bins], dtype=np.float32),
    }
