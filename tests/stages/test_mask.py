"""Coverage fractions: exact on small cases, equal to another tool's mask on a real chip."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import LineString, MultiPolygon, Polygon, box, union_all

from rasterloom.errors import LabelError
from rasterloom.polygons.coverage import coverage, coverage_strips
from rasterloom.raster.grid import rows_of
from rasterloom.raster.planes import read_plane, write_plane
from rasterloom.stages import job_of, mask
from rasterloom.store.digest import array_digest
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store

IDENTITY = [[1, 0, 0], [0, 1, 0]]


def atlanta() -> Path:
    root = os.environ.get("RASTERLOOM_TEST_DATA")
    if not root:
        pytest.skip("RASTERLOOM_TEST_DATA is not set: the folder of real imagery is not here")
    folder = Path(root) / "spacenet-atlanta"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


def test_coverage_counts_parts_of_pixels() -> None:
    found = coverage([box(0.5, 0, 2, 1), box(1, 1, 1.25, 2)], (2, 3), IDENTITY)
    np.testing.assert_array_equal(found, [[128, 255, 0], [0, 64, 0]])


def test_coverage_overlaps_count_once() -> None:
    once = coverage([box(0.3, 0.3, 2.6, 1.7)], (2, 3), IDENTITY)
    twice = coverage([box(0.3, 0.3, 2, 1.7), box(0.3, 0.3, 2.6, 1.7)], (2, 3), IDENTITY)
    np.testing.assert_array_equal(once, twice)


def test_coverage_keeps_holes() -> None:
    ring = Polygon([(0, 0), (3, 0), (3, 3), (0, 3)], [[(1, 1), (2, 1), (2, 2), (1, 2)]])
    np.testing.assert_array_equal(coverage(ring, (3, 3), IDENTITY) == 0, np.eye(3)[1][:, None] * np.eye(3)[1] > 0)


def test_coverage_of_nothing_is_zero() -> None:
    assert not coverage([], (2, 3), IDENTITY).any()
    assert not coverage([Polygon(), None, MultiPolygon()], (2, 3), IDENTITY).any()
    assert not coverage([box(10, 10, 12, 12)], (2, 3), IDENTITY).any()
    assert coverage([box(0, 0, 9, 9)], (0, 3), IDENTITY).shape == (0, 3)


def test_coverage_through_a_transform() -> None:
    # Map coordinates with y up, half a unit a pixel.
    found = coverage([box(100.0, 49.5, 101.0, 50.0)], (2, 3), [[0.5, 0, 100.0], [0, -0.5, 50.0]])
    np.testing.assert_array_equal(found, [[255, 255, 0], [0, 0, 0]])


@pytest.mark.parametrize("supersample", [1, 4, 16, 20])
def test_coverage_full_is_255(supersample: int) -> None:
    assert (coverage([box(-1, -1, 5, 5)], (3, 4), IDENTITY, supersample) == 255).all()


def test_coverage_refuses_lines_and_no_samples() -> None:
    with pytest.raises(LabelError, match="LineString"):
        coverage([LineString([(0, 0), (1, 1)])], (2, 2), IDENTITY)
    with pytest.raises(LabelError, match="supersample"):
        coverage([box(0, 0, 1, 1)], (2, 2), IDENTITY, 0)


rectangles = st.tuples(*[st.floats(0, 7) for _ in range(2)], *[st.floats(0.5, 5) for _ in range(2)])


@settings(max_examples=60, deadline=None)
@given(st.lists(rectangles, min_size=1, max_size=4))
def test_coverage_area_is_that_of_the_union(found: list[tuple[float, float, float, float]]) -> None:
    boxes = [box(x, y, x + w, y + h) for x, y, w, h in found]
    union = union_all(boxes)
    area = coverage(boxes, (12, 12), IDENTITY, 8).sum() / 255
    # A straight edge errs by at most half a sample along its length.
    assert abs(area - union.area) <= union.length / 16 + 0.1


@settings(max_examples=30, deadline=None)
@given(st.lists(rectangles, max_size=3), st.integers(1, 7))
def test_coverage_strips_do_not_change_it(found: list[tuple[float, float, float, float]], rows: int) -> None:
    boxes = [box(x, y, x + w, y + h) for x, y, w, h in found]
    whole = coverage(boxes, (11, 12), IDENTITY)
    np.testing.assert_array_equal(np.concatenate(list(coverage_strips(boxes, (11, 12), IDENTITY, rows=rows))), whole)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # the other tool's mask has none
def test_coverage_agrees_with_another_tool_on_atlanta() -> None:
    import geopandas
    import rasterio

    folder = atlanta()
    shapes = geopandas.read_file(folder / "geotiff_labels.geojson").geometry
    with rasterio.open(folder / "sample_geotiff.tif") as image:
        transform = rows_of(image.transform)
    with rasterio.open(folder / "sample_fp_mask_from_geojson.tif") as theirs:
        expected = theirs.read(1) > 0
    exact = coverage(shapes, expected.shape, transform, supersample=1) >= 128
    assert (exact != expected).sum() == 0
    fraction = coverage(shapes, expected.shape, transform, supersample=4)
    differs = (fraction >= 128) != expected
    assert differs.sum() <= 0.015 * expected.sum()
    assert fraction[differs].min() > 60 and fraction[differs].max() < 196  # only where an edge passes the centre
    area = coverage(shapes, expected.shape, transform).sum() / 255
    truth = union_all(shapes.to_numpy()).area * 4
    assert abs(area - truth) < 0.0005 * truth
    assert abs(area - truth) < abs(expected.sum() - truth)


def test_write_plane_digest_is_that_of_the_array(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (300, 7), dtype=np.uint8)
    path = tmp_path / "a.zarr.zip"
    digest = write_plane(path, "coverage", image.shape, [image[:256], image[256:]])
    assert digest == array_digest({"coverage": image})
    np.testing.assert_array_equal(read_plane(path, "coverage"), image)


# A job ------------------------------------------------------------------------------------------------------


def make_item(store: Store, stage: str, key: str, suffix: str, write: Any, digest: str | None = None) -> Item:
    with store.writing(stage, key, suffix) as work:
        write(work.path)
        work.digest = digest or key
    return work.committed()


def make_job(folder: Path, classes: dict[str, list[Any]]) -> Job:
    import geopandas

    store = Store(folder / "store")
    reference = {"width": 8, "height": 6, "gsd": None, "transform": None, "crs": None, "sensor": "rgb"}
    text = json.dumps({"reference": reference, "sensors": {}})
    item = make_item(store, "register", "r", ".registration.json", lambda path: path.write_text(text))
    Manifest("register", {"s": item}).write(folder / "registration" / "s.json")
    for name, shapes in classes.items():
        table = geopandas.GeoDataFrame(
            {"scene": ["s"] * len(shapes), "class": [name] * len(shapes)}, geometry=geopandas.GeoSeries(shapes)
        )
        label = make_item(store, "label", name, ".parquet", table.to_parquet)
        Manifest("label", {"s": label}).write(folder / "labels" / f"{name}.json")
    spec = {
        "stage": "mask",
        "version": 1,
        "scene": "s",
        "scale": {"name": "half", "factor": 0.5},
        "target": "both",
        "classes": list(classes),
    }
    return job_of(spec, {}, folder, store)


def test_run_unites_the_classes_of_a_target(tmp_path: Path) -> None:
    job = make_job(tmp_path, {"car": [box(0, 0, 2, 2)], "truck": [box(1, 0, 4, 2)], "none": []})
    assert mask.inputs(job.spec) == [
        "registration/s.json", "labels/car.json", "labels/truck.json", "labels/none.json",
    ]  # fmt: skip
    mask.run(job)
    item = Manifest.read(tmp_path / "masks/half/both/s.json").items["s"]
    found = read_plane(tmp_path / "store" / item.path, "coverage")
    np.testing.assert_array_equal(found, [[255, 255, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert item.digest == array_digest({"coverage": found})


def test_run_reuses_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, {"car": [box(0, 0, 2, 2)]})
    mask.run(job)
    first = Manifest.read(job.output)
    monkeypatch.setattr(mask, "coverage_strips", lambda *_, **__: pytest.fail("computed again"))
    mask.run(job)
    assert Manifest.read(job.output) == first


def test_run_names_a_scene_that_was_not_labelled(tmp_path: Path) -> None:
    job = make_job(tmp_path, {"car": []})
    Manifest("label", {}).write(tmp_path / "labels" / "car.json")
    with pytest.raises(LabelError, match="scene s has no labels of class car"):
        mask.run(job)
