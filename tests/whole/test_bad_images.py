"""What is said of bad images: each case of `bad_images` is made and its message compared; and what works."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

from bad_images import IMAGES
from bad_inputs import BadInput
from bad_making import NUMBERS, Make, check, image, pack, register_in, sheet, text
from conftest import place_alone
from rasterloom.dataset import register_sources
from rasterloom.raster.files import RasterInfo
from rasterloom.raster.georeference import nominal_matrix
from rasterloom.raster.stacks import open_stack
from rasterloom.stages import job_of, register, stack
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store

MAKERS: dict[str, Make] = {}
case = register_in(MAKERS)


@pytest.fixture(autouse=True)
def _plain_images_are_meant() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def run(
    root: Path,
    rgb: str = "rgb.tif",
    nir: str = "",
    bands: int | None = None,
    before: Callable[[], object] | None = None,
) -> list[str]:
    """Load a sheet with one scene of these cells, register and stack it; its notes."""
    dataset = sheet(root, "scene|split|rgb|nir", f"a|predict|{rgb}|{nir}")
    scene = dataset.scenes["a"]
    sources = register_sources(scene)
    if before is not None:
        before()
    sensors = {
        name: {
            "registration": "none",
            "motion": "translation",
            "bands": bands if name == "rgb" else None,
            "nodata": None,
            "max_shift": 9.0,
        }
        for name in scene.sensors
    }
    spec = {"stage": "register", "scene": "a", "version": 1, "reference": "rgb", "sensors": sensors}
    results = root / "results"
    register.run(job_of({**spec, "layout": "sheet", "gsd": None}, sources, results, Store.of(results)))
    place_alone(results, "a")
    spec = {"stage": "stack", "scene": "a", "version": 1, "scale": {"name": "x"}, "sensors": list(sensors)}
    stack.run(job_of({**spec, "acquisitions": {"a": ["a"]}}, sources, results, Store.of(results)))
    return list(dataset.notes)


@case
def image_is_missing(root: Path) -> list[str]:
    return run(root)


@case
def image_is_a_folder(root: Path) -> list[str]:
    (root / "rgb.tif").mkdir()
    return run(root)


@case
def image_is_a_broken_link(root: Path) -> list[str]:
    (root / "rgb.tif").symlink_to("disk/rgb.tif")
    return run(root)


@case
def image_is_a_pipe(root: Path) -> list[str]:
    os.mkfifo(root / "rgb.tif")
    return run(root)


@case
def image_may_not_be_read(root: Path) -> list[str]:
    image(root / "rgb.tif")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: path.suffix != ".tif")  # root may read anything
        return run(root)


@case
def path_is_too_long(root: Path) -> list[str]:
    return run(root, "x" * 5000)


@case
def path_with_braces(root: Path) -> list[str]:
    image(root / "rgb{1}.tif")
    return run(root, "rgb{1}.tif")


@case
def image_is_empty(root: Path) -> list[str]:
    (root / "rgb.tif").touch()
    return run(root)


@case
def image_is_text(root: Path) -> list[str]:
    text(root / "rgb.tif", "<html>You need to log in</html>")
    return run(root)


@case
def image_ends_after_its_header(root: Path) -> list[str]:
    path = image(root / "rgb.tif")
    path.write_bytes(path.read_bytes()[:8])
    return run(root)


@case
def image_is_half_there(root: Path) -> list[str]:
    path = image(root / "rgb.tif", compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return run(root)


@case
def plain_image_is_half_there(root: Path) -> list[str]:
    tifffile.imwrite(root / "rgb.tif", NUMBERS, photometric="rgb", planarconfig="separate")
    (root / "rgb.tif").write_bytes((root / "rgb.tif").read_bytes()[:9000])
    return run(root)


@case
def image_of_another_number_of_bands(root: Path) -> list[str]:
    image(root / "rgb.tif", NUMBERS[:2])
    return run(root, bands=3)


@case
def image_with_a_band_that_may_be_validity(root: Path) -> list[str]:
    data = np.concatenate([NUMBERS, NUMBERS[:1]]).astype(np.uint8)
    image(root / "rgb.tif", data, photometric="RGB", ALPHA="YES")
    return run(root)


@case
def image_of_complex_numbers(root: Path) -> list[str]:
    image(root / "rgb.tif", NUMBERS.astype(np.complex64))
    return run(root)


@case
def image_of_colours_in_a_palette(root: Path) -> list[str]:
    image(root / "rgb.tif", NUMBERS[:1].astype(np.uint8))
    with rasterio.open(root / "rgb.tif", "r+") as file:
        file.write_colormap(1, {n: (n, 255 - n, 0, 255) for n in range(256)})
    return run(root)


@case
def image_with_more_than_three_axes(root: Path) -> list[str]:
    tifffile.imwrite(root / "rgb.tif", np.zeros((4, 5, 30, 20), np.uint16), photometric="minisblack")
    return run(root)


@case
def image_with_control_points_alone(root: Path) -> list[str]:
    image(root / "rgb.tif", plain=True)
    points = [GroundControlPoint(0, 0, 1, 2), GroundControlPoint(0, 50, 2, 2), GroundControlPoint(60, 0, 1, 3)]
    with rasterio.open(root / "rgb.tif", "r+") as file:
        file.gcps = (points, rasterio.crs.CRS.from_epsg(4326))
    return run(root)


@case
def image_with_a_geotransform_of_no_area(root: Path) -> list[str]:
    image(root / "rgb.tif", plain=True)
    text(root / "rgb.tfw", "0.5", "0.5", "0.5", "0.5", "500000", "5000000")
    return run(root)


@case
def bands_of_several_types(root: Path) -> list[str]:
    image(root / "a.tif", NUMBERS[:1])
    image(root / "b.tif", NUMBERS[:1].astype(np.float32))
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{n}"><SimpleSource><SourceFilename relativeToVRT="1">{file}'
        "</SourceFilename></SimpleSource></VRTRasterBand>"
        for n, kind, file in ((1, "UInt16", "a.tif"), (2, "Float32", "b.tif"))
    )
    text(root / "rgb.vrt", f'<VRTDataset rasterXSize="50" rasterYSize="60">{bands}</VRTDataset>')
    return run(root, "rgb.vrt")


@case
def band_by_a_number_that_is_not_there(root: Path) -> list[str]:
    image(root / "rgb.tif")
    return run(root, "rgb.tif[4,3,2]")


@case
def band_by_a_name_that_is_not_there(root: Path) -> list[str]:
    image(root / "rgb.tif")
    with rasterio.open(root / "rgb.tif", "r+") as file:
        file.descriptions = ("B02", "B03", "B04")
    return run(root, "rgb.tif[B4,B03,B02]")


@case
def band_by_name_in_a_file_without_names(root: Path) -> list[str]:
    image(root / "rgb.tif")
    return run(root, "rgb.tif[red]")


@case
def bands_as_a_range(root: Path) -> list[str]:
    image(root / "rgb.tif")
    return run(root, "rgb.tif[1-3]")


@case
def files_of_a_sensor_of_different_sizes(root: Path) -> list[str]:
    image(root / "b4.tif")
    image(root / "b3.tif", NUMBERS[:, :30, :25])
    return run(root, "b4.tif;b3.tif")


@case
def files_of_a_sensor_on_different_grids(root: Path) -> list[str]:
    image(root / "b4.tif")
    image(root / "b3.tif", transform=Affine(0.5, 0, 500_010, 0, -0.5, 5_000_000))
    return run(root, "b4.tif;b3.tif")


@case
def files_of_a_sensor_in_different_systems(root: Path) -> list[str]:
    image(root / "b4.tif")
    image(root / "b3.tif", crs="EPSG:32632")
    return run(root, "b4.tif;b3.tif")


@case
def sensors_of_different_ground(root: Path) -> list[str]:
    image(root / "rgb.tif")
    image(root / "nir.tif", transform=Affine(2, 0, 600_000, 0, -2, 5_000_000))
    return run(root, nir="nir.tif")


@case
def sensor_without_a_coordinate_system(root: Path) -> list[str]:
    image(root / "rgb.tif")
    image(root / "nir.tif", crs=None)
    return run(root, nir="nir.tif")


@case
def sensor_in_a_system_that_bends(root: Path) -> list[str]:
    utm, degrees = (rasterio.crs.CRS.from_epsg(code).to_wkt() for code in (32631, 4326))
    wide = RasterInfo(20_000, 20_000, 1, "uint16", utm, [[30.0, 0.0, 200_000.0], [0.0, -30.0, 6_000_000.0]], None)
    other = RasterInfo(1000, 1000, 1, "uint16", degrees, [[0.02, 0.0, -10.0], [0.0, -0.02, 60.0]], None)
    nominal_matrix(wide, other, "scene a, sensor nir")
    return []


@case
def image_that_changed_while_the_run_waited(root: Path) -> list[str]:
    path = image(root / "rgb.tif")
    return run(root, before=lambda: os.utime(path, ns=(1, 1)))


@case
def archive_that_was_cut_off(root: Path) -> list[str]:
    path = pack(root / "images.zip", {"rgb.tif": image(root / "rgb.tif").read_bytes()})
    path.write_bytes(path.read_bytes()[:1000])
    return run(root, "images.zip!rgb.tif")


@case
def archive_without_the_image(root: Path) -> list[str]:
    pack(root / "images.zip", {"other.tif": b"1"})
    return run(root, "images.zip!rgb.tif")


@case
def archive_with_a_damaged_image(root: Path) -> list[str]:
    path = pack(root / "images.zip", {"rgb.tif": image(root / "rgb.tif").read_bytes()})
    data = bytearray(path.read_bytes())
    data[3000:3020] = bytes(20)
    path.write_bytes(data)
    return run(root, "images.zip!rgb.tif")


@case
def reference_image_named_twice(root: Path) -> list[str]:
    image(root / "rgb.tif")
    return list(sheet(root, "scene|split|rgb|nir", "a|predict|rgb.tif|", "b|predict|rgb.tif|").notes)


# Comparing -------------------------------------------------------------------------------------------------


def test_cases_are_those_that_are_made() -> None:
    assert [bad.name for bad in IMAGES] == list(MAKERS)


@pytest.mark.parametrize("bad", IMAGES, ids=lambda bad: bad.name)
def test_bad_image_is_said_in_these_words(bad: BadInput, tmp_path: Path) -> None:
    check(bad, MAKERS[bad.name], tmp_path)


# What works ------------------------------------------------------------------------------------------------


def stacked(root: Path) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    item = Manifest.read(root / "results/stacks/x/a.json").items["a"]
    with open_stack(Store.of(root / "results").open_path(item)) as opened:
        return opened.window((0, opened.shape[0]), (0, opened.shape[1]))


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
