"""The table of registrations, ``quality/registration.tsv``: how far each sensor was moved, how sure that is, and why.

A row a scene and sensor, without the reference itself, the worst first: what no estimate was accepted for, what the
rest of its acquisition places, estimates by rising confidence, and at last what was given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterloom.raster.grid import compose, invert
from rasterloom.registration.motions import turn_of
from rasterloom.store.tables import read_tsv, tsv_text

COLUMNS = (
    "scene",
    "sensor",
    "pixel",
    "shift_x",
    "shift_y",
    "shift_sensor_pixels",
    "turn",
    "confidence",
    "accepted",
    "method",
    "against",
    "consistency",
    "attempts",
    "fallback",
)
"""``pixel``: side of the sensor's pixel; it, shift and consistency are in reference pixels, ``turn`` in degrees."""

UNPLACED = frozenset({"georeference", "identity"})
"""Methods of a sensor of which every estimate was refused: it lies where the files say."""

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
    pixel : float
        Side of the sensor's pixel in reference pixels.
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
    turn : float
        About the middle of the scene, beyond the place by the files; degrees, from x towards y.
    """

    scene: str
    sensor: str
    pixel: float
    shift: tuple[float, float]
    confidence: float
    accepted: bool
    method: str
    against: str = ""
    consistency: float | None = None
    attempts: str = ""
    fallback: str = ""
    turn: float = 0.0

    @property
    def length(self) -> float:
        """Length of the shift, in pixels of the sensor."""
        return math.hypot(*self.shift) / self.pixel

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

    @property
    def cells(self) -> list[str]:
        """The row, as in `COLUMNS`."""
        return [
            self.scene,
            self.sensor,
            f"{self.pixel:.4g}",
            f"{self.shift[0]:.3f}",
            f"{self.shift[1]:.3f}",
            f"{self.length:.3f}",
            f"{self.turn:.4f}",
            f"{self.confidence:.3f}",
            "yes" if self.accepted else "no",
            self.method,
            self.against,
            "" if self.consistency is None else f"{self.consistency:.3f}",
            self.attempts,
            self.fallback,
        ]

    @classmethod
    def of_cells(cls, row: Mapping[str, str]) -> ShiftRow:
        """The row that `cells` gave; ValueError if a number is none."""
        return cls(
            scene=row["scene"],
            sensor=row["sensor"],
            pixel=float(row["pixel"]),
            shift=(float(row["shift_x"]), float(row["shift_y"])),
            confidence=float(row["confidence"]),
            accepted=row["accepted"] == "yes",
            method=row["method"],
            against=row["against"],
            consistency=float(row["consistency"]) if row["consistency"] else None,
            attempts=row["attempts"],
            fallback=row["fallback"],
            turn=float(row["turn"]),
        )


def shift_rows(scene: str, registration: Mapping[str, Any]) -> list[ShiftRow]:
    """The rows of a scene by its registration, as `rasterloom.stages.place` settles it."""
    return [
        ShiftRow(
            scene=scene,
            sensor=name,
            pixel=float(entry["pixel"]),
            shift=(float(entry["shift"][0]), float(entry["shift"][1])),
            confidence=float(entry["confidence"]),
            accepted=bool(entry["accepted"]),
            method=str(entry["method"]),
            against=entry["against"] or "",
            consistency=entry["consistency"],
            attempts="; ".join(map(attempt_text, entry["attempts"])),
            fallback=entry["fallback"] or "",
            turn=turn_of(compose(invert(entry["nominal"]), entry["matrix"])),
        )
        for name, entry in registration["sensors"].items()
        if name != registration["reference"]["sensor"]
    ]


def attempt_text(attempt: Mapping[str, Any]) -> str:
    """What was tried, in words.

    Examples
    --------
    >>> attempt_text({"method": "ecc", "against": "rgb[2]", "shift": [1.5, 0], "confidence": 0.214,
    ...               "consistency": None, "refused": "0.3 is needed"})
    'ecc against rgb[2]: 1.50, 0.00, confidence 0.21, refused: 0.3 is needed'
    """
    against = f" against {attempt['against']}" if attempt["against"] else ""
    shift = "no shift" if attempt["shift"] is None else ", ".join(f"{value:.2f}" for value in attempt["shift"])
    sure = "" if attempt["confidence"] is None else f", confidence {attempt['confidence']:.2f}"
    end = f", refused: {attempt['refused']}" if attempt["refused"] else ""
    return f"{attempt['method']}{against}: {shift}{sure}{end}"


def worst_first(rows: Iterable[ShiftRow]) -> list[ShiftRow]:
    """Rows by `ShiftRow.rank`."""
    return sorted(rows, key=lambda row: row.rank)


def table(rows: Iterable[ShiftRow]) -> str:
    """Tab-separated text: the header, and a row a scene and sensor, the worst first."""
    return tsv_text(COLUMNS, (row.cells for row in worst_first(rows)))


def read_table(path: Path) -> list[ShiftRow]:
    """Rows of ``registration.tsv``, the worst first.

    Raises
    ------
    MissingInputError, StoreError
        If it is not there, or is not the table that the stage `quality` writes.
    """
    return read_tsv(path, COLUMNS, "quality", "registrations", ShiftRow.of_cells)


@dataclass(frozen=True)
class SensorSummary:
    """Registrations of a sensor over all scenes: how many, by how much (reference pixels), how many doubtful."""

    sensor: str
    scenes: int
    median: float
    largest: float
    low: int
    group: int
    unplaced: int


def summarise_shifts(rows: Sequence[ShiftRow]) -> list[SensorSummary]:
    """One line a sensor, sorted by name."""
    found: dict[str, list[ShiftRow]] = {}
    for row in rows:
        found.setdefault(row.sensor, []).append(row)
    return [_summary(sensor, members) for sensor, members in sorted(found.items())]


def _summary(sensor: str, rows: Sequence[ShiftRow]) -> SensorSummary:
    lengths = sorted(math.hypot(*row.shift) for row in rows)
    middle = (lengths[(len(lengths) - 1) // 2] + lengths[len(lengths) // 2]) / 2
    return SensorSummary(
        sensor,
        len(rows),
        middle,
        lengths[-1],
        low=sum(row.low and row.accepted for row in rows),
        group=sum(row.method == GROUP for row in rows),
        unplaced=sum(row.method in UNPLACED for row in rows),
    )
