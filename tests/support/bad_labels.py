"""Bad labels: each goes through a label job of the class houses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import rasterio
import tifffile
from rasterio.transform import Affine
from shapely.geometry import MultiPolygon, Point, Polygon, box

from bad_inputs import BadInput, Make
from rasterloom.dataset import Dataset, load_dataset
from rasterloom.labels.files import transformed
from rasterloom.raster.contest_grid import dstl_matrix
from rasterloom.report.findings import class_findings, label_findings
from rasterloom.stages.label import run
from small_labels import NORTH_UP, SIZE, UTM, buffered, image, label_job_of, on_map, sheet

Load = Callable[[Path], Dataset]

GRID = (0.02, -0.01)


def grid_units(*polygons: Any) -> str:
    """Polygons in pixels as the contest writes them."""
    (a, _, _), (_, e, _) = dstl_matrix(*GRID, *SIZE)
    return str(MultiPolygon(transformed(list(polygons), [[1 / a, 0, 0], [0, 1 / e, 0]])).wkt)


def contest(*rows: str | bytes, header: str = "ImageId,ClassType,MultipolygonWKT") -> Load:
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


def wkt(text: str) -> Load:
    """The contest's table with one geometry of houses."""
    return contest(f'6010_1_2,5,"{text}"')


def given(name: str, write: Callable[[Path], object], one: bool = True, georeferenced: bool = True) -> Load:
    """A sheet of one scene `a` whose labels are in a file; `one`: of one class alone, else of houses and roads."""

    def make(root: Path) -> Dataset:
        image(root / "a.tif", *((UTM, NORTH_UP) if georeferenced else (None, None)))
        write(root / name)
        rows = ["scene|split|rgb|labels:houses" if one else "scene|split|rgb|labels", f"a|train|a.tif|{name}"]
        return sheet(root, *rows, classes=("houses", "roads"))

    return make


def buffered_by(load: Load, **buffer: float) -> Load:
    """A data set whose houses may be points and lines."""
    return lambda root: buffered(load(root), **buffer)


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


def label(load: Load) -> Make:
    """A label job of houses; it returns the findings of the quality table."""

    def make(root: Path) -> list[str]:
        dataset = load(root)
        job = label_job_of(dataset, "houses", root / "results")
        run(job)
        ((scene, item),) = job.manifest("labels/houses").items.items()
        facts, file = job.store.facts(item), dataset.label_files("houses")[scene]
        found = [*label_findings(scene, "houses", file, facts), *class_findings({file: [facts]}, dataset.classes)]
        return [f"{row.finding}: {row.detail}" for row in found]

    return make


def stops(name: str, given: str, load: Load, *says: str) -> BadInput:
    return BadInput(name, given, says, label(load))


def goes_on(name: str, given: str, load: Load, *says: str) -> BadInput:
    return BadInput(name, given, says, label(load), stops=False)


TABLE = ("{root}/train_wkt_v4.csv", "row 2", "scene 6010_1_2", "class houses")
WKT = (*TABLE, "MULTIPOLYGON (((x y", "MULTIPOLYGON EMPTY", "mend the row")
GPKG = ("{root}/l.gpkg", "scene a", "class houses")
GEOJSON = ("{root}/l.geojson", "scene a", "class houses")
SHP = ("{root}/l.shp", "scene a", "class houses")
MASK = ("{root}/m.tif", "scene a", "class houses")
CSV = "{root}/l.csv"

