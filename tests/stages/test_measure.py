"""Counts and areas."""

from pathlib import Path

import numpy as np
import pytest
import shapely
from pyproj import Geod, Transformer
from shapely import Polygon, box

from polygon_jobs import UTM, add_polygons, add_registration, make_job
from rasterloom.polygons.areas import areas_m2, centre, locator, valid_pixels
from rasterloom.polygons.scores import COLUMNS
from rasterloom.stages import measure
from rasterloom.store.tables import tsv_text

PIXEL = [box(0, 0, 4, 5)]


def test_areas_m2_without_any_scale_are_unknown() -> None:
    assert areas_m2(PIXEL, PIXEL, None, None) is None


def test_areas_m2_by_ground_sampling_distance() -> None:
    found = areas_m2(PIXEL, PIXEL, None, 0.5)
    np.testing.assert_allclose(found, [5.0])  # type: ignore[arg-type]


SYSTEMS = (
    "EPSG:4326",
    "EPSG:3857",
    "EPSG:32632",
    "EPSG:3395",
    "EPSG:3035",
    "EPSG:6933",
    "EPSG:3413",
    "EPSG:32632+3855",
)


@pytest.mark.parametrize("crs", SYSTEMS)
def test_areas_m2_are_those_on_the_ellipsoid_whatever_the_system(crs: str) -> None:
    """A square of a kilometre at 60 degrees north, which Web Mercator draws four times as large."""
    longitude, latitude, _ = Geod(ellps="WGS84").fwd([10] * 4, [60] * 4, [45, 135, 225, 315], [500 * 2**0.5] * 4)
    way = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    square = Polygon(np.column_stack(way.transform(longitude, latitude)))
    hole = Polygon(square.exterior, [shapely.affinity.scale(square, 0.5, 0.5).exterior.coords])
    found = areas_m2(np.array([square, hole], dtype=object), None, crs, None, UTM)
    np.testing.assert_allclose(found, [1e6, 0.75e6], rtol=2e-7)  # type: ignore[arg-type]


def test_areas_m2_in_feet_across_the_antimeridian_and_on_no_earth() -> None:
    feet = areas_m2([box(6.5e6, 1.85e6, 6.5e6 + 10, 1.85e6 + 10)], PIXEL, "EPSG:2229", 0.5, UTM)
    np.testing.assert_allclose(feet, [100 * 0.3048006**2], rtol=3e-4)  # type: ignore[arg-type]
    east = areas_m2([box(785000, 1e6, 786000, 1001000)], PIXEL, "EPSG:32660", None, UTM)
    across = areas_m2([box(833000, 1e6, 834000, 1001000)], PIXEL, "EPSG:32660", None, UTM)  # 180 degrees lie within
    np.testing.assert_allclose(across, east, rtol=2e-3)  # type: ignore[arg-type]
    floor = areas_m2([box(0, 0, 10, 10)], PIXEL, 'LOCAL_CS["a floor plan",UNIT["foot",0.3048]]', None, UTM)
    np.testing.assert_allclose(floor, [100 * 0.3048**2])  # type: ignore[arg-type]
    with np.errstate(invalid="ignore"):
        nowhere = areas_m2([box(0, 0, 1, 1), box(np.inf, 0, np.inf, 1)], PIXEL, "EPSG:3857", None, UTM)
    assert nowhere is not None and nowhere[0] == 1, "in the plane"
    assert areas_m2(np.array([], dtype=object), PIXEL, "EPSG:4326", None, UTM).shape == (0,)  # type: ignore[union-attr]


def test_valid_pixels_are_those_with_data() -> None:
    reference = {"sensor": "rgb", "width": 4, "height": 3}
    sensors = {"rgb": {"moments": [{"count": 7}, {"count": 7}]}, "p": {"moments": [{"count": 12}]}}
    assert valid_pixels({"reference": reference, "sensors": sensors}) == 7
    assert valid_pixels({"reference": reference, "sensors": {}}) == 12


