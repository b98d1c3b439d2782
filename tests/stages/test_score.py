"""The table of scores."""

from pathlib import Path
from typing import Any

import pytest
from shapely import box

from polygon_jobs import add_labels, add_polygons, add_registration, make_job, text_item
from rasterloom.errors import LabelError
from rasterloom.polygons.jaccard import Areas
from rasterloom.polygons.scores import ClassScore, pixel_area, pixel_areas, rows
from rasterloom.stages import score
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store


def test_rows_pool_areas_and_average_classes() -> None:
    trees = ClassScore("trees", {"s": Areas(1, 1, 0), "t": Areas(0, 0, 2)}, {"s": 10.5, "t": 20.5}, 127.5)
    roads = ClassScore("roads", {"s": Areas(3, 1, 0)}, {"s": 0.5}, 0.5)
    assert rows("held-out", [trees, roads]) == [
        ["held-out", "trees", "s", "1.000", "1.000", "0.000", "0.500000", "10.5"],
        ["held-out", "trees", "t", "0.000", "0.000", "2.000", "0.000000", "20.5"],
        ["held-out", "trees", "all", "1.000", "1.000", "2.000", "0.250000", "127.5"],
        ["held-out", "roads", "s", "3.000", "1.000", "0.000", "0.750000", "0.5"],
        ["held-out", "roads", "all", "3.000", "1.000", "0.000", "0.750000", "0.5"],
        ["held-out", "mean", "all", "", "", "", "0.500000", ""],
    ]


def test_total_pools_in_units_of_the_map() -> None:
    # A pixel of `large` covers four times that of `small`: 1 x 4 + 2 of 6 x 4 + 4 units are right.
    scenes = {"large": Areas(1, 2, 3), "small": Areas(2, 1, 1)}
    found = ClassScore("trees", scenes, {}, 0.5, {"large": 4e-8, "small": 1e-8}).total
    assert found.jaccard == pytest.approx((1 * 4 + 2) / (6 * 4 + 4))
    assert found.tp == pytest.approx((1 * 4 + 2) / 2.5)  # weights are 1 on average
    assert ClassScore("trees", scenes, {}, 0.5).total == Areas(3, 3, 4)
    assert ClassScore("trees", {"large": Areas(1, 2, 3)}, {}, 0.5, {"large": 4e-8}).total == Areas(1, 2, 3)


UTM = [[0.5, 0.0, 733601.0], [0.0, -0.5, 3725139.0]]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"transform": [[2e-6, 0, 0], [0, -3e-6, 0]], "crs": None, "gsd": 0.31}, ("map", 6e-12)),
        ({"transform": [[0, 2, 5], [3, 0, 5]], "crs": None, "gsd": None}, ("map", 6.0)),
        ({"transform": UTM, "crs": "EPSG:32616", "gsd": 0.5}, ("metre", 0.25)),
        ({"transform": UTM, "crs": "EPSG:32616", "gsd": None}, ("pixel", 1.0)),
        ({"transform": None, "crs": None, "gsd": 0.5}, ("pixel", 1.0)),
    ],
)
def test_pixel_area(reference: dict[str, Any], expected: tuple[str, float]) -> None:
    unit, area = pixel_area(reference)
    assert unit == expected[0]
    assert area == pytest.approx(expected[1])


def test_pixel_areas_of_different_units_are_not_mixed() -> None:
    metre, nothing = {"transform": UTM, "crs": "EPSG:32616", "gsd": 0.5}, {"transform": None, "crs": None, "gsd": None}
    assert pixel_areas({"a": metre, "b": {**metre, "gsd": 2.0}}) == {"a": 0.25, "b": 4.0}
    assert pixel_areas({"a": metre, "b": nothing}) == {"a": 1.0, "b": 1.0}


def test_rows_leave_an_undefined_jaccard_empty_and_out_of_the_mean() -> None:
    nothing = ClassScore("water", {"s": Areas()}, {"s": 127.5}, 127.5)
    half = ClassScore("roads", {"s": Areas(1, 1, 0)}, {"s": 127.5}, 127.5)
    found = rows("out-of-fold", [nothing, half])
    assert [row[6] for row in found if row[1] == "water"] == ["", ""]
    assert found[-1][6] == "0.500000"
    assert rows("out-of-fold", [nothing])[-1][6] == ""


def test_rows_of_a_part_without_scenes_are_none() -> None:
    assert rows("held-out", [ClassScore("trees", {}, {}, 0.0)]) == []


