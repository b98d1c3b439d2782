"""The stage `sanity`: which scenes are learned by heart, what is shown and said of them, and that it is found again."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from shapely import box

from common import stand_in_dag
from rasterloom.labels.geometry import write_polygons
from rasterloom.learning.sanity import SANITY, by_heart
from rasterloom.stages import job_of, train
from rasterloom.stages import sanity as stage
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item
from small_training import PREDICTION, TRAINING, Tree, scene

GROUND = {"classes": ["t"], "ground": {name: name for name in "abcd"}}
LONG = by_heart({**TRAINING, "learning_rate": 0.02}, 60)


def small_tree(root: Path, shifted: bool = False) -> Tree:
    """Four scenes, of which `d` has least of the class; its labels lie where nothing is if they are `shifted`."""
    scenes = {name: scene(seed) for seed, name in enumerate("abcd")}
    scenes["d"][2][:8] = 0
    if shifted:
        scenes = {name: (data, valid, np.roll(mask, 14, axis=1)) for name, (data, valid, mask) in scenes.items()}
    made = Tree(root, scenes, {})
    write_labels(made, "t", {name: float((mask > 0).sum()) for name, (_, _, mask) in scenes.items()})
    return made


def write_labels(made: Tree, class_name: str, areas: dict[str, float]) -> None:
    items = {}
    for name, area in areas.items():
        with made.store.writing("label", f"{class_name}{name:0>31}", ".parquet") as work:
            write_polygons(work.path, name, class_name, [box(0, 0, area, 1)])
            work.digest = name
        items[name] = work.committed()
    Manifest("label", items).write(made.results / f"labels/{class_name}.json")


def sanity_job(tree: Tree, **changes: Any) -> Job:
    spec = tree.predict_job([]).spec
    own = {name: spec[name] for name in ("member", "model", "sensors", "reference", "scale")}
    own |= {"target": "t", **GROUND, "scenes": sorted(tree.scenes), "prediction": PREDICTION, **changes}
    return job_of({"stage": "sanity", "version": 1, "classes": {"huts": own}}, {}, tree.results, tree.store)


def run(tree: Tree) -> Item:
    train.run(tree.train_job(SANITY, training=LONG, **GROUND))
    stage.run(sanity_job(tree))
    return Manifest.read(tree.results / "sanity/sanity.json").items["huts"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return small_tree(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def item(tree: Tree) -> Item:
    return run(tree)


def test_three_richest_scenes_are_learned_and_shown(tree: Tree, item: Item) -> None:
    record = tree.store.record_path("train", tree.model(SANITY).key).read_text(encoding="utf-8")
    assert all(f'"{name}": ' in record for name in "abc") and '"d": ' not in record
    picture = cv2.imread(str(tree.results / "sanity/huts.jpg"))
    assert picture is not None and picture.shape[0] > 2 * picture.shape[1] / 3
    facts = tree.store.facts(item)
    assert len(facts["scenes"]) == 3


def test_class_that_is_easily_seen_is_learned(tree: Tree, item: Item) -> None:
    facts = tree.store.facts(item)
    assert facts["jaccard"] >= 0.95
    assert min(facts["scenes"]) > 0.9
    (line,) = (tree.results / stage.SUMMARY).read_text(encoding="utf-8").splitlines()
    assert line.startswith(f"huts: Jaccard {facts['jaccard']:.3f} (") and line.endswith(") by m: go on")


def test_each_class_of_a_network_for_several_is_shown_by_its_own_output(tmp_path: Path) -> None:
    """One scene for each class is learned, that with most of it; the second class is all that the first is not."""
    made = small_tree(tmp_path)
    for name, (_, _, mask) in made.scenes.items():
        made.write_mask(name, 255 - mask, "u")
    write_labels(made, "u", {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0})
    several = {**GROUND, "outputs": {"classes": ["t", "u"], "exclusive": True}}
    train.run(made.train_job(SANITY, training=LONG, **several))
    job = sanity_job(made)
    own = {**job.spec["classes"]["huts"], **several}
    job.spec["classes"] = {"huts": {**own, "plane": 0}, "rest": {**own, "plane": 1, "target": "u"}}
    stage.run(job)
    items = Manifest.read(tmp_path / "sanity/sanity.json").items
    for item in items.values():
        facts = made.store.facts(item)
        assert len(facts["scenes"]) == 2
        assert facts["jaccard"] > 0.9
    assert items["huts"].digest != items["rest"].digest


@pytest.mark.slow
def test_shifted_labels_are_not_learned_and_the_reader_is_told(tmp_path: Path) -> None:
    made = small_tree(tmp_path, shifted=True)
    facts = made.store.facts(run(made))
    assert facts["jaccard"] < 0.8
    text = (made.results / stage.SUMMARY).read_text(encoding="utf-8")
    assert ": do not go on yet" in text and "labels are shifted" in text


def test_second_run_finds_it_and_says_the_same(tree: Tree, item: Item, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (tree.results / stage.SUMMARY).read_bytes()
    monkeypatch.setattr(stage, "_probabilities", None)
    stage.run(sanity_job(tree))
    assert (tree.results / stage.SUMMARY).read_bytes() == before


def test_key_depends_on_checkpoint_scenes_and_prediction(tree: Tree, item: Item) -> None:
    changes = (
        {},
        {"ground": {"a": "a", "b": "b"}},
        {"prediction": {**PREDICTION, "window": 24}},
        {"scale": {"name": "s", "x": 1}},
    )
    keys = [next(stage.wanted(sanity_job(tree, **change))).key for change in changes]
    assert keys[0] == item.key == keys[3]
    assert len(set(keys)) == 3


def test_spec_takes_a_network_that_learns_the_class_alone(settings_table: dict[str, Any]) -> None:
    table = copy.deepcopy(settings_table)
    table["classes"]["waterway"]["members"].append({"model": "unet64", "channels": "rgbp", "scale": "s1024"})
    vehicles = table["classes"]["large_vehicle"]["members"]
    vehicles.sort(key=lambda member: "target" not in member)
    dag = stand_in_dag(table, ["6010_1_2", "6040_2_2"], ["6080_4_4"])
    spec = dag.spec("sanity")["classes"]
    assert list(spec) == list(dag.recipe.classes)
    assert spec["waterway"]["member"] == "waterway-unet64-rgbp-s1024"
    assert spec["large_vehicle"]["target"] == "large_vehicle"
    assert spec["trees"]["prediction"]["stride"] == 128 and not spec["trees"]["prediction"]["symmetries"]
    assert dag.inputs("sanity")[0] == f"{dag.results}/models/{spec['buildings']['member']}/sanity.json"


def test_training_by_heart_is_a_job_that_a_full_run_leaves_out(settings_table: dict[str, Any]) -> None:
    dag = stand_in_dag({**settings_table, "sanity": {"steps": 70}}, ["6010_1_2", "6040_2_2"], ["6080_4_4"])
    member = dag.spec("sanity")["classes"]["trees"]["member"]
    spec = dag.spec("train", member=member, fold=SANITY)
    assert spec["training"]["steps"] == 70 and spec["classes"] == ["trees"]
    inputs = dag.inputs("train", member=member, fold=SANITY)
    assert f"{dag.results}/labels/trees.json" in inputs and not any("folds" in path for path in inputs)
    assert "classes" not in dag.spec("train", member=member, fold="fold-0")
    forest = dag.spec("train", member="waterway-forest-all20-s1024", fold=SANITY)
    assert forest["training"] == dag.spec("train", member="waterway-forest-all20-s1024", fold="fold-0")["training"]
    assert "sanity" not in dag.outputs()
    assert not any("sanity" in path for paths in dag.outputs().values() for path in paths)
