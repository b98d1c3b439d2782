"""Resampling: no shift at any scale, exact means, no bleeding of no-data, borders."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from arrays import resample
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from rasterloom.raster.grid import Grid, Matrix, compose, scale_grid
from rasterloom.raster.resample import axis_weights, is_separable, resample_strips, wavering


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
    monkeypatch.setattr("rasterloom.raster.resample.STRIP_ROWS", 7)
    monkeypatch.setattr("rasterloom.raster.resample.CHUNK_ROWS", 3)
    asked: list[int] = []

    def read(start: int, stop: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        asked.append(stop - start)
        return data[:, start:stop], valid[start:stop]

    rows = 0
    for row, band, good in resample_strips(read, data.shape, matrix, (30, 31)):
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


# Every size and scale of the contest -------------------------------------------------------------------------

REFERENCE = (3393, 3348)
"""Width and height of an RGB image, as of most scenes."""
SENSORS = {"p": (3393, 3348), "p, a pixel off": (3394, 3347), "m": (848, 837), "a": (136, 134)}
SCALES: dict[str, tuple[dict[str, float], float | None]] = {
    "native": ({}, None),
    "s1024": ({"size": 1024}, None),
    "s2048": ({"size": 2048}, None),
    "gsd": ({"gsd": 0.5}, 0.31),
    "half": ({"factor": 0.5}, None),
    "larger": ({"factor": 1.37}, None),
}
SHIFTS = [(0.0, 0.0), (-17.3, 6.85)]
CASES = pytest.mark.parametrize(
    ("sensor", "scale", "shift"), [(a, b, c) for a in SENSORS for b in SCALES for c in SHIFTS]
)


def placed(
    sensor: str, scale: str, shift: tuple[float, float], part: int = 1, degrees: float = 0.0
) -> tuple[Matrix, Grid, tuple[int, int]]:
    """Matrix from a scale's grid to a sensor that is off by a shift in reference pixels, grid, and (h, w).

    `part` divides the reference's and the sensor's sides; `degrees` turns the sensor about its corner.
    """
    (width, height), (w, h) = (tuple(n // part for n in size) for size in (REFERENCE, SENSORS[sensor]))
    table, gsd = SCALES[scale]
    grid = scale_grid({k: v // part if k == "size" else v for k, v in table.items()}, width, height, gsd)
    c, s = float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))
    there: Matrix = [[w / width * c, -w / width * s, 0.0], [h / height * s, h / height * c, 0.0]]
    moved = compose(there, [[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
    return compose(moved, grid.matrix), grid, (h, w)


def axes_of(matrix: Matrix, grid: Grid, shape: tuple[int, int]) -> list[tuple[int, int, float, float]]:
    """Inputs, outputs, step and offset of both axes."""
    return [
        (shape[1], grid.width, matrix[0][0], matrix[0][2]),
        (shape[0], grid.height, matrix[1][1], matrix[1][2]),
    ]


@CASES
def test_an_axis_of_every_size_keeps_a_ramp_in_place(sensor: str, scale: str, shift: tuple[float, float]) -> None:
    for inputs, outputs, step, offset in axes_of(*placed(sensor, scale, shift)):
        weights = axis_weights(inputs, outputs, step, offset).data
        found = weights.astype(np.float64) @ (np.arange(inputs) + 0.5)
        centre = step * (np.arange(outputs) + 0.5) + offset
        reach = max(1.0, step / 2)
        inside = (centre > reach) & (centre < inputs - reach)
        assert inside.sum() > 0.9 * outputs
        np.testing.assert_allclose(found[inside], centre[inside], rtol=0, atol=1e-3)


@CASES
def test_an_axis_of_every_size_keeps_a_bright_pixel(sensor: str, scale: str, shift: tuple[float, float]) -> None:
    """Columns of the weights are what single bright pixels become."""
    for inputs, outputs, step, offset in axes_of(*placed(sensor, scale, shift)):
        weights = axis_weights(inputs, outputs, step, offset).data.astype(np.float64).tocsc()
        centre = step * (np.arange(outputs) + 0.5) + offset
        pixel = np.arange(inputs) + 0.5
        reach = 2 + 2 * step
        inner = np.flatnonzero((pixel > max(centre[0], 0) + reach) & (pixel < min(centre[-1], inputs) - reach))
        weights, pixel = weights[:, inner].tocoo(), pixel[inner]
        away = centre[weights.row] - pixel[weights.col]
        total = np.bincount(weights.col, weights.data, len(inner)) * step
        moment = np.bincount(weights.col, weights.data * away, len(inner)) * step
        if step > 1:
            np.testing.assert_allclose(total, 1.0, rtol=1e-5)
            assert np.abs(moment / total).max() < step / 2 + 1e-3, "it is in the output pixel that holds it"
        else:
            np.testing.assert_allclose(weights.data, 1 - np.abs(away), atol=1e-6)
            assert np.abs(total - 1).max() < wavering(step) + 2e-3 and np.abs(moment / total).max() < 0.08
        # Over all places, which meet the output's pixels in every way, nothing is gained, lost or moved.
        assert total.mean() == pytest.approx(1.0, abs=2e-3)
        assert abs(moment.mean()) < 5e-3 * max(1.0, step)


@pytest.mark.parametrize("degrees", [0.0, 0.3])
@CASES
def test_ramps_across_and_down_stay_in_place(
    sensor: str, scale: str, shift: tuple[float, float], degrees: float
) -> None:
    """A ninth of the contest's sizes, with their crooked ratios: to a thousandth of a sensor pixel."""
    matrix, grid, (height, width) = placed(sensor, scale, (shift[0] / 9, shift[1] / 9), 9, degrees)
    y, x = np.mgrid[:height, :width] + 0.5
    out, valid = resample(np.stack([x, y]), matrix, (grid.height, grid.width))
    row, column = np.mgrid[: grid.height, : grid.width] + 0.5
    (a, b, c), (d, e, f) = matrix
    expected = np.stack([a * column + b * row + c, d * column + e * row + f])
    edges = np.array([width, height])[:, None, None]
    reach = np.array([max(1, a), max(1, e)])[:, None, None]
    inside = ((expected > reach) & (expected < edges - reach)).all(axis=0)
    assert inside.mean() > 0.6
    assert np.abs(out - expected)[:, inside].max() < 1e-3
    assert (valid[inside] == 255).all()


