"""From reference pixels to other sensors and to the ground."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import transform

from rasterloom.errors import InputError, MissingInputError
from rasterloom.raster.contest_grid import contest_transform, grid_extent
from rasterloom.raster.files import RasterInfo
from rasterloom.raster.georeference import ground_distance, nominal_matrix, squared, stretched

UTM = CRS.from_epsg(32631).to_wkt()


def apply(matrix: list[list[float]], point: tuple[float, float]) -> NDArray[np.float64]:
    """The (x, y) that a matrix maps a point to."""
    return np.asarray(np.array(matrix) @ np.array([*point, 1.0]))


def info(width: int, height: int, geo: list[list[float]] | None = None, crs: str | None = UTM) -> RasterInfo:
    return RasterInfo(width, height, 1, "uint16", crs if geo else None, geo, None)


def north_up(x: float, y: float, size: float) -> list[list[float]]:
    return [[size, 0.0, x], [0.0, -size, y]]


def test_without_georeference_one_grid_is_stretched_over_the_other() -> None:
    matrix = nominal_matrix(info(3396, 3349), info(849, 838), "s")
    assert matrix == stretched((3396, 3349), (849, 838)) == [[849 / 3396, 0.0, 0.0], [0.0, 838 / 3349, 0.0]]


def test_by_geotransforms() -> None:
    reference, sensor = info(100, 100, north_up(500_000, 5_000_000, 0.5)), info(40, 40, north_up(499_990, 5_000_020, 2))
    np.testing.assert_allclose(nominal_matrix(reference, sensor, "s"), [[0.25, 0, 5], [0, 0.25, 10]], atol=1e-9)


def test_by_the_same_system_in_other_words() -> None:
    other = CRS.from_epsg(32631).to_wkt(version="WKT1_GDAL")
    assert other != CRS.from_epsg(32631).to_wkt(version="WKT2_2019")
    reference = info(10, 10, north_up(0, 0, 1), CRS.from_epsg(32631).to_wkt(version="WKT2_2019"))
    np.testing.assert_allclose(
        nominal_matrix(reference, info(10, 10, north_up(0, 0, 1), other), "s"), [[1, 0, 0], [0, 1, 0]], atol=1e-12
    )


def test_through_two_systems() -> None:
    reference = info(400, 300, north_up(500_000, 5_000_000, 0.5))
    wgs84 = CRS.from_epsg(4326).to_wkt()
    (west, east), (north, south) = transform(UTM, wgs84, [499_990, 500_210], [5_000_010, 4_999_840])
    degrees = (east - west) / 110
    sensor = info(110, 170, [[degrees, 0.0, west], [0.0, -(north - south) / 170, north]], wgs84)
    matrix = nominal_matrix(reference, sensor, "s")
    (lon,), (lat,) = transform(UTM, wgs84, [500_000 + 0.5 * 123], [5_000_000 - 0.5 * 45])
    expected = [(lon - west) / degrees, (north - lat) / (north - south) * 170]
    np.testing.assert_allclose(apply(matrix, (123, 45)), expected, atol=0.01)


def test_systems_that_bend_are_refused() -> None:
    reference = info(20_000, 20_000, north_up(200_000, 6_000_000, 30))
    sensor = info(1000, 1000, north_up(-10, 60, 0.02), CRS.from_epsg(4326).to_wkt())
    with pytest.raises(InputError, match=r"scene s, sensor m: its coordinate system .*gdalwarp"):
        nominal_matrix(reference, sensor, "scene s, sensor m")


def test_systems_without_a_way_are_refused() -> None:
    local = info(10, 10, north_up(0, 0, 1), 'LOCAL_CS["site grid",UNIT["metre",1]]')
    world = info(10, 10, north_up(500_000, 4_000_000, 1))
    for pair in ((local, world), (world, local)):
        with pytest.raises(InputError, match=r"s, p: no way leads from the reference's coordinate system to its own"):
            nominal_matrix(*pair, "s, p")


def test_different_ground_is_refused() -> None:
    with pytest.raises(InputError, match=r"scene s: .* different ground"):
        nominal_matrix(info(10, 10, north_up(0, 0, 1)), info(10, 10, north_up(50, 0, 1)), "scene s")


def test_one_system_unnamed_is_refused() -> None:
    with pytest.raises(InputError, match="gdal_edit -a_srs"):
        nominal_matrix(info(10, 10, north_up(0, 0, 1)), info(10, 10, north_up(0, 0, 1), None), "s")


def test_ground_distance() -> None:
    assert ground_distance(info(10, 10)) is None
    middle = ground_distance(info(10, 10, north_up(500_000, 5_000_000, 0.5)))
    assert middle == pytest.approx(0.5 / 0.9996), "on the ellipsoid"
    mercator = CRS.from_epsg(3857).to_wkt()
    north = ground_distance(info(10, 10, north_up(1e6, 8_399_737.9, 1), mercator))  # 60 degrees
    assert north == pytest.approx(0.5, rel=3e-3)
    feet = CRS.from_epsg(2263).to_wkt()
    assert ground_distance(info(10, 10, north_up(984_000, 200_000, 1), feet)) == pytest.approx(0.3048, rel=1e-3)
    site = 'LOCAL_CS["site",UNIT["metre",1]]'
    assert ground_distance(info(10, 10, north_up(0, 0, 1), site)) is None
    wgs84 = CRS.from_epsg(4326).to_wkt()
    assert ground_distance(info(10, 10, north_up(5, 60, 1e-5), wgs84)) == pytest.approx(
        (0.558 * 1.1141) ** 0.5, rel=1e-4
    )


@pytest.mark.parametrize("header", [",Xmax,Ymin", "ImageId,Xmax,Ymin", "\ufeffImageId,Xmax,Ymin"])
def test_grid_extent(tmp_path: Path, header: str) -> None:
    (tmp_path / "g.csv").write_text(f"{header}\r\n6010_1_2,0.009169,-0.009042\r\n6010_1_3,1,-1\r\n", encoding="utf-8")
    assert grid_extent(tmp_path / "g.csv", "6010_1_2") == (0.009169, -0.009042)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",Xmax,Ymin\nother,1,-1\n", "has no row of scene s"),
        (",Xmax,Ymin\ns,1,1\n", r"row 2 \(s\).*Xmax '1' .*Ymin '1'"),
        (",Xmax,Ymin\ns,1,x\n", r"row 2 \(s\).*Xmax '1' .*Ymin 'x'"),
        ("a,b\ns,1\n", "row 2.*'s,1'.*Xmax and Ymin"),
        ("", "has no row of scene s"),
    ],
)
def test_grid_extent_refuses(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(InputError, match=rf"g\.csv.*{message}"):
        grid_extent(tmp_path / "g.csv", "s")


def test_grid_extent_of_a_zipped_table(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "g.csv.zip", "w") as archive:
        archive.writestr("g.csv", ",Xmax,Ymin\ns,2,-3\n")
    assert grid_extent(tmp_path / "g.csv.zip", "s") == (2.0, -3.0)


def test_grid_extent_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"g\.csv is not there"):
        grid_extent(tmp_path / "g.csv", "s")


def test_contest_transform_inverts_the_contest_formula() -> None:
    matrix = contest_transform((0.0091, -0.0090), 3396, 3349)
    x, y = apply(matrix, (1700.0, 20.0))
    assert x / 0.0091 * 3396 * 3396 / 3397 == pytest.approx(1700.0)
    assert y / -0.0090 * 3349 * 3349 / 3350 == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("reference", "sensor", "ratio"),
    [
        ((3396, 3349), (849, 837), 4.0),
        ((3396, 3349), (137, 133), 25.0),  # a pixel more, a pixel less
        ((3403, 3345), (134, 137), None),  # sizes that no square pixel explains
        ((3396, 3349), (3397, 3348), 1.0),
        ((849, 837), (3396, 3349), 0.25),  # the finer one is the sensor
        ((512, 500), (20, 20), None),  # 24, 25 and 26 explain it
        ((1000, 1000), (400, 400), None),  # no whole number
    ],
)
def test_square_pixels_of_a_whole_ratio(
    reference: tuple[int, int], sensor: tuple[int, int], ratio: float | None
) -> None:
    expected = None if ratio is None else [[1 / ratio, 0.0, 0.0], [0.0, 1 / ratio, 0.0]]
    assert squared(reference, sensor) == expected


def test_square_pixels_of_a_known_ratio() -> None:
    assert squared((512, 500), (20, 20), 25) == [[0.04, 0.0, 0.0], [0.0, 0.04, 0.0]]
    assert squared((1000, 1000), (400, 400), 2.5) == [[0.4, 0.0, 0.0], [0.0, 0.4, 0.0]]
    assert squared((512, 512), (512, 512), 25) is None  # another image than the ratio is known for
