"""Stages train, predict and ensemble with several classes in one network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rasterloom.errors import LabelError
from rasterloom.raster.planes import read_plane
from rasterloom.stages import ensemble, job_of, predict, train
from rasterloom.store.digest import array_digest, digest
from rasterloom.store.manifest import Manifest
from small_training import TRAINING, Tree, small_tree

LONGER = {**TRAINING, "steps": 60, "patch": 32, "precision": "float32", "soft_jaccard": 0.2}


def outputs(*classes: str, exclusive: bool = False) -> dict[str, Any]:
    return {"outputs": {"classes": list(classes), "exclusive": exclusive}}


def joint_tree(root: Path, names: str = "tu") -> Tree:
    """A tree with the masks of two classes: the bright rectangle, and a dull strip at the left edge."""
    tree = small_tree(root)
    for name, (data, valid, coverage) in tree.scenes.items():
        second = np.zeros_like(coverage)
        second[:, :4] = 255
        data = np.where(second > 0, data - 60, data).astype(np.uint16)
        tree.write_stack(name, data, valid)
        tree.write_mask(name, coverage, names[0])
        tree.write_mask(name, second, names[1])
        tree.scenes[name] = (data, valid, np.stack([coverage, second]))
    return tree


@pytest.mark.parametrize("exclusive", [False, True])
def test_each_plane_of_a_prediction_is_that_of_its_class(tmp_path: Path, exclusive: bool) -> None:
    tree, both = joint_tree(tmp_path), outputs("t", "u", exclusive=exclusive)
    train.run(tree.train_job(training=LONGER, **both))
    predict.run(tree.predict_job(["c", "d"], folds=["fold-0"], **both))
    for name in "cd":
        item, (_, valid, truth) = tree.prediction(name), tree.scenes[name]
        planes = np.stack([read_plane(tree.store.open_path(item), f"probability-{plane}") for plane in (0, 1)])
        for plane, covered in zip(planes, truth, strict=True):
            assert plane[(covered > 0) & (valid[1] > 0)].mean() > 100 + plane[(covered == 0) & (valid[1] > 0)].mean()
            assert (plane[valid[1] == 0] == 0).all()
        if exclusive:
            assert planes.astype(int).sum(axis=0).max() <= 256
        digests = [array_digest({"probability": plane}) for plane in planes]
        assert item.parts == {"0": digests[0], "1": digests[1]}
        assert item.digest == digest(digests)
    spec = {
        "stage": "ensemble", "version": 1, "class": "u", "ensemble": "mean", "reference": "rgb", "batch": "b",
        "members": [{"name": "m", "scale": {"name": "s"}, "plane": 1}], "scenes": ["c", "d"],
    }  # fmt: skip
    ensemble.run(job_of(spec, {}, tree.results, tree.store))
    found = Manifest.read(tree.results / "ensembles/u/b.json").items["d"]
    assert np.array_equal(read_plane(tree.store.open_path(found), "probability"), planes[1])
    (want,) = (want for want in ensemble.wanted(job_of(spec, {}, tree.results, tree.store)) if want.name == "d")
    assert want.inputs[0][0] == digests[1]  # and not of the other class's plane


def test_keys_hold_no_name_of_a_class_but_say_whether_they_exclude_each_other(tmp_path: Path) -> None:
    def key(tree: Tree, *classes: str, exclusive: bool = False) -> str:
        (want,) = train.wanted(tree.train_job(target="+".join(classes), **outputs(*classes, exclusive=exclusive)))
        return want.key

    one, other = joint_tree(tmp_path / "one"), joint_tree(tmp_path / "other", "vw")
    assert key(one, "t", "u") == key(other, "v", "w")
    assert len({key(one, "t", "u"), key(one, "t", "u", exclusive=True), key(one, "u", "t")}) == 3
    assert train.inputs(one.train_job(**outputs("t", "u")).spec)[4:12:4] == ["masks/s/t/a.json", "masks/s/u/a.json"]


def test_a_class_that_no_training_scene_shows_is_refused_by_name(tmp_path: Path) -> None:
    tree = joint_tree(tmp_path)
    for name in "ab":
        tree.write_mask(name, np.zeros((40, 36), np.uint8), "u")
    with pytest.raises(LabelError, match=r"^u: none of the 2 training scenes \(.*\) has a valid pixel of it"):
        train.run(tree.train_job(**outputs("t", "u")))
