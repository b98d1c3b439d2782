"""The contest's coordinates: from grid_sizes.csv to pixels, and back."""

from pathlib import Path

from rasterloom.dataset.contest_tables import grid_sizes
from rasterloom.errors import InputError
from rasterloom.raster.grid import Matrix

Extent = tuple[float, float]
"""(Xmax, Ymin) of a scene, in the contest's grid units; Ymin is negative."""


def grid_extent(path: Path, scene: str) -> Extent:
    """(Xmax, Ymin) of a scene in the contest's ``grid_sizes.csv``, plain or zipped.

    Raises
    ------
    MissingInputError, InputError
        If the file or the scene's row is not there, or its numbers are not of the right sign.
    """
    sizes = grid_sizes(path)
    if scene not in sizes:
        raise InputError(f"{path} has no row of scene {scene}: it must list every scene")
    return sizes[scene]


def contest_transform(extent: Extent, width: int, height: int) -> Matrix:
    """Pixel edge coordinates to the contest's grid units, of an image of the reference's size."""
    x, y = extent[0] * (width + 1) / (width * width), extent[1] * (height + 1) / (height * height)
    return [[x, 0.0, 0.0], [0.0, y, 0.0]]


# The contest's tables -------------------------------------------------------------------------------------


def dstl_matrix(xmax: float, ymin: float, width: int, height: int) -> Matrix:
    """The matrix from the contest's grid units to reference pixels.

    It says x_px = x / Xmax * W * W / (W + 1) and y_px = y / Ymin * H * H / (H + 1), Ymin being negative.

    Examples
    --------
    >>> dstl_matrix(0.5, -0.25, 4, 1)
    [[6.4, 0.0, 0.0], [0.0, -2.0, 0.0]]
    """
    return [[width * width / (width + 1) / xmax, 0.0, 0.0], [0.0, height * height / (height + 1) / ymin, 0.0]]