@pytest.mark.parametrize("degrees", [0.0, 0.3])
@CASES
def test_a_small_object_keeps_its_sum_and_centroid(
    sensor: str, scale: str, shift: tuple[float, float], degrees: float
) -> None:
    """Of a deviation of two sensor pixels, or of output pixels where those are larger."""
    matrix, grid, (height, width) = placed(sensor, scale, (shift[0] / 9, shift[1] / 9), 9, degrees)
    (a, b, c), (d, e, f) = matrix
    spread = 2 * max(1.0, a, e)
    x0, y0 = width * 0.53, height * 0.48
    y, x = np.mgrid[:height, :width] + 0.5
    image = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * spread**2))
    out, _ = resample(image[None], matrix, (grid.height, grid.width))
    row, column = np.mgrid[: grid.height, : grid.width] + 0.5
    there = np.array([a * column + b * row + c, d * column + e * row + f])
    area = abs(a * e - b * d)
    assert out.sum(dtype=np.float64) * area == pytest.approx(image.sum(), rel=5e-3)
    found = (there * out[0]).sum(axis=(1, 2)) / out.sum(dtype=np.float64)
    truth = np.array([(image * x).sum(), (image * y).sum()]) / image.sum()
    np.testing.assert_allclose(found, truth, atol=5e-3 * spread)


