"""Output grids: how many pixels a scale gives, and where they lie on the reference image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from affine import Affine

from rasterloom.errors import ConfigError

IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]

Matrix = list[list[float]]
"""A 2 x 3 affine matrix as rows, acting on (x, y, 1) in pixel edge coordinates (x right, y down)."""


@dataclass(frozen=True)
class Grid:
    """An output grid over the whole reference image.

    Attributes
    ----------
    height, width : int
        Pixels, at least 1.
    matrix : 2 x 3 list of rows
        From the grid's edge coordinates to the reference's: the grid's corners are the reference's corners.
    """

    height: int
    width: int
    matrix: Matrix


def scale_grid(scale: Mapping[str, Any], width: int, height: int, gsd: float | None = None) -> Grid:
    """The grid of a scale over a reference image.

    Parameters
    ----------
    scale : mapping
        ``{"size": N}``: N x N pixels exactly, whatever the aspect; ``{"gsd": g}``: pixels of about g metres;
        ``{"factor": f}``: f times as many pixels a side (0.5 halves them); none of these: the reference's own
        pixels. ``gsd`` and ``factor`` keep the aspect, round to whole pixels and give at least one. A key
        ``name`` is ignored.
    width, height : int
        Size of the reference image in pixels.
    gsd : float or None
        Metres a pixel of the reference, needed by ``{"gsd": g}`` alone.

    Returns
    -------
    Grid

    Raises
    ------
    ConfigError
        For two of the keys at once, a value that is not positive, or a ground sampling distance where the
        reference has none.

    Examples
    --------
    >>> scale_grid({"factor": 0.5}, 5, 4)
    Grid(height=2, width=2, matrix=[[2.5, 0.0, 0.0], [0.0, 2.0, 0.0]])
    """
    given = {key: scale[key] for key in ("size", "gsd", "factor") if scale.get(key) is not None}
    name = scale.get("name", "?")
    if len(given) > 1:
        raise ConfigError(f"scale {name} gives {' and '.join(given)}: give one of size, gsd and factor, or none")
    for key, value in given.items():
        if not value > 0:
            raise ConfigError(f"scale {name} gives {key} {value}: a positive number is needed")
    if "size" in given:
        columns = rows = int(given["size"])
    elif "gsd" in given:
        if gsd is None:
            raise ConfigError(
                f"scale {name} gives gsd {given['gsd']} but the reference has no known ground sampling distance: "
                "give the scale `size` or `factor`, or the reference image a coordinate system"
            )
        columns, rows = _scaled(width, height, gsd / float(given["gsd"]))
    else:
        columns, rows = _scaled(width, height, float(given.get("factor", 1.0)))
    return Grid(rows, columns, [[width / columns, 0.0, 0.0], [0.0, height / rows, 0.0]])


def _scaled(width: int, height: int, factor: float) -> tuple[int, int]:
    return max(1, round(width * factor)), max(1, round(height * factor))


def rows_of(transform: Affine) -> Matrix:
    """The 2 x 3 list of rows of an affine transform."""
    return [[float(value) for value in transform[:3]], [float(value) for value in transform[3:6]]]


def compose(outer: Matrix, inner: Matrix) -> Matrix:
    """The matrix, 2 x 3, that applies `inner` first and `outer` to its result."""
    return rows_of(Affine(*outer[0], *outer[1]) @ Affine(*inner[0], *inner[1]))


def invert(matrix: Matrix) -> Matrix:
    """The matrix that undoes `matrix`; ConfigError if it is singular."""
    (a, b, c), (d, e, f) = matrix
    determinant = a * e - b * d
    if determinant == 0:
        raise ConfigError(f"the matrix {matrix} is singular: it maps the image onto a line")
    rows = [[e / determinant, -b / determinant], [-d / determinant, a / determinant]]
    return [[p, q, -(p * c + q * f)] for p, q in rows]
