"""The same polygons, given in every format and coordinate system, are the same labels."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.features import rasterize
from rasterio.transform import Affine
from shapely.geometry import MultiPolygon, Point, Polygon, box

from rasterloom.errors import LabelError
from rasterloom.labels.files import read_mask
from rasterloom.labels.geometry import mask_polygons
from rasterloom.polygons.geometry import transformed
from rasterloom.raster.files import RasterInfo, raster_info
from small_labels import UTM, image, label_facts, mask_file, on_map, run_labels, sheet

TEST_DATA = os.environ.get("RASTERLOOM_TEST_DATA")

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:'crs' was not provided"),
]

SIDE = 120
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)
REFERENCES = {
    "north-up": NORTH_UP,
    "south-up": Affine(0.5, 0, 500_000, 0, 0.5, 3_999_900),
    "rotated": Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000) @ Affine.rotation(33),
    "sheared": Affine(0.5, 0.1, 500_000, -0.2, -0.4, 4_000_000),
}
HOUSES: list[Any] = [
    box(5, 5, 25, 17),
    Polygon(box(40, 30, 70, 60).exterior, [box(50, 40, 55, 48).exterior]),
    MultiPolygon([Point(90, 90).buffer(9, quad_segs=4), box(10, 80, 22, 99)]),
    box(110, 50, 140, 60),  # partly outside
    box(-30, -30, -8, -9),  # wholly outside
]
IN_SCENE = [*HOUSES[:2], *HOUSES[2].geoms, box(110, 50, 120, 60)]
FORMATS = ("h.geojson", "h.gpkg", "h.shp", "h.parquet", "h.csv")
SYSTEMS = (UTM, "EPSG:4326", "EPSG:3857", "EPSG:32632", "ESRI:54030")


def write_vector(path: Path, shapes: Sequence[Any], crs: str, target: str) -> None:
    """Write shapes, given in `crs`, in a format and the system `target`."""
    frame = geopandas.GeoDataFrame({"class": ["houses"] * len(shapes)}, geometry=list(shapes), crs=crs).to_crs(target)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".csv":
        write_csv(path, list(frame.geometry), f"SRID={target.removeprefix('EPSG:')};")
    else:
        more = {"COORDINATE_PRECISION": "12"} if path.suffix == ".geojson" else {}
        frame.to_file(path, **more)


def write_csv(path: Path, shapes: Sequence[Any], before: str = "", column: str = "WKT", delimiter: str = ",") -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["class", column])
        writer.writerows(["houses", before + shapely.to_wkt(shape, rounding_precision=-1)] for shape in shapes)


def assert_same(found: Any, expected: Sequence[Any]) -> None:
    """The polygons are those expected, in their order."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.is_valid
        assert one.area == pytest.approx(other.area, rel=1e-4)
        assert one.intersection(other).area / one.union(other).area > 0.999


# Vector files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "crs"),
    # EWKT names systems by their EPSG number alone.
    [(name, crs) for name in FORMATS for crs in SYSTEMS if name != "h.csv" or crs.startswith("EPSG")],
)
def test_every_format_in_every_system(tmp_path: Path, name: str, crs: str) -> None:
    image(tmp_path / "a.tif", UTM, NORTH_UP, (SIDE, SIDE))
    write_vector(tmp_path / name, on_map(*HOUSES), UTM, crs)
    dataset = sheet(tmp_path, "scene|split|rgb|labels", f"a|train|a.tif|{name}", classes=("houses", "roads"))
    frame = run_labels(dataset, "houses", tmp_path / "r")["a"]
    assert_same(frame.geometry, IN_SCENE)
    if crs == UTM and name != "h.geojson":
        assert sum(frame.area) == pytest.approx(sum(p.area for p in IN_SCENE), rel=1e-6)
    assert label_facts(dataset, "houses", tmp_path / "r")["a"] == {"elsewhere": 1, "clipped": 1}


