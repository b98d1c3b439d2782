"""Vectorising: morphology, map coordinates, and artifacts whose digests are those of their content."""

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import scipy.ndimage
import shapely
from shapely import box

from rasterloom.polygons.geometry import strictly_valid
from rasterloom.polygons.morphology import morphology
from rasterloom.polygons.outlines import outlines
from rasterloom.polygons.record import polygons_of, table_digest
from rasterloom.polygons.tuning import SETTINGS as TUNED_KEYS
from rasterloom.raster.planes import write_plane
from rasterloom.stages import job_of, vectorise
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store

TUNED = {**dict.fromkeys(TUNED_KEYS, 0.0), "threshold": 127.5, "confidence": None}
SETTINGS = {**TUNED, "simplify": 0.25, "shape": "free"}
UTM = [[0.5, 0.0, 733601.0], [0.0, -0.5, 3725139.0]]


def square() -> Any:
    image = np.zeros((10, 12), np.uint8)
    image[3:7, 4:8] = 255
    return image


def test_morphology_opens_and_closes_by_discs() -> None:
    image = square()
    image[5, 8:] = 255  # a line of one pixel
    np.testing.assert_array_equal(morphology(image, 1, 0), square())
    image = square()
    image[5, 4:8] = 0
    np.testing.assert_array_equal(morphology(image, 0, 1), square())
    least = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    crossed = scipy.ndimage.grey_closing(image, footprint=least)
    np.testing.assert_array_equal(morphology(image, 0, 0.2)[1:-1, 1:-1], crossed[1:-1, 1:-1])


def test_morphology_keeps_sub_pixel_edges() -> None:
    image = square()
    image[3:7, 8] = 128
    (found,) = outlines(morphology(image, 0.5, 0.5), 127.5, simplify=0)
    assert abs(found.bounds[2] - 8.5) < 0.03


def test_morphology_keeps_borders() -> None:
    image = np.full((5, 9), 200, np.uint8)
    image[:, 4] = 0
    np.testing.assert_array_equal(morphology(image, 0, 1), np.full((5, 9), 200))
    np.testing.assert_array_equal(morphology(np.full((4, 4), 9, np.uint8), 3, 0), np.full((4, 4), 9))


def test_morphology_of_radius_zero_is_the_image() -> None:
    image = square()
    assert morphology(image, 0, 0) is image


def test_polygons_of_openings_count_in_reference_pixels() -> None:
    image = square()
    image[5, 8:] = 255
    reference = {"width": 120, "height": 100, "transform": None, "crs": None}
    (kept,), _ = polygons_of(image, reference, SETTINGS)
    (opened,), _ = polygons_of(image, reference, {**SETTINGS, "open": 10.0})
    assert kept.bounds[2] == 120 and opened.bounds[2] == 80


def test_polygons_of_are_in_pixels_and_on_the_map() -> None:
    reference = {"width": 24, "height": 20, "transform": UTM, "crs": None}
    pixel, mapped = polygons_of(square(), reference, SETTINGS)
    assert pixel[0].bounds == (8, 6, 16, 14)
    assert mapped[0].bounds == (733605.0, 3725132.0, 733609.0, 3725136.0)
    assert strictly_valid(mapped)


def test_polygons_of_without_a_transform_are_in_pixels_twice() -> None:
    reference = {"width": 12, "height": 10, "transform": None, "crs": None}
    pixel, mapped = polygons_of(square(), reference, SETTINGS)
    assert shapely.equals_exact(pixel, mapped, 0).all()


def test_table_digest_is_that_of_the_content() -> None:
    boxes = [box(0, 0, 1, 1), box(2, 2, 3, 3)]
    digest = table_digest("s", "trees", None, boxes, boxes)
    assert digest == table_digest("s", "trees", None, np.array(boxes), boxes)
    others = [
        table_digest("t", "trees", None, boxes, boxes),
        table_digest("s", "roads", None, boxes, boxes),
        table_digest("s", "trees", "EPSG:4326", boxes, boxes),
        table_digest("s", "trees", None, boxes[::-1], boxes),
        table_digest("s", "trees", None, boxes, boxes[::-1]),
        table_digest("s", "trees", None, boxes[:1], boxes),
        table_digest("s", "trees", None, boxes, boxes, np.array([0.5, np.nan])),
        table_digest("s", "trees", None, boxes, boxes, np.array([0.5, 0.6])),
    ]
    assert len({digest, *others}) == 9


# A job ------------------------------------------------------------------------------------------------------


def add(store: Store, stage: str, key: str, suffix: str, text: str) -> Item:
    with store.writing(stage, key, suffix) as work:
        work.path.write_text(text)
        work.digest = key
    return work.committed()


def make_job(folder: Path, crs: str | None = "EPSG:32616", own: float | None = None) -> Job:
    store = Store(folder / "store")
    images = {"s": square(), "t": np.zeros((10, 12), np.uint8)}
    items = {}
    for scene, image in images.items():
        with store.writing("ensemble", scene, ".zarr.zip") as work:
            work.digest = write_plane(work.path, "probability", image.shape, [image])
        items[scene] = work.committed()
        reference = {"width": 12, "height": 10, "transform": UTM, "crs": crs, "gsd": 0.5, "sensor": "rgb"}
        registration = add(
            store, "register", f"r{scene}", ".registration.json", json.dumps({"reference": reference, "sensors": {}})
        )
        Manifest("register", {scene: registration}).write(folder / "registration" / f"{scene}.json")
    Manifest("ensemble", items).write(folder / "ensembles/house/b.json")
    tuned = {**TUNED, "scenes": {} if own is None else {"s": {**TUNED, "threshold": own}}}
    tuning = add(store, "tune", f"t{own}", ".tuning.json", json.dumps(tuned))
    Manifest("tune", {"house": tuning}).write(folder / "tuning/house.json")
    spec = {
        "stage": "vectorise", "version": 1, "class": "house", "id": 1, "batch": "b", "scenes": ["s", "t"],
        "polygons": {"simplify": 0.25, "shape": "free"},
    }  # fmt: skip
    return job_of(spec, {}, folder, store)


