"""The table of scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapely import box

from polygon_jobs import add_labels, add_polygons, add_registration, make_job, text_item
from rasterloom.errors import LabelError
from rasterloom.polygons.jaccard import Areas
from rasterloom.polygons.objects import Objects
from rasterloom.polygons.scores import COLUMNS, ClassScore, interval, pixel_area, pixel_areas, rows, score_text
from rasterloom.stages import score
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store


def test_rows_pool_areas_and_objects_and_average_classes() -> None:
    covered = {"s": Areas(1, 1, 0), "t": Areas(0, 0, 2)}
    counts = {"s": Objects(1, 2, 1), "t": Objects(2, 0, 0)}
    trees = ClassScore("trees", covered, counts, {}, {"s": 10.5, "t": 20.5}, 127.5)
    roads = ClassScore("roads", {"s": Areas(3, 1, 0)}, {"s": Objects(1, 1, 1)}, {}, {"s": 0.5}, 0.5)
    found = rows("held-out", [trees, roads])
    assert found[:2] == [
        ["held-out", "trees", "s", 1, 1, 0, 0.5, None, None, None, 1, 2, 1, 0.5, 1, 2 / 3, 1, 10.5],
        ["held-out", "trees", "t", 0, 0, 2, 0, None, None, None, 2, 0, 0, None, 0, 0, -1, 20.5],
    ]
    assert found[2][:7] == ["held-out", "trees", "all", 1, 1, 2, 0.25]
    assert found[2][7:9] == [0, 0.5], "each ground alone may be drawn"
    assert found[2][9:] == [0.25, 3, 2, 1, 1 / 2, 1 / 3, 2 / 5, -1 / 3, 127.5]
    assert found[4][:10] == ["held-out", "roads", "all", 3, 1, 0, 0.75, None, None, 0.75], "one ground says nothing"
    assert found[5][:7] == ["held-out", "mean", "all", None, None, None, 0.5]
    assert found[5][9:] == [None] * 9
    text = score_text(found).splitlines()
    assert text[0].split("\t") == list(COLUMNS)
    assert text[3].split("\t")[14] == repr(1 / 3), "in full"


def test_interval_keeps_scenes_of_a_ground_together() -> None:
    covered = {"a": Areas(8, 1, 1), "b": Areas(1, 1, 8), "c": Areas(5, 5, 0)}
    apart = interval([ClassScore("trees", covered, {})])
    assert apart[0] is not None and apart[1] is not None
    assert 0.1 <= apart[0] < ClassScore("trees", covered, {}).total.jaccard < apart[1] <= 0.8  # type: ignore[operator]
    assert apart == interval([ClassScore("trees", covered, {})]), "the same draws each time"
    assert interval([ClassScore("trees", covered, {}, dict.fromkeys("abc", "one"))]) == (None, None)
    together = interval([ClassScore("trees", covered, {}, {"a": "one", "b": "one"})])
    assert together == (pytest.approx(9 / 20), pytest.approx(5 / 10))


def test_interval_of_classes_of_which_a_draw_may_hold_none() -> None:
    trees = ClassScore("trees", {"a": Areas(1, 0, 0), "b": Areas(1, 0, 0)}, {})
    water = ClassScore("water", {"a": Areas(0, 1, 0), "b": Areas()}, {})
    nothing = ClassScore("roads", {"a": Areas(), "b": Areas()}, {})
    assert interval([trees, water, nothing]) == (0.5, 1.0)
    assert interval([nothing]) == interval([]) == (None, None)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    random, hits = np.random.default_rng(4), 0
    for _ in range(200):
        hit, size = random.uniform(0, 1, 30), random.uniform(1, 9, 30)
        covered = {f"{n:02d}": Areas(a * b, (1 - a) * b, 0) for n, (a, b) in enumerate(zip(hit, size, strict=True))}
        low, high = interval([ClassScore("trees", covered, {})])
        assert low is not None and high is not None
        hits += low <= 0.5 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_total_pools_in_units_of_the_map() -> None:
    # A pixel of `large` covers four times that of `small`: 1 x 4 + 2 of 6 x 4 + 4 units are right.
    scenes = {"large": Areas(1, 2, 3), "small": Areas(2, 1, 1)}
    found = ClassScore("trees", scenes, {}, pixels={"large": 4e-8, "small": 1e-8}).total
    assert found.jaccard == pytest.approx((1 * 4 + 2) / (6 * 4 + 4))
    assert found.tp == pytest.approx((1 * 4 + 2) / 2.5)  # weights are 1 on average
    assert ClassScore("trees", scenes, {}).total == Areas(3, 3, 4)
    assert ClassScore("trees", {"large": Areas(1, 2, 3)}, {}, pixels={"large": 4e-8}).total == Areas(1, 2, 3)


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
    nothing = ClassScore("water", {"s": Areas()}, {"s": Objects()})
    half = ClassScore("roads", {"s": Areas(1, 1, 0)}, {"s": Objects(1, 1, 0)})
    found = rows("out-of-fold", [nothing, half])
    assert [row[6] for row in found if row[1] == "water"] == [None, None]
    assert found[-1][6] == 0.5
    assert rows("out-of-fold", [nothing])[-1][6] is None


def test_rows_of_a_part_without_scenes_are_none() -> None:
    assert rows("held-out", [ClassScore("trees", {}, {})]) == []


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
        "ground": {scene: scene for scene in "stuv"},
        "batches": {scene: [scene] for scene in "stuv"},
    }
    return make_job(folder, spec)


def test_run_scores_unseen_truth_and_out_of_fold_scenes(tmp_path: Path) -> None:
    job = scored(tmp_path)
    score.run(job)
    table = (tmp_path / "score.tsv").read_text().splitlines()
    found = [dict(zip(table[0].split("\t"), line.split("\t"), strict=True)) for line in table[1:]]
    columns = ("part", "class", "scene", "tp", "fp", "fn", "jaccard", "matched", "threshold")
    assert [[row[name] for name in columns] for row in found] == [
        ["held-out", "trees", "v", "4.0", "0.0", "0.0", "1.0", "1", "100.5"],
        ["held-out", "trees", "all", "4.0", "0.0", "0.0", "1.0", "1", "100.5"],
        ["held-out", "water", "v", "0.0", "0.0", "0.0", "", "0", "100.5"],
        ["held-out", "water", "all", "0.0", "0.0", "0.0", "", "0", "100.5"],
        ["held-out", "mean", "all", "", "", "", "1.0", "", ""],
        # u only trained: no row.
        ["out-of-fold", "trees", "s", "2.0", "2.0", "0.0", "0.5", "1", "30.5"],
        ["out-of-fold", "trees", "t", "0.0", "4.0", "0.0", "0.0", "0", "100.5"],
        ["out-of-fold", "trees", "all", "2.0", "6.0", "0.0", "0.25", "1", "100.5"],
        ["out-of-fold", "water", "s", "0.0", "0.0", "0.0", "", "0", "30.5"],
        ["out-of-fold", "water", "all", "0.0", "0.0", "0.0", "", "0", "100.5"],
        ["out-of-fold", "mean", "all", "", "", "", "0.25", "", ""],
    ]
    assert [float(found[7][name]) for name in ("low", "high", "image_jaccard")] == [0, 0.5, 0.25]
    assert [found[0][name] for name in ("true", "predicted", "precision", "recall")] == ["2", "1", "1.0", "0.5"]


def test_run_pools_exactly_as_the_contest(tmp_path: Path) -> None:
    """Areas of map geometries, summed over scenes."""
    job = scored(tmp_path)
    add_registration(tmp_path, "s", transform=[[2e-6, 0, 0], [0, -2e-6, 0]], gsd=0.31)
    add_registration(tmp_path, "t", transform=[[1e-6, 0, 0], [0, -1e-6, 0]], gsd=0.31)
    score.run(job)
    found = [line.split("\t") for line in (tmp_path / "score.tsv").read_text().splitlines()]
    trees = {row[2]: row[3:7] for row in found if row[:2] == ["out-of-fold", "trees"]}
    assert trees["s"] == ["2.0", "2.0", "0.0", "0.5"]
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
    assert (tmp_path / "score.tsv").read_text() == score_text([])


def test_run_names_a_scene_without_labels(tmp_path: Path) -> None:
    job = scored(tmp_path)
    add_labels(tmp_path, "trees", {})
    with pytest.raises(LabelError, match="scene v has no labels of class trees"):
        score.run(job)
