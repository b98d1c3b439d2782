"""The table of registrations."""

from __future__ import annotations

import doctest
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rasterloom.errors import MissingInputError, StoreError
from rasterloom.raster.grid import compose
from rasterloom.registration import table as shifts
from rasterloom.registration.motions import moved_by
from rasterloom.registration.table import (
    COLUMNS,
    ShiftRow,
    read_table,
    shift_rows,
    worst_first,
)


def row(scene: str = "s", **changes: Any) -> ShiftRow:
    values: dict[str, Any] = {
        "sensor": "m",
        "pixel": (4.0, 4.0),
        "shift": (3.0, -4.0),
        "confidence": 0.99,
        "accepted": True,
    }
    return ShiftRow(scene, **{**values, "method": "ecc", **changes})


LOST = row("lost", confidence=0.1, accepted=False, method="identity", fallback="no peak")
MEDIAN = row("median", confidence=0.05, accepted=False, method="group", against="4 scenes of 6010", fallback="no peak")
DOUBTFUL, SURE = row("doubtful", confidence=0.4), row("sure", consistency=0.25, against="rgb[2]", attempts="ecc: 3, -4")
GIVEN = row("given", confidence=1.0, method="given")


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(shifts).failed == 0


def test_worst_first_puts_the_lost_then_medians_then_low_confidence_then_given() -> None:
    rows = [GIVEN, SURE, DOUBTFUL, MEDIAN, LOST]
    assert worst_first(rows) == [LOST, MEDIAN, DOUBTFUL, SURE, GIVEN]
    assert [entry.low for entry in rows] == [False, False, True, True, True]


def test_worst_first_at_equal_confidence_takes_the_largest_shift_in_pixels_of_the_sensor() -> None:
    far, near = row("b", shift=(8.0, 0.0), pixel=(1.0, 1.0)), row("a", shift=(40.0, 0.0), pixel=(24.0, 24.0))
    assert worst_first([near, far]) == [far, near]
    assert (far.length, near.length) == (8.0, pytest.approx(40 / 24))


def entry(**changes: Any) -> dict[str, Any]:
    values = {"pixel": [4.0, 4.0], "shift": [3.0, -4.0], "confidence": 0.99, "accepted": True, "method": "ecc"}
    matrix = {"nominal": [[0.25, 0.0, 0.0], [0.0, 0.25, 0.0]], "matrix": [[0.25, 0.0, 0.75], [0.0, 0.25, -1.0]]}
    return {
        **values,
        **matrix,
        "against": None,
        "consistency": None,
        "attempts": [],
        "fallback": None,
        "error": None,
        **changes,
    }


def test_shift_rows_leave_the_reference_out() -> None:
    attempts = [
        {"method": "ecc", "against": "rgb[2]", "shift": [9.0, 0.0], "confidence": 0.1, "consistency": 3.0,
         "refused": "inconsistent"},
        {"method": "regression", "against": None, "shift": [1.0, 0.0], "confidence": 0.99, "consistency": None,
         "refused": None},
    ]  # fmt: skip
    registration = {
        "reference": {"sensor": "rgb"},
        "sensors": {"rgb": entry(method="identity"), "m": entry(attempts=attempts, consistency=0.5, against="rgb")},
    }
    (found,) = shift_rows("s", registration)
    assert found == row(
        attempts="ecc against rgb[2]: 9.00, 0.00, confidence 0.10, refused: inconsistent; regression: 1.00, 0.00, "
        "confidence 0.99",
        consistency=0.5,
        against="rgb",
    )


def test_shift_rows_give_the_turn_beyond_the_place_by_the_files() -> None:
    nominal = [[0.0, 0.25, 3.0], [-0.25, 0.0, 90.0]]  # the files turn it by 90 degrees already
    turned = entry(nominal=nominal, matrix=compose(nominal, moved_by((3.0, -4.0), -0.75, (300, 200))))
    (found,) = shift_rows("s", {"reference": {"sensor": "rgb"}, "sensors": {"m": turned}})
    assert found == row(turn=-0.75)


def test_table_is_sorted_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "registration.tsv"
    path.write_text(shifts.table([replace(SURE, turn=1.25, error=(0.25, 0.125)), GIVEN, LOST]))
    lines = path.read_text().splitlines()
    assert lines[0].split("\t") == list(COLUMNS)
    cells = ["lost", "m", "4", "4", "3.000", "-4.000", "", "", "1.250", "0.0000", "0.100", "no", "identity"]
    assert lines[1].split("\t") == [*cells, "", "", "", "no peak"]
    assert read_table(path) == [LOST, replace(SURE, turn=1.25, error=(0.25, 0.125)), GIVEN]


def test_read_table_errors(tmp_path: Path) -> None:
    path = tmp_path / "registration.tsv"
    with pytest.raises(MissingInputError, match="run the stage `quality` first"):
        read_table(path)
    path.write_text(shifts.table([SURE]).replace("0.990", "high"))
    with pytest.raises(StoreError, match=r"not a table of registrations .*high.*delete it"):
        read_table(path)
