"""Sensors of a scene come out where they lie on the ground, whatever the systems and directions of their grids.

Ramps: an image whose numbers are a linear function of the place on the ground, resampled to any grid, must show the
function's value at the centre of each pixel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from arrays import resample
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import Resampling, calculate_default_transform, reproject, transform

from common import place_alone
from rasterloom.errors import InputError
from rasterloom.raster.files import RasterInfo
from rasterloom.raster.georeference import nominal_matrix
from rasterloom.raster.grid import compose, scale_grid
from rasterloom.raster.stacks import open_stack
from rasterloom.registration.record import read_registration
from rasterloom.stages import job_of, register, stack
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store

UTM, WGS84, MERCATOR = "EPSG:32631", "EPSG:4326", "EPSG:3857"
X0, Y0 = 500_000.0, 5_000_000.0


def turned(degrees: float, pixel: float, mirror: float = -1.0, x: float = X0, y: float = Y0) -> Affine:
    """A geotransform whose rows run `degrees` counterclockwise from east; `mirror` 1: the first row is the lowest."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return Affine(pixel * c, -mirror * pixel * s, x, pixel * s, mirror * pixel * c, y)


def centres(matrix: Affine, height: int, width: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Map coordinates of pixel centres, two (H, W) arrays."""
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x = matrix.a * column + matrix.b * row + matrix.c
    y = matrix.d * column + matrix.e * row + matrix.f
    return x, y


def ramp(matrix: Affine, height: int, width: int, crs: str = UTM) -> NDArray[np.float32]:
    """(2, H, W): metres east of X0 and north of Y0 in UTM at each pixel's centre."""
    x, y = centres(matrix, height, width)
    if crs != UTM:
        flat = transform(crs, UTM, x.ravel().tolist(), y.ravel().tolist())
        x, y = (np.array(part).reshape(height, width) for part in flat)
    return np.stack([x - X0, y - Y0]).astype(np.float32)


def info(matrix: Affine, height: int, width: int, crs: str = UTM) -> RasterInfo:
    rows = [list(matrix)[:3], list(matrix)[3:6]]
    return RasterInfo(width, height, 2, "float32", CRS.from_string(crs).to_wkt(), rows, None)


def around(matrix: Affine, height: int, width: int, own: Affine, margin: float = 20.0) -> tuple[Affine, int, int]:
    """A grid with the directions of `own` that covers another, with a margin in metres; and its size."""
    x, y = (np.array([a[0, 0], a[0, -1], a[-1, 0], a[-1, -1]]) for a in centres(matrix, height, width))
    turn = Affine(own.a, own.b, 0, own.d, own.e, 0)
    back = ~turn
    columns, rows = back.a * x + back.b * y, back.d * x + back.e * y
    pixel = np.hypot(own.a, own.d)
    left, top = columns.min() - margin / pixel, rows.min() - margin / pixel
    size = (int(columns.max() - left + margin / pixel), int(rows.max() - top + margin / pixel))
    return (
        Affine(own.a, own.b, turn.a * left + turn.b * top, own.d, own.e, turn.d * left + turn.e * top),
        size[1],
        size[0],
    )


REFERENCES = {"north up": turned(0, 0.5), "south up": turned(0, 0.5, 1.0), "turned": turned(33, 0.5)}
SENSORS = {
    "north up, coarser": turned(0, 2.0),
    "north up, finer": turned(0, 0.3),
    "south up": turned(0, 2.0, 1.0),
    "turned": turned(-20, 1.3),
    "turned and mirrored": turned(100, 0.8, 1.0),
    "upside down": turned(180, 1.0),
}


@pytest.mark.parametrize("factor", [1.0, 0.4])
@pytest.mark.parametrize("sensor", list(SENSORS))
@pytest.mark.parametrize("reference", list(REFERENCES))
def test_ramp_comes_out_at_its_place_for_any_directions(reference: str, sensor: str, factor: float) -> None:
    own, (height, width) = REFERENCES[reference], (90, 110)
    there, rows, columns = around(own, height, width, SENSORS[sensor])
    matrix = nominal_matrix(info(own, height, width), info(there, rows, columns), "s")
    grid = scale_grid({"factor": factor}, width, height)
    values, valid = resample(ramp(there, rows, columns), compose(matrix, grid.matrix), (grid.height, grid.width))
    assert (valid == 255).all()
    (a, _, _), (_, e, _) = grid.matrix
    expected = ramp(_scaled(own, a, e), grid.height, grid.width)
    assert np.abs(values - expected).max() < 0.001


def _scaled(own: Affine, a: float, e: float) -> Affine:
    return Affine(own.a * a, own.b * e, own.c, own.d * a, own.e * e, own.f)


@pytest.mark.parametrize("sensor", ["turned", "turned and mirrored", "south up"])
def test_a_bright_pixel_comes_out_at_its_place(sensor: str) -> None:
    own, (height, width) = REFERENCES["turned"], (90, 110)
    there, rows, columns = around(own, height, width, SENSORS[sensor])
    image = np.zeros((1, rows, columns), np.float32)
    row, column = rows // 2 + 3, columns // 2 - 5
    image[0, row, column] = 1
    values, _ = resample(
        image, nominal_matrix(info(own, height, width), info(there, rows, columns), "s"), (height, width)
    )
    x, y = (float(part[row, column]) for part in centres(there, rows, columns))
    back = ~own
    spot = np.array([back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f])
    weight = values[0] / values[0].sum()
    found = [(weight * part).sum() for part in np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)]
    np.testing.assert_allclose(found, spot, atol=0.1)


# Through the stages ----------------------------------------------------------------------------------------