# fmt: off
CASES: list[BadInput] = [
    stops("table without its header", "train_wkt_v4.csv begins with a row of labels",
          contest(header=f'6010_1_2,5,"{grid_units(HOUSE)}"'), "{root}/train_wkt_v4.csv", "'6010_1_2,5,",
          "ImageId,ClassType,MultipolygonWKT"),
    stops("table cut off within a quote", "train_wkt_v4.csv ends within a geometry",
          contest('6010_1_2,5,"MULTIPOLYGON (((0 0, 1'), "{root}/train_wkt_v4.csv", "row 2", "scene 6010_1_2",
          "class 5", "cut off", "get it again"),
    stops("WKT cut off", "MULTIPOLYGON (((0.001 -0.001, 0.002", wkt("MULTIPOLYGON (((0.001 -0.001, 0.002"), *WKT,
          "'MULTIPOLYGON (((0.001 -0.001, 0.002'"),
    stops("WKT that is text", "a house, and another one", wkt("a house, and another one"), *WKT,
          "'a house, and another one'"),
    stops("WKT field that is empty", "train_wkt_v4.csv with the row 6010_1_2,5,", contest("6010_1_2,5,"), *WKT, "''",
          "empty"),
    stops("WKT with NaN", "POLYGON ((0.001 -0.001, nan -0.001, ...))",
          wkt("POLYGON ((0.001 -0.001, nan -0.001, 0.002 -0.002, 0.001 -0.001))"), *TABLE, "not numbers",
          "mend the file"),
    stops("WKT with an infinite number", "POLYGON ((0.001 -0.001, inf -0.001, ...))",
          wkt("POLYGON ((0.001 -0.001, inf -0.001, 0.002 -0.002, 0.001 -0.001))"), *TABLE, "not numbers",
          "mend the file"),
    stops("WKT with a ring that is not closed", "POLYGON ((0.001 -0.001, 0.002 -0.001, 0.002 -0.002))",
          wkt("POLYGON ((0.001 -0.001, 0.002 -0.001, 0.002 -0.002))"), *WKT,
          "'POLYGON ((0.001 -0.001, 0.002 -0.001, 0.002 -0.002))'"),
    stops("WKT with a NUL byte", "a geometry with a NUL byte in it", contest(b'6010_1_2,5,"POLYGON EMPTY\0, or not"'),
          *WKT, r"'POLYGON EMPTY\x00, or not'", "NUL"),
    stops("WKT that is not UTF-8", "a geometry with the byte 0xff in it", contest(b'6010_1_2,5,"POLYGON \xff EMPTY"'),
          *WKT, "'POLYGON � EMPTY'"),
    stops("WKT of a point", "POINT (0.001 -0.001)", wkt("POINT (0.001 -0.001)"), *TABLE, "a Point",
          "`classes.houses.buffer`"),
    stops("WKT of a line", "LINESTRING (0.001 -0.001, 0.002 -0.002)", wkt("LINESTRING (0.001 -0.001, 0.002 -0.002)"),
          *TABLE, "a LineString", "`classes.houses.buffer`"),
    stops("WKT of a curve", "CURVEPOLYGON ((0.001 -0.001, ...))",
          wkt("CURVEPOLYGON ((0.001 -0.001, 0.002 -0.001, 0.002 -0.002, 0.001 -0.001))"), *WKT, "'CURVEPOLYGON ((0.001",
          "straight"),
    stops("WKT nested without end", "GEOMETRYCOLLECTION (GEOMETRYCOLLECTION (..., 300,000 times",
          wkt("GEOMETRYCOLLECTION (" * 300_000), *WKT, "'GEOMETRYCOLLECTION (GEOMETRYCOLLECTION (", "16 levels"),
    stops("WKT with a coordinate system", "SRID=4326;POLYGON ((0.001 -0.001, ...)) in train_wkt_v4.csv",
          wkt("SRID=4326;POLYGON ((0.001 -0.001, 0.002 -0.001, 0.002 -0.002, 0.001 -0.001))"), *TABLE, "SRID 4326",
          "grid_sizes.csv", "layout: sheet"),
    stops("WKT with y upwards", "POLYGON ((0.001 0.001, ...)): in the contest's units y is negative",
          wkt("POLYGON ((0.001 0.001, 0.002 0.001, 0.002 0.002, 0.001 0.001))"), *TABLE, "1 polygon", "0.02 and -0.01",
          "grid_sizes.csv", "correct"),
    goes_on("polygon that crosses itself", "a polygon whose edges cross, such as a bow tie", wkt(grid_units(BOW_TIE)),
            "mended: 1 polygon"),
    goes_on("polygon without an area", "a polygon whose corners lie on one line",
            wkt(grid_units(HOUSE, Polygon([(1, 1), (2, 2), (3, 3)]))), "no-area: 1 polygon"),
    goes_on("polygon partly outside", "a polygon across the border of the image", wkt(grid_units(box(15, 5, 25, 8))),
            "clipped: 1 polygon"),
    goes_on("one polygon outside", "two polygons, one of them beside the image", wkt(grid_units(HOUSE, FAR)),
            "outside: 1 feature"),
    goes_on("the same polygon twice", "MULTIPOLYGON of two equal polygons", wkt(grid_units(HOUSE, HOUSE)),
            "duplicate: 1 polygon"),
    goes_on("polygon smaller than a pixel", "a polygon of half a pixel by half a pixel",
            wkt(grid_units(HOUSE, box(1, 1, 1.5, 1.5))), "tiny: 1 polygon"),
    goes_on("GEOMETRYCOLLECTION", "GEOMETRYCOLLECTION (POINT (...), POLYGON (...))",
            wkt("GEOMETRYCOLLECTION (POINT (0.001 -0.001), "
                "POLYGON ((0.001 -0.001, 0.005 -0.001, 0.005 -0.005, 0.001 -0.001)))"),
            "collection: 1 GEOMETRYCOLLECTION", "1 point or line"),
    goes_on("polygon with heights", "POLYGON Z ((0.001 -0.001 9, ...))",
            wkt("POLYGON Z ((0.001 -0.001 9, 0.005 -0.001 9, 0.005 -0.005 9, 0.001 -0.001 9))"),
            "third-coordinate: 1 geometry"),
    goes_on("the same scene and class twice", "two rows of train_wkt_v4.csv with the same ImageId and ClassType",
            contest(*[f'6010_1_2,5,"{grid_units(b)}"' for b in (HOUSE, box(9, 2, 11, 6))]), "duplicate-row: 2 rows"),
    goes_on("class number that nobody configured",
            "train_wkt_v4.csv with rows of ClassType 12; the configuration has 3 and 5",
            contest("6010_1_2,5,MULTIPOLYGON EMPTY", "6010_1_2,12,POLYGON EMPTY"), "unknown-class:", "12"),
    stops("vector file that is text", "l.gpkg holds the words houses, houses", given("l.gpkg", text("houses, houses")),
          "{root}/l.gpkg", "vector file", "QGIS", "export"),
    stops("vector file without a byte", "l.geojson of 0 bytes", given("l.geojson", text("")), "{root}/l.geojson",
          "no bytes", "no features"),
    stops("vector file with several layers", "l.gpkg with the layers houses and streets", given("l.gpkg", two_layers),
          "{root}/l.gpkg", "houses, streets", "`ogr2ogr labels.gpkg l.gpkg houses`"),
    stops("vector file without a coordinate system", "l.gpkg without one, over an image that has one",
          given("l.gpkg", features(*on_map(HOUSE), crs=None)), *GPKG, "coordinate system", "Set CRS"),
    stops("vector file of another place", "l.gpkg whose only polygon is far from the image",
          given("l.gpkg", features(*on_map(FAR))), *GPKG, "1 feature", "no other scene", "coordinate system",
          "empty file"),
    stops("vector file of lines", "l.geojson with a LineString", given("l.geojson", geojson(LINE)), *GEOJSON,
          "a LineString", "`classes.houses.buffer`"),
    stops("buffer in metres over an image without georeference", "`buffer: {metres: 2}` and points in pixels",
          buffered_by(given("l.gpkg", features(Point(5, 5), crs=None), georeferenced=False), metres=2), *GPKG,
          "`classes.houses.buffer`", "metres", "coordinate system", "{pixels: ...}"),
    stops("vector file at negative y", "polygons at y -6 to -2 over an image without georeference",
          given("l.gpkg", features(box(2, -6, 6, -2), crs=None), georeferenced=False), *GPKG, "x 0 to 20", "y 0 to 10",
          "x 2 to 6", "y -6 to -2", "sign of y"),
    stops("GeoJSON with a ring of two points", "l.geojson with a polygon of two points",
          given("l.geojson", geojson(OPEN_RING)), "{root}/l.geojson", "vector file", "QGIS"),
    stops("GeoJSON with nothing but null geometries", "l.geojson with two features whose geometry is null",
          given("l.geojson", geojson(None, None)), *GEOJSON, "2 features", "geometry", "QGIS", "no features"),
    goes_on("GeoJSON of no features", 'l.geojson with "features": []: the class is not in the scene',
            given("l.geojson", geojson())),
    stops("Shapefile without .shx", "l.shp and l.dbf alone", given("l.shp", without(".shx")), "{root}/l.shp",
          "l.shx is not beside it", ".prj"),
    stops("Shapefile without .prj", "l.shp, l.shx and l.dbf alone", given("l.shp", without(".prj")), *SHP,
          "coordinate system", "Set CRS"),
    stops("Shapefile without .dbf", "l.shp, l.shx and l.prj alone, in the column labels of several classes",
          given("l.shp", without(".dbf"), one=False), *SHP, "`class`", "none", "labels:houses"),
    stops("Shapefile that was cut off", "l.shp without its end", given("l.shp", cut_shapefile), *SHP, "1 feature",
          "geometry", "QGIS", "no features"),
    stops("Parquet without geometries", "l.parquet of numbers",
          given("l.parquet", lambda path: pandas.DataFrame({"a": [1]}).to_parquet(path)), "{root}/l.parquet",
          "without geometries", "`to_parquet`"),
    stops("no property class", "l.gpkg with the property kind_of, in the column labels of several classes",
          given("l.gpkg", features(*on_map(HOUSE), kind_of=["houses"]), one=False), *GPKG, "`class`", "kind_of",
          "labels:houses"),
    stops("property Class for class", "l.gpkg with the property Class, in the column labels of several classes",
          given("l.gpkg", features(*on_map(HOUSE), Class=["houses"]), one=False), *GPKG, "rename `Class` to `class`",
          "labels:houses"),
    stops("misspelt class", "class House; the configuration has houses",
          given("l.gpkg", features(*on_map(HOUSE, HOUSE), classes=["houses", "House"]), one=False), *GPKG, "'House'",
          "did you mean `houses`", "`class`"),
    stops("no feature of a configured class", "class lake alone; the configuration has houses and roads",
          given("l.gpkg", features(*on_map(HOUSE), classes=["lake"]), one=False), *GPKG, "'lake'", "houses, roads",
          "`class`"),
    goes_on("some features of other classes", "classes houses and lake; the configuration has houses and roads",
            given("l.gpkg", features(*on_map(HOUSE, FAR), classes=["houses", "lake"]), one=False), "unknown-class:",
            "'lake'"),
    goes_on("some features without a geometry", "l.gpkg with a polygon and a feature without one",
            given("l.gpkg", features(*on_map(HOUSE), None)), "empty: 1 feature"),
    stops("WKT table without a byte", "l.csv of 0 bytes", given("l.csv", text("")), CSV, "no header", "class,WKT"),
    stops("WKT table without a geometry", "l.csv with the columns class, x, y",
          given("l.csv", text("class,x,y\nhouses,1,2\n")), CSV, "class, x, y", "WKT"),
    stops("WKT table with unquoted geometries", "l.csv with the row houses,POLYGON ((500001 3999999, ...))",
          given("l.csv", text(f"class,WKT\nhouses,{ON_MAP}\n")), CSV, "row 2", "5 cells", "header 2", "quotes"),
    stops("WKT table cut off within a quote", "l.csv ends within a geometry",
          given("l.csv", text(f'class,WKT\nhouses,"{ON_MAP}\n')), CSV, "row 2", "quote does not end", "close it",
          "cut off"),
    stops("WKT table that is not UTF-8", "l.csv in Latin-1",
          given("l.csv", text(b"class;WKT\nh\xe4user;POLYGON EMPTY\n")), CSV, "row 2", "0xe4", "UTF-8"),
    stops("WKT table with text after a quote", 'l.csv with the row houses,"POLYGON (...)" and',
          given("l.csv", text(f'class,WKT\nhouses,"{ON_MAP}" and\n')), CSV, "row 2", "closing quote",
          "double the quotes"),
    stops("WKT table with a broken geometry", "l.csv with the row houses;POLYGON ((1 2, 3",
          given("l.csv", text("class;WKT\nhouses;POLYGON ((1 2, 3\n")), CSV, "row 2", "'POLYGON ((1 2, 3'",
          "MULTIPOLYGON EMPTY", "mend the row"),
    stops("WKT table of two coordinate systems",
          "l.csv with SRID=32631;POLYGON (...) in one row and SRID=4326;POLYGON (...) in another",
          given("l.csv", text(f'class,WKT\nhouses,"SRID=32631;{ON_MAP}"\nhouses,"SRID=4326;POLYGON EMPTY"\n')), CSV,
          "row 3", "4326", "32631", "row 2", "one coordinate system"),
    stops("WKT table with an unknown coordinate system", "l.csv with SRID=99999999;POLYGON (...)",
          given("l.csv", text(f'WKT\n"SRID=99999999;{ON_MAP}"\n')), CSV, "row 2", "99999999", "EPSG"),
    stops("mask of another size", "m.tif of 5 x 4 pixels without georeference, over an image of 20 x 10",
          given("m.tif", mask(size=(5, 4), plain=True)), *MASK, "5 x 4", "20 x 10", "georeference"),
    stops("mask of three bands", "m.tif in red, green and blue", given("m.tif", mask(bands=3)), *MASK, "3 bands",
          "m.tif[1]"),
    stops("mask of another place", "m.tif that lies a kilometre from the image", given("m.tif", mask(east=1000)), *MASK,
          "another place", "no other scene", "coordinate system", "empty file"),
    goes_on("mask of a part of the image", "m.tif that shows three quarters of the image",
            given("m.tif", mask(east=2.5)), "clipped: 1 polygon", "part:", "75 %"),
    stops("mask that is text", "m.tif holds the word houses", given("m.tif", text("houses")), *MASK, "raster",
          "check the file"),
    stops("mask in the column of several classes", "m.tif in the column labels", given("m.tif", mask(), one=False),
          *MASK, "one class", "labels:houses"),
]
# fmt: on