@pytest.mark.parametrize("geotransform", REFERENCES)
@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
def test_every_geotransform_of_the_reference(tmp_path: Path, geotransform: str, crs: str) -> None:
    transform = REFERENCES[geotransform]
    image(tmp_path / "a.tif", UTM, transform, (SIDE, SIDE))
    rows = [list(transform[:3]), list(transform[3:6])]
    write_vector(tmp_path / "h.gpkg", transformed(HOUSES, rows), UTM, crs)
    dataset = sheet(tmp_path, "scene|split|rgb|labels", "a|train|a.tif|h.gpkg")
    assert_same(run_labels(dataset, "houses", tmp_path / "r")["a"].geometry, IN_SCENE)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_over_an_image_without_georeference_is_in_pixels(tmp_path: Path, name: str) -> None:
    image(tmp_path / "a.tif", None, None, (SIDE, SIDE))
    frame = geopandas.GeoDataFrame(geometry=HOUSES)
    if name == "h.parquet":
        frame.to_parquet(tmp_path / name)
    elif name == "h.csv":
        write_csv(tmp_path / name, HOUSES)
    else:
        frame.to_file(tmp_path / name)
    dataset = sheet(tmp_path, "scene|split|rgb|labels", f"a|train|a.tif|{name}")
    found = run_labels(dataset, "houses", tmp_path / "r")["a"]
    assert_same(found.geometry, IN_SCENE)
    assert sum(found.area) == pytest.approx(sum(p.area for p in IN_SCENE), rel=1e-6)


@pytest.mark.parametrize("name", ["h.gpkg", "h.shp", "h.parquet"])
def test_no_coordinate_system_over_a_georeferenced_image_stops(tmp_path: Path, name: str) -> None:
    image(tmp_path / "a.tif", UTM, NORTH_UP, (SIDE, SIDE))
    frame = geopandas.GeoDataFrame(geometry=on_map(*HOUSES))
    if name == "h.parquet":
        frame.to_parquet(tmp_path / name)
    else:
        frame.to_file(tmp_path / name)
    dataset = sheet(tmp_path, "scene|split|rgb|labels", f"a|train|a.tif|{name}")
    with pytest.raises(LabelError, match=r"no coordinate system .*set it"):
        run_labels(dataset, "houses", tmp_path / "r")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("column", ["WKT", "wkt", "Geometry", "geom"])
def test_wkt_tables_of_any_spreadsheet_are_in_the_images_system(tmp_path: Path, column: str, delimiter: str) -> None:
    image(tmp_path / "a.tif", UTM, NORTH_UP, (SIDE, SIDE))
    write_csv(tmp_path / "h.csv", on_map(*HOUSES), "", column, delimiter)
    dataset = sheet(tmp_path, "scene|split|rgb|labels", "a|train|a.tif|h.csv", classes=("houses", "roads"))
    assert_same(run_labels(dataset, "houses", tmp_path / "r")["a"].geometry, IN_SCENE)