@pytest.mark.parametrize(("step", "expected"), [(1.0, 0.0), (0.5, 0.0), (0.25, 0.0), (0.75, 0.1244), (0.414, 0.0414)])
def test_wavering_is_that_of_a_sampled_tent(step: float, expected: float) -> None:
    assert wavering(step) == pytest.approx(expected, abs=3e-4)
    places = np.linspace(0, step, 500)[:, None] + step * np.arange(-20, 20)
    sums = step * np.maximum(1 - np.abs(places), 0).sum(axis=1)
    assert np.abs(sums - 1).max() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("step", [0.25, 0.4, 0.83, 1.0, 1.16, 1.65, 3.3])
def test_a_turned_bright_pixel_keeps_its_sum_and_place(step: float) -> None:
    """Turned by 0.3 degrees: a pixel a channel, in thirty places that meet the output's pixels in every way."""
    c, s = step * float(np.cos(np.radians(0.3))), step * float(np.sin(np.radians(0.3)))
    size = 60
    outputs = int(size / step)
    matrix: Matrix = [[c, -s, 0.37], [s, c, -0.21]]
    assert not is_separable(matrix, (outputs, outputs)) or outputs * s < 1e-3
    places = [(15 + n, 15 + (7 * n) % 30) for n in range(30)]
    data = np.zeros((len(places), size, size))
    for channel, (row, column) in enumerate(places):
        data[channel, row, column] = 100.0
    out, _ = resample(data, matrix, (outputs, outputs))
    row, column = np.mgrid[:outputs, :outputs] + 0.5
    there = np.array([c * column - s * row + 0.37, s * column + c * row - 0.21])
    total = out.sum(axis=(1, 2), dtype=np.float64)
    found = np.einsum("dhw,nhw->nd", there, out) / total[:, None]
    away = found - (np.array(places)[:, ::-1] + 0.5)
    off = 0.02 if step > 1 else wavering(step) + 2e-3
    assert np.abs(total * step**2 / 100 - 1).max() < (1 + off) ** 2 - 1
    assert (total * step**2 / 100).mean() == pytest.approx(1.0, abs=0.01)
    assert np.abs(away).max() < max(0.08, step / 2 + 0.1)
    np.testing.assert_allclose(away.mean(axis=0), 0.0, atol=0.02 * max(1.0, step))


# No-data -----------------------------------------------------------------------------------------------------

MATRICES: dict[str, Matrix] = {
    "shrinking": [[1.7, 0.0, -0.6], [0.0, 2.3, 0.4]],
    "hardly shrinking": [[1.003, 0.0, 0.3], [0.0, 1.001, -0.45]],
    "the same": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
    "enlarging": [[0.41, 0.0, 0.2], [0.0, 0.83, -0.7]],
    "turned": [[0.9999, -0.0052, 0.4], [0.0052, 0.9999, -0.3]],
    "turned, shrinking": [[1.9, -0.7, 8.0], [0.7, 1.9, -3.0]],
    "turned, enlarging": [[0.3, -0.1, 3.0], [0.1, 0.3, 1.0]],
}


