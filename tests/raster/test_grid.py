"""Grids of scales and the algebra of matrices."""

import numpy as np
import pytest

from rasterloom.errors import ConfigError
from rasterloom.raster.grid import Grid, compose, invert, scale_grid


def test_size_is_exact_and_spans_the_reference() -> None:
    grid = scale_grid({"name": "s1024", "size": 1024}, 3396, 3349)
    assert (grid.height, grid.width) == (1024, 1024)
    corner = np.array(grid.matrix) @ [1024, 1024, 1]
    assert corner.tolist() == [3396, 3349]
    assert (np.array(grid.matrix) @ [0, 0, 1]).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("scale", "gsd", "shape"),
    [
        ({}, None, (3, 5)),
        ({"name": "native", "size": None}, None, (3, 5)),
        ({"factor": 0.5}, None, (2, 2)),
        ({"factor": 0.01}, None, (1, 1)),
        ({"gsd": 1.0}, 0.5, (2, 2)),
        ({"gsd": 0.25}, 0.5, (6, 10)),
        ({"size": 7}, 0.5, (7, 7)),
    ],
)
def test_scale_grid_shapes(scale: dict[str, float], gsd: float | None, shape: tuple[int, int]) -> None:
    grid = scale_grid(scale, 5, 3, gsd)
    assert (grid.height, grid.width) == shape
    assert grid.matrix == [[5 / shape[1], 0.0, 0.0], [0.0, 3 / shape[0], 0.0]]


def test_scale_grid_refuses_gsd_without_a_known_one() -> None:
    with pytest.raises(ConfigError, match=r"scale x gives gsd 1.0 .*no known ground sampling distance"):
        scale_grid({"name": "x", "gsd": 1.0}, 5, 3)


def test_compose_applies_the_inner_matrix_first() -> None:
    double, move = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]], [[1.0, 0.0, 3.0], [0.0, 1.0, -1.0]]
    assert compose(double, move) == [[2.0, 0.0, 6.0], [0.0, 2.0, -2.0]]
    assert compose(move, double) == [[2.0, 0.0, 3.0], [0.0, 2.0, -1.0]]


def test_invert_undoes() -> None:
    matrix = [[2.0, 1.0, 3.0], [-1.0, 4.0, 5.0]]
    np.testing.assert_allclose(compose(matrix, invert(matrix)), [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    with pytest.raises(ConfigError, match="singular"):
        invert([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]])


def test_grid_is_a_value() -> None:
    assert scale_grid({"size": 16}, 16, 16) == Grid(16, 16, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
