"""Thresholds from histograms, and a tuning job."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box

from common import says
from rasterloom.polygons import confidence, contours, coverage
from rasterloom.polygons import tuning as tuning_settings
from rasterloom.polygons.thresholds import (
    best_threshold,
    fixed_threshold,
    jaccards,
    joint_histogram,
    split_counts,
    threshold_of,
    tuning,
)
from rasterloom.polygons.tuning import settings_of
from rasterloom.raster.planes import write_plane
from rasterloom.stages import job_of, tune
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store


def counts(inside: dict[int, int], outside: dict[int, int]) -> Any:
    found = np.zeros((2, 256), np.int64)
    for row, given_counts in enumerate((outside, inside)):
        for value, number in given_counts.items():
            found[row, value] = number
    return found


def grey(*rows: list[int]) -> Any:
    return np.array(rows, np.uint8)


def test_split_counts_are_inside_and_outside() -> None:
    found = split_counts(joint_histogram(grey([0, 7, 255], [7, 7, 0]), grey([255, 128, 200], [0, 127, 30])))
    np.testing.assert_array_equal(found, counts({0: 1, 7: 1, 255: 1}, {7: 2, 0: 1}))


def test_split_counts_take_the_largest_coverage_if_none_is_half() -> None:
    found = split_counts(joint_histogram(grey([1, 2, 3, 4]), grey([30, 90, 90, 0])))
    np.testing.assert_array_equal(found, counts({2: 1, 3: 1}, {1: 1, 4: 1}))
    np.testing.assert_array_equal(split_counts(joint_histogram(grey([9, 9]), grey([0, 0]))), counts({}, {9: 2}))


def test_joint_histograms_of_bands_add_up() -> None:
    rng = np.random.default_rng(3)
    probability, fraction = rng.integers(0, 256, (2, 20, 30)).astype(np.uint8)
    parts = [joint_histogram(probability[r : r + 7], fraction[r : r + 7]) for r in range(0, 20, 7)]
    np.testing.assert_array_equal(sum(parts), joint_histogram(probability, fraction))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 20, 256]), st.integers(0, 254))
def test_jaccards_equal_counting_pixels(seed: int, values: int, level: int) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.integers(0, values, (9, 9)).astype(np.uint8)
    truth = rng.random((9, 9)) < 0.3
    truth[0, 0] = True
    positive = probability > level + 0.5
    expected = (positive & truth).sum() / (positive | truth).sum()
    found = jaccards(split_counts(joint_histogram(probability, truth.astype(np.uint8) * 255)))
    assert found is not None and found.shape == (255,)
    assert found[level] == pytest.approx(expected)


def test_best_threshold_lies_in_the_middle_of_the_plateau() -> None:
    assert best_threshold(counts({201: 5}, {100: 5})) == (150.5, 1.0, None)  # levels 100.5 .. 200.5
    assert best_threshold(counts({102: 5}, {100: 5})) == (100.5, 1.0, None)  # levels 100.5, 101.5
    assert best_threshold(counts({255: 5}, {0: 5})) == (127.5, 1.0, None)


def test_best_threshold_takes_the_longest_of_equal_runs() -> None:
    # Level 10.5 .. 12.5 gives 2/4, and so does 50.5 .. 89.5.
    threshold, score, _ = best_threshold(counts({13: 1, 14: 1, 90: 2}, {10: 9, 50: 2, 13: 0}))
    found = jaccards(counts({13: 1, 14: 1, 90: 2}, {10: 9, 50: 2}))
    assert found is not None
    assert score == found.max()
    run = np.flatnonzero(found == found.max()) + 0.5
    assert threshold in run


def test_best_threshold_without_truth_says_why() -> None:
    *found, why = best_threshold(counts({}, {9: 9}))
    assert found == [127.5, None] and says(why or "", "no truth pixel ... out-of-fold")
    *found, why = best_threshold(counts({0: 4}, {9: 9}))
    assert found == [127.5, 0.0] and says(why or "", "no threshold ... truth pixel")


@pytest.mark.parametrize(("given_", "expected"), [(0.5, 127.5), (0.0, 0.5), (1.0, 254.5), (0.4, 102.5)])
def test_fixed_threshold_lies_between_integers(given_: float, expected: float) -> None:
    assert fixed_threshold(given_) == expected


def test_tuning_leaves_each_ground_out() -> None:
    high, low = counts({201: 10}, {150: 10}), counts({101: 10}, {50: 10})
    found = tuning({"a": high, "b": high, "c": low}, {"a": "one", "b": "one", "c": "two"})
    # a and b are the same ground, so c alone decides for both, and they decide for c.
    assert threshold_of(found, "a") == threshold_of(found, "b") == 75.5
    assert threshold_of(found, "c") == 175.5
    assert threshold_of(found, "elsewhere") == found["threshold"]
    json.dumps(found, allow_nan=False)


def test_tuning_of_one_ground_falls_back_for_its_scenes() -> None:
    found = tuning({"a": counts({201: 10}, {150: 10})}, {"a": "one"})
    assert found["threshold"] == 175.5
    reason = found["scenes"]["a"].pop("reason")
    assert found["scenes"]["a"] == {"threshold": 127.5, "jaccard": None} and "no truth pixel" in reason


def test_tuning_of_nothing() -> None:
    found = tuning({}, {})
    assert found["threshold"] == 127.5 and found["reason"] and found["scenes"] == {}


# A job ------------------------------------------------------------------------------------------------------


def add(store: Store, stage: str, key: str, suffix: str, text: str) -> Item:
    with store.writing(stage, key, suffix) as work:
        work.path.write_text(text)
        work.digest = key
    return work.committed()


def probability(inside: int, outside: int) -> Any:
    image = np.full((4, 4), outside, np.uint8)
    image[:2, :2] = inside
    return image


IMAGES = {"s": probability(200, 100), "t": probability(100, 0), "u": probability(0, 255)}


def write_image(path: Path, image: Any) -> str:
    bands = [image[row : row + 256] for row in range(0, len(image), 256)]
    return write_plane(path, "probability", image.shape, bands)


AUTO = {**dict.fromkeys(tuning_settings.SETTINGS, "auto"), "simplify": 0.25, "shape": "free"}


def make_job(folder: Path, images: dict[str, Any] = IMAGES, **fixed: float | str) -> Job:
    store = Store(folder / "store")
    ensembles, labels = {}, {}
    for scene, image in images.items():
        with store.writing("ensemble", f"{scene}{image.sum()}", ".zarr.zip") as work:
            work.digest = write_image(work.path, image)
        ensembles[scene] = work.committed()
        table = geopandas.GeoDataFrame(
            {"scene": [scene], "class": ["house"]}, geometry=geopandas.GeoSeries([box(0, 0, 4, 6)])
        )
        with store.writing("label", scene, ".parquet") as work:
            table.to_parquet(work.path)
            work.digest = scene
        labels[scene] = work.committed()
        text = json.dumps({"reference": {"width": 8, "height": 12}, "sensors": {}})
        registration = add(store, "register", f"r{scene}", ".registration.json", text)
        Manifest("register", {scene: registration}).write(folder / "registration" / f"{scene}.json")
        Manifest("ensemble", {scene: ensembles[scene]}).write(folder / "ensembles/house" / f"{scene}.json")
    Manifest("label", labels).write(folder / "labels/house.json")
    # u only trained: its prediction is not out-of-fold.
    folds = {
        "folds": {
            "fold-0": {"train": ["u", "t"], "validation": ["s"]},
            "fold-1": {"train": ["u", "s"], "validation": ["t"]},
        }
    }
    item = add(store, "split", "f", ".folds.json", json.dumps(folds))
    Manifest("split", {"house": item}).write(folder / "folds/house.json")
    spec = {
        "stage": "tune", "version": 1, "class": "house", "group": "house", "scenes": ["s", "t", "u"],
        "polygons": {**AUTO, **fixed},
        "ground": {"s": "one", "t": "two", "u": "three"},
        "batches": {scene: [scene] for scene in images},
    }  # fmt: skip
    return job_of(spec, {}, folder, store)


def result(job: Job) -> dict[str, Any]:
    item = Manifest.read(job.output).items["house"]
    found: dict[str, Any] = json.loads(job.store.open_path(item).read_text())
    return found


def test_run_tunes_on_out_of_fold_scenes_only(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    assert tune.inputs(job.spec) == [
        *(f"ensembles/house/{s}.json" for s in "stu"), "labels/house.json", "folds/house.json",
        *(f"registration/{s}.json" for s in "stu"),
    ]  # fmt: skip
    tune.run(job)
    found = result(job)
    # s: truth 200, else 100; t: truth 100, else 0. Together 100.5..199.5 finds half, below it all and much more.
    assert 100 < found["threshold"] < 200 and found["jaccard"] == pytest.approx(0.5, abs=0.05)
    assert found["scenes"].keys() == {"s", "t"}
    assert found["scenes"]["s"]["threshold"] < 100 < found["scenes"]["t"]["threshold"]
    assert found["present"] == 2 and len(found["scores"]) == 255


def test_run_takes_fixed_settings_without_reading(tmp_path: Path) -> None:
    fixed = {**dict.fromkeys(tuning_settings.STEPS, 0.0), "threshold": 0.25, "min_area": 7.0}
    job = make_job(tmp_path, **fixed, divide="none")
    assert tune.inputs(job.spec) == []
    tune.run(job)
    assert settings_of(result(job), "s") == {**fixed, "threshold": 63.5, "divide": 0}
    assert result(job)["scenes"] == {}
    assert result(job)["reason"] == "fixed by the configuration"


def test_run_searches_what_is_not_fixed(tmp_path: Path) -> None:
    job = make_job(tmp_path, threshold=0.25, min_hole=5.0)
    tune.run(job)
    found = result(job)
    assert found["threshold"] == found["scenes"]["s"]["threshold"] == 63.5 and found["min_hole"] == 5
    assert found["reason"] is None and found["jaccard"] is not None


def test_run_does_not_depend_on_scenes_that_only_trained(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    tune.run(job)
    first = Manifest.read(job.output)
    job = make_job(tmp_path, images={**IMAGES, "u": probability(9, 9)})
    tune.run(job)
    assert Manifest.read(job.output) == first
    job = make_job(tmp_path, images={**IMAGES, "t": probability(9, 8)})
    tune.run(job)
    assert Manifest.read(job.output) != first


def test_run_takes_a_prior_from_scenes_that_trained_where_one_ground_validates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = {**IMAGES, "u": probability(60, 20)}
    job = make_job(tmp_path, images)
    job.spec["ground"]["t"] = "one"
    tune.run(job)
    found = result(job)
    assert 20 < found["scenes"]["s"]["threshold"] < 60 and found["scenes"]["s"]["reason"] == tuning_settings.PRIOR
    assert found["reason"] is None
    assert says(capsys.readouterr().err, "class house, scene s: no other ground ... scenes that trained")


def test_run_weighs_scenes_by_their_ground(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    tune.run(job)
    before = result(job)["jaccard"]
    for scene, metres in (("s", 10.0), ("t", 0.1)):
        reference = {"width": 8, "height": 12, "crs": "EPSG:32616", "gsd": metres, "transform": [[1, 0, 0], [0, 1, 0]]}
        text = json.dumps({"reference": reference, "sensors": {}})
        item = add(job.store, "register", f"r{scene}{metres}", ".registration.json", text)
        Manifest("register", {scene: item}).write(tmp_path / "registration" / f"{scene}.json")
    tune.run(job)
    assert result(job)["jaccard"] > 0.9 > before  # t, which has other probabilities, counts for nothing


def test_run_holds_a_scene_but_not_its_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A scene of 20000 x 20000 pixels is read again each time, sampled once a pixel and counted by strips.
    side = 1200
    monkeypatch.setattr(coverage, "STRIP_BYTES", 2**16)
    monkeypatch.setattr(tuning_settings, "STRIP_SAMPLES", 2**16)
    monkeypatch.setattr(tuning_settings, "SAMPLES", 2**16)
    monkeypatch.setattr(tune, "SAMPLES", 2**16)
    monkeypatch.setattr(confidence, "STRIP_PIXELS", 2**16)
    monkeypatch.setattr(contours, "STRIP_SAMPLES", 2**16)
    images = {scene: np.full((side, side), 7, np.uint8) for scene in "stu"}
    job = make_job(tmp_path, images, threshold=0.01, open=0.0, close=0.0, divide="none")
    tune.run(job)  # whatever is imported is there
    before = Manifest.read(job.output)
    job.spec["polygons"] |= {"threshold": 0.02}
    tracemalloc.start()
    tune.run(job)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert Manifest.read(job.output) != before
    assert peak < 5 * side**2