def holed(seed: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Validity with single missing pixels and a large gap."""
    valid = np.random.default_rng(seed).random(shape) > 0.15
    valid[: shape[0] // 3, shape[1] // 2 :] = False
    return valid


@pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e9])
@pytest.mark.parametrize("matrix", list(MATRICES.values()), ids=list(MATRICES))
def test_what_stands_where_there_is_no_data_changes_nothing(matrix: Matrix, garbage: float) -> None:
    valid = holed(3, (40, 44))
    data = np.random.default_rng(4).random((2, 40, 44)) * 1000
    one = resample(np.where(valid, data, 0), matrix, (23, 21), valid)
    other = resample(np.where(valid, data, garbage), matrix, (23, 21), valid)
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second)
    assert (one[0][:, one[1] == 0] == 0).all() and 0.1 < (one[1] == 255).mean() < 0.99


@pytest.mark.parametrize("matrix", list(MATRICES.values()), ids=list(MATRICES))
def test_an_even_image_with_holes_stays_even(matrix: Matrix) -> None:
    valid = holed(5, (40, 44))
    out, good = resample(np.where(valid, 700.0, -1e6)[None], matrix, (23, 21), valid)
    np.testing.assert_allclose(out[0][good == 255], 700.0, rtol=1e-4)


@pytest.mark.parametrize("matrix", list(MATRICES.values()), ids=list(MATRICES))
def test_valid_is_where_half_of_the_footprint_is(matrix: Matrix) -> None:
    """Against a fine raster of the footprint where the sensor is averaged, of the tent where it is interpolated."""
    valid = holed(6, (40, 44))
    _, good = resample(np.ones((1, 40, 44)), matrix, (23, 21), valid)
    fine = 16
    row, column = np.mgrid[: 23 * fine, : 21 * fine] / fine + 0.5 / fine
    shrinks = abs(np.linalg.det(np.array(matrix)[:, :2])) > 1 and matrix[0][1] == 0
    if not shrinks and matrix[0][0] <= 1:  # one point, at the centre
        row, column = np.floor(row) + 0.5, np.floor(column) + 0.5
    x, y = (m[0] * column + m[1] * row + m[2] for m in matrix)
    inside = (x >= -0.5) & (x <= 44.5) & (y >= -0.5) & (y <= 40.5)
    if shrinks:
        share = valid[np.floor(y).astype(int).clip(0, 39), np.floor(x).astype(int).clip(0, 43)].astype(float)
    else:
        share = map_coordinates(valid.astype(float), [y - 0.5, x - 0.5], order=1, mode="nearest")
    share = (share * inside).reshape(23, fine, 21, fine).mean(axis=(1, 3))
    clear = np.abs(share - 0.5) > 0.06
    assert clear.mean() > 0.6
    np.testing.assert_array_equal((good == 255)[clear], (share > 0.5)[clear])


@pytest.mark.parametrize("matrix", list(MATRICES.values()), ids=list(MATRICES))
def test_a_sensor_without_any_data(matrix: Matrix) -> None:
    out, good = resample(np.full((2, 40, 44), np.nan), matrix, (23, 21), np.zeros((40, 44), np.bool_))
    assert not out.any() and not good.any()


# Memory ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "matrix",
    [
        [[1.9, 0.0, 0.3], [0.0, 2.1, 0.4]],
        [[0.31, 0.0, 0.3], [0.0, 0.29, 0.4]],
        [[0.99998, -0.0052, 4.0], [0.0052, 0.99998, 0.3]],
        [[1.5, -1.5, 4.0], [1.5, 1.5, 0.3]],
    ],
    ids=["shrinking", "enlarging", "turned by 0.3 degrees", "turned by 45 degrees"],
)
def test_memory_and_rows_read_do_not_grow_with_the_height(matrix: Matrix) -> None:
    """Of an image that nobody holds: rows are made as they are asked for."""
    width, columns = 60, 70

    def outputs(height: int) -> int:
        return round(height / np.hypot(matrix[0][1], matrix[1][1]))

    def run(height: int) -> tuple[int, int, int]:
        asked: list[int] = []

        def read(start: int, stop: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
            asked.append(stop - start)
            return np.full((2, stop - start, width), 5, np.uint16), np.ones((stop - start, width), np.bool_)

        rows = outputs(height)
        tracemalloc.start()
        done = 0
        for row, values, good in resample_strips(read, (2, height, width), matrix, (rows, columns)):
            assert row == done and values.shape == (2, *good.shape) and good.shape[0] <= 256
            done += good.shape[0]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert done == rows
        return peak, max(asked), sum(asked)

    run(1000)
    low, tall = run(2000), run(16_000)
    assert tall[1] == low[1] <= 1024, "rows read at a time"
    assert tall[2] <= 1.5 * 16_000, "every row is read about once"
    weights = 300 * (max(16_000, outputs(16_000)) - 2000)  # of the vertical axis while they are made, bytes a row
    assert tall[0] < low[0] + weights