def with_water(job: Job, river: Any) -> Job:
    """The job of a class whose water flows, beside one whose water stands."""
    empty = np.zeros((40, 48), np.uint8)
    found = {"house": {"s": square(), "t": empty}, "lake": {"s": np.zeros((20, 24), np.uint8), "t": river}}
    for name, images in found.items():
        items = {}
        for scene, image in images.items():
            with job.store.writing("ensemble", f"{name}{scene}{image.sum()}", ".zarr.zip") as work:
                work.digest = write_plane(work.path, "probability", image.shape, [image])
            items[scene] = work.committed()
        Manifest("ensemble", items).write(job.results / f"ensembles/{name}/b.json")
    tuning = add(job.store, "tune", "lake", ".tuning.json", json.dumps({**TUNED, "threshold": 99.5, "scenes": {}}))
    Manifest("tune", {"lake": tuning}).write(job.results / "tuning/lake.json")
    return job_of({**job.spec, "water": ["house", "lake"]}, {}, job.results, job.store)


def test_run_gives_bodies_of_water_to_the_class_of_their_shape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    river = np.zeros((80, 96), np.uint8)
    job = with_water(make_job(tmp_path), river)
    assert vectorise.inputs(job.spec)[:4] == [
        "ensembles/house/b.json", "ensembles/lake/b.json", "tuning/house.json", "tuning/lake.json",
    ]  # fmt: skip
    vectorise.run(job)
    assert len(table(job, "s")) == 0  # a square within the scene
    assert "vectorise: scene s: 16 pixels around column 6, row 4 stand" in capsys.readouterr().err
    first = Manifest.read(job.output).items
    lake = job_of({**job.spec, "class": "lake"}, {}, job.results, job.store)
    vectorise.run(lake)
    assert table(lake, "s")["pixel"].iloc[0].area == pytest.approx(16, rel=0.05)
    river[40:42] = 200  # across the scene, and the other class found it
    job = with_water(job, river)
    vectorise.run(job)
    assert table(job, "t")["pixel"].iloc[0].bounds == pytest.approx((0, 5, 12, 5.25), abs=0.03)
    second = Manifest.read(job.output).items
    assert second["s"] == first["s"] and second["t"].key != first["t"].key
    swapped = job_of({**job.spec, "water": ["lake", "house"]}, {}, job.results, job.store)
    keys, others = ({want.name: want.key for want in vectorise.wanted(own)} for own in (job, swapped))
    assert keys["t"] == second["t"].key and not {*keys.values()} & {*others.values()}, "which one flows decides"


def table(job: Job, scene: str) -> Any:
    item = Manifest.read(job.output).items[scene]
    return geopandas.read_parquet(job.store.open_path(item))


def test_run_writes_a_table_a_scene(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    assert vectorise.inputs(job.spec) == [
        "ensembles/house/b.json", "tuning/house.json", "registration/s.json", "registration/t.json",
    ]  # fmt: skip
    vectorise.run(job)
    found = table(job, "s")
    assert list(found.columns) == ["scene", "class", "geometry", "pixel", "confidence"]
    assert found.crs.to_epsg() == 32616 and found["pixel"].crs is None
    assert found[["scene", "class"]].to_numpy().tolist() == [["s", "house"]]
    assert found.geometry.iloc[0].bounds == (733603.0, 3725135.5, 733605.0, 3725137.5)
    assert found["pixel"].iloc[0].bounds == (4, 3, 8, 7)
    item = Manifest.read(job.output).items["s"]
    assert item.digest == table_digest("s", "house", "EPSG:32616", found.geometry, found["pixel"], found["confidence"])


def test_run_writes_an_empty_table_with_all_columns(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    vectorise.run(job)
    found = table(job, "t")
    assert len(found) == 0 and found.crs.to_epsg() == 32616
    assert list(found.columns) == ["scene", "class", "geometry", "pixel", "confidence"]


def test_run_says_how_sure_it_is_of_an_object(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    vectorise.run(job)
    assert table(job, "s")["confidence"].isna().all()
    tuned = {**TUNED, "scenes": {}, "confidence": [1.0, 0.0, 0.0, 0.0]}
    item = add(job.store, "tune", "sure", ".tuning.json", json.dumps(tuned))
    Manifest("tune", {"house": item}).write(tmp_path / "tuning/house.json")
    vectorise.run(job)
    assert table(job, "s")["confidence"].tolist() == [0.7311]


def test_run_without_a_crs(tmp_path: Path) -> None:
    job = make_job(tmp_path, crs=None)
    vectorise.run(job)
    assert table(job, "s").crs is None


def test_run_uses_a_scene_s_own_threshold_and_recomputes_it_alone(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    vectorise.run(job)
    first = Manifest.read(job.output).items
    job = make_job(tmp_path, own=200.5)
    vectorise.run(job)
    second = Manifest.read(job.output).items
    assert second["t"] == first["t"]
    assert second["s"].key != first["s"].key
    # A higher level lies further in.
    assert table(job, "s")["pixel"].iloc[0].area < 15


def test_run_reuses_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path)
    vectorise.run(job)
    first = Manifest.read(job.output)
    monkeypatch.setattr(vectorise, "polygons_of", lambda *_: pytest.fail("computed again"))
    vectorise.run(job)
    assert Manifest.read(job.output) == first
