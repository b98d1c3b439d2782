"""Bad images: each goes through a sheet, registration and a stack."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from bad_inputs import BadInput, register_in
from bad_making import NUMBERS, image, pack, sheet, text
from common import place_alone
from rasterloom.dataset import register_sources
from rasterloom.raster.files import RasterInfo
from rasterloom.raster.georeference import nominal_matrix
from rasterloom.stages import job_of, register, stack
from rasterloom.store.store import Store

CASES: list[BadInput] = []
case = register_in(CASES)

CELL = ("{root}/scenes.tsv", "row 2", "scene a", "column rgb")
SENSOR = ("scene a", "sensor rgb")
RGB = (*SENSOR, "{root}/rgb.tif")
PARTS = (*SENSOR, "{root}/b4.tif", "{root}/b3.tif")
NIR = ("scene a", "sensor nir")


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
            "pixel": None,
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


@case("a path in the sheet at which there is nothing", *CELL, "{root}/rgb.tif is not there", "relative to the sheet")
def image_is_missing(root: Path) -> list[str]:
    return run(root)


@case("a folder called rgb.tif", *CELL, "{root}/rgb.tif", "folder", "relative to the sheet")
def image_is_a_folder(root: Path) -> list[str]:
    (root / "rgb.tif").mkdir()
    return run(root)


@case("a link to a disk that is not mounted", *CELL, "{root}/rgb.tif", "link to disk/rgb.tif", "relative to the sheet")
def image_is_a_broken_link(root: Path) -> list[str]:
    (root / "rgb.tif").symlink_to("disk/rgb.tif")
    return run(root)


@case("a named pipe", *CELL, "{root}/rgb.tif", "pipe", "relative to the sheet")
def image_is_a_pipe(root: Path) -> list[str]:
    os.mkfifo(root / "rgb.tif")
    return run(root)


@case("a file of somebody else's, without permission to read it", *CELL, "{root}/rgb.tif", "permissions")
def image_may_not_be_read(root: Path) -> list[str]:
    image(root / "rgb.tif")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: path.suffix != ".tif")  # root may read anything
        return run(root)


@case("a cell of 5,000 characters", *CELL, f"'{'x' * 60}'", "relative to the sheet")
def path_is_too_long(root: Path) -> list[str]:
    return run(root, "x" * 5000)


@case("an image called rgb{1}.tif", *CELL, "{root}/rgb{1}.tif", "braces", "rename")
def path_with_braces(root: Path) -> list[str]:
    image(root / "rgb{1}.tif")
    return run(root, "rgb{1}.tif")


@case("a file of 0 bytes", *RGB, "empty", "fetch it again")
def image_is_empty(root: Path) -> list[str]:
    (root / "rgb.tif").touch()
    return run(root)


@case(
    "an error page saved as rgb.tif", *RGB, "opened as an image", "not recognized", "check what it is", "fetch it again"
)
def image_is_text(root: Path) -> list[str]:
    text(root / "rgb.tif", "<html>You need to log in</html>")
    return run(root)


@case("the first 8 bytes of a TIFF", *RGB, "opened as an image", "read directory", "truncated", "fetch it again")
def image_ends_after_its_header(root: Path) -> list[str]:
    path = image(root / "rgb.tif")
    path.write_bytes(path.read_bytes()[:8])
    return run(root)


@case("a width of 352,321,566 in a header", *RGB, "blocks of 20 x 352321566", "tile it", "fetch it again")
def image_says_it_is_far_larger(root: Path) -> list[str]:
    tifffile.imwrite(root / "rgb.tif", NUMBERS[:, :20], photometric="rgb", planarconfig="separate", compression="zlib")
    with tifffile.TiffFile(root / "rgb.tif", mode="r+") as file:
        file.pages[0].tags["ImageWidth"].overwrite(352_321_566)
    return run(root)


@case("the first half of a compressed GeoTIFF", *RGB, "rows 0..60", "truncated", "fetch it again")
def image_is_half_there(root: Path) -> list[str]:
    path = image(root / "rgb.tif", compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return run(root)


@case("the first half of a TIFF without georeference", *RGB, "rows 0..60", "truncated", "fetch it again")
def plain_image_is_half_there(root: Path) -> list[str]:
    tifffile.imwrite(root / "rgb.tif", NUMBERS, photometric="rgb", planarconfig="separate")
    (root / "rgb.tif").write_bytes((root / "rgb.tif").read_bytes()[:9000])
    return run(root)


@case("two bands where `sensors.rgb.bands` is 3", *RGB, "2 bands", "3 are needed", "`bands`")
def image_of_another_number_of_bands(root: Path) -> list[str]:
    image(root / "rgb.tif", NUMBERS[:2])
    return run(root, bands=3)


@case(
    "four bands of 8 bits, the fourth called alpha, and no `bands`",
    *RGB,
    "band 4 alpha",
    "rgb.tif[1,2,...]",
    "`bands`",
    "to 3",
)
def image_with_a_band_that_may_be_validity(root: Path) -> list[str]:
    data = np.concatenate([NUMBERS, NUMBERS[:1]]).astype(np.uint8)
    image(root / "rgb.tif", data, photometric="RGB", ALPHA="YES")
    return run(root)


@case("complex numbers, as radar images have them", *RGB, "complex64", "convert")
def image_of_complex_numbers(root: Path) -> list[str]:
    image(root / "rgb.tif", NUMBERS.astype(np.complex64))
    return run(root)


@case("one band of numbers of colours", *RGB, "palette", "gdal_translate -expand rgb")
def image_of_colours_in_a_palette(root: Path) -> list[str]:
    image(root / "rgb.tif", NUMBERS[:1].astype(np.uint8))
    with rasterio.open(root / "rgb.tif", "r+") as file:
        file.write_colormap(1, {n: (n, 255 - n, 0, 255) for n in range(256)})
    return run(root)


@case("a TIFF of 4 pages of three bands", *RGB, "4 pages of 3 bands", "one image")
def image_with_more_than_three_axes(root: Path) -> list[str]:
    tifffile.imwrite(root / "rgb.tif", np.zeros((4, 30, 20, 3), np.uint16), photometric="rgb")
    return run(root)


@case("ground control points and no geotransform", *RGB, "3 ground control points", "gdalwarp", "-nogcp")
def image_with_control_points_alone(root: Path) -> list[str]:
    image(root / "rgb.tif", plain=True)
    points = [GroundControlPoint(0, 0, 1, 2), GroundControlPoint(0, 50, 2, 2), GroundControlPoint(60, 0, 1, 3)]
    with rasterio.open(root / "rgb.tif", "r+") as file:
        file.gcps = (points, rasterio.crs.CRS.from_epsg(4326))
    return run(root)


@case("a world file whose two axes are one", *RGB, "499999.5", "gdal_edit -a_ullr", "world file")
def image_with_a_geotransform_of_no_area(root: Path) -> list[str]:
    image(root / "rgb.tif", plain=True)
    text(root / "rgb.tfw", "0.5", "0.5", "0.5", "0.5", "500000", "5000000")
    return run(root)


@case(
    "a VRT of a band of integers and one of real numbers",
    *SENSOR,
    "{root}/rgb.vrt",
    "uint16",
    "float32",
    "gdal_translate -ot",
)
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


@case("rgb.tif[4,3,2] of a file of three bands", *RGB, "no band 4", "it has 3", "table")
def band_by_a_number_that_is_not_there(root: Path) -> list[str]:
    image(root / "rgb.tif")
    return run(root, "rgb.tif[4,3,2]")


@case("rgb.tif[B4,B03,B02] where the bands are called B02, B03, B04", *RGB, "no band 'B4'", "did you mean `B04`")
def band_by_a_name_that_is_not_there(root: Path) -> list[str]:
    image(root / "rgb.tif")
    with rasterio.open(root / "rgb.tif", "r+") as file:
        file.descriptions = ("B02", "B03", "B04")
    return run(root, "rgb.tif[B4,B03,B02]")


@case("rgb.tif[red] where no band has a name", *RGB, "no band 'red'", "3 bands", "number")
def band_by_name_in_a_file_without_names(root: Path) -> list[str]:
    image(root / "rgb.tif")
    return run(root, "rgb.tif[red]")


@case("rgb.tif[1-3]", *CELL, "[1-3]", "rgb.tif[3,2,1]")
def bands_as_a_range(root: Path) -> list[str]:
    image(root / "rgb.tif")
    return run(root, "rgb.tif[1-3]")


@case("b4.tif;b3.tif of 10 m and 20 m pixels", *PARTS, "50 x 60", "25 x 30", "sensors of their own")
def files_of_a_sensor_of_different_sizes(root: Path) -> list[str]:
    image(root / "b4.tif")
    image(root / "b3.tif", NUMBERS[:, :30, :25])
    return run(root, "b4.tif;b3.tif")


@case("b4.tif;b3.tif, one moved by 10 m", *PARTS, "geotransforms", "sensors of their own")
def files_of_a_sensor_on_different_grids(root: Path) -> list[str]:
    image(root / "b4.tif")
    image(root / "b3.tif", transform=Affine(0.5, 0, 500_010, 0, -0.5, 5_000_000))
    return run(root, "b4.tif;b3.tif")


@case("b4.tif;b3.tif in two UTM zones", *PARTS, "coordinate systems", "sensors of their own")
def files_of_a_sensor_in_different_systems(root: Path) -> list[str]:
    image(root / "b4.tif")
    image(root / "b3.tif", crs="EPSG:32632")
    return run(root, "b4.tif;b3.tif")


@case("a near infrared of another place", *NIR, "different ground", "coordinate system")
def sensors_of_different_ground(root: Path) -> list[str]:
    image(root / "rgb.tif")
    image(root / "nir.tif", transform=Affine(2, 0, 600_000, 0, -2, 5_000_000))
    return run(root, nir="nir.tif")


@case("a near infrared with a geotransform and no coordinate system", *NIR, "coordinate system", "gdal_edit -a_srs")
def sensor_without_a_coordinate_system(root: Path) -> list[str]:
    image(root / "rgb.tif")
    image(root / "nir.tif", crs=None)
    return run(root, nir="nir.tif")


@case("600 km in UTM, and the same in degrees", *NIR, "771.6", "gdalwarp")
def sensor_in_a_system_that_bends(root: Path) -> list[str]:
    utm, degrees = (rasterio.crs.CRS.from_epsg(code).to_wkt() for code in (32631, 4326))
    wide = RasterInfo(20_000, 20_000, 1, "uint16", utm, [[30.0, 0.0, 200_000.0], [0.0, -30.0, 6_000_000.0]], None)
    other = RasterInfo(1000, 1000, 1, "uint16", degrees, [[0.02, 0.0, -10.0], [0.0, -0.02, 60.0]], None)
    nominal_matrix(wide, other, "scene a, sensor nir")
    return []


@case("a file replaced between planning and its job", *RGB, "has changed", "start the workflow again")
def image_that_changed_while_the_run_waited(root: Path) -> list[str]:
    path = image(root / "rgb.tif")
    return run(root, before=lambda: os.utime(path, ns=(1, 1)))


@case("the first 1,000 bytes of a zip archive", *CELL, "{root}/images.zip", "cut off", "unpacked")
def archive_that_was_cut_off(root: Path) -> list[str]:
    path = pack(root / "images.zip", {"rgb.tif": image(root / "rgb.tif").read_bytes()})
    path.write_bytes(path.read_bytes()[:1000])
    return run(root, "images.zip!rgb.tif")


@case(
    "images.zip!rgb.tif where the archive holds other.tif",
    *CELL,
    "{root}/images.zip!rgb.tif",
    "no such file",
    "relative to the sheet",
)
def archive_without_the_image(root: Path) -> list[str]:
    pack(root / "images.zip", {"other.tif": b"1"})
    return run(root, "images.zip!rgb.tif")


@case(
    "a zip archive with 20 bytes overwritten", *SENSOR, "{root}/images.zip!rgb.tif", "damaged", "get the archive again"
)
def archive_with_a_damaged_image(root: Path) -> list[str]:
    path = pack(root / "images.zip", {"rgb.tif": image(root / "rgb.tif").read_bytes()})
    data = bytearray(path.read_bytes())
    data[3000:3020] = bytes(20)
    path.write_bytes(data)
    return run(root, "images.zip!rgb.tif")


@case(
    "two rows that name the same image",
    "scenes a and b",
    "same rgb image",
    "{root}/rgb.tif",
    "give them one",
    stops=False,
)
def reference_image_named_twice(root: Path) -> list[str]:
    image(root / "rgb.tif")
    return list(sheet(root, "scene|split|rgb|nir", "a|predict|rgb.tif|", "b|predict|rgb.tif|").notes)