def scored(folder: Path) -> Job:
    square, half = box(0, 0, 2, 2), box(0, 0, 1, 2)
    add_polygons(folder, "trees", {"s": [square], "t": [square], "u": [square], "v": [square]})
    add_labels(folder, "trees", {"s": [half], "t": [], "u": [square], "v": [square, half]})
    add_polygons(folder, "water", {"s": [], "v": []})
    add_labels(folder, "water", {"s": [], "v": []})
    store = Store(folder / "store")
    tuned = {"threshold": 100.5, "scenes": {"s": {"threshold": 30.5}}}
    for name in ("trees", "water"):
        Manifest("tune", {name: text_item(store, "tune", name, ".tuning.json", tuned)}).write(
            folder / "tuning" / f"{name}.json"
        )
    for scene in "stuv":
        add_registration(folder, scene)
    folds = {"folds": {"fold-0": {"train": ["u"], "validation": ["s", "t"]}}}
    Manifest("split", {"g": text_item(store, "split", "g", ".folds.json", folds)}).write(folder / "folds/g.json")
    spec: dict[str, Any] = {
        "stage": "score",
        "classes": {"trees": 5, "water": 7},
        "groups": {"trees": "g", "water": "g"},
        "truth": {"trees": ["v"], "water": ["v"]},
        "labelled": {"trees": ["s", "t", "u"], "water": ["s"]},
        "batches": {scene: [scene] for scene in "stuv"},
    }
    return make_job(folder, spec)


def test_run_scores_unseen_truth_and_out_of_fold_scenes(tmp_path: Path) -> None:
    job = scored(tmp_path)
    score.run(job)
    found = [line.split("\t") for line in (tmp_path / "score.tsv").read_text().splitlines()]
    assert found[1:] == [
        ["held-out", "trees", "v", "4.000", "0.000", "0.000", "1.000000", "100.5"],
        ["held-out", "trees", "all", "4.000", "0.000", "0.000", "1.000000", "100.5"],
        ["held-out", "water", "v", "0.000", "0.000", "0.000", "", "100.5"],
        ["held-out", "water", "all", "0.000", "0.000", "0.000", "", "100.5"],
        ["held-out", "mean", "all", "", "", "", "1.000000", ""],
        # u only trained: no row.
        ["out-of-fold", "trees", "s", "2.000", "2.000", "0.000", "0.500000", "30.5"],
        ["out-of-fold", "trees", "t", "0.000", "4.000", "0.000", "0.000000", "100.5"],
        ["out-of-fold", "trees", "all", "2.000", "6.000", "0.000", "0.250000", "100.5"],
        ["out-of-fold", "water", "s", "0.000", "0.000", "0.000", "", "30.5"],
        ["out-of-fold", "water", "all", "0.000", "0.000", "0.000", "", "100.5"],
        ["out-of-fold", "mean", "all", "", "", "", "0.250000", ""],
    ]


def test_run_pools_exactly_as_the_contest(tmp_path: Path) -> None:
    """Areas of map geometries, summed over scenes."""
    job = scored(tmp_path)
    add_registration(tmp_path, "s", transform=[[2e-6, 0, 0], [0, -2e-6, 0]], gsd=0.31)
    add_registration(tmp_path, "t", transform=[[1e-6, 0, 0], [0, -1e-6, 0]], gsd=0.31)
    score.run(job)
    found = [line.split("\t") for line in (tmp_path / "score.tsv").read_text().splitlines()]
    trees = {row[2]: row[3:7] for row in found if row[:2] == ["out-of-fold", "trees"]}
    assert trees["s"] == ["2.000", "2.000", "0.000", "0.500000"]
    assert float(trees["all"][3]) == pytest.approx(2 * 4e-12 / (4 * 4e-12 + 4 * 1e-12), abs=1e-6)


def test_inputs_are_what_run_reads(tmp_path: Path) -> None:
    job = scored(tmp_path)
    found = score.inputs(job.spec)
    assert set(found) == {
        "labels/trees.json", "labels/water.json", "tuning/trees.json", "tuning/water.json", "folds/g.json",
        *(f"registration/{s}.json" for s in "stuv"),
        *(f"polygons/trees/{s}.json" for s in "stuv"), *(f"polygons/water/{s}.json" for s in "sv"),
    }  # fmt: skip
    assert all((tmp_path / path).is_file() for path in found)


def test_run_without_truth_writes_the_header(tmp_path: Path) -> None:
    job = scored(tmp_path)
    job.spec["truth"] = job.spec["labelled"] = {"trees": [], "water": []}
    assert score.inputs(job.spec) == []
    score.run(job)
    assert (tmp_path / "score.tsv").read_text() == "part\tclass\tscene\ttp\tfp\tfn\tjaccard\tthreshold\n"


def test_run_names_a_scene_without_labels(tmp_path: Path) -> None:
    job = scored(tmp_path)
    add_labels(tmp_path, "trees", {})
    with pytest.raises(LabelError, match="scene v has no labels of class trees"):
        score.run(job)
