"""Grids on which images are compared, and sensors brought to them."""

import numpy as np
import pytest
from arrays import ArraySource

from rasterloom.raster.georeference import stretched
from rasterloom.registration.comparison import comparison_grid, view


@pytest.mark.parametrize(
    ("size", "pixel", "side", "shape"),
    [
        ((300, 200), 0.4, 512, (200, 300)),  # never finer than the reference
        ((3000, 2000), 0.4, 500, (333, 500)),
        ((3000, 2000), 10.0, 500, (200, 300)),
        ((3, 2), 10.0, 500, (1, 1)),
    ],
)
def test_comparison_grid(size: tuple[int, int], pixel: float, side: int, shape: tuple[int, int]) -> None:
    grid = comparison_grid(size, pixel, side)
    assert grid.shape == shape
    assert (grid.shape[1] * grid.pixel[0], grid.shape[0] * grid.pixel[1]) == pytest.approx(size)


def test_view_picks_bands_and_carries_validity() -> None:
    bands = np.stack([np.full((20, 30), value, np.uint16) for value in (3, 5, 7)])
    valid = np.ones((20, 30), np.bool_)
    valid[:, :15] = False
    grid = comparison_grid((60, 40), 4.0, 100)
    shown = view(ArraySource(bands, valid), stretched((60, 40), (30, 20)), grid, [2, 0])
    assert shown.bands.shape == (2, 10, 15) and shown.valid.shape == (10, 15)
    assert not shown.valid[:, :7].any() and shown.valid[:, 8:].all()
    assert (shown.bands[0][shown.valid] == 7).all() and (shown.bands[1][shown.valid] == 3).all()
    assert view(ArraySource(bands), stretched((60, 40), (30, 20)), grid).bands.shape[0] == 3


def test_view_reads_by_rows_what_array_source_gives() -> None:
    source = ArraySource(np.zeros((2, 5, 4)), np.eye(5, 4, dtype=np.bool_))
    rows, valid = source.read(1, 3)
    assert source.shape == (2, 5, 4) and rows.shape == (2, 2, 4)
    assert valid is not None and valid.tolist() == np.eye(5, 4, dtype=np.bool_)[1:3].tolist()
