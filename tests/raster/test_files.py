"""Every kind of image file reads as what was written into it."""

from __future__ import annotations

import itertools
import os
import warnings
import zipfile
from collections.abc import Iterator
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

from rasterloom.dataset.archive import member_path
from rasterloom.errors import InputError, MissingInputError
from rasterloom.raster.files import open_raster
from rasterloom.raster.scan import scan_raster
from rasterloom.raster.sensor import SensorReader

SHAPE = (3, 37, 29)
TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64"]
GEO = {"crs": "EPSG:32631", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)}


def numbers(kind: str, shape: tuple[int, ...] = SHAPE) -> NDArray[Any]:
    """Numbers over a type's range, as far as it is read exactly: 24 bits of mantissa."""
    rng = np.random.default_rng(5)
    if np.dtype(kind).kind == "f":
        return (rng.integers(-(2**20), 2**20, shape) / 8).astype(kind)
    limits = np.iinfo(kind)
    return rng.integers(max(int(limits.min), -(2**31)), min(int(limits.max), 2**32 - 1), shape, dtype=np.int64).astype(
        kind
    )


@pytest.fixture(autouse=True)
def _plain_images_are_meant() -> Iterator[None]:
    """Rasterio warns whenever an image without georeference is written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def write(path: Path, data: NDArray[Any], driver: str = "GTiff", **options: Any) -> Path:
    bands, height, width = data.shape
    profile = {"driver": driver, "count": bands, "height": height, "width": width, "dtype": data.dtype, **options}
    with rasterio.open(path, "w", **profile) as file:
        file.write(data)
    return path


def read(path: Path) -> NDArray[Any]:
    """The whole image, in three blocks of rows."""
    with open_raster(path) as raster:
        height = raster.info.height
        edges = sorted({0, height // 3, height // 2, height})
        blocks = [raster.read(a, b) for a, b in itertools.pairwise(edges)]
        assert {block.dtype.name for block in blocks} == {raster.info.dtype}
        assert all(block.dtype.isnative for block in blocks)
        return np.concatenate(blocks, axis=1)


GTIFFS: dict[str, dict[str, Any]] = {
    "strips": {},
    "tiles": {"tiled": True, "blockxsize": 16, "blockysize": 16},
    "bands apart": {"interleave": "band"},
    "deflate": {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16},
    "lzw, bands apart": {"compress": "lzw", "interleave": "band"},
    "zstd": {"compress": "zstd"},
    "big-endian": {"ENDIANNESS": "BIG"},
    "BigTIFF": {"BIGTIFF": "YES"},
}


@pytest.mark.parametrize("georeference", [True, False])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", list(GTIFFS))
def test_geotiff_of_every_type_and_layout(tmp_path: Path, name: str, kind: str, georeference: bool) -> None:
    data = numbers(kind)
    path = write(tmp_path / "x.tif", data, **GTIFFS[name], **(GEO if georeference else {}))
    np.testing.assert_array_equal(read(path), data)


@pytest.mark.parametrize("predictor", [2, 3])
def test_geotiff_with_a_predictor(tmp_path: Path, predictor: int) -> None:
    data = numbers("float32" if predictor == 3 else "int16")
    np.testing.assert_array_equal(read(write(tmp_path / "x.tif", data, compress="deflate", predictor=predictor)), data)


@pytest.mark.parametrize(("bits", "kind"), [(1, "uint8"), (4, "uint8"), (12, "uint16")])
@pytest.mark.parametrize("bands", [1, 3])
def test_geotiff_of_few_bits(tmp_path: Path, bits: int, kind: str, bands: int) -> None:
    data = np.random.default_rng(0).integers(0, 2**bits, (bands, 20, 13)).astype(kind)
    np.testing.assert_array_equal(read(write(tmp_path / "x.tif", data, NBITS=bits)), data)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("compress", ["DEFLATE", "LZW", "ZSTD"])
def test_cloud_optimised_geotiff(tmp_path: Path, kind: str, compress: str) -> None:
    data = numbers(kind, (2, 300, 280))
    path = write(tmp_path / "x.tif", data, "COG", COMPRESS=compress, BLOCKSIZE=128, **GEO)
    np.testing.assert_array_equal(read(path), data)
    with open_raster(path) as raster:
        assert raster.info.transform == [[0.5, 0.0, 500_000.0], [0.0, -0.5, 5_000_000.0]]


@pytest.mark.parametrize(
    ("driver", "ending", "kinds", "options"),
    [
        ("JP2OpenJPEG", "jp2", ["uint8", "uint16", "int16"], {"QUALITY": 100, "REVERSIBLE": "YES"}),
        ("PNG", "png", ["uint8", "uint16"], {}),
        ("BMP", "bmp", ["uint8"], {}),
        ("HFA", "img", ["uint8", "uint16", "int16", "uint32", "float32", "float64"], {}),
        ("ENVI", "bsq", ["uint8", "uint16", "int16", "float32"], {}),
    ],
)
def test_other_formats(tmp_path: Path, driver: str, ending: str, kinds: list[str], options: dict[str, Any]) -> None:
    for kind in kinds:
        data = numbers(kind)
        path = write(tmp_path / f"{kind}.{ending}", data, driver, **options)
        np.testing.assert_array_equal(read(path), data)


def test_jpeg2000_keeps_its_georeference(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jp2", numbers("uint16"), "JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES", **GEO)
    with open_raster(path) as raster:
        assert raster.info.transform == [[0.5, 0.0, 500_000.0], [0.0, -0.5, 5_000_000.0]]
        assert raster.info.crs is not None and "zone 31N" in raster.info.crs


TIFFFILES: dict[str, dict[str, Any]] = {
    "contest": {"photometric": "rgb", "planarconfig": "separate"},
    "pages": {"photometric": "minisblack"},
    "big-endian": {"photometric": "rgb", "planarconfig": "separate", "byteorder": ">"},
    "BigTIFF": {"photometric": "rgb", "planarconfig": "separate", "bigtiff": True},
    "deflate": {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib"},
    "deflated pages": {"photometric": "minisblack", "compression": "zlib"},
    "tiles": {"photometric": "rgb", "planarconfig": "separate", "tile": (16, 16)},
    "strips": {"photometric": "rgb", "planarconfig": "separate", "rowsperstrip": 5},
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", list(TIFFFILES))
@pytest.mark.parametrize("packed", [False, True])
def test_plain_tiff_of_every_type_and_layout(tmp_path: Path, name: str, kind: str, packed: bool) -> None:
    data = numbers(kind)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, data, **TIFFFILES[name])
    np.testing.assert_array_equal(read(zipped(path) if packed else path), data)


def zipped(*paths: Path) -> Path:
    """Pack files into an archive; the path of the first of them in it."""
    archive = paths[0].with_name("packed.zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in paths:
            opened.write(path, f"f/{path.name}")
            path.unlink()
    return member_path(archive, f"f/{paths[0].name}")


def plain_and_zipped(*paths: Path) -> Iterator[Path]:
    """The first of the files, and then what it is called in an archive of all of them, which replaces them."""
    yield paths[0]
    yield zipped(*paths)


@pytest.mark.parametrize("kind", ["bool", "uint8"])
def test_bilevel_tiff(tmp_path: Path, kind: str) -> None:
    data = np.random.default_rng(0).integers(0, 2, (20, 19)).astype(kind)
    tifffile.imwrite(tmp_path / "x.tif", data)
    np.testing.assert_array_equal(read(tmp_path / "x.tif"), data[None])


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 50), (1, 50, 1), (4, 1, 1), (1, 2, 2), (5, 3, 1), (3, 1, 40)])
@pytest.mark.parametrize("georeference", [True, False])
def test_images_of_few_pixels(tmp_path: Path, shape: tuple[int, int, int], georeference: bool) -> None:
    data = numbers("uint16", shape)
    np.testing.assert_array_equal(read(write(tmp_path / "x.tif", data, **(GEO if georeference else {}))), data)


def test_vrt_of_several_files(tmp_path: Path) -> None:
    data = numbers("int16")
    for band, plane in enumerate(data):
        write(tmp_path / f"b{band}.tif", plane[None], **GEO)
    bands = "".join(
        f'<VRTRasterBand dataType="Int16" band="{band + 1}"><Description>B{band}</Description>'
        f"<NoDataValue>{band}</NoDataValue>"
        f'<SimpleSource><SourceFilename relativeToVRT="1">b{band}.tif</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for band in range(3)
    )
    path = tmp_path / "x.vrt"
    path.write_text(f'<VRTDataset rasterXSize="{SHAPE[2]}" rasterYSize="{SHAPE[1]}">{bands}</VRTDataset>')
    np.testing.assert_array_equal(read(path), data)
    with open_raster(path) as raster:
        assert raster.info.names == ("B0", "B1", "B2")
        assert raster.info.band_nodata == (0.0, 1.0, 2.0)


@pytest.mark.parametrize(
    "name",
    ["a b.tif", "a[1].tif", "a'b.tif", 'a"b.tif', "a#b?c.tif", "100%.tif", "a:b.tif", "http:x.tif", "é!.tif", "-x.tif"],
)
def test_names_with_odd_characters(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = numbers("uint16")
    path = write(tmp_path / name, data, **GEO)
    np.testing.assert_array_equal(read(path), data)
    np.testing.assert_array_equal(read(Path(name)), data)
    np.testing.assert_array_equal(read(zipped(path)), data)


# What a file says of its pixels ----------------------------------------------------------------------------


def valid_of(path: Path) -> NDArray[np.bool_] | None:
    with SensorReader([{"path": path}], None, None, "s") as sensor:
        return sensor.read(0, sensor.shape[1])[1]


@pytest.mark.parametrize("georeference", [True, False])
@pytest.mark.parametrize("compress", [None, "deflate"])
def test_nodata_of_a_tiff_with_and_without_georeference(
    tmp_path: Path, georeference: bool, compress: str | None
) -> None:
    data = np.full((2, 4, 5), 9, np.uint16)
    data[1, 2, 3] = 7
    options = {"compress": compress} if compress else {}
    path = write(tmp_path / "x.tif", data, nodata=7, **options, **(GEO if georeference else {}))
    for given in plain_and_zipped(path):
        valid = valid_of(given)
        assert valid is not None and np.argwhere(~valid).tolist() == [[2, 3]]


@pytest.mark.parametrize("internal", [True, False])
@pytest.mark.parametrize("georeference", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_mask_of_a_dataset_within_it_or_beside_it(
    tmp_path: Path, internal: bool, georeference: bool, packed: bool
) -> None:
    mask = np.full((4, 5), 255, np.uint8)
    mask[3, 1] = 0
    path = tmp_path / "x.tif"
    options = {
        "driver": "GTiff",
        "count": 2,
        "height": 4,
        "width": 5,
        "dtype": "uint16",
        **(GEO if georeference else {}),
    }
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "w", **options) as file:
        file.write(np.full((2, 4, 5), 9, np.uint16))
        file.write_mask(mask)
    beside = [tmp_path / "x.tif.msk"]
    assert beside[0].exists() != internal
    given = zipped(path, *([] if internal else beside)) if packed else path
    valid = valid_of(given)
    assert valid is not None and np.argwhere(~valid).tolist() == [[3, 1]]


def test_nodata_that_differs_by_band(tmp_path: Path) -> None:
    planes = np.full((3, 2, 4), 9, np.int16)
    planes[0, 0, 0] = -1  # the value of band 1
    planes[1, 0, 1] = -1  # not that of band 2
    planes[1, 0, 2] = 5
    planes[2, 0, 3] = 0  # 0 in one band alone
    planes[:, 1, 0] = [-1, 5, 0]
    for band, plane in enumerate(planes):
        write(tmp_path / f"b{band}.tif", plane[None], **GEO)
    sources = "".join(
        f'<VRTRasterBand dataType="Int16" band="{band + 1}"><NoDataValue>{nodata}</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">b{band}.tif</SourceFilename></SimpleSource></VRTRasterBand>'
        for band, nodata in enumerate([-1, 5, 0])
    )
    (tmp_path / "x.vrt").write_text(f'<VRTDataset rasterXSize="4" rasterYSize="2">{sources}</VRTDataset>')
    valid = valid_of(tmp_path / "x.vrt")
    assert valid is not None and np.argwhere(~valid).tolist() == [[0, 0], [0, 2], [1, 0]]
    with open_raster(tmp_path / "x.vrt") as raster:
        both, one = scan_raster(raster), scan_raster(raster, [1])
    assert [moments.count for moments in both.moments] == [5, 5, 5]
    assert one.moments[0].count == 6


@pytest.mark.parametrize("nodata", [float("nan"), -9999.0, -3.4028234663852886e38, 0.1])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_nodata_of_real_numbers(tmp_path: Path, nodata: float, kind: str) -> None:
    data = np.ones((2, 3, 4), kind)
    data[0, 1, 2] = nodata
    data[1, 0, 0] = np.nan
    data[1, 0, 1] = np.inf
    valid = valid_of(write(tmp_path / "x.tif", data, nodata=nodata, **GEO))
    assert valid is not None and np.argwhere(~valid).tolist() == [[0, 0], [0, 1], [1, 2]]


def test_numbers_beyond_float32_are_missing(tmp_path: Path) -> None:
    data = np.ones((1, 2, 2))
    data[0, 0, 1] = 1e300
    valid = valid_of(write(tmp_path / "x.tif", data, nodata=1e300, **GEO))
    assert valid is not None and np.argwhere(~valid).tolist() == [[0, 1]]


def test_nodata_that_a_type_cannot_hold_marks_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", np.full((1, 2, 2), 9, np.uint8), **GEO)
    with SensorReader([{"path": path}], None, float("inf"), "s") as sensor:
        assert sensor.read(0, 2)[1] is None


# Georeference ----------------------------------------------------------------------------------------------


def test_world_file_beside_a_plain_image_and_in_an_archive(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", numbers("uint16"))
    (tmp_path / "x.tfw").write_text("0.5\n0\n0\n-0.5\n100.25\n199.75\n")
    for given in plain_and_zipped(path, tmp_path / "x.tfw"):
        with open_raster(given) as raster:
            assert raster.info.transform == [[0.5, 0.0, 100.0], [0.0, -0.5, 200.0]]
            assert raster.info.crs is None


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0.5, 0, 500_000, 0, 0.5, 5_000_000),  # south up
        Affine(-0.5, 0, 500_000, 0, -0.5, 5_000_000),  # east to the left
        Affine(0.43, -0.26, 500_000, -0.26, -0.43, 5_000_000),
        Affine(1e-9, 0, 2, 0, -1e-9, 3),  # tiny pixels
        Affine(0.5, 0.2, 500_000, 0.1, -0.25, 5_000_000),  # sheared
    ],
)
def test_any_affine_geotransform(tmp_path: Path, transform: Affine) -> None:
    path = write(tmp_path / "x.tif", numbers("uint16"), crs="EPSG:32631", transform=transform)
    with open_raster(path) as raster:
        found = raster.info.transform
        assert found is not None
        np.testing.assert_allclose(found, np.array(transform).reshape(3, 3)[:2], rtol=1e-12)


def test_image_placed_by_rational_polynomials_alone_is_a_plain_one(tmp_path: Path) -> None:
    from rasterio.rpc import RPC

    polynomial = [0.0, 1.0, *[0.0] * 18]
    rpcs = RPC(0, 100, 10, 0.1, polynomial, polynomial, 18, 18, 5, 0.1, polynomial, polynomial, 14, 14, 0.5, 0.5)
    path = tmp_path / "x.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, height=4, width=5, dtype="uint16", rpcs=rpcs) as file:
        file.write(np.ones((1, 4, 5), np.uint16))
    with open_raster(path) as raster:
        assert (raster.info.transform, raster.info.crs) == (None, None)


# Bands by name ---------------------------------------------------------------------------------------------


def named(path: Path, *names: str | None, **options: Any) -> Path:
    data = numbers("uint16", (len(names), 4, 5))
    write(path, data, **options)
    with rasterio.open(path, "r+") as file:
        file.descriptions = names
    return path


@pytest.mark.parametrize("georeference", [True, False])
def test_bands_are_chosen_by_name_in_letters_of_any_size(tmp_path: Path, georeference: bool) -> None:
    path = named(tmp_path / "x.tif", "B02", "B03", "near infrared", None, **(GEO if georeference else {}))
    data = numbers("uint16", (4, 4, 5))
    for given in plain_and_zipped(path):
        with SensorReader([{"path": given, "bands": ["NEAR infrared", 4, "b02"]}], 3, None, "s") as sensor:
            np.testing.assert_array_equal(sensor.read(0, 4)[0], data[[2, 3, 0]])


def test_bands_that_are_not_there_by_name(tmp_path: Path) -> None:
    path = named(tmp_path / "x.tif", "B02", "B03", "B03", **GEO)
    with pytest.raises(InputError, match=r"^scene s: .*x\.tif has no band 'B2'; did you mean `B02`\?"):
        SensorReader([{"path": path, "bands": ["B2"]}], None, None, "scene s")
    with pytest.raises(InputError, match=r"'b03' \(2, 3\).*number"):
        SensorReader([{"path": path, "bands": ["b03"]}], None, None, "s")
    plain = write(tmp_path / "y.tif", numbers("uint16"), **GEO)
    with pytest.raises(InputError, match=r"y\.tif .*'red'.*3 bands"):
        SensorReader([{"path": plain, "bands": ["red"]}], None, None, "s")


# What is no image ------------------------------------------------------------------------------------------


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.tif")
    with pytest.raises(MissingInputError, match=r"x\.tif is a pipe or a device"), open_raster(tmp_path / "x.tif"):
        pass


def test_file_that_cannot_be_read() -> None:
    with pytest.raises(InputError, match=r"cannot be read .*: check its permissions"), open_raster("/proc/self/mem"):
        pass


def test_ground_control_points_alone_are_refused(tmp_path: Path) -> None:
    points = [GroundControlPoint(0, 0, 1, 2), GroundControlPoint(0, 29, 2, 2), GroundControlPoint(37, 0, 1, 3)]
    path = tmp_path / "x.tif"
    write(path, numbers("uint16"))
    with rasterio.open(path, "r+") as file:
        file.gcps = (points, rasterio.crs.CRS.from_epsg(4326))
    with (
        pytest.raises(InputError, match=r"3 ground control points.*gdalwarp"),
        open_raster(path),
    ):
        pass


def test_palette_is_refused_unless_it_is_of_greys(tmp_path: Path) -> None:
    data = numbers("uint8", (1, 4, 5))
    for name, colour in (("grey", lambda n: (n, n, n, 255)), ("colours", lambda n: (n, 255 - n, 0, 255))):
        write(tmp_path / f"{name}.png", data, "PNG")
        path = tmp_path / f"{name}.tif"
        with rasterio.open(path, "w", driver="GTiff", count=1, height=4, width=5, dtype="uint8") as file:
            file.write(data)
            file.write_colormap(1, {n: colour(n) for n in range(256)})
    np.testing.assert_array_equal(read(tmp_path / "grey.tif"), data)
    with pytest.raises(InputError, match=r"palette.*gdal_translate -expand rgb"):
        read(tmp_path / "colours.tif")


def test_header_of_rows_that_no_memory_holds(tmp_path: Path) -> None:
    path = tmp_path / "x.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="2000000000" rasterYSize="2000000">'
        '<VRTRasterBand dataType="Float64" band="1"/></VRTDataset>'
    )
    with open_raster(path) as raster, pytest.raises(InputError, match=r"cannot be read at rows 0\.\.1000000 .*damaged"):
        raster.read(0, 1_000_000)
