"""What is said of bad labels: one clear line with the remedy where work stops, a row of the table where it goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pytest
import rasterio
import tifffile
from rasterio.transform import Affine
from shapely.geometry import MultiPolygon, Polygon, box

from bad_inputs import BadInput
from bad_labels import CASES
from rasterloom.dataset import Dataset, load_dataset
from rasterloom.errors import RasterloomError
from rasterloom.polygons.geometry import transformed
from rasterloom.raster.contest_grid import dstl_matrix
from rasterloom.report.findings import class_findings, label_findings
from rasterloom.stages.label import label_file_names, run
from small_labels import NORTH_UP, SIZE, UTM, image, label_job_of, on_map, sheet

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:'crs' was not provided"),
]

Make = Callable[[Path], Dataset]

GRID = (0.02, -0.01)


def grid_units(*polygons: Any) -> str:
    """Polygons in pixels as the contest writes them."""
    (a, _, _), (_, e, _) = dstl_matrix(*GRID, *SIZE)
    return str(MultiPolygon(transformed(list(polygons), [[1 / a, 0, 0], [0, 1 / e, 0]])).wkt)


def contest(*rows: str | bytes, header: str = "ImageId,ClassType,MultipolygonWKT") -> Make:
    """The contest's data of one scene `6010_1_2`, with these rows in the table of labels."""

    def make(root: Path) -> Dataset:
        (root / "three_band").mkdir()
        data = np.zeros((3, SIZE[1], SIZE[0]), np.uint16)
        tifffile.imwrite(root / "three_band/6010_1_2.tif", data, photometric="rgb", planarconfig="separate")
        (root / "grid_sizes.csv").write_text(f",Xmax,Ymin\n6010_1_2,{GRID[0]},{GRID[1]}\n")
        lines = [row if isinstance(row, bytes) else row.encode() for row in (header, *rows)]
        (root / "train_wkt_v4.csv").write_bytes(b"\n".join(lines) + b"\n")
        return load_dataset({"layout": "dstl", "root": str(root), "predict": []}, SENSORS, {"houses": 5, "roads": 3})

    return make


SENSORS = {"rgb": {"reference": True}}


def wkt(text: str) -> Make:
    """The contest's table with one geometry of houses."""
    return contest(f'6010_1_2,5,"{text}"')


def given(name: str, write: Callable[[Path], object], one: bool = True, georeferenced: bool = True) -> Make:
    """A sheet of one scene `a` whose labels are in a file; `one`: of one class alone, else of houses and roads."""

    def make(root: Path) -> Dataset:
        image(root / "a.tif", *((UTM, NORTH_UP) if georeferenced else (None, None)))
        write(root / name)
        rows = ["scene|split|rgb|labels:houses" if one else "scene|split|rgb|labels", f"a|train|a.tif|{name}"]
        return sheet(root, *rows, classes=("houses", "roads"))

    return make


def features(
    *polygons: Any, classes: Sequence[Any] = (), crs: str | None = UTM, **columns: Any
) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        table = {**({"class": list(classes)} if classes else {}), **columns}
        geopandas.GeoDataFrame(table, geometry=list(polygons), crs=crs).to_file(path)

    return write


def text(content: str | bytes) -> Callable[[Path], object]:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda path: path.write_bytes(data)


def geojson(*geometries: Any) -> Callable[[Path], object]:
    found = [{"type": "Feature", "properties": {}, "geometry": geometry} for geometry in geometries]
    system = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
    return text(json.dumps({"type": "FeatureCollection", "crs": system, "features": found}))


def without(*endings: str) -> Callable[[Path], None]:
    """A Shapefile that lacks some of its parts."""

    def write(path: Path) -> None:
        features(*on_map(HOUSE), classes=["houses"])(path)
        for ending in endings:
            path.with_suffix(ending).unlink()

    return write


def cut_shapefile(path: Path) -> None:
    features(*on_map(HOUSE))(path)
    os.truncate(path, 110)


def two_layers(path: Path) -> None:
    frame = geopandas.GeoDataFrame(geometry=on_map(HOUSE), crs=UTM)
    for layer in ("houses", "streets"):
        frame.to_file(path, layer=layer)


