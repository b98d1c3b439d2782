"""Bad labels: what is given, whether the run stops, and what is said; tests/whole/test_bad_labels.py makes each."""

from __future__ import annotations

from bad_inputs import BadInput

# fmt: off
CASES: list[BadInput] = [
    BadInput("table without its header", "train_wkt_v4.csv begins with a row of labels", True,
             "{root}/train_wkt_v4.csv begins with '6010_1_2,5,\"MULTIPOLYGON (((0.0063 -0.0022, 0.0063 -0.0066, "
             "0.0021 -0.0066, 0.00'; a table of labels begins with the row ImageId,ClassType,MultipolygonWKT "
             "and has these columns, separated by commas"),
    BadInput("table cut off within a quote", "train_wkt_v4.csv ends within a geometry", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class 5): its quoted geometry does not end: the "
             "file was cut off; get it again"),
    BadInput("WKT cut off", "MULTIPOLYGON (((0.001 -0.001, 0.002", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class houses): 'MULTIPOLYGON (((0.001 -0.001, "
             "0.002' is not a WKT geometry (Expected number but encountered end of stream); it must read like "
             "MULTIPOLYGON (((x y, x y, ...))) or MULTIPOLYGON EMPTY: mend the row, or get the file again"),
    BadInput("WKT that is text", "a house, and another one", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class houses): 'a house, and another one' is not "
             "a WKT geometry ('a' is no type of geometry with straight edges); it must read like MULTIPOLYGON "
             "(((x y, x y, ...))) or MULTIPOLYGON EMPTY: mend the row, or get the file again"),
    BadInput("WKT field that is empty", "train_wkt_v4.csv with the row 6010_1_2,5,", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class houses): '' is not a WKT geometry (the "
             "field is empty); it must read like MULTIPOLYGON (((x y, x y, ...))) or MULTIPOLYGON EMPTY: mend "
             "the row, or get the file again"),
    BadInput("WKT with NaN", "POLYGON ((0.001 -0.001, nan -0.001, ...))", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class houses): a polygon has coordinates that are "
             "not numbers: mend the file"),
    BadInput("WKT with an infinite number", "POLYGON ((0.001 -0.001, inf -0.001, ...))", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class houses): a polygon has coordinates that are "
             "not numbers: mend the file"),
    BadInput("WKT with a ring that is not closed",
             "POLYGON ((0.001 -0.001, 0.002 -0.001, 0.002 -0.002))", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class houses): 'POLYGON ((0.001 -0.001, 0.002 "
             "-0.001, 0.002 -0.002))' is not a WKT geometry (Points of LinearRing do not form a closed "
             "linestring); it must read like MULTIPOLYGON (((x y, x y, ...))) or MULTIPOLYGON EMPTY: mend the "
             "row, or get the file again"),
    BadInput("WKT with a NUL byte", "a geometry with a NUL byte in it", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class houses): 'POLYGON EMPTY\\x00, or not' is not "
             "a WKT geometry (a NUL byte in it); it must read like MULTIPOLYGON (((x y, x y, ...))) or "
             "MULTIPOLYGON EMPTY: mend the row, or get the file again"),
    BadInput("WKT that is not UTF-8", "a geometry with the byte 0xff in it", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class houses): 'POLYGON � EMPTY' is not a WKT "
             "geometry (Expected 'Z', 'M', 'ZM', 'EMPTY' or '(' but encountered : '�'); it must read like "
             "MULTIPOLYGON (((x y, x y, ...))) or MULTIPOLYGON EMPTY: mend the row, or get the file again"),
    BadInput("WKT of a point", "POINT (0.001 -0.001)", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class houses): it holds a Point, polygons or "
             "multipolygons are needed: buffer lines and points to the width of the objects, or remove them"),
    BadInput("WKT of a line", "LINESTRING (0.001 -0.001, 0.002 -0.002)", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class houses): it holds a LineString, polygons or "
             "multipolygons are needed: buffer lines and points to the width of the objects, or remove them"),
    BadInput("WKT of a curve", "CURVEPOLYGON ((0.001 -0.001, ...))", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class houses): 'CURVEPOLYGON ((0.001 -0.001, "
             "0.002 -0.001, 0.002 -0.002, 0.0' is not a WKT geometry ('CURVEPOLYGON' is no type of geometry "
             "with straight edges); it must read like MULTIPOLYGON (((x y, x y, ...))) or MULTIPOLYGON EMPTY: "
             "mend the row, or get the file again"),
    BadInput("WKT nested without end", "GEOMETRYCOLLECTION (GEOMETRYCOLLECTION (..., 300,000 times", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class houses): 'GEOMETRYCOLLECTION "
             "(GEOMETRYCOLLECTION (GEOMETRYCOLLECTION (' is not a WKT geometry (nested more than 16 levels "
             "deep); it must read like MULTIPOLYGON (((x y, x y, ...))) or MULTIPOLYGON EMPTY: mend the row, or "
             "get the file again"),
    BadInput("WKT with a coordinate system",
             "SRID=4326;POLYGON ((0.001 -0.001, ...)) in train_wkt_v4.csv", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class houses): SRID 4326 given, but coordinates "
             "of the contest's tables are in the units of grid_sizes.csv: convert them and remove it; for "
             "labels with a georeference use `dataset: {layout: sheet}`"),
    BadInput("WKT with y upwards", "POLYGON ((0.001 0.001, ...)): in the contest's units y is negative", True,
             "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class houses): none of its 1 polygons lies in the "
             "scene: x runs from 0 to Xmax and y from 0 down to Ymin, here 0.02 and -0.01 (grid_sizes.csv); "
             "correct the coordinates"),
    BadInput("polygon that crosses itself", "a polygon whose edges cross, such as a bow tie", False,
             "mended: 1 polygon crosses itself"),
    BadInput("polygon without an area", "a polygon whose corners lie on one line", False,
             "no-area: 1 polygon without an area"),
    BadInput("polygon partly outside", "a polygon across the border of the image", False,
             "clipped: 1 polygon reaches beyond the image"),
    BadInput("one polygon outside", "two polygons, one of them beside the image", False,
             "outside: 1 feature lies outside the image"),
    BadInput("the same polygon twice", "MULTIPOLYGON of two equal polygons", False,
             "duplicate: 1 polygon equals another"),
    BadInput("polygon smaller than a pixel", "a polygon of half a pixel by half a pixel", False,
             "tiny: 1 polygon below a pixel"),
    BadInput("GEOMETRYCOLLECTION", "GEOMETRYCOLLECTION (POINT (...), POLYGON (...))", False,
             "collection: 1 GEOMETRYCOLLECTION, 1 point or line in it left out"),
    BadInput("polygon with heights", "POLYGON Z ((0.001 -0.001 9, ...))", False,
             "third-coordinate: 1 geometry with heights"),
    BadInput("the same scene and class twice",
             "two rows of train_wkt_v4.csv with the same ImageId and ClassType", False,
             "duplicate-row: 2 rows of this scene and class"),
    BadInput("class number that nobody configured",
             "train_wkt_v4.csv with rows of ClassType 12; the configuration has 3 and 5", False,
             "unknown-class: class numbers 12"),
    BadInput("vector file that is text", "l.gpkg holds the words houses, houses", True,
             "{root}/l.gpkg cannot be read as a vector file (no format of vectors has such a content): open it "
             "in QGIS to check, and export it again"),
    BadInput("vector file without a byte", "l.geojson of 0 bytes", True,
             "{root}/l.geojson cannot be read as a vector file (it has no bytes): get it again; where nothing "
             "is to be found, give a file of no features"),
    BadInput("vector file with several layers", "l.gpkg with the layers houses and streets", True,
             "{root}/l.gpkg has 2 layers (houses, streets): put the one with the labels into a file of its own, "
             "for example `ogr2ogr labels.gpkg l.gpkg houses`, and name that"),
    BadInput("vector file without a coordinate system",
             "l.gpkg without one, over an image that has one", True,
             "{root}/l.gpkg (scene a, class houses): the file names no coordinate system and the image has one: "
             "set it, for example in QGIS (Layer > Set CRS, then export)"),
    BadInput("vector file of another place", "l.gpkg whose only polygon is far from the image", True,
             "{root}/l.gpkg (scene a, class houses): none of its 1 features lies in the scene, and no other "
             "scene uses the file: give the scene's own file, correct the coordinate system that the file "
             "names, or give an empty file where nothing is to be found"),
    BadInput("vector file of lines", "l.geojson with a LineString", True,
             "{root}/l.geojson (scene a, class houses): it holds a LineString, polygons or multipolygons are "
             "needed: buffer lines and points to the width of the objects, or remove them"),
    BadInput("vector file at negative y", "polygons at y -6 to -2 over an image without georeference", True,
             "{root}/l.gpkg (scene a, class houses): the image has no georeference, so coordinates are pixels "
             "(x 0 to 20 right, y 0 to 10 down), and no feature lies there: x 2 to 6, y -6 to -2: give pixel "
             "coordinates. QGIS draws such an image at negative y: change the sign of y."),
    BadInput("GeoJSON with a ring of two points", "l.geojson with a polygon of two points", True,
             "{root}/l.geojson cannot be read as a vector file (Points of LinearRing do not form a closed "
             "linestring): open it in QGIS to check, or get it again"),
    BadInput("GeoJSON with nothing but null geometries",
             "l.geojson with two features whose geometry is null", True,
             "{root}/l.geojson (scene a, class houses): none of its 2 features has a geometry that can be read: "
             "the file may be damaged; open it in QGIS to check, or give a file of no features where nothing is "
             "to be found"),
    BadInput("GeoJSON of no features", "l.geojson with \"features\": []: the class is not in the scene", False,
             ""),
    BadInput("Shapefile without .shx", "l.shp and l.dbf alone", True,
             "{root}/l.shp cannot be read as a vector file (l.shx is not beside it): a Shapefile is .shp, .shx "
             "and .dbf together, and .prj for its coordinate system: copy all of them"),
    BadInput("Shapefile without .prj", "l.shp, l.shx and l.dbf alone", True,
             "{root}/l.shp (scene a, class houses): the file names no coordinate system and the image has one: "
             "set it, for example in QGIS (Layer > Set CRS, then export)"),
    BadInput("Shapefile without .dbf",
             "l.shp, l.shx and l.prj alone, in the column labels of several classes", True,
             "{root}/l.shp (scene a, class houses): no property `class` says which class a feature is of "
             "(properties: none): add it, or name the file in the sheet's column labels:houses"),
    BadInput("Shapefile that was cut off", "l.shp without its end", True,
             "{root}/l.shp (scene a, class houses): none of its 1 features has a geometry that can be read: the "
             "file may be damaged; open it in QGIS to check, or give a file of no features where nothing is to "
             "be found"),
    BadInput("Parquet without geometries", "l.parquet of numbers", True,
             "{root}/l.parquet cannot be read as a vector file (a Parquet file without geometries): give "
             "GeoParquet, as geopandas' `to_parquet` writes it"),
    BadInput("no property class",
             "l.gpkg with the property kind_of, in the column labels of several classes", True,
             "{root}/l.gpkg (scene a, class houses): no property `class` says which class a feature is of "
             "(properties: kind_of): add it, or name the file in the sheet's column labels:houses"),
    BadInput("property Class for class",
             "l.gpkg with the property Class, in the column labels of several classes", True,
             "{root}/l.gpkg (scene a, class houses): no property `class` says which class a feature is of "
             "(properties: Class): rename `Class` to `class`, or name the file in the sheet's column "
             "labels:houses"),
    BadInput("misspelt class", "class House; the configuration has houses", True,
             "{root}/l.gpkg (scene a, class houses): class 'House' is not a class of the configuration; did you "
             "mean 'houses'?: correct the property `class`, or add the class"),
    BadInput("no feature of a configured class",
             "class lake alone; the configuration has houses and roads", True,
             "{root}/l.gpkg (scene a, class houses): class 'lake' is not a class of the configuration; valid "
             "are houses, roads: correct the property `class`, or add the class"),
    BadInput("some features of other classes",
             "classes houses and lake; the configuration has houses and roads", False,
             "unknown-class: classes 'lake'"),
    BadInput("some features without a geometry", "l.gpkg with a polygon and a feature without one", False,
             "empty: 1 feature without a geometry"),
    BadInput("WKT table without a byte", "l.csv of 0 bytes", True,
             "{root}/l.csv has no header: a table of labels begins with a row such as class,WKT (that row "
             "alone, where nothing is to be found)"),
    BadInput("WKT table without a geometry", "l.csv with the columns class, x, y", True,
             "{root}/l.csv has no geometry (its columns: class, x, y): call the column of geometries WKT"),
    BadInput("WKT table with unquoted geometries",
             "l.csv with the row houses,POLYGON ((500001 3999999, ...))", True,
             "{root}/l.csv, row 2: it has 5 cells and the header 2: put a geometry that holds the separator in "
             "quotes, and give every column a cell"),
    BadInput("WKT table cut off within a quote", "l.csv ends within a geometry", True,
             "{root}/l.csv, row 2: a quote does not end: close it; if the file was cut off, get it again"),
    BadInput("WKT table that is not UTF-8", "l.csv in Latin-1", True,
             "{root}/l.csv, row 2: byte 0xe4 is not UTF-8: save the table as UTF-8 text"),
    BadInput("WKT table with text after a quote", "l.csv with the row houses,\"POLYGON (...)\" and", True,
             "{root}/l.csv, row 2: text follows a closing quote: double the quotes within a cell"),
    BadInput("WKT table with a broken geometry", "l.csv with the row houses;POLYGON ((1 2, 3", True,
             "{root}/l.csv, row 2: 'POLYGON ((1 2, 3' is not a WKT geometry (Expected number but encountered "
             "end of stream); it must read like MULTIPOLYGON (((x y, x y, ...))) or MULTIPOLYGON EMPTY: mend "
             "the row, or get the file again"),
    BadInput("WKT table of two coordinate systems",
             "l.csv with SRID=32631;POLYGON (...) in one row and SRID=4326;POLYGON (...) in another", True,
             "{root}/l.csv, row 3: SRID 4326 given, and 32631 in another row (row 2): bring all rows to one "
             "coordinate system"),
    BadInput("WKT table with an unknown coordinate system", "l.csv with SRID=99999999;POLYGON (...)", True,
             "{root}/l.csv, row 2: SRID 99999999 is not an EPSG number: correct it"),
    BadInput("mask of another size",
             "m.tif of 5 x 4 pixels without georeference, over an image of 20 x 10", True,
             "{root}/m.tif (scene a, class houses): the mask has 5 x 4 pixels and the reference image 20 x 10: "
             "give it the same size, or a georeference to both"),
    BadInput("mask of three bands", "m.tif in red, green and blue", True,
             "{root}/m.tif (scene a, class houses): it has 3 bands; choose one, as m.tif[1]"),
    BadInput("mask of another place", "m.tif that lies a kilometre from the image", True,
             "{root}/m.tif (scene a, class houses): the mask shows another place than the image, and no other "
             "scene uses the file: give the scene's own file, correct the coordinate system that the file "
             "names, or give an empty file where nothing is to be found"),
    BadInput("mask of a part of the image", "m.tif that shows three quarters of the image", False,
             "clipped: 1 polygon reaches beyond the image; part: the mask shows 75 % of the image"),
    BadInput("mask that is text", "m.tif holds the word houses", True,
             "{root}/m.tif (scene a, class houses): it cannot be read as a raster (no format of images has such "
             "a content): check the file, or get it again"),
    BadInput("mask in the column of several classes", "m.tif in the column labels", True,
             "{root}/m.tif (scene a, class houses): a raster mask shows one class: name it in the sheet's "
             "column labels:houses, and leave the column labels to vector files"),
]
# fmt: on
