"""Stacks: content, digests, validity, reuse."""

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.typing import NDArray
from rasterio.transform import Affine

from common import place_alone
from rasterloom.errors import ConfigError, InputError
from rasterloom.raster.grid import Grid
from rasterloom.raster.stacking import StackSensor, as_numbers, write_stack
from rasterloom.raster.stacks import open_stack
from rasterloom.stages import job_of, register, stack
from rasterloom.store.digest import array_digest
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 2048, (3, 300, 280)).astype(np.uint16)
M = RNG.integers(0, 2048, (8, 75, 70)).astype(np.uint16)
S2: dict[str, Any] = {"name": "s150", "size": 150}
IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


class Project:
    """A scene `s` of rgb and m, registered as given, to be stacked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results"
        self.files: dict[str, list[dict[str, Any]]] = {}
        self.methods: dict[str, Any] = {}

    def add(self, name: str, data: NDArray[Any], method: Any = "none", **options: Any) -> None:
        path = self.folder / f"{name}.tif"
        if options:
            bands, height, width = data.shape
            profile = {"count": bands, "height": height, "width": width, "dtype": data.dtype, **options}
            with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32631", **profile) as file:
                file.write(data)
        else:
            tifffile.imwrite(path, data, photometric="rgb", planarconfig="separate")
        self.files[name] = [{"path": str(path), "size": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}]
        self.methods[name] = method

    def job(self, stage: str, **spec: Any) -> Job:
        return job_of(
            {"stage": stage, "scene": "s", **spec}, {"sensors": self.files}, self.results, Store.of(self.results)
        )

    def register(self) -> None:
        sensors = {
            name: {
                "registration": method,
                "motion": "translation",
                "bands": None,
                "nodata": None,
                "max_shift": 60.0,
                "pixel": None,
            }
            for name, method in self.methods.items()
        }
        job = self.job("register", version=1, reference="rgb", sensors=sensors, layout="sheet", gsd=None)
        register.run(job)
        place_alone(self.results, "s")

    def stack(self, scale: dict[str, Any], sensors: list[str], bands: dict[str, int | None] | None = None) -> Item:
        stack.run(
            self.job(
                "stack",
                version=stack.VERSION,
                scale=scale,
                sensors=sensors,
                bands=bands or {},
                acquisitions={"s": ["s"]},
            )
        )
        return Manifest.read(self.results / "stacks" / scale["name"] / "s.json").items["s"]

    def read(self, item: Item) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        with open_stack(Store.of(self.results).open_path(item)) as opened:
            return opened.data[:], opened.valid[:]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path)
    found.add("rgb", RGB)
    found.add("m", M)
    found.register()
    return found


def test_native_scale_holds_the_raw_numbers(project: Project) -> None:
    item = project.stack({"name": "native"}, ["rgb", "m"])
    data, valid = project.read(item)
    assert data.dtype == np.uint16 and data.shape == (11, 300, 280)
    np.testing.assert_array_equal(data[:3], RGB)
    assert (valid == 255).all() and valid.shape == (2, 300, 280)


def test_digests_are_of_content(project: Project) -> None:
    """More than 256 rows: the digest written in strips is that of the whole."""
    item = project.stack({"name": "native"}, ["rgb", "m"])
    data, valid = project.read(item)
    assert item.parts["rgb"] == array_digest({"data": data[:3], "valid": valid[0]})
    assert item.parts["m"] == array_digest({"data": data[3:], "valid": valid[1]})


def test_a_part_depends_on_its_sensor_alone(project: Project) -> None:
    both, one = project.stack(S2, ["rgb", "m"]), project.stack(S2, ["m"])
    assert both.parts["m"] == one.parts["m"] and both.digest != one.digest
    np.testing.assert_array_equal(project.read(both)[0][3:], project.read(one)[0])


def test_sensors_come_in_the_order_of_the_recipe(project: Project) -> None:
    item = project.stack(S2, ["m", "rgb"])
    with open_stack(Store.of(project.results).open_path(item)) as opened:
        assert (opened.sensors, opened.channels, opened.shape) == (("m", "rgb"), (8, 3), (150, 150))
        data, valid = opened.data[:, 10:40, :7], opened.valid[:, 10:40, :7]
        assert data.shape == (11, 30, 7) and valid.shape == (2, 30, 7)
    whole, _ = project.read(item)
    np.testing.assert_array_equal(data, whole[:, 10:40, :7])
    expected = RGB.reshape(3, 150, 2, 280).mean(axis=2)
    assert abs(whole[8:].mean() - expected.mean()) < 1


def test_half_scale_averages_whole_pixels(project: Project) -> None:
    data, _ = project.read(project.stack({"name": "half", "factor": 0.5}, ["rgb"]))
    expected = np.rint(RGB.reshape(3, 150, 2, 140, 2).mean(axis=(2, 4)))
    assert data.shape == (3, 150, 140)
    assert np.abs(data - expected).max() <= 1  # halves may round either way
    assert (data == expected).mean() > 0.7


def test_a_given_shift_moves_the_sensor(project: Project) -> None:
    """A sensor that is off by a whole pixel of its own comes out moved back, and invalid where it ends."""
    project.add("m", M, method={"shift": [-8.0, 4.0]})
    project.register()
    data, valid = project.read(project.stack({"name": "quarter", "factor": 0.25}, ["m"]))
    np.testing.assert_array_equal(data[:, :74, 2:], M[:, 1:, :68])
    assert (valid[0, :, 2:][:74] == 255).all()
    assert not valid[0, :, 0].any() and not data[:, :, 0].any()


def test_run_reuses_what_is_there(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first = project.stack(S2, ["rgb", "m"])
    monkeypatch.delattr(stack, "write_stack")
    assert project.stack(S2, ["rgb", "m"]) == first
    assert project.stack({"name": "other", "size": 150}, ["rgb", "m"]) == first  # a scale's name changes no pixel
    with pytest.raises(NameError, match="write_stack"):
        project.stack(S2, ["m", "rgb"])


def test_a_moved_sensor_is_stacked_again(project: Project) -> None:
    first = project.stack(S2, ["rgb"]), project.stack(S2, ["m"])
    project.methods["m"] = {"shift": [1.0, 0.0]}
    project.register()
    assert project.stack(S2, ["rgb"]) == first[0]
    assert project.stack(S2, ["m"]).key != first[1].key


def test_nodata_and_real_numbers(tmp_path: Path) -> None:
    project = Project(tmp_path)
    values = RGB.astype(np.float32) / 7
    values[:, :100] = np.nan
    project.add("rgb", RGB, transform=Affine(1, 0, 0, 0, -1, 300))
    project.add("f", values, transform=Affine(1, 0, 0, 0, -1, 300))
    project.register()
    data, valid = project.read(project.stack({"name": "m2", "gsd": 2.0}, ["rgb", "f"]))
    assert data.dtype == np.float32 and data.shape == (6, 150, 140)
    assert valid[0].min() == 255
    assert not valid[1, :50].any() and (valid[1, 50:] == 255).all() and not data[3:, :50].any()
    np.testing.assert_allclose(data[3:, 50:], data[:3, 50:] / 7, rtol=0, atol=0.5 / 7 + 1e-3)  # rgb is rounded


def test_a_part_does_not_depend_on_the_dtype_of_the_stack(tmp_path: Path) -> None:
    """A sensor of real numbers makes the whole stack float32; rgb is rounded and digested as uint16 all the same."""
    project = Project(tmp_path)
    project.add("rgb", RGB, transform=Affine(1, 0, 0, 0, -1, 300))
    project.add("f", RGB.astype(np.float32) / 7, transform=Affine(1, 0, 0, 0, -1, 300))
    project.register()
    alone, both, real = (project.stack(S2, names) for names in (["rgb"], ["rgb", "f"], ["f"]))
    assert both.parts == {"rgb": alone.parts["rgb"], "f": real.parts["f"]}
    whole, one = project.read(both)[0], project.read(alone)[0]
    assert whole.dtype == np.float32 and one.dtype == np.uint16
    np.testing.assert_array_equal(whole[:3], one)
    np.testing.assert_array_equal(whole[3:], project.read(real)[0])
    assert (whole[3:] % 1 != 0).any()


def test_a_sensor_that_the_scene_lacks_is_zeros_nowhere_valid(project: Project) -> None:
    alone = project.stack(S2, ["rgb"])
    item = project.stack(S2, ["rgb", "a"], {"a": 2})
    data, valid = project.read(item)
    assert data.dtype == np.uint16 and data.shape == (5, 150, 150)
    assert not data[3:].any() and not valid[1].any() and valid[0].all()
    assert item.parts["rgb"] == alone.parts["rgb"]
    with open_stack(Store.of(project.results).open_path(item)) as opened:
        assert (opened.sensors, opened.channels) == (("rgb", "a"), (3, 2))
    project.add("rgb", RGB[:, ::-1].copy())
    project.register()
    other = project.stack(S2, ["rgb", "a"], {"a": 2})
    assert other.parts["rgb"] != item.parts["rgb"] and other.parts["a"] == item.parts["a"]
    assert project.stack(S2, ["rgb", "a"], {"a": 3}).parts["a"] != item.parts["a"]


def test_an_absent_sensor_of_more_than_a_band_of_rows(project: Project) -> None:
    item = project.stack({"name": "native"}, ["a", "rgb"], {"a": 1})
    data, valid = project.read(item)
    np.testing.assert_array_equal(data[1:], RGB)
    assert not valid[0].any()
    assert item.parts["a"] == array_digest({"data": data[:1], "valid": valid[0]})


def test_missing_bands_and_unknown_gsd(project: Project) -> None:
    message = r"scene s has no image of sensor a and `sensors\.a\.bands` is null: say how many bands it has"
    with pytest.raises(ConfigError, match=message):
        project.stack(S2, ["rgb", "a"], {"a": None})
    with pytest.raises(ConfigError, match="no known ground sampling distance"):
        project.stack({"name": "metre", "gsd": 1.0}, ["rgb"])


def test_a_source_that_changes_stops_the_job(project: Project) -> None:
    os.utime(project.files["m"][0]["path"], ns=(1, 1))
    with pytest.raises(InputError, match=r"scene s, sensor m: .*m\.tif has changed since the run was planned"):
        project.stack(S2, ["m"])
    (log,) = (project.results / "store" / "stack").glob("*")
    assert "m.tif has changed since the run was planned" in log.read_text()


def test_no_name_occurs_twice_in_the_file(project: Project) -> None:
    import zipfile

    item = project.stack({"name": "native"}, ["rgb"])
    with zipfile.ZipFile(Store.of(project.results).open_path(item)) as file:
        names = file.namelist()
        assert len(names) == len(set(names)) and file.testzip() is None
    assert stack.inputs({"acquisitions": {"6010": ["s"]}}) == ["placement/6010.json"]


def test_as_numbers_rounds_and_clips() -> None:
    values = np.array([-3.0, 0.4, 1.6, 70_000.0], np.float32)
    assert as_numbers(values, np.uint16).tolist() == [0, 0, 2, 65535]
    assert as_numbers(values, np.float32) is values


# A ramp through the stages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [{"size": 150}, {"size": 290}, {"factor": 0.37}, {"factor": 1.7}, {}], ids=str)
@pytest.mark.parametrize("degrees", [0.0, 0.3])
def test_a_ramp_shows_its_place_on_the_reference(tmp_path: Path, scale: dict[str, Any], degrees: float) -> None:
    """A sensor of 71 x 74 pixels, moved and turned: each of its pixels holds where on the reference it lies."""
    c, s = 70.3 / 280 * np.cos(np.radians(degrees)), 70.3 / 280 * np.sin(np.radians(degrees))
    there = np.array([[c, -s, 1.37], [s, c, -0.61]])
    y, x = np.mgrid[:74, :71] + 0.5
    back = np.linalg.inv(there[:, :2])
    place = np.einsum("ij,jhw->ihw", back, np.stack([x, y]) - there[:, 2, None, None]).astype(np.float32)
    project = Project(tmp_path)
    project.add("rgb", RGB, transform=Affine(1, 0, 0, 0, -1, 300))
    project.add("f", place, method={"matrix": there.tolist()}, transform=Affine(4, 0, 0, 0, -4, 300))
    project.register()
    data, valid = project.read(project.stack({"name": "x", **scale}, ["f"]))
    _, height, width = data.shape
    row, column = np.mgrid[:height, :width] + 0.5
    expected = np.stack([column * 280 / width, row * 300 / height])
    at = np.einsum("ij,jhw->ihw", there[:, :2], expected) + there[:, 2, None, None]
    inner = ((at > 1) & (at < np.array([70, 73])[:, None, None])).all(axis=0)
    assert inner.mean() > 0.8 and (valid[0][inner] == 255).all()
    assert np.abs(data - expected)[:, inner].max() < 4e-3, "a thousandth of a sensor pixel"


def test_a_sensor_without_any_data_is_zeros_nowhere_valid(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.add("rgb", RGB, transform=Affine(1, 0, 0, 0, -1, 300))
    project.add("m", np.full((2, 75, 70), 9, np.uint16), transform=Affine(4, 0, 0, 0, -4, 300), nodata=9)
    project.register()
    data, valid = project.read(project.stack(S2, ["rgb", "m"]))
    assert not data[3:].any() and not valid[1].any() and valid[0].all()


class Endless:
    """A sensor of any height that nobody holds: it makes rows as they are asked for."""

    def __init__(self, height: int) -> None:
        self.shape = (2, height, 300)

    def read(self, start: int, stop: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        rows = np.arange(start, stop, dtype=np.uint16)[:, None]
        block = np.broadcast_to(rows, (2, stop - start, 300)).copy()
        return block, np.ones(block.shape[1:], np.bool_)


class Held:
    """A sensor in memory, without data in its first columns."""

    def __init__(self, bands: NDArray[np.uint16]) -> None:
        self.shape, self.bands = bands.shape, bands

    def read(self, start: int, stop: int, bands: list[int] | None = None) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        rows = self.bands[slice(None) if bands is None else bands, start:stop]
        return rows, np.arange(rows.shape[2])[None] + np.zeros((rows.shape[1], 1)) > 4


def test_bands_that_lie_apart_are_resampled_each_by_its_own_shift() -> None:
    bands = np.random.default_rng(1).integers(0, 2000, (3, 90, 80)).astype(np.uint16)
    matrix, apart, grid = (
        [[0.25, 0.0, 1.0], [0.0, 0.25, -0.5]],
        [(0.0, 0.0), (5.0, -9.0), (-2.5, 0.0)],
        Grid(300, 280, IDENTITY),
    )

    def shown(own: NDArray[np.uint16], place: list[list[float]], *shifts: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        reader: Any = Held(own)
        strips = list(StackSensor("m", len(own), np.uint16, reader, place, *shifts).on_grid(grid))
        return np.concatenate([values for values, _ in strips], axis=1), np.concatenate([good for _, good in strips])

    found, valid = shown(bands, matrix, apart)
    alone = []
    for i, (dx, dy) in enumerate(apart):
        moved = [[0.25, 0.0, 1.0 + 0.25 * dx], [0.0, 0.25, -0.5 + 0.25 * dy]]
        alone.append(shown(bands[i : i + 1], moved))
    assert np.array_equal(found, np.concatenate([values for values, _ in alone]))
    assert np.array_equal(valid, np.minimum.reduce([good for _, good in alone])) and 0 < valid.mean() < 255
    same, _ = shown(bands, matrix)
    assert np.array_equal(same[0], found[0]) and not np.array_equal(same[1], found[1])


@pytest.mark.slow
@pytest.mark.parametrize("turn", [0.0, 0.0052])
def test_write_stack_holds_bands_of_rows_alone(tmp_path: Path, turn: float) -> None:
    def peak(height: int) -> int:
        reader: Any = Endless(height)
        sensor = StackSensor("e", 2, np.uint16, reader, [[1.5, -turn, 0.0], [turn, 1.5, 0.0]])
        tracemalloc.start()
        write_stack(tmp_path / f"{height}.zarr.zip", [sensor], Grid(height * 2 // 3, 200, IDENTITY))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(500)
    low, tall = peak(2000), peak(6000)
    row = 300 * 2 * 2  # bytes of a row of the sensor
    assert tall < low + 0.2 * row * 4000
