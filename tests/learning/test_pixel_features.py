"""Features of a pixel: indices of its bands and means around it, the same in any strip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rasterloom.config.pixel_models import indices_of
from rasterloom.errors import InputError
from rasterloom.learning.augment import Normalisation
from rasterloom.learning.pixel_features import PixelFeatures, pixel_features

M = ["coastal", "blue", "green", "yellow", "red", "red_edge", "nir", "nir2"]
NONE = np.zeros((0, 4), np.int32)


def normalisation(channels: int, planes: list[int] | None = None) -> Normalisation:
    """A normalisation that changes the numbers."""
    numbers = np.arange(1, channels + 1, dtype=np.float32)
    return Normalisation(100 * numbers, 10 * numbers, np.array(planes or [0] * channels))


def window(
    shape: tuple[int, int], channels: int = 2, sensors: int = 1, dtype: Any = np.uint16
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Random data, a fifth of it invalid."""
    rng = np.random.default_rng(5)
    data = (rng.random((channels, *shape)) * 1000).astype(dtype)
    return data, ((rng.random((sensors, *shape)) < 0.8) * 255).astype(np.uint8)


def stacked(features: PixelFeatures, data: Any, valid: Any, how: Normalisation) -> NDArray[np.float32]:
    return np.stack(list(features.planes(data, valid, how)))


def test_indices_of_says_what_bands_allow() -> None:
    assert indices_of(M) == {"NDWI": [2, 6], "CCCI": [6, 5, 6, 4], "(RE-NIR2)/(RE+NIR2)": [5, 7]}
    assert indices_of([None, "nir", "green"]) == {"NDWI": [2, 1]}
    assert indices_of(["red", "green", "blue"]) == indices_of([]) == {}


def test_indices_are_of_digital_numbers_and_not_of_normalised_ones() -> None:
    data = np.array([10, 20, 300, 40, 50, 90, 100, 70], np.uint16).reshape(8, 1, 1)
    features = pixel_features({"m": indices_of(M)}, [], ["m"], "m", np.zeros(8, np.intp))
    found = stacked(features, data, np.full((1, 1, 1), 255, np.uint8), normalisation(8))[8:, 0, 0]
    expected = [(90 - 70) / 160, ((100 - 90) / 190) / ((100 - 50) / 150), (300 - 100) / 400]
    assert np.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0, 0, 0], [0, 0]),  # no light
        ([7, 0, 0], [1, 0]),
        ([5, 5, 5], [0, 0]),  # the lower difference is 0
        ([0, 500, 501], [-1, -2]),  # 0.999 / -0.00001 would be anything
        ([-3, 1, 1], [0, 0]),  # a reflectance below 0
    ],
)
def test_indices_are_finite_and_bounded(numbers: list[float], expected: list[float]) -> None:
    data = np.array(numbers, np.float32).reshape(3, 1, 1)
    features = PixelFeatures(np.array([[0, 1, -1, -1], [0, 1, 2, 1]], np.int32), ())
    found = stacked(features, data, np.full((1, 1, 1), 255, np.uint8), normalisation(3))[3:, 0, 0]
    assert found.tolist() == expected


def test_indices_and_means_know_what_is_valid() -> None:
    data, valid = window((9, 7), 3, 2)
    how = normalisation(3, [0, 1, 1])
    found = stacked(PixelFeatures(np.array([[1, 2, -1, -1]], np.int32), (3,)), data, valid, how)
    index, means = found[3], found[4:]
    assert (index[valid[1] == 0] == 0).all() and (index[valid[1] != 0] != 0).any()
    numbers = how.apply(data, valid)
    for channel, plane in enumerate(how.planes):
        for y, x in np.ndindex(9, 7):
            part = np.s_[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
            inside = numbers[channel][part][valid[plane][part] != 0]
            assert means[channel, y, x] == pytest.approx(inside.mean() if len(inside) else 0, abs=1e-4)


def test_means_where_nothing_is_valid_are_zero() -> None:
    data, valid = window((5, 5))
    assert not stacked(PixelFeatures(NONE, (3, 9)), data, np.zeros_like(valid), normalisation(2)).any()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("step", [1, 5, 16])
def test_features_do_not_depend_on_strips(step: int, dtype: Any) -> None:
    shape = (33, 29)
    data, valid = window(shape, dtype=dtype)
    features, how = PixelFeatures(np.array([[0, 1, -1, -1]], np.int32), (3, 9, 27, 81)), normalisation(2)
    whole = stacked(features, data, valid, how)
    pieces = np.full_like(whole, np.nan)
    for top in range(0, shape[0], step):
        for left in range(0, shape[1], step + 2):
            y0, y1, rows = features.around(top, min(top + step, shape[0]), shape[0])
            x0, x1, columns = features.around(left, min(left + step + 2, shape[1]), shape[1])
            part = np.s_[:, y0:y1, x0:x1]
            found = features.stacked(data[part], valid[part], how, (rows, columns))
            pieces[:, top : top + step, left : left + step + 2] = found
    assert np.array_equal(pieces, whole)


def test_features_survive_a_checkpoint_and_are_not_in_one_without_any() -> None:
    features = pixel_features({"m": indices_of(M)}, [3, 9], ["p", "m"], "p", np.array([0] + [1] * 8))
    again = PixelFeatures.of_checkpoint(features.arrays)
    assert features.indices.tolist() == [[6, 8, -1, -1], [7, 6, 7, 5], [3, 7, -1, -1]]
    assert np.array_equal(again.indices, features.indices) and again.widths == (3, 9)
    plain = PixelFeatures.of_checkpoint({})
    assert plain.arrays == {} and len(plain.indices) == 0 and plain.widths == ()


def test_pixel_features_refuses_bands_that_are_not_there() -> None:
    with pytest.raises(InputError, match=r"sensor m has 4 bands, but .* needs band 8"):
        pixel_features({"m": indices_of(M)}, [], ["m"], "m", np.zeros(4, np.intp))
