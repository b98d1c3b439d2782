"""Output grids: how many pixels a scale gives, and where they lie on the reference image."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from affine import Affine

from rasterloom.errors import ConfigError

Matrix = list[list[float]]
"""A 2 x 3 affine matrix as rows, acting on (x, y, 1) in pixel edge coordinates (x right, y down)."""

IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


@dataclass(frozen=True)
class Grid:
    """A grid over the reference image, or a part of it.

    Attributes
    ----------
    height, width : int
        Pixels, at least 1.
    matrix : 2 x 3 list of rows
        From the grid's edge coordinates to the reference's; of a scale, corner to corner.
    """

    height: int
    width: int
    matrix: Matrix

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.height, self.width

    @property
    def pixel(self) -> tuple[float, float]:
        """Width and height of its pixels in reference pixels."""
        return self.matrix[0][0], self.matrix[1][1]


def scale_grid(scale: Mapping[str, Any], width: int, height: int, gsd: float | None = None) -> Grid:
    """The grid of a scale over a reference image.

    Parameters
    ----------
    scale : mapping
        ``{"size": N}``: N x N pixels exactly, whatever the aspect; ``{"gsd": g}``: pixels of about g metres;
        ``{"factor": f}``: f times as many pixels per side (0.5 halves them); none of these: the reference's own
        pixels. ``gsd`` and ``factor`` keep the aspect, round to whole pixels and give at least one. The configuration
        refuses two of them; a key ``name`` is ignored.
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
        For a ground sampling distance where the reference has none.

    Examples
    --------
    >>> scale_grid({"factor": 0.5}, 5, 4)
    Grid(height=2, width=2, matrix=[[2.5, 0.0, 0.0], [0.0, 2.0, 0.0]])
    """
    size, wanted, factor = scale.get("size"), scale.get("gsd"), scale.get("factor")
    if wanted is not None:
        if gsd is None:
            raise ConfigError(
                f"scale {scale.get('name', '?')} gives gsd {wanted} but the reference has no known ground sampling "
                "distance: give the scale `size` or `factor`, or the reference image a coordinate system"
            )
        factor = gsd / float(wanted)
    factor = 1.0 if factor is None else float(factor)
    columns, rows = (int(size or max(1, round(side * factor))) for side in (width, height))
    return Grid(rows, columns, [[width / columns, 0.0, 0.0], [0.0, height / rows, 0.0]])


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
