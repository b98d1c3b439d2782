"""Stages train and predict with weights and code that come from elsewhere: other members, files, a user's module."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rasterloom.errors import InputError, StoreError
from rasterloom.learning.checkpoint import load_checkpoint
from rasterloom.stages import predict, train
from rasterloom.store.digest import digest
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from small_training import MODEL, TRAINING, Tree, small_tree

STILL = {**TRAINING, "steps": 1, "learning_rate": 1e-12}
"""A training that leaves the weights where they are."""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A tree with a checkpoint of member `a` for one fold."""
    found = small_tree(tmp_path)
    train.run(found.train_job(member="a"))
    return found


def tuned(tree: Tree, **changes: Any) -> Job:
    """A training of member `b`, which begins with the weights of `a` and keeps them."""
    spec = {"member": "b", "model": {**MODEL, "init": "a"}, "origin": ["rgb", "a"], "training": STILL, **changes}
    return tree.train_job(**spec)


def weights(tree: Tree, member: str) -> dict[str, Any]:
    item = Manifest.read(tree.results / f"models/{member}/fold-0.json").items["fold-0"]
    return load_checkpoint(tree.store.open_path(item), "network.")[0]


def moved(tree: Tree, one: str, other: str) -> float:
    """Largest difference of the convolutions of two members."""
    first, second = weights(tree, one), weights(tree, other)
    return max(float(np.abs(first[n] - second[n]).max()) for n in first if first[n].ndim == 4)


def key(job: Job) -> str:
    return next(iter(train.wanted(job))).key


def test_member_begins_with_the_checkpoint_of_another_one_of_the_same_fold(tree: Tree) -> None:
    job = tuned(tree)
    assert "models/a/fold-0.json" in train.inputs(job.spec)
    train.run(job)
    assert moved(tree, "a", "b") < 1e-6
    train.run(tree.train_job(member="c", training={**STILL, "seed": 9}))
    assert moved(tree, "a", "c") > 0.1


def test_sensors_of_a_checkpoint_are_found_by_name(tree: Tree) -> None:
    train.run(tuned(tree, sensors=["a", "rgb"]))
    first, second = (weights(tree, member)["network.down.0.0.weight"] for member in ("a", "b"))
    assert np.allclose(first[:, [2, 0, 1]], second, atol=1e-6)


def test_key_follows_what_a_member_begins_with_but_no_names(tree: Tree) -> None:
    first = key(tuned(tree))
    assert first != key(tree.train_job(member="b", training=STILL))
    assert first != key(tuned(tree, origin=["a", "rgb"]))
    train.run(tree.train_job(member="a", training={**TRAINING, "seed": 7}))
    assert first != key(tuned(tree))
    train.run(tree.train_job(member="z"))
    assert first == key(tuned(tree, model={**MODEL, "init": "z"}))


def test_member_begins_with_a_file(tree: Tree, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    item = Manifest.read(tree.results / "models/a/fold-0.json").items["fold-0"]
    shutil.copy(tree.store.open_path(item), path)
    model = {**MODEL, "init": str(path), "content": {"init": digest(path.read_bytes())}}
    job = tree.train_job(member="b", model=model, training=STILL, sensors=["a", "rgb"])
    assert key(job) != key(tree.train_job(member="b", model={**model, "content": {"init": "0"}}, training=STILL))
    train.run(job)
    first, second = (weights(tree, member)["network.down.0.0.weight"] for member in ("a", "b"))
    assert np.allclose(first[:, [2, 0, 1]], second, atol=1e-6)
    path.write_bytes(b"other weights")
    with pytest.raises(InputError, match=r"mine.safetensors changed while the workflow ran"):
        train.run(tree.train_job(member="c", model=model, training={**STILL, "seed": 9}))


def test_settings_that_came_later_are_in_no_key_at_their_default(tree: Tree) -> None:
    """Members that were trained before are not trained again."""
    first = key(tree.train_job())
    assert first == key(tree.train_job(model={**MODEL, "widths": "constant", "norm": "batch", "init": None}))
    assert first != key(tree.train_job(model={**MODEL, "norm": "group"}))
    assert first != key(tree.train_job(model={**MODEL, "widths": "doubling"}))


def test_code_of_a_network_of_ones_own_is_in_the_keys(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree.results / "own_net.py").write_text(
        "from torch import nn\n\n\ndef build(channels):\n    return nn.Conv2d(channels, 1, 3, padding=1)\n"
    )
    monkeypatch.chdir(tree.results)
    model = {"kind": "module", "factory": "own_net:build", "options": {}, "multiple": 1}

    def jobs(content: str) -> tuple[Job, Job]:
        given = {**model, "content": {"factory": content}}
        return tree.train_job(model=given), tree.predict_job(["d"], model=given, folds=["fold-0"])

    from rasterloom.config.model import model_table
    from rasterloom.config.named import source_digest

    now = source_digest(model_table(model))  # type: ignore[arg-type]
    training, prediction = jobs(now)
    train.run(training)
    predict.run(prediction)
    other = jobs("0" * 64)
    assert key(training) != key(other[0])
    assert next(iter(predict.wanted(prediction))).key != next(iter(predict.wanted(other[1]))).key
    with pytest.raises(StoreError, match="the code of own_net:build changed while the workflow ran"):
        train.run(other[0])
