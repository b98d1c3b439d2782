"""Resampling: no shift at any scale, exact means, no bleeding of no-data, borders."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rasterloom.grid import Matrix
from rasterloom.resample import axis_weights, is_separable, resample, resample_bands


def stretch(shape: tuple[int, int], out: tuple[int, int]) -> Matrix:
    return [[shape[1] / out[1], 0.0, 0.0], [0.0, shape[0] / out[0], 0.0]]


def ramp(height: int, width: int) -> NDArray[np.float64]:
    """100 x + y at pixel centres."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.asarray((100 * x + y)[None])


@pytest.mark.parametrize("size", [100, 99, 101, 50, 33, 30, 7, 333, 200, 1000])
def test_ramp_is_exact_in_the_interior(size: int) -> None:
    out, valid = resample(ramp(90, 100), stretch((90, 100), (size, size)), (size, size))
    y, x = np.mgrid[:size, :size] + 0.5
    x, y = x * 100 / size, y * 90 / size
    inside = (x > 0.5) & (x < 99.5) & (y > 0.5) & (y < 89.5)
    np.testing.assert_allclose(out[0][inside], (100 * x + y)[inside], rtol=2e-6)
    assert inside.any() and valid.all()


@pytest.mark.parametrize("shift", [(0.25, -0.75), (3.0, 2.0), (-1.5, 0.4)])
@pytest.mark.parametrize("step", [0.4, 1.0, 1.7, 3.0])
def test_ramp_moves_by_the_translation(step: float, shift: tuple[float, float]) -> None:
    matrix = [[step, 0.0, 10 + shift[0]], [0.0, step, 10 + shift[1]]]
    out, valid = resample(ramp(60, 60), matrix, (12, 12))
    y, x = (np.mgrid[:12, :12] + 0.5) * step + 10
    np.testing.assert_allclose(out[0], 100 * (x + shift[0]) + y + shift[1], rtol=2e-6)
    assert valid.all()


