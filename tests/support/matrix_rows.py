"""All rows of the matrix of partial reruns, by the chapters of its table in docs/caching.md."""

from __future__ import annotations

from matrix_config import DIVISION, SETTINGS, WRITTEN
from matrix_files import INPUTS
from matrix_parts import PARTS
from matrix_store import CODE, UNKNOWN

CHAPTERS = {
    "config.yaml, as it is written": WRITTEN,
    "Settings": SETTINGS,
    "Members, scales, targets, classes, sensors": PARTS,
    "Statistics, validation, data set": DIVISION,
    "Input files": INPUTS,
    "Code": CODE,
    "Results and store": UNKNOWN,
}
ROWS = [row for rows in CHAPTERS.values() for row in rows]