class Scene:
    """A scene of GeoTIFFs in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.results = folder, folder / "results"
        self.files: dict[str, list[dict[str, Any]]] = {}

    def add(self, name: str, data: NDArray[Any], crs: str | None, matrix: Affine | None) -> None:
        path = self.folder / f"{name}.tif"
        bands, height, width = data.shape
        profile = {"count": bands, "height": height, "width": width, "dtype": data.dtype, "crs": crs}
        with rasterio.open(path, "w", driver="GTiff", transform=matrix, **profile) as file:
            file.write(data)
        self.files[name] = [{"path": str(path)}]

    def stacked(self, method: Any = "none", **scale: Any) -> tuple[NDArray[Any], NDArray[np.uint8], dict[str, Any]]:
        options = {"registration": method, "motion": "translation", "bands": None, "nodata": None, "max_shift": 20.0}
        sensors = dict.fromkeys(self.files, options)
        first = next(iter(self.files))
        spec = {"stage": "register", "scene": "s", "version": 1, "reference": first, "sensors": sensors}
        self._run(register, {**spec, "layout": "sheet", "gsd": None})
        spec = {
            "stage": "stack",
            "scene": "s",
            "version": 1,
            "scale": {"name": "x", **scale},
            "sensors": list(self.files),
            "acquisitions": {"s": ["s"]},
        }
        place_alone(self.results, "s")
        self._run(stack, spec)
        with open_stack(self._item("stacks/x/s.json")) as opened:
            data, valid = opened.data[:], opened.valid[:]
        return data, valid, read_registration(self._item("registration/s.json"))

    def _run(self, stage: Any, spec: dict[str, Any]) -> None:
        stage.run(job_of(spec, {"sensors": self.files, "grid": None}, self.results, Store.of(self.results)))

    def _item(self, manifest: str) -> Path:
        return Store.of(self.results).open_path(Manifest.read(self.results / manifest).items["s"])


def test_sensors_in_three_coordinate_systems(tmp_path: Path) -> None:
    own, (height, width) = turned(12, 0.5), (120, 140)
    scene = Scene(tmp_path)
    scene.add("rgb", ramp(own, height, width), UTM, own)
    x, y = centres(own, height, width)
    for name, crs, pixel in (("degrees", WGS84, 1e-5), ("mercator", MERCATOR, 1.5)):
        east, north = (np.array(part) for part in transform(UTM, crs, x.ravel().tolist(), y.ravel().tolist()))
        there = Affine(pixel, 0, east.min() - 5 * pixel, 0, -pixel, north.max() + 5 * pixel)
        columns, rows = (int(np.ptp(part) / pixel) + 10 for part in (east, north))
        scene.add(name, ramp(there, rows, columns, crs), crs, there)
    data, valid, registration = scene.stacked()
    assert (valid == 255).all()
    expected = ramp(own, height, width)
    for sensor, coarse in ((1, 1.2), (2, 1.5)):
        assert np.abs(data[2 * sensor : 2 * sensor + 2] - expected).max() < coarse / 32 + 0.005
    assert {place["method"] for name, place in registration["sensors"].items() if name != "rgb"} == {"none"}


def test_sensor_that_covers_a_part_is_valid_there_alone(tmp_path: Path) -> None:
    own, (height, width) = turned(0, 1.0), (60, 80)
    scene = Scene(tmp_path)
    scene.add("rgb", ramp(own, height, width), UTM, own)
    there = turned(0, 1.0, 1.0, X0 + 30, Y0 - 200)  # south up, from 30 m east of the reference's left edge
    scene.add("m", ramp(there, 300, 300), UTM, there)
    data, valid, _ = scene.stacked()
    assert not valid[1][:, :29].any() and (valid[1][:, 31:] == 255).all()
    np.testing.assert_allclose(data[2:, :, 31:], data[:2, :, 31:], atol=0.01)


def test_sensor_elsewhere_is_refused_with_its_name(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.add("rgb", ramp(turned(0, 1.0), 60, 80), UTM, turned(0, 1.0))
    scene.add("nir", np.ones((1, 20, 20), np.uint16), WGS84, Affine(1e-5, 0, 13.0, 0, -1e-5, 52.0))
    with pytest.raises(InputError, match=r"^scene s, sensor nir: by their georeference .* different ground"):
        scene.stacked()


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning:rasterio")  # rasterio's own code
@pytest.mark.parametrize("chip", ["rio_52", "rio_54"])
def test_real_chip_in_another_system_comes_out_on_itself(tmp_path: Path, test_data: Path, chip: str) -> None:
    """A chip of Rio in degrees, and the same brought to UTM by GDAL: back on the chip's grid they agree."""
    with rasterio.open(test_data / f"spacenet-rio/images/{chip}.tif") as file:
        image, crs, own = file.read().astype(np.float32), file.crs, file.transform
        bounds = file.bounds
    height, width = image.shape[1:]
    utm = CRS.from_epsg(32723)
    there, columns, rows = calculate_default_transform(crs, utm, width, height, *bounds)
    moved = np.full((len(image), rows, columns), np.nan, np.float32)
    reproject(
        image, moved, src_transform=own, src_crs=crs, dst_transform=there, dst_crs=utm, dst_nodata=np.nan,
        resampling=Resampling.cubic, num_threads=1,
    )  # fmt: skip
    scene = Scene(tmp_path)
    scene.add("rgb", image, crs.to_string(), own)
    scene.add("utm", moved, "EPSG:32723", there)
    data, valid, registration = scene.stacked("auto")
    assert (valid[1] == 255).mean() > 0.97
    inner = (slice(None), slice(20, -20), slice(20, -20))
    one, other = data[:3][inner], data[3:][inner]
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.97
    assert np.abs(registration["sensors"]["utm"]["shift"]).max() < 0.1, "no shift is left"
