"""Labels in every form become the right polygons in reference pixel coordinates."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.transform import Affine
from shapely.geometry import MultiPolygon, Point, box

from rasterloom.dataset import Dataset, load_dataset
from rasterloom.errors import InputError, LabelError, MissingInputError
from rasterloom.polygons.geometry import transformed
from rasterloom.raster.contest_grid import dstl_matrix
from rasterloom.raster.files import raster_info
from small_labels import SIZE, UTM, image, label_facts, mask_file, on_map, run_labels, sheet, vector_file

TEST_DATA = os.environ.get("RASTERLOOM_TEST_DATA")

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:'crs' was not provided"),
]


@pytest.mark.parametrize("shape", [(7, 5), (3, 7, 5), (8, 7, 5)])
def test_raster_info_has_width_and_height(tmp_path: Path, shape: tuple[int, ...]) -> None:
    photometric = "rgb" if shape[0] in (3, 8) else "minisblack"
    planar = "separate" if len(shape) == 3 else None
    tifffile.imwrite(tmp_path / "x.tif", np.zeros(shape, np.uint16), photometric=photometric, planarconfig=planar)
    info = raster_info(tmp_path / "x.tif")
    assert (info.width, info.height) == (5, 7)


def test_raster_info_errors(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError):
        raster_info(tmp_path / "none.tif")
    (tmp_path / "x.tif").write_text("not a TIFF")
    with pytest.raises(InputError, match=r"x\.tif"):
        raster_info(tmp_path / "x.tif")


# The contest's tables -----------------------------------------------------------------------------------------------

GRID = (0.02, -0.01)


def test_dstl_matrix_is_the_contests_formula() -> None:
    xmax, ymin, width, height = 0.009169, -0.009042, 3403, 3348
    (corner,) = transformed([Point(xmax, ymin)], dstl_matrix(xmax, ymin, width, height))
    assert (corner.x, corner.y) == pytest.approx((3403 * 3403 / 3404, 3348 * 3348 / 3349))
    (origin,) = transformed([Point(0, 0)], dstl_matrix(xmax, ymin, width, height))
    assert (origin.x, origin.y) == (0, 0)


def _wkt(*polygons: Any) -> str:
    """Polygons in pixels as the contest writes them: in grid units."""
    (a, _, _), (_, e, _) = dstl_matrix(*GRID, *SIZE)
    return str(MultiPolygon(transformed(list(polygons), [[1 / a, 0, 0], [0, 1 / e, 0]])).wkt)


def _contest(root: Path, rows: dict[str, str], truth: dict[str, str] | None = None) -> Dataset:
    """A data set of two scenes: `a` is labelled, `b` is predicted (and has truth if that is given)."""
    (root / "three_band").mkdir(parents=True, exist_ok=True)
    for scene in ("a", "b"):
        image = np.zeros((3, SIZE[1], SIZE[0]), np.uint16)
        tifffile.imwrite(root / f"three_band/{scene}.tif", image, photometric="rgb", planarconfig="separate")
    sizes = "".join(f"{s},{GRID[0]},{GRID[1]}\n" for s in "ab")
    (root / "grid_sizes.csv").write_text(",Xmax,Ymin\n" + sizes)
    for name, scene, table in (("train_wkt_v4.csv", "a", rows), ("truth.csv", "b", truth)):
        if table is not None:
            with (root / name).open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["ImageId", "ClassType", "MultipolygonWKT"])
                writer.writerows([scene, number, text] for number, text in table.items())
    config = {"layout": "dstl", "root": str(root), "predict": ["b"], "truth": None if truth is None else "truth.csv"}
    return load_dataset(config, {"rgb": {"reference": True}}, {"trees": 5, "cars": 10})


def _keys(results: Path, class_name: str) -> dict[str, str]:
    manifest = json.loads((results / f"labels/{class_name}.json").read_text())
    return {scene: item["key"] for scene, item in manifest["items"].items()}


def test_run_dstl(tmp_path: Path) -> None:
    trees = (box(1, 1, 3, 4), box(18, 8, 20.2, 10.1))  # the second exceeds the tile a little
    dataset = _contest(tmp_path / "d", {"5": _wkt(*trees), "10": "MULTIPOLYGON EMPTY"}, {"5": _wkt(box(5, 5, 7, 7))})
    frames = run_labels(dataset, "trees", tmp_path / "r")
    assert list(frames) == ["a", "b"]
    assert [g.bounds for g in frames["a"].geometry] == [pytest.approx((1, 1, 3, 4)), pytest.approx((18, 8, 20, 10))]
    assert list(frames["a"]["class"]) == ["trees", "trees"]
    assert frames["b"].geometry.iloc[0].bounds == pytest.approx((5, 5, 7, 7))
    cars = run_labels(dataset, "cars", tmp_path / "r")
    assert {scene: len(frame) for scene, frame in cars.items()} == {"a": 0, "b": 0}  # absent, or no row at all


def test_run_dstl_key_is_the_row_and_not_the_file(tmp_path: Path) -> None:
    rows = {"5": _wkt(box(1, 1, 3, 4)), "10": "MULTIPOLYGON EMPTY"}
    keys = []
    for change in ({}, {"10": _wkt(box(0, 0, 1, 1))}, {"5": _wkt(box(1, 1, 3, 5))}):
        run_labels(_contest(tmp_path / "d", {**rows, **change}), "trees", tmp_path / "r")
        keys.append(_keys(tmp_path / "r", "trees")["a"])
    assert keys[0] == keys[1] != keys[2]


def test_run_dstl_reuses_what_is_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = _contest(tmp_path / "d", {"5": _wkt(box(1, 1, 3, 4))})
    first = run_labels(dataset, "trees", tmp_path / "r")
    monkeypatch.setattr("rasterloom.labels.contest.parse_wkt", lambda *_: pytest.fail("computed again"))
    assert run_labels(dataset, "trees", tmp_path / "r")["a"].equals(first["a"])


def test_run_dstl_rows_of_the_same_scene_and_class_are_united(tmp_path: Path) -> None:
    dataset = _contest(tmp_path / "d", {"5": _wkt(box(1, 1, 3, 4))})
    with (tmp_path / "d/train_wkt_v4.csv").open("a") as file:
        file.write(f'a,05,"{_wkt(box(6, 1, 8, 4), box(15, 5, 25, 8))}"\n')
    frame = run_labels(dataset, "trees", tmp_path / "r")["a"]
    assert [g.bounds for g in frame.geometry] == [
        pytest.approx(bounds) for bounds in ((1, 1, 3, 4), (6, 1, 8, 4), (15, 5, 20, 8))
    ]
    assert label_facts(dataset, "trees", tmp_path / "r")["a"] == {"duplicate-row": 2, "clipped": 1}


def test_run_dstl_polygons_beyond_the_tile_are_counted(tmp_path: Path) -> None:
    beyond = (box(20, 2, 24, 4), box(3, -9, 5, -1), box(-1, -1, 0, 0))  # the first and last touch the tile
    dataset = _contest(tmp_path / "d", {"5": _wkt(box(1, 1, 3, 4), *beyond)})
    assert len(run_labels(dataset, "trees", tmp_path / "r")["a"]) == 1
    assert label_facts(dataset, "trees", tmp_path / "r")["a"] == {"outside": 3}


def test_run_facts_stay_with_what_is_in_the_store(tmp_path: Path) -> None:
    """A job that finds an artifact must not lose what was noticed when it was made, nor keep what is no longer so."""
    image(tmp_path / "a.tif")
    rows = [HEAD, "a|train|a.tif|l.gpkg|"]
    shapes = on_map(box(1, 1, 3, 3), box(18, 1, 23, 3))
    seen = []
    for more in ([], on_map(box(90, 90, 91, 91)), []):
        vector_file(tmp_path / "l.gpkg", [*shapes, *more])
        dataset = sheet(tmp_path, *rows)
        run_labels(dataset, "houses", tmp_path / "r")
        item = json.loads((tmp_path / "r/labels/houses.json").read_text())["items"]["a"]
        seen.append((label_facts(dataset, "houses", tmp_path / "r")["a"], item["digest"]))
    assert [facts for facts, _ in seen] == [{"clipped": 1}, {"elsewhere": 1, "clipped": 1}, {"clipped": 1}]
    assert len({digest for _, digest in seen}) == 1, "what follows is not computed again"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("MULTIPOLYGON (((0 0, 1 0", r"train_wkt_v4\.csv, row 2 \(scene a, class trees\): 'MULTIPOLYGON"),
        ("LINESTRING (0 0, 0.01 -0.01)", "row 2 .*LineString"),
        ("POLYGON ((0.001 0.001, 0.002 0.001, 0.002 0.002, 0.001 0.001))", "row 2 .*none of its 1 polygons lies"),
    ],
)
def test_run_dstl_errors_name_class_scene_and_row(tmp_path: Path, text: str, words: str) -> None:
    dataset = _contest(tmp_path / "d", {"5": text})
    with pytest.raises(LabelError, match=words):
        run_labels(dataset, "trees", tmp_path / "r")


# Sheets -------------------------------------------------------------------------------------------------------------


HEAD = "scene|split|rgb|labels|labels:houses"


@pytest.mark.parametrize(("name", "crs"), [("h.gpkg", UTM), ("h.gpkg", "EPSG:4326"), ("h.geojson", "EPSG:4326")])
def test_run_sheet_vector_is_brought_to_pixels(tmp_path: Path, name: str, crs: str) -> None:
    image(tmp_path / "a.tif")
    vector_file(tmp_path / name, on_map(box(2, 1, 5, 4), box(18, 5, 25, 8), box(100, 100, 101, 101)), crs)
    frame = run_labels(sheet(tmp_path, HEAD, f"a|train|a.tif|{name}|"), "houses", tmp_path / "r")["a"]
    expected = [(2, 1, 5, 4), (18, 5, 20, 8)]
    assert len(frame) == 2
    assert np.allclose([g.bounds for g in frame.geometry], expected, atol=1e-2)


def test_run_sheet_class_property_by_name_and_number(tmp_path: Path) -> None:
    image(tmp_path / "a.tif")
    vector_file(
        tmp_path / "l.gpkg",
        on_map(box(1, 1, 2, 2), box(3, 3, 5, 5), box(6, 6, 7, 7)),
        classes=["1", "roads", "pond"],
    )
    dataset = sheet(tmp_path, HEAD, "a|train|a.tif|l.gpkg|", classes=["houses", "roads"])
    houses = run_labels(dataset, "houses", tmp_path / "r")["a"]
    roads = run_labels(dataset, "roads", tmp_path / "r")["a"]
    assert ([g.area for g in houses.geometry], [g.area for g in roads.geometry]) == ([1], [4])


def test_run_sheet_shared_file_key_sees_its_own_scene_only(tmp_path: Path) -> None:
    image(tmp_path / "a.tif")
    image(tmp_path / "b.tif", transform=Affine(0.5, 0, 500_500, 0, -0.5, 4_000_000))
    rows = [HEAD, "a|train|a.tif|all.gpkg|", "b|train|b.tif|all.gpkg|"]
    keys = []
    for side in (1, 2):
        vector_file(tmp_path / "all.gpkg", on_map(box(2, 2, 4, 4), box(1002, 2, 1002 + side, 4)))
        assert [len(f) for f in run_labels(sheet(tmp_path, *rows), "houses", tmp_path / "r").values()] == [1, 1]
        keys.append(_keys(tmp_path / "r", "houses"))
    assert keys[0]["a"] == keys[1]["a"]
    assert keys[0]["b"] != keys[1]["b"]


def test_run_sheet_file_that_lies_elsewhere_is_an_error_unless_scenes_share_it(tmp_path: Path) -> None:
    image(tmp_path / "a.tif")
    image(tmp_path / "b.tif", transform=Affine(0.5, 0, 500_500, 0, -0.5, 4_000_000))
    vector_file(tmp_path / "b.gpkg", on_map(box(1002, 2, 1003, 4)))
    rows = [HEAD, "a|train|a.tif|b.gpkg|", "b|train|b.tif|b.gpkg|"]
    assert [len(f) for f in run_labels(sheet(tmp_path, *rows), "houses", tmp_path / "r").values()] == [0, 1]
    with pytest.raises(LabelError, match=r"b\.gpkg \(scene a, class houses\): none of its 1 features .*own file"):
        run_labels(sheet(tmp_path, *rows[:2]), "houses", tmp_path / "r")


def test_run_sheet_file_that_names_other_scenes_is_an_error_unless_scenes_share_it(tmp_path: Path) -> None:
    for name in "ab":
        image(tmp_path / f"{name}.tif")
    frame = geopandas.GeoDataFrame(
        {"scene": ["tile_a", "b"]}, geometry=on_map(box(2, 2, 3, 4), box(5, 2, 7, 4)), crs=UTM
    )
    frame.to_file(tmp_path / "l.gpkg")
    rows = [HEAD, "a|train|a.tif|l.gpkg|", "b|train|b.tif|l.gpkg|"]
    assert [len(f) for f in run_labels(sheet(tmp_path, *rows), "houses", tmp_path / "r").values()] == [0, 1]
    with pytest.raises(LabelError, match=r"class houses\): no feature names the scene in its property `scene`, and no"):
        run_labels(sheet(tmp_path, *rows[:2]), "houses", tmp_path / "r")


def test_run_sheet_without_georeference_coordinates_are_pixels(tmp_path: Path) -> None:
    image(tmp_path / "a.tif", crs=None, transform=None)
    for name, crs in (("h.geojson", None), ("h.gpkg", None)):
        vector_file(tmp_path / name, [box(2, 1, 5, 4)], crs)
        (geometry,) = run_labels(sheet(tmp_path, HEAD, f"a|train|a.tif|{name}|"), "houses", tmp_path / "r")[
            "a"
        ].geometry
        assert geometry.bounds == (2, 1, 5, 4)
    vector_file(tmp_path / "h.gpkg", [box(2, -4, 5, -1)], None)
    with pytest.raises(LabelError, match="change the sign of y"):
        run_labels(sheet(tmp_path, HEAD, "a|train|a.tif|h.gpkg|"), "houses", tmp_path / "r")


def test_run_sheet_wkt_table_with_scenes(tmp_path: Path) -> None:
    image(tmp_path / "a.tif", crs=None, transform=None)
    rows = ["a,houses," + box(1, 1, 3, 3).wkt, "b,houses," + box(5, 5, 6, 6).wkt]
    lines = ["scene,class,WKT", *(r.replace(",POLY", ',"POLY') + '"' for r in rows)]
    (tmp_path / "w.csv").write_text("\n".join(lines) + "\n")
    dataset = sheet(tmp_path, HEAD, "a|train|a.tif|w.csv|", classes=["houses", "roads"])
    (geometry,) = run_labels(dataset, "houses", tmp_path / "r")["a"].geometry
    assert geometry.bounds == (1, 1, 3, 3)


@pytest.mark.parametrize("name", ["e.geojson", "e.gpkg"])
def test_run_sheet_empty_vector_file_means_absent(tmp_path: Path, name: str) -> None:
    image(tmp_path / "a.tif")
    vector_file(tmp_path / name, [])
    dataset = sheet(tmp_path, HEAD, f"a|train|a.tif|{name}|", classes=["houses", "roads"])
    assert len(run_labels(dataset, "roads", tmp_path / "r")["a"]) == 0


def test_run_sheet_mask(tmp_path: Path) -> None:
    image(tmp_path / "a.tif")
    mask = np.zeros((10, 20), np.uint8)
    mask[2:4, 3:7] = 255
    mask[8, 8] = 9
    mask_file(tmp_path / "m.tif", mask, nodata=9)
    dataset = sheet(tmp_path, HEAD, "a|train|a.tif||m.tif")
    (geometry,) = run_labels(dataset, "houses", tmp_path / "r")["a"].geometry
    assert geometry.equals(box(3, 2, 7, 4))
    before = _keys(tmp_path / "r", "houses")
    mask_file(tmp_path / "m.tif", (mask == 255).astype(np.uint8))  # another file, the same pixels
    run_labels(dataset, "houses", tmp_path / "r")
    assert _keys(tmp_path / "r", "houses") == before


def test_run_sheet_raster_in_the_column_of_several_classes(tmp_path: Path) -> None:
    image(tmp_path / "a.tif")
    mask_file(tmp_path / "m.tif", np.ones((10, 20), np.uint8))
    dataset = sheet(tmp_path, HEAD, "a|train|a.tif|m.tif|", classes=["houses", "roads"])
    with pytest.raises(LabelError, match="labels:roads"):
        run_labels(dataset, "roads", tmp_path / "r")


@pytest.mark.skipif(TEST_DATA is None, reason="RASTERLOOM_TEST_DATA does not name the folder of real imagery")
def test_real_masks_become_their_own_pixels(tmp_path: Path) -> None:
    from rasterio.features import rasterize

    folder = Path(str(TEST_DATA)) / "spacenet-rio"
    rows = ["scene|split|rgb|labels:houses"]
    for name in ("rio_55", "rio_61"):  # a dense quarter; the sea
        rows.append(f"{name}|train|{folder}/images/{name}.tif|{folder}/masks/{name}.tif")
    frames = run_labels(sheet(tmp_path, *rows), "houses", tmp_path / "r")
    with rasterio.open(folder / "masks/rio_55.tif") as file:
        mask = file.read(1) > 0
    polygons = list(frames["rio_55"].geometry)
    assert len(polygons) > 50
    assert sum(p.area for p in polygons) == mask.sum()
    assert (rasterize(polygons, mask.shape, dtype="uint8").astype(bool) == mask).all()
    assert len(frames["rio_61"]) == 0


@pytest.mark.skipif(TEST_DATA is None, reason="RASTERLOOM_TEST_DATA does not name the folder of real imagery")
def test_real_vector_agrees_with_the_mask_that_another_tool_made(tmp_path: Path) -> None:
    from rasterio.features import rasterize

    folder = Path(str(TEST_DATA)) / "spacenet-atlanta"
    row = f"atlanta|train|{folder}/sample_geotiff.tif|{folder}/geotiff_labels.geojson"
    frame = run_labels(sheet(tmp_path, "scene|split|rgb|labels", row), "houses", tmp_path / "r")["atlanta"]
    with rasterio.open(folder / "sample_fp_mask_from_geojson.tif") as file:
        mask = file.read(1) > 0
    drawn = rasterize(list(frame.geometry), mask.shape, dtype="uint8").astype(bool)
    assert (drawn != mask).sum() <= 5
