"""The table of registrations, ``quality/registration.tsv``: how far each sensor was moved, how sure that is, and why.

One row per scene and sensor, without the reference itself, the worst first: what no estimate was accepted for, what the
rest of its acquisition places, estimates by rising confidence, and at last what was given.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rasterloom.raster.grid import compose, invert
from rasterloom.registration.motions import turn_of
from rasterloom.store.tables import read_tsv, tsv_text

UNPLACED = frozenset({"georeference", "identity"})
"""Methods of a sensor of which every estimate was refused: it lies where the files say."""

LABELS = "labels"
"""What labels are called among the sensors of a scene; a sheet has a column of that name, so no sensor is."""

GROUP = "group"
"""Method of a sensor that lies where the other scenes of its acquisition say."""

LOW_CONFIDENCE = 0.98
"""Accepted estimates below this confidence are marked: they are the ones to look at."""


@dataclass(frozen=True)
class ShiftRow:
    """How one sensor of one scene was placed.

    Attributes
    ----------
    scene, sensor : str
    pixel : (x, y)
        Sides of the sensor's pixel in reference pixels.
    shift : (dx, dy)
        Beyond the place by the files, in reference pixels.
    confidence : float
        0..1; of the scene's own estimate, or 1 for what was given.
    accepted : bool
        Whether that estimate, or what was given, is used.
    method : str
    against : str
        What the sensor was compared with; may be empty.
    consistency : float or None
        Distance between the shift forward and backward, in reference pixels.
    attempts : str
        What was tried, in order; may be empty.
    fallback : str
        Why no estimate is used, and what instead; may be empty.
    error : (ex, ey) or None
        Standard error of the shift, in reference pixels; None of what was given, and where no estimate is used.
    turn : float
        About the middle of the scene, beyond the place by the files; degrees, from x towards y.
    """

    scene: str
    sensor: str
    pixel: tuple[float, float]
    shift: tuple[float, float]
    confidence: float
    accepted: bool
    method: str
    against: str = ""
    consistency: float | None = None
    attempts: str = ""
    fallback: str = ""
    turn: float = 0.0
    error: tuple[float, float] | None = None

    @property
    def way(self) -> float:
        """Length of the shift, in reference pixels."""
        return math.hypot(*self.shift)

    @property
    def length(self) -> float:
        """Length of the shift, in pixels of the sensor."""
        return math.hypot(self.shift[0] / self.pixel[0], self.shift[1] / self.pixel[1])

    @property
    def estimated(self) -> bool:
        """Whether the shift was estimated from the images, or should have been."""
        return not self.accepted or self.method not in {"given", "none"}

    @property
    def low(self) -> bool:
        """Whether an estimate is doubtful."""
        return self.estimated and self.confidence < LOW_CONFIDENCE

    @property
    def rank(self) -> tuple[int, float, float, str, str]:
        """By which rows are sorted, the worst first."""
        kind = 0 if self.method in UNPLACED else 1 if not self.accepted else 2 if self.estimated else 3
        return kind, self.confidence, -self.length, self.scene, self.sensor

    @classmethod
    def of_cells(cls, row: Mapping[str, str]) -> Self:
        """The row that `CELLS` wrote; ValueError if a number is none."""
        cells: dict[str, Any] = {name: row[name] for name in _TEXTS}
        cells |= {name: float(row[name]) for name in ("confidence", "turn")}
        cells["consistency"] = float(row["consistency"]) if row["consistency"] else None
        for name in ("pixel", "shift", "error"):
            pair = [row[f"{name}_{axis}"] for axis in "xy"]
            cells[name] = None if name == "error" and not pair[0] else tuple(map(float, pair))
        return cls(**cells, accepted=row["accepted"] == "yes")


_TEXTS = ("scene", "sensor", "method", "against", "attempts", "fallback")

CELLS: Mapping[str, Callable[[ShiftRow], str]] = {
    "scene": lambda row: row.scene,
    "sensor": lambda row: row.sensor,
    "pixel_x": lambda row: f"{row.pixel[0]:.6g}",
    "pixel_y": lambda row: f"{row.pixel[1]:.6g}",
    "shift_x": lambda row: f"{row.shift[0]:.3f}",
    "shift_y": lambda row: f"{row.shift[1]:.3f}",
    "error_x": lambda row: "" if row.error is None else f"{row.error[0]:.3f}",
    "error_y": lambda row: "" if row.error is None else f"{row.error[1]:.3f}",
    "shift_sensor_pixels": lambda row: f"{row.length:.3f}",
    "turn": lambda row: f"{row.turn:.4f}",
    "confidence": lambda row: f"{row.confidence:.3f}",
    "accepted": lambda row: "yes" if row.accepted else "no",
    "method": lambda row: row.method,
    "against": lambda row: row.against,
    "consistency": lambda row: "" if row.consistency is None else f"{row.consistency:.3f}",
    "attempts": lambda row: row.attempts,
    "fallback": lambda row: row.fallback,
}
"""Columns of the table. ``pixel_x``, ``pixel_y``: sides of the sensor's pixel; they, shift, its standard error and
consistency are in reference pixels, ``turn`` is in degrees."""

COLUMNS = tuple(CELLS)


def shift_rows(scene: str, registration: Mapping[str, Any]) -> list[ShiftRow]:
    """The rows of a scene by its registration, as `rasterloom.stages.place` settles it."""
    reference = registration["reference"]["sensor"]
    return [_row(scene, name, entry) for name, entry in registration["sensors"].items() if name != reference]


def _row(scene: str, name: str, entry: Mapping[str, Any]) -> ShiftRow:
    cells: dict[str, Any] = {key: entry[key] for key in ("confidence", "accepted", "method", "consistency")}
    cells |= {key: entry[key] or "" for key in ("against", "fallback")}
    cells |= {key: entry[key] and tuple(entry[key]) for key in ("pixel", "shift", "error")}
    turn = turn_of(compose(invert(entry["nominal"]), entry["matrix"]))
    return ShiftRow(scene, name, **cells, attempts="; ".join(map(attempt_text, entry["attempts"])), turn=turn)


def attempt_text(attempt: Mapping[str, Any]) -> str:
    """What was tried, in words.

    Examples
    --------
    >>> attempt_text({"method": "ecc", "against": "rgb[2]", "shift": [1.5, 0], "confidence": 0.214,
    ...               "consistency": None, "refused": "0.3 is needed"})
    'ecc against rgb[2]: 1.50, 0.00, confidence 0.21, refused: 0.3 is needed'
    """
    against = f" against {attempt['against']}" if attempt["against"] else ""
    shift = ", ".join(f"{value:.2f}" for value in attempt["shift"])
    end = f", refused: {attempt['refused']}" if attempt["refused"] else ""
    return f"{attempt['method']}{against}: {shift}, confidence {attempt['confidence']:.2f}{end}"


def worst_first(rows: Iterable[ShiftRow]) -> list[ShiftRow]:
    """Rows by `ShiftRow.rank`."""
    return sorted(rows, key=lambda row: row.rank)


def table(rows: Iterable[ShiftRow]) -> str:
    """Tab-separated text: the header, and one row per scene and sensor, the worst first."""
    return tsv_text(COLUMNS, ([cell(row) for cell in CELLS.values()] for row in worst_first(rows)))


def read_table(path: Path) -> list[ShiftRow]:
    """Rows of ``registration.tsv``, the worst first.

    Raises
    ------
    MissingInputError, StoreError
        If it is not there, or is not the table that the stage `quality` writes.
    """
    return read_tsv(path, COLUMNS, "quality", "registrations", ShiftRow.of_cells)
