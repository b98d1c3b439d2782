"""The learning curve of a network: what every step counted, and what was watched beside it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.learning.checkpoint import Arrays
from rasterloom.learning.windows import Floats
from rasterloom.store.files import write_text

HISTORY_BINS = 400
"""Points of the learning curve in a checkpoint."""

POINTS = 100
"""Rows of a curve, besides one for each look at the validation scenes."""

Row = dict[str, Any]
"""A point of a curve: `NUMBERS`, ``seconds`` since the training began, and perhaps a ``warning``."""

NUMBERS = ("step", "loss", "jaccard", "validation", "threshold", "learning_rate")
"""Steps done; loss and Jaccard at one half on training patches, since the row before; validation Jaccard at its best
threshold, and that probability, None where nobody looked; learning rate of the step."""


def curve_steps(steps: int) -> set[int]:
    """Steps after which a curve has a row, evenly spread; the last is the training's last."""
    points = min(steps, POINTS)
    return {steps * (point + 1) // points for point in range(points)}


def curve_arrays(rows: Sequence[Row], names: Sequence[str] = NUMBERS) -> Arrays:
    """The numbers of rows as float64 arrays ``watch.*``, NaN for None."""
    return {f"watch.{name}": np.array([row[name] for row in rows], dtype=np.float64) for name in names}


def curve_rows(arrays: Mapping[str, NDArray[Any]]) -> list[Row]:
    """The rows that arrays ``watch.*`` hold; none without any."""
    columns = {name.removeprefix("watch."): values for name, values in arrays.items() if name.startswith("watch.")}
    values = zip(*([None if np.isnan(v) else float(v) for v in values] for values in columns.values()), strict=True)
    rows: list[Row] = [dict(zip(columns, found, strict=True)) for found in values]
    return [{**row, "step": int(row["step"])} for row in rows]


def write_curve(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as JSON lines, unless the file holds the same numbers already; without rows there is no file."""
    if not rows:
        path.unlink(missing_ok=True)
        return
    try:
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        same = [[row[name] for name in NUMBERS] for row in found] == [[row[name] for name in NUMBERS] for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        same = False
    if not same:
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def add_to_curve(path: Path, row: Row) -> None:
    """Write one row more at the end, at once, for whoever follows the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def jaccard(rows: NDArray[Any]) -> float:
    """Jaccard of pixels pooled over rows of (loss, true positives, false positives, false negatives)."""
    hit, wrong, missed = np.asarray(rows, dtype=np.float64)[:, 1:].sum(axis=0)
    total = hit + wrong + missed
    return float(hit / total) if total else 1.0


def learning_curve(history: Floats) -> Arrays:
    """The history of a training in at most `HISTORY_BINS` points.

    Parameters
    ----------
    history : (steps, 4) float32: loss, and pixels of the batch that are true positive, false positive, false negative
        at one half; of several classes together.

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
