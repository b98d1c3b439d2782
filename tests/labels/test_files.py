"""Files of labels: which pixels and polygons they hold, and what is said about those that hold none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from shapely.geometry import box

from rasterloom.errors import LabelError
from rasterloom.labels.files import chosen, misspelt, placed, read_mask, read_vector
from rasterloom.labels.geometry import mask_polygons
from rasterloom.raster.files import RasterInfo, raster_info
from small_labels import NORTH_UP, REFERENCE, UTM, image, mask_file, on_map

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:'crs' was not provided"),
]


def test_raster_info_with_and_without_georeference(tmp_path: Path) -> None:
    image(tmp_path / "a.tif")
    header: dict[str, Any] = {"stored": "uint8", "driver": "GTiff", "colours": ("gray",)}
    assert raster_info(tmp_path / "a.tif") == replace(REFERENCE, **header)
    image(tmp_path / "b.tif", None, None)
    assert raster_info(tmp_path / "b.tif") == RasterInfo(20, 10, **header)


def test_read_mask_on_another_grid_is_mapped(tmp_path: Path) -> None:
    # Pixels twice as large, beginning one (reference) pixel further right and down.
    transform = Affine(1, 0, 500_000.5, 0, -1, 3_999_999.5)
    mask_file(tmp_path / "m.tif", np.array([[1, 0], [0, 0]], np.uint8), transform=transform)
    mask = read_mask(tmp_path / "m.tif", None, REFERENCE, "here")
    (polygon,) = mask.placement.place(mask_polygons(mask.positive), mask.positive.shape, "here")
    assert polygon.bounds == pytest.approx((1, 1, 3, 3))


def test_read_mask_floats_with_nan(tmp_path: Path) -> None:
    mask_file(tmp_path / "m.tif", np.array([[np.nan, 0.0], [-1.0, 7.0]], np.float32), nodata=7)
    mask = read_mask(tmp_path / "m.tif", None, REFERENCE, "here")
    assert mask.positive.tolist() == [[False, False], [True, False]]


def test_read_mask_errors(tmp_path: Path) -> None:
    small = np.ones((5, 5), np.uint8)
    mask_file(tmp_path / "m.tif", small)
    with pytest.raises(LabelError, match=r"5 x 5 .*20 x 10"):
        read_mask(tmp_path / "m.tif", None, RasterInfo(20, 10), "here")
    with pytest.raises(LabelError, match=r"1 bands and \[2\] chosen"):
        read_mask(tmp_path / "m.tif", (2,), REFERENCE, "here")
    with rasterio.open(tmp_path / "rgb.tif", "w", "GTiff", 5, 5, 3, UTM, NORTH_UP, "uint8") as file:
        file.write(np.ones((3, 5, 5), np.uint8))
    with pytest.raises(LabelError, match=r"3 bands.*rgb\.tif\[1\]"):
        read_mask(tmp_path / "rgb.tif", None, REFERENCE, "here")
    assert read_mask(tmp_path / "rgb.tif", (3,), REFERENCE, "here").positive.all()
    (tmp_path / "bad.tif").write_text("no")
    with pytest.raises(LabelError, match="cannot be read as a raster"):
        read_mask(tmp_path / "bad.tif", None, REFERENCE, "here")


def test_read_vector_errors(tmp_path: Path) -> None:
    (tmp_path / "bad.geojson").write_text("{")
    with pytest.raises(LabelError, match=r"bad\.geojson cannot be read"):
        read_vector(tmp_path / "bad.geojson")
    (tmp_path / "t.csv").write_text("class,x\nhouses,1\n")
    with pytest.raises(LabelError, match="no geometry"):
        read_vector(tmp_path / "t.csv")
    frame = geopandas.GeoDataFrame(geometry=[box(0, 0, 1, 1)], crs=UTM)
    for layer in ("one", "two"):
        frame.to_file(tmp_path / "l.gpkg", layer=layer)
    with pytest.raises(LabelError, match=r"2 layers \(one, two\)"):
        read_vector(tmp_path / "l.gpkg")


SPEC = {"class": "houses", "id": 1, "classes": {"houses": 1, "roads": 2}}


def _frame(*values: Any, **columns: Any) -> Any:
    return geopandas.GeoDataFrame({"class": list(values), **columns}, geometry=[box(0, 0, 1, 1)] * len(values))


def test_chosen_by_name_number_and_scene() -> None:
    assert len(chosen(_frame("houses", "roads", "1", "lake"), SPEC, "a", "here")[0]) == 2
    assert len(chosen(_frame(1, 2, 2), SPEC, "a", "here")[0]) == 1
    assert len(chosen(_frame(1.0, 2.0), SPEC, "a", "here")[0]) == 1
    assert len(chosen(_frame("houses", "houses", scene=["a", "b"]), SPEC, "a", "here")[0]) == 1
    assert len(chosen(_frame("houses", "houses", scene=[61.0, np.nan]), SPEC, "61", "here")[0]) == 1
    assert len(chosen(_frame("houses", "x"), None, "a", "here")[0]) == 2
    assert chosen(_frame("houses", np.array([1, 2])), SPEC, "a", "here")[1] == ["[1 2]"]
    assert chosen(_frame("houses", "lake", None, 7.0, np.nan), SPEC, "a", "here")[1] == ["", "7", "lake"]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (_frame("houses", "Road"), "'Road' is not a class .*did you mean `roads`"),
        (_frame("lake", "lake"), "'lake' is not a class"),
        (_frame("houses").rename(columns={"class": "kind"}), r"no property `class` .*kind.*labels:houses"),
    ],
)
def test_chosen_unknown_class(frame: Any, words: str) -> None:
    with pytest.raises(LabelError, match=words):
        chosen(frame, SPEC, "a", "here")


def test_chosen_where_a_scene_has_foreign_classes_only() -> None:
    frame = _frame("houses", "lake", scene=["a", "b"])
    assert [len(found) for found in chosen(frame, SPEC, "b", "here")] == [0, 1]
    with pytest.raises(LabelError, match="'pond' is not a class"):
        chosen(_frame("lake", "pond", scene=["a", "b"]), SPEC, "b", "here")


def test_misspelt_tells_errors_from_other_classes() -> None:
    classes = ["large_vehicle", "small_vehicle", "buildings"]
    assert all(misspelt(name, classes) for name in ("Large Vehicle", "large-vehicle", "building", "smal_vehicle"))
    assert not any(misspelt(name, classes) for name in ("trees", "vehicle", "lake"))


def test_placed_vector_without_crs_over_a_georeferenced_image() -> None:
    frame = geopandas.GeoDataFrame(geometry=on_map(box(1, 1, 2, 2)))
    with pytest.raises(LabelError, match="names no coordinate system"):
        placed(frame, REFERENCE, "here")
    (geometry,) = placed(frame, REFERENCE, "here", plain=True).geometries
    assert geometry.bounds == (1, 1, 2, 2)


@pytest.mark.parametrize(
    ("crs", "shape", "system"),
    [
        ("EPSG:4326", box(3, 36, 3.1, 36.1), 'LOCAL_CS["site grid",UNIT["metre",1]]'),
        ("EPSG:4326", box(-180, -90, 180, -60), "EPSG:2154"),
    ],
)
def test_placed_what_no_way_leads_to_the_image(crs: str, shape: Any, system: str) -> None:
    reference = replace(REFERENCE, crs=rasterio.CRS.from_string(system).to_wkt())
    with pytest.raises(LabelError, match=r"here: not all of it can be brought to the image's coordinate system: check"):
        placed(geopandas.GeoDataFrame(geometry=[shape], crs=crs), reference, "here")


def test_placed_world_file_without_crs() -> None:
    reference = RasterInfo(20, 10, transform=REFERENCE.transform)
    (geometry,) = placed(geopandas.GeoDataFrame(geometry=on_map(box(1, 1, 2, 2))), reference, "here").geometries
    assert geometry.bounds == (1, 1, 2, 2)