def test_wkt_table_of_the_contest_and_of_the_workflow_itself(tmp_path: Path) -> None:
    image(tmp_path / "a.tif", UTM, NORTH_UP, (SIDE, SIDE))
    image(tmp_path / "b.tif", UTM, NORTH_UP, (SIDE, SIDE))
    rows = [
        ("a", 1, MultiPolygon(on_map(*IN_SCENE)).wkt),
        ("a", 2, "MULTIPOLYGON EMPTY"),
        ("b", 1, "MULTIPOLYGON EMPTY"),
    ]
    with (tmp_path / "wkt.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("ImageId", "ClassType", "MultipolygonWKT"), *rows])
    lines = ["scene|split|rgb|labels", "a|train|a.tif|wkt.csv", "b|train|b.tif|wkt.csv"]
    dataset = sheet(tmp_path, *lines, classes=("houses", "roads"))
    frames = run_labels(dataset, "houses", tmp_path / "r")
    assert_same(frames["a"].geometry, IN_SCENE)
    assert len(frames["b"]) == 0
    assert label_facts(dataset, "houses", tmp_path / "r") == {"a": {}, "b": {"empty": 1}}
    assert len(run_labels(dataset, "roads", tmp_path / "r")["a"]) == 0


def test_wholly_outside_stops_unless_the_file_is_shared(tmp_path: Path) -> None:
    image(tmp_path / "a.tif", UTM, NORTH_UP, (SIDE, SIDE))
    image(tmp_path / "b.tif", UTM, Affine(0.5, 0, 600_000, 0, -0.5, 4_000_000), (SIDE, SIDE))
    write_vector(tmp_path / "h.gpkg", on_map(*HOUSES), UTM, "EPSG:4326")
    mask_file(tmp_path / "h.tif", np.ones((5, 5), np.uint8))
    for name in ("h.gpkg", "h.tif"):
        rows = ["scene|split|rgb|labels:houses", f"a|train|a.tif|{name}", f"b|train|b.tif|{name}"]
        dataset = sheet(tmp_path, *rows)
        assert len(run_labels(dataset, "houses", tmp_path / "r")["b"]) == 0
        assert label_facts(dataset, "houses", tmp_path / "r")["b"]["nowhere"] is True
        with pytest.raises(LabelError, match=r"no other scene .*own file"):
            run_labels(sheet(tmp_path, rows[0], rows[2]), "houses", tmp_path / "r")


# Raster masks -------------------------------------------------------------------------------------------------


def painted(fine: int = 8) -> tuple[Any, Affine]:
    """A mask of the houses on a grid that is finer than the reference's, and its geotransform."""
    grid = NORTH_UP @ Affine.scale(1 / fine)
    shapes = [p for shape in HOUSES for p in shapely.get_parts(shape)]
    return rasterize([transformed([p], [[fine, 0, 0], [0, fine, 0]])[0] for p in shapes], (SIDE * fine,) * 2), grid


def test_mask_is_what_its_polygons_are(tmp_path: Path) -> None:
    image(tmp_path / "a.tif", UTM, NORTH_UP, (SIDE, SIDE))
    values, grid = painted()
    mask_file(tmp_path / "m.tif", values.astype(np.uint8), transform=grid)
    frame = run_labels(
        sheet(tmp_path, "scene|split|rgb|labels:houses", "a|train|a.tif|m.tif"), "houses", tmp_path / "r"
    )
    found, expected = shapely.union_all(frame["a"].geometry), shapely.union_all(IN_SCENE)
    assert found.intersection(expected).area / found.union(expected).area > 0.985


@pytest.mark.parametrize(
    ("crs", "pixel"),
    [
        ("EPSG:32632", 0.5),
        ("EPSG:4326", 5e-6),
        ("EPSG:3857", 0.7),
        ("EPSG:3035", 40.0),  # over pixels of half a metre: edges must be divided
    ],
)
def test_mask_of_another_system_is_outlined_and_carried_over(tmp_path: Path, crs: str, pixel: float) -> None:
    """Against geopandas, on outlines that are divided far more finely."""
    import pyproj

    side, count = 400.0, 40
    reference = RasterInfo(
        4000, 4000, crs=rasterio.CRS.from_string(UTM).to_wkt(), transform=[[0.5, 0, 500_000], [0, -0.5, 4_000_000]]
    )
    x, y = pyproj.Transformer.from_crs(UTM, crs, always_xy=True).transform(500_000 + side, 4_000_000 - side)
    transform = Affine(pixel, 0, x - pixel * count / 2, 0, -pixel, y + pixel * count / 2)
    values = np.zeros((count, count), np.uint8)
    values[5:30, 8:33] = 1
    values[12:20, 15:20] = 0
    values[35:38, 2:39] = 1
    mask_file(tmp_path / "m.tif", values, transform=transform, crs=crs)
    mask = read_mask(tmp_path / "m.tif", None, reference, "here")
    found = mask.placement.place(mask_polygons(mask.positive), values.shape, "here")
    outlines = shapely.segmentize(mask_polygons(values > 0), 0.05)
    mapped = transformed(list(outlines), [list(transform[:3]), list(transform[3:6])])
    series = geopandas.GeoSeries(mapped, crs=crs).to_crs(UTM)
    expected = transformed(list(series), [[2, 0, -1_000_000], [0, -2, 8_000_000]])
    for one, other in zip(found, expected, strict=True):
        assert one.is_valid
        assert shapely.hausdorff_distance(one, other) < 0.1
        assert one.intersection(other).area / one.union(other).area > 0.999


def test_mask_of_another_system_in_a_whole_run(tmp_path: Path) -> None:
    from pyproj import Transformer
    from rasterio.warp import reproject

    image(tmp_path / "a.tif", UTM, NORTH_UP, (SIDE, SIDE))
    values, grid = painted()
    left, top = Transformer.from_crs(UTM, "EPSG:3857", always_xy=True).transform(499_999, 4_000_001)
    there = Affine(0.08, 0, left, 0, -0.08, top)
    warped = np.zeros((1000, 1000), np.uint8)
    systems = {"src_crs": UTM, "dst_crs": "EPSG:3857"}
    reproject(values.astype(np.uint8), warped, src_transform=grid, dst_transform=there, **systems)
    mask_file(tmp_path / "m.tif", warped, transform=there, crs="EPSG:3857")
    dataset = sheet(tmp_path, "scene|split|rgb|labels:houses", "a|train|a.tif|m.tif")
    found = shapely.union_all(run_labels(dataset, "houses", tmp_path / "r")["a"].geometry)
    expected = shapely.union_all(IN_SCENE)
    assert found.intersection(expected).area / found.union(expected).area > 0.98


def test_mask_of_a_place_that_the_images_system_cannot_show(tmp_path: Path) -> None:
    mask_file(tmp_path / "m.tif", np.ones((5, 5), np.uint8), transform=Affine(1, 0, 0, 0, -1, 95), crs="EPSG:4326")
    crs = rasterio.CRS.from_string("EPSG:32631").to_wkt()
    reference = RasterInfo(20, 10, crs=crs, transform=[[0.5, 0, 500_000], [0, -0.5, 4_000_000]])
    mask = read_mask(tmp_path / "m.tif", None, reference, "m.tif (scene a)")
    with pytest.raises(LabelError, match=r"m\.tif \(scene a\): .*coordinate system"):
        mask.share(reference, "m.tif (scene a)")


def test_mask_of_a_part_of_the_scene_is_noted(tmp_path: Path) -> None:
    image(tmp_path / "a.tif", UTM, NORTH_UP, (SIDE, SIDE))
    mask_file(tmp_path / "m.tif", np.ones((60, 120), np.uint8), transform=NORTH_UP)
    dataset = sheet(tmp_path, "scene|split|rgb|labels:houses", "a|train|a.tif|m.tif")
    (polygon,) = run_labels(dataset, "houses", tmp_path / "r")["a"].geometry
    assert polygon.equals(box(0, 0, 120, 60))
    assert label_facts(dataset, "houses", tmp_path / "r") == {"a": {"part": 50.0}}


# Real polygons ------------------------------------------------------------------------------------------------


@pytest.fixture
def atlanta(tmp_path: Path) -> tuple[Path, Any, list[Any]]:
    """An image that shows a part of Atlanta, its building polygons, and those in pixels as they should be found."""
    if TEST_DATA is None:
        pytest.skip("RASTERLOOM_TEST_DATA does not name the folder of real imagery")
    folder = Path(TEST_DATA) / "spacenet-atlanta"
    frame = geopandas.read_file(folder / "geotiff_labels.geojson")
    with rasterio.open(folder / "sample_geotiff.tif") as file:
        transform = file.transform @ Affine.translation(200, 100)
    image(tmp_path / "a.tif", "EPSG:32616", transform, (500, 600))
    pixels = frame.geometry.affine_transform([2, 0, 0, -2, -2 * transform.c, 2 * transform.f])
    clipped = [p for p in shapely.get_parts(pixels.intersection(box(0, 0, 500, 600)).to_numpy()) if p.area > 0]
    assert len(frame) == 43 > len(clipped) > 10
    return tmp_path, frame, clipped


@pytest.mark.parametrize("crs", ["EPSG:32616", "EPSG:4326", "EPSG:3857"])
@pytest.mark.parametrize("name", FORMATS)
def test_real_buildings_in_every_format(atlanta: tuple[Path, Any, list[Any]], name: str, crs: str) -> None:
    folder, frame, expected = atlanta
    write_vector(folder / name, list(frame.geometry), str(frame.crs), crs)
    dataset = sheet(folder, "scene|split|rgb|labels", f"a|train|a.tif|{name}")
    found = run_labels(dataset, "houses", folder / "r")["a"]
    assert_same(found.geometry, expected)
    if crs == "EPSG:32616":
        assert sum(found.area) == pytest.approx(sum(p.area for p in expected), rel=1e-6)
    facts = label_facts(dataset, "houses", folder / "r")["a"]
    assert facts["clipped"] > 0 and facts["elsewhere"] > 0
    assert raster_info(folder / "a.tif").transform is not None
