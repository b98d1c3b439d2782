"""What is said of bad images, `bad_images`; and what works."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from bad_images import CASES, run
from bad_inputs import BadInput
from bad_making import NUMBERS, image
from rasterloom.raster.stacks import open_stack
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store


@pytest.fixture(autouse=True)
def _plain_images_are_meant() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.name)
def test_bad_image_is_told(bad: BadInput, tmp_path: Path) -> None:
    bad.check(tmp_path)


# What works ------------------------------------------------------------------------------------------------


def stacked(root: Path) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    item = Manifest.read(root / "results/stacks/x/a.json").items["a"]
    with open_stack(Store.of(root / "results").open_path(item)) as opened:
        return opened.data[:], opened.valid[:]


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 40), (3, 40, 1), (1, 2, 3)])
@pytest.mark.parametrize("plain", [True, False])
def test_images_of_few_pixels_go_through(tmp_path: Path, shape: tuple[int, int, int], plain: bool) -> None:
    data = np.arange(np.prod(shape)).reshape(shape).astype(np.uint16) + 1
    image(tmp_path / "rgb.tif", data, plain=plain)
    image(tmp_path / "nir.tif", data, plain=plain)
    assert run(tmp_path, nir="nir.tif") == []
    found, valid = stacked(tmp_path)
    np.testing.assert_array_equal(found, np.concatenate([data, data]))
    assert (valid == 255).all()


def test_numbers_that_are_none_go_through(tmp_path: Path) -> None:
    data = NUMBERS.astype(np.float32)
    data[0, :10], data[1, 10:20], data[2, 20:30] = np.nan, np.inf, -np.inf
    image(tmp_path / "rgb.tif", data)
    run(tmp_path)
    found, valid = stacked(tmp_path)
    assert np.isfinite(found).all()
    assert not valid[0, :30].any() and (valid[0, 30:] == 255).all()
    np.testing.assert_array_equal(found[:, 30:], NUMBERS[:, 30:])


@pytest.mark.parametrize("number", [0, 7, np.nan])
def test_image_without_data_goes_through(tmp_path: Path, number: float) -> None:
    kind = np.float32 if np.isnan(number) else np.uint16
    image(tmp_path / "rgb.tif", np.full((3, 20, 30), number, kind), nodata=number)
    image(tmp_path / "nir.tif", NUMBERS[:, :20, :30])
    run(tmp_path, nir="nir.tif")
    found, valid = stacked(tmp_path)
    assert not valid[0].any() and (valid[1] == 255).all()
    assert not found[:3].any()


def test_constant_and_saturated_bands_go_through(tmp_path: Path) -> None:
    data = NUMBERS.copy()
    data[0], data[1, :30] = 5, 16383
    image(tmp_path / "rgb.tif", data)
    run(tmp_path)
    np.testing.assert_array_equal(stacked(tmp_path)[0], data)
