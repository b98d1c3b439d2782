"""Counts and areas."""

from pathlib import Path

import numpy as np
import pytest
from shapely import Polygon, box

from polygon_jobs import UTM, add_polygons, add_registration, make_job
from rasterloom.polygons.areas import areas_m2, centre, locator, valid_pixels
from rasterloom.stages import measure

PIXEL = [box(0, 0, 4, 5)]


def test_areas_m2_without_any_scale_are_unknown() -> None:
    assert areas_m2(PIXEL, PIXEL, None, None) is None


def test_areas_m2_by_ground_sampling_distance() -> None:
    found = areas_m2(PIXEL, PIXEL, None, 0.5)
    np.testing.assert_allclose(found, [5.0])  # type: ignore[arg-type]


def test_areas_m2_by_projected_crs() -> None:
    metres = areas_m2([box(0, 0, 10, 10)], PIXEL, "EPSG:32616", 0.5, UTM)
    feet = areas_m2([box(0, 0, 10, 10)], PIXEL, "EPSG:2229", 0.5, UTM)
    np.testing.assert_allclose(metres, [100.0])  # type: ignore[arg-type]
    np.testing.assert_allclose(feet, [100 * 0.3048006**2], rtol=1e-6)  # type: ignore[arg-type]


def test_areas_m2_by_geographic_crs_lie_on_the_ellipsoid() -> None:
    degree = [Polygon([(10, 0), (10.001, 0), (10.001, 0.001), (10, 0.001)], [])]
    found = areas_m2(degree, PIXEL, "EPSG:4326", None, UTM)
    np.testing.assert_allclose(found, [111.3195 * 110.5743], rtol=1e-4)  # type: ignore[arg-type]
    hole = [Polygon([(10, 0), (10.002, 0), (10.002, 0.002), (10, 0.002)], [degree[0].exterior.coords])]
    rest = areas_m2(hole, PIXEL, "EPSG:4326", None, UTM)
    np.testing.assert_allclose(rest, [3 * 111.3195 * 110.5743], rtol=1e-4)  # type: ignore[arg-type]


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
    assert all((tmp_path / path).is_file() for path in measure.inputs(job.spec))
    measure.run(job)
    found = [line.split("\t") for line in (tmp_path / "summary.tsv").read_text().splitlines()]
    place = found[3][-2:]
    assert [float(number) for number in place] == pytest.approx([-84.481290, 33.640460], abs=1e-5)
    assert found == [
        ["scene", "class", "count", "area_px", "area_m2", "percent", "x", "y", "longitude", "latitude"],
        ["s", "trees", "1", "20.00", "", "20.0000", "2", "2.5", "", ""],
        ["s", "roads", "0", "0.00", "", "0.0000", "", "", "", ""],
        # (20 x (2, 2.5) + 1 x (6.5, 6.5)) / 21 = (2.214286, 2.690476) pixels of half a metre.
        ["t", "trees", "2", "21.00", "5.25", "21.0000", "733602.107143", "3725137.65476", *place],
        ["t", "roads", "0", "0.00", "0.00", "0.0000", "", "", "", ""],
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
