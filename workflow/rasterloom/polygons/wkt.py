"""Polygons as WKT text, with few decimals and checked as the contest's scorer checks."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import StoreError
from rasterloom.polygons.geometry import strictly_valid
from rasterloom.polygons.record import read_polygons
from rasterloom.store.files import atomic_path

HEADER = ("ImageId", "ClassType", "MultipolygonWKT")

EMPTY = "MULTIPOLYGON EMPTY"

MOST_DECIMALS = 12


def decimals_of(values: NDArray[np.float64]) -> int:
    """The fewest decimals, at most 12, that write (N, 2) float64 numbers exactly as they are (to 1e-12 of their size).

    Coordinates of a polygons artifact have been rounded, so few are needed: 8 for the contest's grid units.
    """
    exact = (n for n in range(MOST_DECIMALS) if np.allclose(np.round(values, n), values, rtol=1e-15, atol=1e-13))
    return next(exact, MOST_DECIMALS)


def multipolygon_wkt(polygons: Any, decimals: int | None = None) -> str:
    """WKT of polygons as one multipolygon, in plain decimals.

    Parameters
    ----------
    polygons : sequence or array of shapely Polygons
    decimals : int or None
        Of the coordinates; None: as many as they have (`decimals_of`).

    Returns
    -------
    str
        Without exponents, which some readers of WKT do not know, and without trailing zeros.

    Examples
    --------
    >>> from shapely import box
    >>> multipolygon_wkt([box(0, -0.0000001, 0.5, 1)])
    'MULTIPOLYGON (((0.5 -0.0000001, 0.5 1, 0 1, 0 -0.0000001, 0.5 -0.0000001)))'
    """
    import shapely

    parts = np.asarray(polygons, dtype=object)
    if not parts.size:
        return EMPTY
    _, points, (rings, owners) = shapely.to_ragged_array(parts, include_z=False)
    if decimals is None:
        decimals = decimals_of(points)
    texts = [f"{_number(x, decimals)} {_number(y, decimals)}" for x, y in points.tolist()]
    ring_texts = [f"({', '.join(texts[i:j])})" for i, j in pairwise(rings)]
    part_texts = [f"({', '.join(ring_texts[i:j])})" for i, j in pairwise(owners)]
    return f"MULTIPOLYGON ({', '.join(part_texts)})"


def _number(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def write_wkt(path: Path, rows: Iterable[tuple[str, int, str]], newline: str = "\n") -> None:
    """Write a table of WKT atomically: the header, then scene, class number and WKT of each row."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator=newline)
        writer.writerow(HEADER)
        writer.writerows(rows)


def checked_wkt(path: Path, scene: str, name: str) -> str:
    """The WKT of a polygons artifact, parsed back and found strictly valid.

    Raises
    ------
    StoreError
        If it is not: one invalid geometry would have a whole table refused.
    """
    import shapely

    text = multipolygon_wkt(read_polygons(path).geometry.to_numpy())
    if not strictly_valid(shapely.get_parts(shapely.from_wkt(text))):
        raise StoreError(
            f"{path}: the polygons of class {name} on scene {scene} are not valid as text: "
            "run `rasterloom verify --mend` and then the workflow again"
        )
    return text
