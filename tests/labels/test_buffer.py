"""Points and lines as labels: discs and strips, as wide as the class's `buffer` says, in pixels or on the ground."""

from __future__ import annotations

import math
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely
from rasterio.transform import Affine
from shapely.geometry import GeometryCollection, LineString, MultiPoint, Point, box

from common import ROOT
from rasterloom.config import read_config_files
from rasterloom.errors import LabelError
from rasterloom.labels.geometry import Buffer, polygon_parts
from rasterloom.polygons.geometry import transformed
from rasterloom.project.project import Project
from rasterloom.raster.files import raster_info
from rasterloom.raster.georeference import ground_distance, ground_matrix
from rasterloom.raster.grid import invert
from small_labels import NORTH_UP, UTM, buffered, image, label_job_of, on_map, run_labels, sheet

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:'crs' was not provided"),
]

HOUSE = box(12, 2, 16, 6)
TWO = Buffer("trees", [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])


def given(root: Path, *shapes: Any, crs: str | None = UTM, transform: Affine | None = NORTH_UP) -> Any:
    """A sheet of one scene `a` of 20 x 10 pixels of half a metre, and labels in map coordinates."""
    image(root / "a.tif", crs, transform)
    geopandas.GeoDataFrame(geometry=list(shapes), crs=crs).to_file(root / "l.gpkg")
    return sheet(root, "scene|split|rgb|labels:houses", "a|train|a.tif|l.gpkg")


def labels(root: Path, dataset: Any) -> list[Any]:
    return list(run_labels(dataset, "houses", root / "results")["a"].geometry)


def test_points_become_discs_lines_strips_and_polygons_stay() -> None:
    shapes = [Point(10, 10), LineString([(20, 10), (40, 10)]), HOUSE, MultiPoint([(50, 9), (60, 9)])]
    (disc, strip, house, *more), counts = polygon_parts(shapes, "here", TWO)
    assert disc.bounds == pytest.approx((8, 8, 12, 12))
    assert disc.area == pytest.approx(4 * math.pi, rel=0.01)
    assert strip.area == pytest.approx(20 * 4 + 4 * math.pi, rel=0.01), "half the width on either side, round ends"
    assert house.equals_exact(HOUSE)
    assert [part.centroid.x for part in more] == pytest.approx([50, 60])
    assert not counts


def test_points_in_collections_count_with_a_buffer() -> None:
    parts, counts = polygon_parts([GeometryCollection([Point(9, 9), HOUSE])], "here", TWO)
    assert sorted(round(part.area) for part in parts) == [13, 16]
    assert counts == {"collection": 1}


def test_the_same_point_twice_is_one_disc() -> None:
    assert polygon_parts([Point(9, 9), Point(9, 9)], "here", TWO)[1] == {"duplicate": 1}


def test_points_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(LabelError, match="not numbers"):
        polygon_parts([Point(math.inf, 1)], "here", TWO)


def test_points_without_a_buffer_name_the_key(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"l\.gpkg.*Point.*`classes\.houses\.buffer`.*metres"):
        labels(tmp_path, given(tmp_path, *on_map(Point(5, 5))))


@pytest.mark.parametrize(("buffer", "radius"), [({"pixels": 3.0}, 3.0), ({"metres": 1.0}, 2 * 0.9996)])
def test_a_mixed_file_of_a_sheet(buffer: dict[str, float], radius: float, tmp_path: Path) -> None:
    """Metres are those on the ground: in the middle of UTM a map is 0.9996 of it."""
    dataset = buffered(given(tmp_path, *on_map(Point(5, 5), HOUSE)), **buffer)
    disc, house = sorted(labels(tmp_path, dataset), key=lambda part: float(part.bounds[0]))
    assert disc.bounds == pytest.approx((5 - radius, 5 - radius, 5 + radius, 5 + radius), abs=1e-6)
    assert house.bounds == pytest.approx(HOUSE.bounds)


def test_discs_reach_in_from_outside_and_are_cut_at_the_edge(tmp_path: Path) -> None:
    dataset = buffered(given(tmp_path, *on_map(Point(-1, 5), Point(5, 11.9), Point(5, 12.1))), pixels=2.0)
    left, below = sorted(labels(tmp_path, dataset), key=lambda part: float(part.bounds[0]))
    assert left.bounds[::2] == pytest.approx((0, 1))
    assert below.bounds[3] == 10