def test_run_writes_a_row_a_scene_and_class(tmp_path: Path) -> None:
    add_polygons(tmp_path, "trees", {"s": PIXEL})
    add_polygons(tmp_path, "trees", {"t": [*PIXEL, box(6, 6, 7, 7)]}, UTM, "EPSG:32616")
    add_polygons(tmp_path, "roads", {"s": [], "t": []})
    add_registration(tmp_path, "s")
    add_registration(tmp_path, "t", transform=UTM, crs="EPSG:32616", gsd=0.5)
    spec = {
        "stage": "measure", "classes": {"trees": 5, "roads": 3}, "scenes": ["s", "t"],
        "batches": {"s": ["s"], "t": ["t"]},
    }  # fmt: skip
    job = make_job(tmp_path, spec)
    known = {"part": "out-of-fold", "scene": "all", "tp": 6, "fp": 4, "fn": 2, "count_error": 0.25}
    scores = [{**known, "class": "trees"}, {**known, "class": "roads", "count_error": ""}]
    text = tsv_text(COLUMNS, [[own.get(name, "") for name in COLUMNS] for own in scores])
    (tmp_path / "score.tsv").write_text(text)
    assert all((tmp_path / path).is_file() for path in measure.inputs(job.spec))
    measure.run(job)
    found = [line.split("\t") for line in (tmp_path / "summary.tsv").read_text().splitlines()]
    place, errors = found[3][8:10], ["0.25", "0.25", "out-of-fold"]
    nothing = [""] * 3
    assert [float(number) for number in place] == pytest.approx([-84.481290, 33.640460], abs=1e-5)
    assert found == [
        list(measure.COLUMNS),
        ["s", "trees", "1", "20.00", "", "20.0000", "2", "2.5", "", "", *errors],
        ["s", "roads", "0", "0.00", "", "0.0000", "", "", "", "", *nothing],
        # (20 x (2, 2.5) + 1 x (6.5, 6.5)) / 21 = (2.214286, 2.690476) pixels of half a metre.
        ["t", "trees", "2", "21.00", "5.25", "21.0000", "733602.107143", "3725137.65476", *place, *errors],
        ["t", "roads", "0", "0.00", "0.00", "0.0000", "", "", "", "", *nothing],
    ]


@pytest.mark.parametrize("crs", [None, "EPSG:32616"])
def test_areas_m2_without_a_transform_use_pixels(crs: str | None) -> None:
    np.testing.assert_allclose(areas_m2(PIXEL, PIXEL, crs, 2.0), [80.0])  # type: ignore[arg-type]


def test_centre_is_weighted_by_area_and_keeps_large_coordinates() -> None:
    shapes = np.array([box(0, 0, 3, 1), box(9, 0, 10, 1)], dtype=object)
    assert centre(shapes) == (3.5, 0.5)
    far = np.array([box(4e6, 5e6, 4e6 + 3, 5e6 + 1), box(4e6 + 9, 5e6, 4e6 + 10, 5e6 + 1)], dtype=object)
    assert centre(far) == (4e6 + 3.5, 5e6 + 0.5)
    assert centre(np.array([], dtype=object)) is None
    assert centre(np.array([Polygon([(0, 0), (1, 1), (2, 2)])], dtype=object)) is None


def test_locator_gives_longitude_first() -> None:
    assert locator({"crs": "EPSG:4326", "transform": UTM})(10.0, 50.0) == pytest.approx((10.0, 50.0))
    found = locator({"crs": "EPSG:32633", "transform": UTM})(500000.0, 0.0)  # the middle of zone 33, on the equator
    assert found == pytest.approx((15.0, 0.0), abs=1e-9)


@pytest.mark.parametrize(
    "reference",
    [
        {"crs": None, "transform": UTM},
        {"crs": "EPSG:32633", "transform": None},
        {"crs": 'LOCAL_CS["a floor plan",UNIT["metre",1]]', "transform": UTM},
    ],
)
def test_locator_without_a_place_on_earth_gives_none(reference: dict[str, object]) -> None:
    assert locator(reference)(1.0, 2.0) is None


def test_locator_outside_a_projection_gives_none() -> None:
    assert locator({"crs": "EPSG:3857", "transform": UTM})(float("inf"), 0.0) is None
