"""Folds: stratified by area, never separating the same ground, the same whatever the order."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box

from common import says
from rasterloom.labels.folds import divide, fold_names
from rasterloom.labels.geometry import write_polygons
from rasterloom.stages import job_of
from rasterloom.stages.split import inputs, run
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store

HOLDOUT = {"split": 0.8}

problems = st.integers(1, 14).flatmap(
    lambda n: st.tuples(
        st.lists(
            st.fixed_dictionaries({t: st.sampled_from([0.0, 0.0, 1.0, 7.5, 300.0]) for t in ("large", "small")}),
            min_size=n,
            max_size=n,
        ),
        st.lists(st.integers(0, 8), min_size=n, max_size=n),
        st.one_of(st.sampled_from([HOLDOUT, {"split": 0.5}]), st.builds(lambda k: {"folds": k}, st.integers(2, 6))),
        st.integers(0, 3),
    )
)


def _problem(drawn: Any) -> tuple[dict[str, dict[str, float]], dict[str, str], dict[str, Any], int]:
    areas, grounds, validation, seed = drawn
    names = [f"s{i}" for i in range(len(areas))]
    ground = {name: f"g{number}" for name, number in zip(names, grounds, strict=True)}
    return dict(zip(names, areas, strict=True)), ground, validation, seed


@settings(deadline=None, max_examples=80)
@given(problems)
def test_divide_keeps_every_promise(drawn: Any) -> None:
    areas, ground, validation, seed = _problem(drawn)
    folds = divide(areas, ground, validation, seed)["folds"]
    assert sorted(folds) == fold_names(validation)
    for part in folds.values():
        assert sorted(part["train"] + part["validation"]) == sorted(areas)  # every scene once a fold
        assert not {ground[s] for s in part["train"]} & {ground[s] for s in part["validation"]}  # twins together
        assert part["train"]
        for target in ("large", "small"):
            if any(areas[s][target] for s in areas):
                assert any(areas[s][target] for s in part["train"])  # something to learn each target from
    validated = sorted(scene for part in folds.values() for scene in part["validation"])
    holding = [{ground[s] for s in areas if areas[s][t]} for t in ("large", "small")]
    always = {name for names in holding if len(names) == 1 for name in names}
    free = sorted(s for s in areas if ground[s] not in always)
    several = len(set(ground.values())) > 1
    if "folds" in validation:
        assert validated == (free if several else [])  # every other scene validated exactly once
    else:
        assert bool(validated) == (several and bool(free))
        assert set(validated) <= set(free)


@settings(deadline=None, max_examples=40)
@given(problems, st.randoms(use_true_random=False))
def test_divide_does_not_depend_on_order(drawn: Any, shuffler: random.Random) -> None:
    areas, ground, validation, seed = _problem(drawn)
    names = list(areas)
    shuffler.shuffle(names)
    other = {s: dict(reversed(areas[s].items())) for s in names}
    assert divide(other, {s: ground[s] for s in names}, validation, seed) == divide(areas, ground, validation, seed)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from([0.0, 5.0, 80.0]), min_size=2, max_size=14), st.integers(2, 4))
def test_divide_target_on_two_grounds_is_on_both_sides(values: list[float], count: int) -> None:
    areas = {f"s{i}": {"t": value} for i, value in enumerate(values)}
    holding = [s for s, by in areas.items() if by["t"] > 0]
    for validation in (HOLDOUT, {"folds": count}):
        folds = divide(areas, {}, validation, 0)["folds"]
        for part in folds.values():
            if len(holding) >= 2:
                assert set(part["train"]) & set(holding)
        validated = {s for part in folds.values() for s in part["validation"]}
        assert len(holding) < 2 or validated & set(holding)


def test_divide_holdout_matches_shares() -> None:
    # Ten grounds, two validate: of area 100 in all the pair (15, 5) is the one that holds a fifth.
    values = [30, 15, 11, 10, 9, 8, 5, 5, 4, 3]
    areas = {f"s{i}": {"t": float(v)} for i, v in enumerate(values)}
    result = divide(areas, {}, HOLDOUT, 0)
    chosen = result["folds"]["fold-0"]["validation"]
    assert len(chosen) == 2
    assert sum(areas[s]["t"] for s in chosen) == pytest.approx(20)
    assert result["validated"] == {"fold-0": {"t": 0.2}}
    assert result["note"] is None


def test_divide_two_waterways_stand_on_both_sides() -> None:
    areas = {f"s{i:02}": {"waterway": 90.0 if i == 3 else 10.0 if i == 17 else 0.0} for i in range(25)}
    part = divide(areas, {}, HOLDOUT, 0)["folds"]["fold-0"]
    assert len(part["validation"]) == 5
    assert ("s17" in part["validation"]) and ("s03" in part["train"])  # a tenth is nearer to a fifth than nine tenths


@pytest.mark.parametrize("validation", [HOLDOUT, {"folds": 2}, {"folds": 5}])
def test_divide_counts_the_scenes_of_both_sides_that_hold_a_target(validation: dict[str, Any]) -> None:
    areas = {f"s{i:02}": {"waterway": 7.0 * (i in (3, 17)), "trees": float(i)} for i in range(25)}
    result = divide(areas, {}, validation, 0)
    for name, part in result["folds"].items():
        for target in ("trees", "waterway"):
            sides = [sum(areas[s][target] > 0 for s in part[side]) for side in ("train", "validation")]
            assert result["having"][name][target] == sides
    validating = [fold["waterway"] for fold in result["having"].values() if fold["waterway"][1]]
    assert validating == ([[1, 1]] * (2 if "folds" in validation else 1))
    assert result["note"] is None


def test_divide_two_waterways_of_one_place_are_not_validated_and_said_so() -> None:
    areas = {f"s{i:02}": {"waterway": 7.0 * (i in (3, 17)), "trees": 1.0} for i in range(25)}
    result = divide(areas, {"s03": "river", "s17": "river"}, HOLDOUT, 0)
    assert result["having"]["fold-0"]["waterway"] == [2, 0]
    assert says(result["note"], "target waterway ... one ground only (river) ... waterway is not validated")


def test_divide_says_of_a_target_on_several_grounds_that_none_of_them_validates() -> None:
    # One of three grounds validates, and no ground holds all three targets.
    areas = {"a": {"t": 1.0, "u": 1.0}, "b": {"t": 1.0, "v": 1.0}, "c": {"u": 1.0, "v": 1.0}}
    result = divide(areas, {}, HOLDOUT, 0)
    (name,) = [target for target, sides in result["having"]["fold-0"].items() if not sides[1]]
    assert says(result["note"], f"target {name} lies on 2 grounds ... all of which train: {name} is not validated")


def test_divide_rare_targets_enlarge_the_validation_part() -> None:
    # Three targets, each in two grounds of its own: one validating ground cannot hold all three.
    areas = {f"s{i}": {t: 1.0 if i // 2 == n else 0.0 for n, t in enumerate("abc")} for i in range(6)}
    part = divide(areas, {}, HOLDOUT, 0)["folds"]["fold-0"]
    assert len(part["validation"]) == 3
    assert {int(s[1]) // 2 for s in part["validation"]} == {0, 1, 2}


def test_divide_folds_balance_area() -> None:
    areas = {f"s{i}": {"t": float(v)} for i, v in enumerate([9, 8, 7, 6, 5, 4, 3, 2, 1])}
    validated = divide(areas, {}, {"folds": 3}, 0)["validated"]
    assert [part["t"] for part in validated.values()] == [pytest.approx(1 / 3, abs=1e-3)] * 3


def test_divide_large_number_of_grounds_is_searched() -> None:
    generator = random.Random(1)
    areas = {f"s{i}": {"t": generator.random(), "u": float(i % 50 == 0)} for i in range(200)}
    result = divide(areas, {}, HOLDOUT, 0)
    assert len(result["folds"]["fold-0"]["validation"]) == 40
    assert result["validated"]["fold-0"]["t"] == pytest.approx(0.2, abs=0.01)
    assert result["validated"]["fold-0"]["u"] == 0.25


def test_divide_seed_decides_between_equals() -> None:
    areas = {f"s{i}": {"t": 1.0} for i in range(10)}
    assert len({tuple(divide(areas, {}, HOLDOUT, seed)["folds"]["fold-0"]["validation"]) for seed in range(9)}) > 1


@pytest.mark.parametrize("validation", [HOLDOUT, {"folds": 2}])
def test_divide_single_ground_validates_nothing_and_says_so(validation: dict[str, Any]) -> None:
    result = divide({"a": {"t": 1.0}, "b": {"t": 2.0}}, {"a": "g", "b": "g"}, validation, 0)
    assert all(part == {"train": ["a", "b"], "validation": []} for part in result["folds"].values())
    assert "one ground" in result["note"]


@pytest.mark.parametrize("validation", [HOLDOUT, {"split": 0.1}, {"folds": 2}, {"folds": 5}])
@pytest.mark.parametrize("seed", range(3))
def test_divide_never_validates_the_only_ground_of_a_target(validation: dict[str, Any], seed: int) -> None:
    areas = {f"s{i}": {"houses": 1.0 + i, "well": 5.0 if i in (2, 3) else 0.0} for i in range(6)}
    ground = {"s2": "farm", "s3": "farm"}
    result = divide(areas, ground, validation, seed)
    validated = {s for part in result["folds"].values() for s in part["validation"]}
    assert validated and not validated & {"s2", "s3"}
    assert "folds" not in validation or validated == {"s0", "s1", "s4", "s5"}
    assert all({"s2", "s3"} <= set(part["train"]) for part in result["folds"].values())
    assert says(result["note"], "target well ... one ground ... (farm)")
    assert "houses" not in result["note"]


@pytest.mark.parametrize("validation", [HOLDOUT, {"folds": 2}])
def test_divide_of_grounds_that_are_all_needed_validates_nothing(validation: dict[str, Any]) -> None:
    result = divide({"a": {"t": 1.0, "u": 0.0}, "b": {"t": 0.0, "u": 1.0}}, {}, validation, 0)
    assert sorted(result["folds"]) == fold_names(validation)
    assert all(part == {"train": ["a", "b"], "validation": []} for part in result["folds"].values())
    assert says(result["note"], "target t ... one ground ... (a)")
    assert says(result["note"], "target u ... one ground ... (b)")
    assert "nothing is validated" in result["note"]


def test_divide_targets_that_cannot_be_parted_leave_most_of_them_to_train() -> None:
    # Three grounds, each pair shares a target: in two folds one target is always wholly on one side.
    areas = {"a": {"t": 1.0, "u": 1.0}, "b": {"t": 1.0, "v": 1.0}, "c": {"u": 1.0, "v": 1.0}}
    result = divide(areas, {}, {"folds": 2}, 0)
    for part in result["folds"].values():
        assert {t for s in part["train"] for t in areas[s]} == {"t", "u", "v"}
    assert "trains instead" in result["note"]


def test_divide_user_folds_leave_every_fold_something_to_learn_from() -> None:
    areas = {"a": {"t": 1.0}, "b": {"t": 3.0}, "c": {"t": 0.0}, "d": {"t": 0.0}}
    result = divide(areas, {}, HOLDOUT, 0, {"a": "north", "b": "north", "c": "north", "d": "south"})
    assert result["folds"]["north"] == {"train": ["b", "d"], "validation": ["a", "c"]}
    assert says(result["note"], "north ... target t ... (b) trains") and ";" not in result["note"]
    only = divide(
        {s: {"t": float(s == "a")} for s in "abc"}, {}, HOLDOUT, 0, {"a": "north", "b": "north", "c": "south"}
    )
    assert only["folds"]["north"] == {"train": ["a", "c"], "validation": ["b"]}
    assert says(only["note"], "target t ... one ground ... (a)")


def test_divide_of_no_scenes_has_the_folds_of_the_user() -> None:
    empty: dict[str, list[str]] = {"train": [], "validation": []}
    result = divide({}, {}, HOLDOUT, 0, {}, ["north", "south"])
    assert result["folds"] == {"north": empty, "south": empty}
    assert "no scene was labelled" in result["note"]
    assert divide({}, {}, {"folds": 2}, 0)["folds"] == {"fold-0": empty, "fold-1": empty}


def test_divide_more_folds_than_grounds_says_so() -> None:
    result = divide({"a": {"t": 1.0}, "b": {"t": 2.0}}, {}, {"folds": 3}, 0)
    assert result["folds"]["fold-2"] == {"train": ["a", "b"], "validation": []}
    assert "fold-2" in result["note"]


def test_divide_target_without_area_has_no_share() -> None:
    result = divide({"a": {"t": 0.0}, "b": {"t": 0.0}}, {}, HOLDOUT, 0)
    assert result["validated"] == {"fold-0": {"t": None}}


def test_divide_user_folds() -> None:
    areas = {s: {"t": 1.0} for s in "abc"}
    folds = {"a": "north", "b": "south", "c": "south"}
    result = divide(areas, {}, HOLDOUT, 0, folds, ["north", "south", "west"])
    assert result["folds"]["south"] == {"train": ["a"], "validation": ["b", "c"]}
    assert result["folds"]["west"] == {"train": ["a", "b", "c"], "validation": []}
    assert "west" in result["note"]
    assert divide(areas, {}, HOLDOUT, 0, dict.fromkeys(areas, "all"))["folds"]["all"]["train"] == ["a", "b", "c"]


def _job(results: Path, squares: dict[str, dict[str, float]], **changes: Any) -> Job:
    """A split job over label artifacts: by class, by scene the side of one square."""
    store = Store(results / "store")
    for name, by_scene in squares.items():
        items = {}
        for scene, side in by_scene.items():
            with store.writing("label", f"{name}-{scene}-{side}", ".parquet") as work:
                polygons = [box(0, 0, side, side)] if side else []
                work.digest = write_polygons(work.path, scene, name, polygons)
            items[scene] = work.committed()
        Manifest("label", items).write(results / f"labels/{name}.json")
    scenes = sorted({scene for by_scene in squares.values() for scene in by_scene})
    spec = {
        "stage": "split",
        "version": 1,
        "group": "vehicles",
        "targets": {"large": ["large"], "both": ["large", "small"]},
        "scenes": scenes,
        "ground": {scene: scene for scene in scenes},
        "folds": {},
        "validation": HOLDOUT,
        "seed": 0,
    }
    return job_of({**spec, **changes}, {}, results, store)


def test_run_writes_folds_and_reuses_them(tmp_path: Path) -> None:
    squares = {"large": {"a": 4.0, "b": 2.0, "c": 0.0}, "small": {"a": 1.0, "b": 1.0, "c": 3.0}}
    job = _job(tmp_path, squares)
    assert inputs(job.spec) == ["labels/large.json", "labels/small.json"]
    run(job)
    item = job.manifest("folds/vehicles").items["vehicles"]
    folds = json.loads(job.store.open_path(item).read_text(encoding="utf-8"))
    part = folds["folds"]["fold-0"]
    assert part["validation"] in (["a"], ["b"])  # the target `large` is on both sides
    assert folds["validated"]["fold-0"]["both"] == pytest.approx(
        17 / 31 if part["validation"] == ["a"] else 5 / 31, abs=1e-4
    )
    # Another label of equal area changes no key; another area does.
    run(_job(tmp_path, squares))
    assert job.manifest("folds/vehicles").items["vehicles"] == item
    run(_job(tmp_path, {**squares, "small": {"a": 1.0, "b": 1.0, "c": 3.5}}))
    assert job.manifest("folds/vehicles").items["vehicles"].key != item.key
