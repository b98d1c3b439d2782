"""Polygons as WKT text, with few decimals and checked as the contest's scorer checks."""

import csv
import gzip
import io
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rasterloom.errors import StoreError
from rasterloom.polygons.geometry import strictly_valid
from rasterloom.polygons.record import read_polygons
from rasterloom.raster.contest_grid import Extent
from rasterloom.store.files import atomic_path

HEADER = ("ImageId", "ClassType", "MultipolygonWKT")

EMPTY = "MULTIPOLYGON EMPTY"

MOST_DECIMALS = 12

DECIMALS = 8
"""Of the contest's grid units: the last is about 0.004 pixels. What touches within it, a scorer may find invalid."""

PIXEL = 2.7e-6
"""Grid units of the contest that a pixel of the reference is about wide."""

CUTS = (2e-8, 5e-8, 1.2e-7, 3e-7, 7e-7)
"""Half the side, in grid units, of the squares that are cut out where polygons touch: first the smallest."""


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


def in_tile(polygons: Any, extent: Extent, tolerance: float = 0.0) -> NDArray[np.object_]:
    """Polygons of the contest within their tile, strictly valid.

    Parameters
    ----------
    polygons : (N,) sequence or array of valid shapely Polygons
        In the contest's grid units; what overlaps is united.
    extent : (Xmax, Ymin)
        Of the tile: x lies in [0, Xmax], y in [Ymin, 0].
    tolerance : float
        Pixels by which outlines may move to have fewer vertices.

    Returns
    -------
    (M,) object array of shapely Polygons
        With coordinates of `DECIMALS`. Where they touched, a square of `CUTS` is missing. Where edges run so close that
        no square parts them, all outlines are drawn in by 0.02 pixels; what is invalid even then is left out.
    """
    grid = 10.0**-DECIMALS
    found: Any = shapely.union_all(np.asarray(polygons, dtype=object), grid_size=grid)
    if tolerance > 0:
        found = shapely.make_valid(shapely.simplify(found, tolerance * PIXEL), method="structure", keep_collapsed=False)
    found = shapely.intersection(found, shapely.box(0, extent[1], extent[0], 0), grid_size=grid)
    for cut in CUTS:
        parts = rounded(found)
        if strictly_valid(parts):
            return parts
        found = shapely.multipolygons(parts)
        lines = shapely.get_parts(shapely.node(shapely.boundary(found)))
        ends = shapely.get_coordinates([shapely.get_point(lines, place) for place in (0, -1)])
        (x, y), count = (values.T for values in np.unique(ends, axis=0, return_counts=True))
        x, y = x[count > 2], y[count > 2]
        squares = shapely.union_all(shapely.box(x - cut, y - cut, x + cut, y + cut))
        found = shapely.difference(found, squares, grid_size=grid)
    shrunk = rounded(shapely.buffer(found, -CUTS[1], join_style="mitre"))
    return np.array([part for part in shrunk if strictly_valid([part])], dtype=object)


def clipped(polygons: Any, extent: Extent, tolerance: float = 0.0) -> NDArray[np.object_]:
    """Polygons as `in_tile` makes them, but those that lie in the tile as they are, if the tolerance is 0."""
    found = np.asarray(polygons, dtype=object)
    west, south, east, north = shapely.bounds(found).T
    beyond = (west < 0) | (south < extent[1]) | (east > extent[0]) | (north > 0) | (tolerance > 0)
    return np.concatenate([found[~beyond], in_tile(found[beyond], extent, tolerance)]) if beyond.any() else found


def rounded(geometry: Any) -> NDArray[np.object_]:
    """The polygons that a geometry consists of, (N,), with coordinates of `DECIMALS`."""
    parts = shapely.get_parts(shapely.transform(geometry, lambda points: np.round(points, DECIMALS)))
    return np.asarray(parts[(shapely.get_type_id(parts) == 3) & ~shapely.is_empty(parts)], dtype=object)


def write_wkt(path: Path, rows: Iterable[tuple[str, int, str]], newline: str = "\n") -> None:
    """Write a table of WKT atomically: the header, then scene, class number and WKT of each row; packed if ``.gz``."""
    with ExitStack() as stack:
        raw: Any = stack.enter_context(stack.enter_context(atomic_path(path)).open("wb"))
        if path.suffix.lower() == ".gz":
            raw = stack.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0))
        file = stack.enter_context(io.TextIOWrapper(raw, "utf-8", newline=""))
        writer = csv.writer(file, lineterminator=newline)
        writer.writerow(HEADER)
        writer.writerows(rows)


def checked_wkt(path: Path, scene: str, name: str, fit: Callable[[Any], Any] = lambda polygons: polygons) -> str:
    """The WKT of what `fit` makes of a polygons artifact, parsed back and found strictly valid.

    Raises
    ------
    StoreError
        If it is not: one invalid geometry would have a whole table refused.
    """
    text = multipolygon_wkt(fit(read_polygons(path).geometry.to_numpy()))
    if not strictly_valid(shapely.get_parts(shapely.from_wkt(text))):
        raise StoreError(
            f"{path}: the polygons of class {name} on scene {scene} are not valid as text: "
            "run `rasterloom verify --mend` and then the workflow again"
        )
    return text