def test_same_grid_gives_the_same_values() -> None:
    data = np.random.default_rng(0).integers(0, 65536, (2, 30, 41)).astype(np.uint16)
    out, valid = resample(data, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], (30, 41))
    np.testing.assert_array_equal(out, data)
    assert (valid == 255).all()


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_whole_pixels_are_averaged(factor: int) -> None:
    data = np.random.default_rng(1).random((1, 30, 60))
    shape = (30 // factor, 60 // factor)
    out, _ = resample(data, stretch((30, 60), shape), shape)
    np.testing.assert_allclose(out[0], data.reshape(shape[0], factor, shape[1], factor).mean((1, 3)), rtol=1e-5)


@pytest.mark.parametrize("size", [13, 20, 29, 37])
def test_shrinking_keeps_mass_and_the_centroid(size: int) -> None:
    y, x = np.mgrid[:40, :40] + 0.5
    data = np.exp(-((x - 21.3) ** 2 + (y - 18.2) ** 2) / 32)[None]
    out, _ = resample(data, stretch((40, 40), (size, size)), (size, size))
    scale = 40 / size
    centres = (np.arange(size) + 0.5) * scale
    assert out.sum() * scale**2 == pytest.approx(data.sum(), rel=1e-5)
    assert (out[0].sum(0) * centres).sum() / out.sum() == pytest.approx((data[0] * x).sum() / data.sum(), abs=0.01)
    assert (out[0].sum(1) * centres).sum() / out.sum() == pytest.approx((data[0] * y).sum() / data.sum(), abs=0.01)


def test_mass_of_a_single_pixel_is_kept() -> None:
    for position in range(2, 38):
        data = np.zeros((1, 40, 40))
        data[0, 20, position] = 100.0
        out, _ = resample(data, stretch((40, 40), (13, 13)), (13, 13))
        assert out.sum() * (40 / 13) ** 2 == pytest.approx(100.0, rel=1e-4)


def test_enlarging_interpolates_between_centres() -> None:
    out, _ = resample(np.array([[[0.0, 4.0]]]), stretch((1, 2), (1, 8)), (1, 8))
    np.testing.assert_allclose(out[0, 0], [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4], atol=1e-6)


@pytest.mark.parametrize("size", [5, 12, 20, 33, 70])
def test_nodata_never_bleeds(size: int) -> None:
    data = np.full((2, 20, 20), 7.0)
    valid = np.ones((20, 20), np.bool_)
    valid[:9, :12] = False
    data[:, ~valid] = np.nan
    out, good = resample(data, stretch((20, 20), (size, size)), (size, size), valid)
    np.testing.assert_allclose(out[:, good == 255], 7.0, rtol=1e-5)
    assert (out[:, good == 0] == 0).all()
    assert set(np.unique(good)) == {0, 255}
    assert (good == 0).mean() == pytest.approx(9 * 12 / 400, abs=0.06)


def test_half_of_the_footprint_is_enough() -> None:
    valid = np.array([[True, False, False, False]])
    out, good = resample(np.array([[[6.0, 1.0, 1.0, 1.0]]]), stretch((1, 4), (1, 2)), (1, 2), valid)
    assert good.tolist() == [[255, 0]]
    assert out[0].tolist() == [[6.0, 0.0]]


@pytest.mark.parametrize(
    ("step", "offset", "expected"),
    [
        (1.0, -0.5, [255, 255, 255, 255]),
        (1.0, -1.5, [0, 255, 255, 255]),
        (1.0, 1.75, [255, 255, 255, 0]),
        (0.5, -1.1, [0, 255, 255, 255]),
        (2.0, -3.0, [0, 255, 255, 255]),
        (2.0, 1.5, [255, 255, 0, 0]),
    ],
)
def test_borders(step: float, offset: float, expected: list[int]) -> None:
    """A sensor of 4 pixels; half a pixel beyond its edge takes the value of the edge."""
    _, good = resample(np.ones((1, 1, 4)), [[step, 0.0, offset], [0.0, 1.0, 0.0]], (1, 4))
    assert good[0].tolist() == expected


def test_outside_is_invalid_and_zero() -> None:
    out, good = resample(np.ones((3, 8, 8)), [[1.0, 0.0, 100.0], [0.0, 1.0, 0.0]], (8, 8))
    assert not out.any() and not good.any()


def test_a_sensor_of_one_pixel() -> None:
    out, good = resample(np.full((1, 1, 1), 5.0), [[0.25, 0.0, 0.0], [0.0, 0.25, 0.0]], (4, 4))
    assert (out == 5).all() and (good == 255).all()


def test_a_mirrored_axis() -> None:
    data = np.arange(12.0).reshape(1, 1, 12)
    out, _ = resample(data, [[-1.0, 0.0, 12.0], [0.0, 1.0, 0.0]], (1, 12))
    np.testing.assert_allclose(out, data[..., ::-1])
    out, _ = resample(data, [[-2.0, 0.0, 12.0], [0.0, 1.0, 0.0]], (1, 6))
    np.testing.assert_allclose(out[0, 0], [10.5, 8.5, 6.5, 4.5, 2.5, 0.5])


def test_bands_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    data, valid = rng.random((2, 50, 40)), rng.random((50, 40)) > 0.1
    matrix = [[1.3, 0.0, 0.4], [0.0, 1.7, -2.0]]
    whole = resample(data, matrix, (30, 31), valid)
    monkeypatch.setattr("rasterloom.resample.BAND_ROWS", 7)
    monkeypatch.setattr("rasterloom.resample.CHUNK_ROWS", 3)
    asked: list[int] = []

    def read(start: int, stop: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        asked.append(stop - start)
        return data[:, start:stop], valid[start:stop]

    rows = 0
    for row, band, good in resample_bands(read, data.shape, matrix, (30, 31)):
        assert row == rows
        rows += band.shape[1]
        np.testing.assert_allclose(band, whole[0][:, row:rows], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(good, whole[1][row:rows])
    assert rows == 30 and max(asked) <= 3


@pytest.mark.parametrize("step", [0.6, 1.0, 2.5])
def test_rotated_ramp_is_exact(step: float) -> None:
    cos, sin = step * np.cos(0.3), step * np.sin(0.3)
    matrix = [[float(cos), float(-sin), 25.0], [float(sin), float(cos), 12.0]]
    assert not is_separable(matrix, (9, 11))
    out, good = resample(ramp(60, 60), matrix, (9, 11))
    y, x = np.mgrid[:9, :11] + 0.5
    expected = 100 * (matrix[0][0] * x + matrix[0][1] * y + 25) + matrix[1][0] * x + matrix[1][1] * y + 12
    np.testing.assert_allclose(out[0], expected, rtol=2e-3)
    assert (good == 255).all()


def test_rotated_nodata_never_bleeds() -> None:
    data, valid = np.full((1, 40, 40), 9.0), np.ones((40, 40), np.bool_)
    data[:, :20], valid[:20] = np.nan, False
    out, good = resample(data, [[0.8, 0.3, 2.0], [-0.3, 0.8, 10.0]], (30, 30), valid)
    np.testing.assert_allclose(out[0][good == 255], 9.0, rtol=1e-5)
    assert (out[0][good == 0] == 0).all()
    assert 0.2 < (good == 255).mean() < 0.8


def test_axis_weights_sum_to_one_inside() -> None:
    axis = axis_weights(20, 13, 20 / 13, 0.0)
    np.testing.assert_allclose(np.asarray(axis.data.sum(axis=1)).ravel(), 1.0, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(axis.area.sum(axis=1)).ravel(), 1.0, rtol=1e-6)
    assert axis.area.min() >= 0
    assert axis_weights(4, 4, 1.0, 50.0).inputs(0, 4) == (0, 0)