def mask(bands: int = 1, size: tuple[int, int] = SIZE, east: float = 0, plain: bool = False) -> Callable[[Path], None]:
    """A mask of ones, `east` metres beside the image; `plain`: without georeference."""

    def write(path: Path) -> None:
        more = {} if plain else {"crs": UTM, "transform": Affine(0.5, 0, 500_000 + east, 0, -0.5, 4_000_000)}
        with rasterio.open(path, "w", "GTiff", *size, bands, dtype="uint8", **more) as file:
            file.write(np.ones((bands, size[1], size[0]), np.uint8))

    return write


HOUSE = box(2, 2, 6, 6)
FAR = box(500, 500, 510, 510)
BOW_TIE = Polygon([(2, 2), (6, 6), (6, 2), (2, 6)])
ON_MAP = "POLYGON ((500001 3999999, 500003 3999999, 500003 3999997, 500001 3999999))"
LINE = {"type": "LineString", "coordinates": [[500001, 3999999], [500002, 3999998]]}
OPEN_RING = {"type": "Polygon", "coordinates": [[[500001, 3999999], [500003, 3999999]]]}

MAKE: dict[str, Make] = {
    "table without its header": contest(header=f'6010_1_2,5,"{grid_units(HOUSE)}"'),
    "table cut off within a quote": contest('6010_1_2,5,"MULTIPOLYGON (((0 0, 1'),
    "WKT cut off": wkt("MULTIPOLYGON (((0.001 -0.001, 0.002"),
    "WKT that is text": wkt("a house, and another one"),
    "WKT field that is empty": contest("6010_1_2,5,"),
    "WKT with NaN": wkt("POLYGON ((0.001 -0.001, nan -0.001, 0.002 -0.002, 0.001 -0.001))"),
    "WKT with an infinite number": wkt("POLYGON ((0.001 -0.001, inf -0.001, 0.002 -0.002, 0.001 -0.001))"),
    "WKT with a ring that is not closed": wkt("POLYGON ((0.001 -0.001, 0.002 -0.001, 0.002 -0.002))"),
    "WKT with a NUL byte": contest(b'6010_1_2,5,"POLYGON EMPTY\0, or not"'),
    "WKT that is not UTF-8": contest(b'6010_1_2,5,"POLYGON \xff EMPTY"'),
    "WKT of a point": wkt("POINT (0.001 -0.001)"),
    "WKT of a line": wkt("LINESTRING (0.001 -0.001, 0.002 -0.002)"),
    "WKT of a curve": wkt("CURVEPOLYGON ((0.001 -0.001, 0.002 -0.001, 0.002 -0.002, 0.001 -0.001))"),
    "WKT nested without end": wkt("GEOMETRYCOLLECTION (" * 300_000),
    "WKT with a coordinate system": wkt("SRID=4326;POLYGON ((0.001 -0.001, 0.002 -0.001, 0.002 -0.002, 0.001 -0.001))"),
    "WKT with y upwards": wkt("POLYGON ((0.001 0.001, 0.002 0.001, 0.002 0.002, 0.001 0.001))"),
    "polygon that crosses itself": wkt(grid_units(BOW_TIE)),
    "polygon without an area": wkt(grid_units(HOUSE, Polygon([(1, 1), (2, 2), (3, 3)]))),
    "polygon partly outside": wkt(grid_units(box(15, 5, 25, 8))),
    "one polygon outside": wkt(grid_units(HOUSE, FAR)),
    "the same polygon twice": wkt(grid_units(HOUSE, HOUSE)),
    "polygon smaller than a pixel": wkt(grid_units(HOUSE, box(1, 1, 1.5, 1.5))),
    "GEOMETRYCOLLECTION": wkt(
        "GEOMETRYCOLLECTION (POINT (0.001 -0.001), POLYGON ((0.001 -0.001, 0.005 -0.001, 0.005 -0.005, 0.001 -0.001)))"
    ),
    "polygon with heights": wkt("POLYGON Z ((0.001 -0.001 9, 0.005 -0.001 9, 0.005 -0.005 9, 0.001 -0.001 9))"),
    "the same scene and class twice": contest(*[f'6010_1_2,5,"{grid_units(b)}"' for b in (HOUSE, box(9, 2, 11, 6))]),
    "class number that nobody configured": contest("6010_1_2,5,MULTIPOLYGON EMPTY", "6010_1_2,12,POLYGON EMPTY"),
    "vector file that is text": given("l.gpkg", text("houses, houses")),
    "vector file without a byte": given("l.geojson", text("")),
    "vector file with several layers": given("l.gpkg", two_layers),
    "vector file without a coordinate system": given("l.gpkg", features(*on_map(HOUSE), crs=None)),
    "vector file of another place": given("l.gpkg", features(*on_map(FAR))),
    "vector file of lines": given("l.geojson", geojson(LINE)),
    "vector file at negative y": given("l.gpkg", features(box(2, -6, 6, -2), crs=None), georeferenced=False),
    "GeoJSON with a ring of two points": given("l.geojson", geojson(OPEN_RING)),
    "GeoJSON with nothing but null geometries": given("l.geojson", geojson(None, None)),
    "GeoJSON of no features": given("l.geojson", geojson()),
    "Shapefile without .shx": given("l.shp", without(".shx")),
    "Shapefile without .prj": given("l.shp", without(".prj")),
    "Shapefile without .dbf": given("l.shp", without(".dbf"), one=False),
    "Shapefile that was cut off": given("l.shp", cut_shapefile),
    "Parquet without geometries": given("l.parquet", lambda path: pandas.DataFrame({"a": [1]}).to_parquet(path)),
    "no property class": given("l.gpkg", features(*on_map(HOUSE), kind_of=["houses"]), one=False),
    "property Class for class": given("l.gpkg", features(*on_map(HOUSE), Class=["houses"]), one=False),
    "misspelt class": given("l.gpkg", features(*on_map(HOUSE, HOUSE), classes=["houses", "House"]), one=False),
    "no feature of a configured class": given("l.gpkg", features(*on_map(HOUSE), classes=["lake"]), one=False),
    "some features of other classes": given(
        "l.gpkg", features(*on_map(HOUSE, FAR), classes=["houses", "lake"]), one=False
    ),
    "some features without a geometry": given("l.gpkg", features(*on_map(HOUSE), None)),
    "WKT table without a byte": given("l.csv", text("")),
    "WKT table without a geometry": given("l.csv", text("class,x,y\nhouses,1,2\n")),
    "WKT table with unquoted geometries": given("l.csv", text(f"class,WKT\nhouses,{ON_MAP}\n")),
    "WKT table cut off within a quote": given("l.csv", text(f'class,WKT\nhouses,"{ON_MAP}\n')),
    "WKT table that is not UTF-8": given("l.csv", text(b"class;WKT\nh\xe4user;POLYGON EMPTY\n")),
    "WKT table with text after a quote": given("l.csv", text(f'class,WKT\nhouses,"{ON_MAP}" and\n')),
    "WKT table with a broken geometry": given("l.csv", text("class;WKT\nhouses;POLYGON ((1 2, 3\n")),
    "WKT table of two coordinate systems": given(
        "l.csv", text(f'class,WKT\nhouses,"SRID=32631;{ON_MAP}"\nhouses,"SRID=4326;POLYGON EMPTY"\n')
    ),
    "WKT table with an unknown coordinate system": given("l.csv", text(f'WKT\n"SRID=99999999;{ON_MAP}"\n')),
    "mask of another size": given("m.tif", mask(size=(5, 4), plain=True)),
    "mask of three bands": given("m.tif", mask(bands=3)),
    "mask of another place": given("m.tif", mask(east=1000)),
    "mask of a part of the image": given("m.tif", mask(east=2.5)),
    "mask that is text": given("m.tif", text("houses")),
    "mask in the column of several classes": given("m.tif", mask(), one=False),
}


def said(root: Path, make: Make) -> tuple[bool, str]:
    """Whether a label job of houses stops, and what is said: the error, or the findings of the quality table."""
    try:
        dataset = make(root)
        job = label_job_of(dataset, "houses", root / "results")
        run(job)
    except RasterloomError as error:
        return True, str(error).replace(str(root), "{root}")
    ((scene, item),) = job.manifest("labels/houses").items.items()
    facts, file = job.store.facts(item), label_file_names(dataset, "houses")[scene]
    found = [*label_findings(scene, "houses", file, facts), *class_findings({file: [facts]}, dataset.classes)]
    return False, "; ".join(f"{row.finding}: {row.detail}" for row in found)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_label_is_said_in_one_clear_line(case: BadInput, tmp_path: Path) -> None:
    stops, words = said(tmp_path, MAKE[case.name])
    assert "\n" not in words
    assert (stops, words) == (case.stops, case.says)


def test_every_case_has_its_words() -> None:
    assert [case.name for case in CASES] == list(MAKE)