def test_metres_in_degrees_and_under_a_turned_georeference(tmp_path: Path) -> None:
    """A disc in metres is round on the ground whatever the pixels are: as one that was buffered in UTM."""
    for crs, transform in {
        "EPSG:4326": Affine(2e-5, 0, 3.0, 0, -1e-5, 60.0),
        UTM: Affine(0.5, 0, 500_000, 0, -0.4, 6_651_000) @ Affine.rotation(30),
    }.items():
        folder = tmp_path / crs[5:]
        folder.mkdir()
        place = Point(transform @ (10, 5))
        dataset = buffered(given(folder, place, crs=crs, transform=transform), metres=1.5)
        (disc,) = labels(folder, dataset)
        (a, b, c, d, e, f), own = transform[:6], geopandas.GeoSeries([disc])
        found = own.affine_transform([a, b, d, e, c, f]).set_crs(crs).to_crs(UTM)
        expected = geopandas.GeoSeries([place], crs=crs).to_crs(UTM).buffer(1.5)
        assert float(shapely.hausdorff_distance(found[0], expected[0])) < 0.02, crs
        matrix, info = ground_matrix(raster_info(folder / "a.tif")), raster_info(folder / "a.tif")
        assert matrix is not None
        (a, b, _), (d, e, _) = matrix
        assert math.sqrt(abs(a * e - b * d)) == pytest.approx(ground_distance(info))


def test_metres_over_an_image_without_a_length_are_refused(tmp_path: Path) -> None:
    dataset = buffered(given(tmp_path, Point(5, 5), crs=None, transform=None), metres=2.0)
    with pytest.raises(LabelError, match=r"`classes\.houses\.buffer` is in metres.*\{pixels: \.\.\.\}"):
        labels(tmp_path, dataset)
    assert len(labels(tmp_path, buffered(dataset, pixels=2.0))) == 1


def test_polygons_alone_need_no_length_of_the_image(tmp_path: Path) -> None:
    """A class may have points over one scene and polygons over another, whose image has no coordinate system."""
    dataset = buffered(given(tmp_path, HOUSE, crs=None, transform=None), metres=2.0)
    assert [part.bounds for part in labels(tmp_path, dataset)] == [HOUSE.bounds]


def test_only_points_and_lines_depend_on_the_buffer(tmp_path: Path) -> None:
    def key(dataset: Any) -> str:
        labels(tmp_path, dataset)
        return str(label_job_of(dataset, "houses", tmp_path / "results").manifest("labels/houses").items["a"].key)

    plain = given(tmp_path, *on_map(HOUSE))
    assert key(plain) == key(buffered(plain, metres=2.0))
    mixed = given(tmp_path, *on_map(HOUSE, Point(5, 5)))
    assert key(buffered(mixed, metres=2.0)) != key(buffered(mixed, metres=1.0))
    assert key(buffered(mixed, metres=1.0)) != key(buffered(mixed, pixels=2.0)), "the record says which was given"


def test_urban_trees_are_discs_of_two_metres(test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["urban-trees.py"])
    monkeypatch.setenv("RASTERLOOM_TEST_DATA", str(test_data))
    runpy.run_path(str(ROOT / "presets/urban-trees.py"), run_name="__main__")
    project = Project.load(read_config_files([ROOT / "config.yaml", ROOT / "presets/urban-trees.yaml"]))
    scenes = project.dataset.scenes
    assert (len(scenes), project.fold_names) == (118, ["train", "val"])
    assert sum(scene.fold == "val" for scene in scenes.values()) == 22
    assert len(project.acquisitions) == 5, "the cities"
    scene = scenes["claremont_2020_0"]
    found = run_labels(replace(project.dataset, scenes={scene.id: scene}), "trees", tmp_path)[scene.id]
    pixels = invert(raster_info(scene.sensors["rgbn"][0].path).transform or [])
    points = transformed(geopandas.read_file(scene.labels["trees"].file.path).geometry, pixels)
    inner = [point for point in points if 4 < point.x < 252 and 4 < point.y < 252]
    discs = [disc for disc in found.geometry if disc.area > 34.8]
    assert len(found) == len(points) > len(inner) > 10
    assert len(discs) >= len(inner)
    tree = shapely.STRtree([disc.centroid for disc in discs])
    assert max(tree.query_nearest(inner, return_distance=True)[1]) < 1e-6
    assert discs[0].area == pytest.approx(math.pi * (2 / 0.6) ** 2, rel=0.01)


def test_urban_trees_by_city(test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["urban-trees.py", "--folds", "city"])
    monkeypatch.setenv("RASTERLOOM_TEST_DATA", str(test_data))
    runpy.run_path(str(ROOT / "presets/urban-trees.py"), run_name="__main__")
    project = Project.load(read_config_files([ROOT / "config.yaml", ROOT / "presets/urban-trees.yaml"]))
    assert len(project.fold_names) == 5
    assert all(scene.fold == scene.acquisition for scene in project.dataset.scenes.values())
