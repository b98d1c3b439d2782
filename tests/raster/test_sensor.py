"""Reading images by rows, and the errors that name file and remedy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from rasterloom.errors import InputError, MissingInputError
from rasterloom.raster.files import open_raster
from rasterloom.raster.sensor import SensorReader

DATA = np.arange(3 * 5 * 7, dtype=np.uint16).reshape(3, 5, 7)


def write_geotiff(path: Path, data: NDArray[Any], **options: Any) -> Path:
    bands, height, width = data.shape
    profile = {"crs": "EPSG:32631", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), **options}
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=data.dtype, **profile
    ) as file:
        file.write(data)
    return path


def test_contest_planar_rgb_with_eight_bands(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 16384, (8, 13, 11)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", planarconfig="separate")
    with open_raster(tmp_path / "a.tif") as raster:
        assert (raster.info.bands, raster.info.height, raster.info.width) == (8, 13, 11)
        assert (raster.info.transform, raster.info.crs, raster.info.nodata) == (None, None, None)
        np.testing.assert_array_equal(raster.read(0, 13), data)
        np.testing.assert_array_equal(raster.read(3, 9, [5, 0]), data[[5, 0], 3:9])


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"bigtiff": True}])
def test_contest_single_band(tmp_path: Path, options: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "p.tif", DATA[0], **options)
    with open_raster(tmp_path / "p.tif") as raster:
        block = raster.read(1, 4)
        assert block.dtype == np.uint16 and block.dtype.isnative
        np.testing.assert_array_equal(block, DATA[:1, 1:4])


def test_interleaved_samples_come_bands_first(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "c.tif", np.moveaxis(DATA, 0, 2), photometric="rgb")
    with open_raster(tmp_path / "c.tif") as raster:
        np.testing.assert_array_equal(raster.read(0, 5), DATA)


def test_bands_as_pages(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "pages.tif", DATA, photometric="minisblack", compression="zlib")
    with open_raster(tmp_path / "pages.tif") as raster:
        np.testing.assert_array_equal(raster.read(1, 5), DATA[:, 1:])


def test_geotiff(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "g.tif", DATA, nodata=3)
    with open_raster(path) as raster:
        assert raster.info.transform == [[0.5, 0.0, 500_000.0], [0.0, -0.5, 5_000_000.0]]
        assert raster.info.nodata == 3.0
        assert raster.info.crs is not None and "UTM zone 31N" in raster.info.crs
        np.testing.assert_array_equal(raster.read(2, 5, [2]), DATA[2:, 2:5])
        with pytest.raises(ValueError, match=r"rows 2\.\.6"):
            raster.read(2, 6)


@pytest.mark.parametrize(
    ("kind", "read"),
    [("uint8", "uint16"), ("uint16", "uint16"), ("int16", "int16"), ("float64", "float32"), ("float32", "float32")],
)
def test_types_that_are_read(tmp_path: Path, kind: str, read: str) -> None:
    path = write_geotiff(tmp_path / "g.tif", DATA.astype(kind))
    with open_raster(path) as raster:
        block = raster.read(0, 5)
        assert raster.info.dtype == read and block.dtype == np.dtype(read)
        np.testing.assert_array_equal(block, DATA)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "g.tif", DATA.astype(np.complex64))
    with pytest.raises(InputError, match=r"g\.tif holds values of type complex64"), open_raster(path):
        pass


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"none\.tif is not there"), open_raster(tmp_path / "none.tif"):
        pass


def test_not_an_image(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_text("id,x,y\n")
    with pytest.raises(InputError, match=r"x\.tif cannot be opened as an image"), open_raster(tmp_path / "x.tif"):
        pass


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_truncated_planar_tiff(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "p.tif"
    tifffile.imwrite(
        path, np.random.default_rng(0).integers(0, 2047, (200, 200)).astype(np.uint16), compression=compression
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"p\.tif cannot be read.*truncated or damaged"), open_raster(path) as raster:
        raster.read(0, 200)


def test_truncated_geotiff(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 2047, (1, 300, 300)).astype(np.uint16)
    path = write_geotiff(tmp_path / "g.tif", data, compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"g\.tif cannot be read at rows 0\.\.300.*truncated"), open_raster(path) as r:
        r.read(0, 300)


def test_only_the_georeference_warning_is_silent(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path = tmp_path / "plain.png"
    with (
        rasterio.open(write_geotiff(tmp_path / "g.tif", DATA.astype(np.uint8))) as source,
        rasterio.open(path, "w", driver="PNG", width=7, height=5, count=3, dtype="uint8") as target,
    ):
        target.write(source.read())
    recwarn.clear()
    with open_raster(path) as raster:
        np.testing.assert_array_equal(raster.read(0, 5), DATA)
        assert raster.info.transform is None
    assert [str(warning.message) for warning in recwarn] == []


def test_sensor_from_several_files(tmp_path: Path) -> None:
    files = [{"path": write_geotiff(tmp_path / f"{i}.tif", DATA[i : i + 1])} for i in range(3)]
    with SensorReader(files, 3, None, "scene s, sensor m") as sensor:
        assert sensor.shape == (3, 5, 7)
        data, valid = sensor.read(1, 3)
        np.testing.assert_array_equal(data, DATA[:, 1:3])
        assert valid is None


def test_sensor_bands_are_counted_from_one(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "g.tif", DATA)
    with SensorReader([{"path": path, "bands": [3, 1]}], 2, None, "s") as sensor:
        np.testing.assert_array_equal(sensor.read(0, 5)[0], DATA[[2, 0]])
    with pytest.raises(InputError, match=r"g\.tif has no band 4: it has 3"):
        SensorReader([{"path": path, "bands": [4]}], None, None, "s")


def test_wrong_number_of_bands(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "g.tif", DATA)
    with pytest.raises(InputError, match=r"scene s, sensor m: .*g\.tif has 3 bands .* 8 are needed"):
        SensorReader([{"path": path}], 8, None, "scene s, sensor m")


def test_files_of_a_sensor_must_agree(tmp_path: Path) -> None:
    one = {"path": write_geotiff(tmp_path / "1.tif", DATA)}
    small = {"path": write_geotiff(tmp_path / "2.tif", DATA[:, :4])}
    moved = {"path": write_geotiff(tmp_path / "3.tif", DATA, transform=Affine(0.5, 0, 500_010, 0, -0.5, 5_000_000))}
    with pytest.raises(InputError, match=r"1\.tif measures 7 x 5, .*2\.tif 7 x 4"):
        SensorReader([one, small], None, None, "s")
    with pytest.raises(InputError, match="different geotransforms"):
        SensorReader([one, moved], None, None, "s")


def test_files_of_a_sensor_share_the_georeference_that_one_of_them_has(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", DATA[0])
    placed = {"path": write_geotiff(tmp_path / "placed.tif", DATA)}
    with SensorReader([{"path": tmp_path / "plain.tif"}, placed], 4, None, "s") as sensor:
        assert sensor.info.transform == [[0.5, 0.0, 500_000.0], [0.0, -0.5, 5_000_000.0]]
        assert sensor.info.crs is not None
    zone = {"path": write_geotiff(tmp_path / "zone.tif", DATA, crs="EPSG:32632")}
    with pytest.raises(InputError, match=r"^scene s: .*placed\.tif and .*zone\.tif name different coordinate systems"):
        SensorReader([placed, zone], None, None, "scene s")


def test_errors_of_a_sensor_begin_with_its_label(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"^scene s, sensor m: .*none\.tif is not there"):
        SensorReader([{"path": tmp_path / "none.tif"}], None, None, "scene s, sensor m")
    path = write_geotiff(tmp_path / "g.tif", np.random.default_rng(0).integers(0, 9, (1, 90, 90)), compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    broken = pytest.raises(InputError, match=r"^scene s, sensor m: .*g\.tif cannot be read at rows")
    with SensorReader([{"path": path}], None, None, "scene s, sensor m") as sensor, broken:
        sensor.read(0, 90)


def test_complex_integers_are_refused(tmp_path: Path) -> None:
    place = Affine(2, 0, 0, 0, -2, 0)
    with rasterio.open(tmp_path / "g.tif", "w", "GTiff", 7, 5, 1, "EPSG:32616", place, "complex_int16"):
        pass
    with pytest.raises(InputError, match=r"g\.tif holds values of type complex_int16"), open_raster(tmp_path / "g.tif"):
        pass


@pytest.mark.parametrize("number", ["-3.40282347e+38", "-3.4028234663852886e+38"])
def test_least_number_is_no_data_however_it_is_written(tmp_path: Path, number: str) -> None:
    values = DATA.astype(np.float32)
    values[:, 2, 3] = np.finfo(np.float32).min
    path = write_geotiff(tmp_path / "f.tif", values)
    with SensorReader([{"path": path}], None, float(number), "s") as sensor:
        valid = sensor.read(0, 5)[1]
        assert valid is not None and np.argwhere(~valid).tolist() == [[2, 3]]


def test_valid_pixels_by_nodata_nan_and_mask(tmp_path: Path) -> None:
    whole = write_geotiff(tmp_path / "n.tif", DATA, nodata=8)
    with SensorReader([{"path": whole}], None, None, "s") as sensor:
        valid = sensor.read(0, 5)[1]
        assert valid is not None
        np.testing.assert_array_equal(valid, (DATA != 8).all(axis=0))
    with SensorReader([{"path": whole}], None, 40, "s") as sensor:  # the configuration wins over the file
        valid = sensor.read(0, 5)[1]
        assert valid is not None and np.argwhere(~valid).tolist() == [[0, 5]]
    zeros = DATA.copy()
    zeros[0, 1, 1] = 0
    zeros[:, 3, 4] = 0
    with SensorReader([{"path": write_geotiff(tmp_path / "z.tif", zeros, nodata=0)}], None, None, "s") as sensor:
        valid = sensor.read(0, 5)[1]
        assert valid is not None and np.argwhere(~valid).tolist() == [[3, 4]]  # [1, 1] is dark in one band alone
    values = DATA.astype(np.float32)
    values[1, 2, 3] = np.nan
    with SensorReader([{"path": write_geotiff(tmp_path / "f.tif", values)}], None, None, "s") as sensor:
        valid = sensor.read(0, 5)[1]
        assert valid is not None and np.argwhere(~valid).tolist() == [[2, 3]]
    mask = np.full((5, 7), 255, np.uint8)
    mask[4, 6] = 0
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            tmp_path / "m.tif",
            "w",
            driver="GTiff",
            count=3,
            height=5,
            width=7,
            dtype="uint16",
            crs="EPSG:32631",
            transform=Affine(1, 0, 100, 0, -1, 0),
        ) as file,
    ):
        file.write(DATA)
        file.write_mask(mask)
    with SensorReader([{"path": tmp_path / "m.tif"}], None, None, "s") as sensor:
        valid = sensor.read(0, 5)[1]
        assert valid is not None and np.argwhere(~valid).tolist() == [[4, 6]]


RGBA = np.arange(4 * 5 * 7, dtype=np.uint8).reshape(4, 5, 7)
RGBA[3] = 255
RGBA[3, 0, :3] = 0
RGBA[3, 4, 6] = 1


@pytest.mark.parametrize("kind", ["georeferenced", "compressed", "plain"])
def test_alpha_band_is_validity(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "g.tif"
    if kind == "plain":
        pixels = np.moveaxis(RGBA, 0, 2)
        tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["unassalpha"])
    else:
        options = {"compress": "deflate"} if kind == "compressed" else {}
        write_geotiff(path, RGBA, photometric="RGB", ALPHA="YES", **options)
    with open_raster(path) as raster:
        assert (raster.info.bands, raster.info.alpha, raster.info.data_bands) == (4, 3, [0, 1, 2])
        np.testing.assert_array_equal(raster.read(0, 5), RGBA[:3])
    for bands in (None, [2, 1]):
        with SensorReader([{"path": path, "bands": bands}], None, None, "s") as sensor:
            data, valid = sensor.read(0, 5)
            np.testing.assert_array_equal(data, RGBA[:3] if bands is None else RGBA[[1, 0]])
            assert valid is not None
            np.testing.assert_array_equal(valid, RGBA[3] > 0)
            assert sensor.read(1, 3)[1] is None


def test_alpha_band_that_is_chosen_is_data(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "g.tif", RGBA, photometric="RGB", ALPHA="YES")
    with SensorReader([{"path": path, "bands": [1, 2, 3, 4]}], 4, None, "s") as sensor:
        data, valid = sensor.read(0, 5)
        np.testing.assert_array_equal(data, RGBA)
        assert valid is None
    with pytest.raises(InputError, match=r"has 3 bands .* 4 are needed.*calls its band 4 alpha.*g\.tif\[1,2,\.\.\.\]"):
        SensorReader([{"path": path}], 4, None, "s")


def test_unclear_alpha_is_refused_until_somebody_says_what_it_is(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "g.tif", RGBA, photometric="RGB", ALPHA="YES")
    asks = pytest.raises(InputError, match=r"calls its band 4 alpha.*set `bands` of the sensor .* to 3")
    with SensorReader([{"path": path}], None, None, "s") as sensor, asks:
        sensor.refuse_unclear_alpha()
    for bands in ([1, 2, 3], [1, 2, 3, 4]):
        with SensorReader([{"path": path, "bands": bands}], None, None, "s") as sensor:
            sensor.refuse_unclear_alpha()


def test_a_fourth_band_that_is_not_alpha_is_data(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "g.tif", RGBA, photometric="RGB", ALPHA="NO")
    with SensorReader([{"path": path}], 4, None, "s") as sensor:
        np.testing.assert_array_equal(sensor.read(0, 5)[0], RGBA)
    only = write_geotiff(tmp_path / "one.tif", RGBA[3:])
    with rasterio.open(only, "r+") as file:
        file.colorinterp = (ColorInterp.alpha,)
    with SensorReader([{"path": only}], 1, None, "s") as sensor:
        np.testing.assert_array_equal(sensor.read(0, 5)[0], RGBA[3:])
