"""Backdrops: what a picture shows of a stack, and the folder of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from polygon_jobs import make_job
from rasterloom.report.backdrops import Images, overview, read_window
from rasterloom.report.pictures import Frame


def write_stack(path: Path, data: NDArray[Any], valid: NDArray[np.uint8], channels: Sequence[int]) -> None:
    with zarr.storage.ZipStore(path, mode="w") as store:
        group = zarr.create_group(store, attributes={"sensors": ["rgb", "m"], "channels": list(channels)})
        group.create_array("data", data=data, chunks=(len(data), 32, 32))
        group.create_array("valid", data=valid)


@pytest.mark.parametrize(
    ("scales", "name"),
    [
        ([{"name": "a", "size": 512}, {"name": "b", "size": 2048}, {"name": "c"}], "b"),
        ([{"name": "a", "size": 64}, {"name": "b", "size": 128}], "b"),
        ([{"name": "a", "factor": 0.5}, {"name": "b"}], "a"),
        ([{"name": "a", "gsd": 10.0}], "a"),
    ],
)
def test_overview_is_the_coarsest_scale_that_fills_a_picture(scales: list[dict[str, Any]], name: str) -> None:
    assert overview({scale["name"]: scale for scale in scales}) == name


def test_read_window_reads_the_part_it_shows(tmp_path: Path) -> None:
    data = np.zeros((4, 64, 64), np.uint16)
    data[:3, 40:48, 16:24] = 1000
    valid = np.full((2, 64, 64), 255, np.uint8)
    valid[0, 40:48, 20:24] = 0
    write_stack(tmp_path / "s.zarr.zip", data, valid, [3, 1])
    # The reference has twice the stack's pixels across, and four times down.
    image, good = read_window(tmp_path / "s.zarr.zip", "rgb", Frame(32, 160, 16, 32, 16, 16), (128, 256))
    assert image.shape == (3, 16, 16)
    assert good[:, :8].all() and not good[:, 9:].any()
    assert (np.abs(image[:, 2:-2, 2:7] - 1000) < 1).all()


def test_read_window_of_a_whole_scene_averages(tmp_path: Path) -> None:
    data = np.zeros((4, 64, 64), np.uint16)
    data[:, :, ::2] = 100
    write_stack(tmp_path / "s.zarr.zip", data, np.full((2, 64, 64), 255, np.uint8), [3, 1])
    image, good = read_window(tmp_path / "s.zarr.zip", "rgb", Frame(0, 0, 64, 64, 8, 8), (64, 64))
    assert good.all()
    assert np.abs(image - 50).max() < 5


@pytest.mark.parametrize(("sensor", "level"), [("m", 7.0), ("absent", 3.0)])
def test_read_window_of_few_bands_gives_one(tmp_path: Path, sensor: str, level: float) -> None:
    data = np.zeros((3, 16, 16), np.float32)
    data[0], data[1], data[2] = 3, 5, 7
    data[:, :4] = np.nan
    write_stack(tmp_path / "s.zarr.zip", data, np.full((2, 16, 16), 255, np.uint8), [2, 1])
    image, good = read_window(tmp_path / "s.zarr.zip", sensor, Frame(0, 0, 16, 16, 16, 16), (16, 16))
    assert image.shape == (1, 16, 16)
    assert not good[:3].any() and good[5:].all()
    assert np.allclose(image[0, 5:], level)


def test_read_window_of_every_band(tmp_path: Path) -> None:
    data = np.stack([np.full((16, 16), value, np.uint16) for value in range(7)])
    write_stack(tmp_path / "s.zarr.zip", data, np.full((2, 16, 16), 255, np.uint8), [2, 5])
    image, _ = read_window(tmp_path / "s.zarr.zip", "m", Frame(0, 0, 16, 16, 4, 4), (16, 16), every=True)
    assert image[:, 1, 1].tolist() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("x", "seen"), [(-8.0, [False, True]), (8.0, [True, False]), (400.0, [False] * 2), (-99.0, [False] * 2)]
)
def test_read_window_beyond_the_image_is_not_valid(tmp_path: Path, x: float, seen: list[bool]) -> None:
    data, valid = np.full((4, 16, 16), 9, np.uint16), np.full((2, 16, 16), 255, np.uint8)
    write_stack(tmp_path / "s.zarr.zip", data, valid, [3, 1])
    image, good = read_window(tmp_path / "s.zarr.zip", "m", Frame(x, 0, 16, 16, 16, 16), (16, 16))
    assert [bool(good[8, 3]), bool(good[8, 12])] == seen
    assert good[:, 3].all() == seen[0] and good[:, 12].any() == seen[1]
    assert image[0, 8, 3] == (9 if seen[0] else 0)


def test_images_put_writes_a_picture_and_says_where(tmp_path: Path) -> None:
    images = Images(make_job(tmp_path, {"stage": "report"}), {})
    picture = images.put("a", np.zeros((4, 6, 3), np.uint8), "text")
    assert [path.name for path in images.folder.iterdir()] == ["a.jpg"]
    assert (picture.file, picture.width, picture.height) == ("pictures/a.jpg", 6, 4)
    assert images.written == {images.folder / "a.jpg"}
