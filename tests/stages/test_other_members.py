"""Stages train and predict with predictions of other members: as channels, and in place of labels in a second round."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rasterloom.errors import LabelError
from rasterloom.learning.augment import TrainingScene
from rasterloom.learning.checkpoint import load_checkpoint
from rasterloom.raster.planes import read_plane
from rasterloom.stages import predict, train
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from small_training import PREDICTION, TRAINING, Tree, small_tree

SHORT = {**TRAINING, "steps": 3}
BATCHES = {"b": ["a", "b", "c", "d"]}
LINEAR = {"kind": "linear", "samples": 400}
STACKED = {"member": "s", "stacked": {"m": 0}, "batches": BATCHES, "training": SHORT}
GROUND = {name: name for name in "abcd"}
SECOND = {
    "member": "r", "teacher": "m", "unlabelled": ["d"], "ground": GROUND, "batches": {"b": ["d"]}, "training": SHORT,
    "scenes": ["a", "b", "c"],
}  # fmt: skip


def make(root: Path, **changes: Any) -> Tree:
    """A tree with predictions of member `m`: a and c out-of-fold, b in-sample, d by both folds."""
    tree = small_tree(root)
    for fold in ("fold-0", "fold-1"):
        train.run(tree.train_job(fold, model=LINEAR, scenes=["a", "b", "c"], **changes))
    predict.run(tree.predict_job(list("abcd"), model=LINEAR, labelled=["a", "b", "c"]))
    return tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return make(tmp_path_factory.mktemp("results"))


def opened(job: Job) -> tuple[dict[str, TrainingScene], dict[str, TrainingScene], Any]:
    """What a job trains on, by scene, what it watches, and its normalisation; windows are in memory."""
    (want,) = train.wanted(job)
    with ExitStack() as held:
        scenes, watched, kept = train.training_scenes(job, held, want)
        return {s.name: s for s in scenes}, {s.name: s for s in watched}, kept


def probability(tree: Tree, scene: str, member: str = "m") -> Any:
    item = Manifest.read(tree.results / f"predictions/{member}/b.json").items[scene]
    return read_plane(tree.store.open_path(item), "probability")


def key(job: Job) -> str:
    return next(iter(train.wanted(job))).key


# Stacking -----------------------------------------------------------------------------------------------------


def test_stacked_member_sees_out_of_fold_probabilities_of_scenes_that_have_one(tree: Tree) -> None:
    job = tree.train_job(**STACKED)
    assert {"predictions/m/b.json", "folds/g.json"} <= set(train.inputs(job.spec))
    scenes, watched, kept = opened(job)
    assert (list(scenes), list(watched)) == (["a"], ["c"]), "b validates in no fold: its model has seen it"
    for name, scene in {**scenes, **watched}.items():
        data, valid, _ = scene.read(0, 40, 0, 36)
        assert np.array_equal(data[3], probability(tree, name))
        assert np.array_equal(valid[2], valid[0]), "it counts where the reference does"
    assert kept.planes.tolist() == [0, 0, 1, 2]
    assert (kept.mean[3], kept.sd[3]) == (0, 64)
    assert probability(tree, "a").max() > 100, "there is something to see"


def test_stacked_member_of_a_refit_trains_on_all_scenes_with_an_out_of_fold_probability(tree: Tree) -> None:
    assert set(opened(tree.train_job("all", **STACKED))[0]) == {"a", "c"}


def test_where_no_scene_has_an_out_of_fold_probability_there_is_none_to_train_on(tree: Tree) -> None:
    with pytest.raises(LabelError, match="none of the 0 training scenes"):
        opened(tree.train_job("all", **STACKED, scenes=["b"]))


@pytest.mark.parametrize("by", ["dataset", "scene"])
@pytest.mark.parametrize("model", [None, LINEAR])
def test_stacked_members_train_and_predict(tmp_path: Path, model: Any, by: str) -> None:
    tree = make(tmp_path)
    changes: dict[str, Any] = dict(STACKED) if model is None else {**STACKED, "model": model}
    own = {"normalise_by": "scene"} if by == "scene" else {}
    for name in "abcd" if own else "":
        tree.own_statistics(name)
    for fold in ("fold-0", "fold-1"):
        train.run(tree.train_job(fold, **changes, **own))
    item = Manifest.read(tree.results / "models/s/fold-0.json").items["fold-0"]
    weights, recipe = load_checkpoint(tree.store.open_path(item))
    assert recipe["channels"] == [2, 1, 1]
    if model is not None:
        assert abs(weights["linear.coefficients"][3]) > 0
    asked = {name: changes[name] for name in ("member", "stacked", "model") if name in changes}
    job = tree.predict_job(list("abcd"), labelled=["a", "b", "c"], prediction=PREDICTION, **asked, **own)
    assert "predictions/m/b.json" in predict.inputs(job.spec)
    predict.run(job)
    assert probability(tree, "d", "s").max() > 0


def test_keys_follow_the_probabilities_and_no_names(tree: Tree, tmp_path: Path) -> None:
    first = key(tree.train_job(**STACKED))
    assert first != key(tree.train_job(**{**STACKED, "stacked": {}}))
    shutil.copytree(tree.results / "predictions/m", tree.results / "predictions/other", symlinks=True)
    assert first == key(tree.train_job(**{**STACKED, "stacked": {"other": 0}}))
    assert first != key(make(tmp_path, training={**TRAINING, "seed": 5}).train_job(**STACKED))


def test_key_of_a_prediction_follows_the_probability_that_it_sees(tree: Tree) -> None:
    one, other = (
        next(iter(predict.wanted(tree.predict_job(["d"], **changes)))) for changes in ({}, {"stacked": {"m": 0}})
    )
    assert one.key != other.key
    assert other.inputs["stacked"] == [tree.prediction("d").digest]


# A second round -----------------------------------------------------------------------------------------------


def test_second_round_learns_what_the_first_is_sure_of(tree: Tree) -> None:
    job = tree.train_job(**SECOND)
    assert {"predictions/m/b.json", "stacks/s/d.json"} <= set(train.inputs(job.spec))
    assert "masks/s/t/d.json" not in train.inputs(job.spec)
    scenes, watched, _ = opened(job)
    assert (set(scenes), set(watched)) == ({"a", "b", "d"}, {"c"})
    own = probability(tree, "d")
    _, valid, coverage = scenes["d"].read(0, 40, 0, 36)
    sure = (own >= 230) | (own <= 25)
    assert np.array_equal(coverage[0], np.where(own >= 230, 255, 0))
    assert np.array_equal(coverage[1], np.where(sure, 255, 0))
    assert scenes["d"].index.ground.count == np.count_nonzero(sure & (valid[0] != 0))
    assert scenes["a"].read(0, 40, 0, 36)[2].ndim == 2, "labels say what is everywhere"
    train.run(job)
    assert Manifest.read(tree.results / "models/r/fold-0.json").items


def test_second_round_never_sees_ground_that_validates_it(tree: Tree) -> None:
    ground = {**GROUND, "d": "c"}  # another date of a labelled place
    assert set(opened(tree.train_job(**{**SECOND, "ground": ground}))[0]) == {"a", "b"}
    assert set(opened(tree.train_job("fold-1", **{**SECOND, "ground": ground}))[0]) == {"b", "c", "d"}


def test_truth_of_unlabelled_scenes_is_not_read(tmp_path: Path) -> None:
    tree = make(tmp_path)
    (tree.results / "masks/s/t/d.json").unlink()
    train.run(tree.train_job(**SECOND))


def test_key_of_a_second_round_follows_the_first(tree: Tree, tmp_path: Path) -> None:
    first = key(tree.train_job(**SECOND))
    assert first != key(tree.train_job(training=SHORT, scenes=["a", "b", "c"]))
    assert first != key(make(tmp_path, training={**TRAINING, "seed": 5}).train_job(**SECOND))
