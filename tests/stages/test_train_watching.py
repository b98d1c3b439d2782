"""Stage train: the curve that others follow, what keys hold of validation scenes, trainings that go wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rasterloom.errors import TrainingError
from rasterloom.learning import checkpoint
from rasterloom.learning.augment import TrainingScene
from rasterloom.learning.curves import NUMBERS, curve_rows
from rasterloom.learning.training import Trainer, train
from rasterloom.learning.watching import Watch
from rasterloom.stages import train as stage
from small_training import TRAINING, Tree, scene, small_tree

Capture = pytest.CaptureFixture[str]
CURVE = "training/m/fold-0.jsonl"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    made = small_tree(tmp_path_factory.mktemp("results"))
    stage.run(made.train_job())
    return made


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def key_of(tree: Tree, **changes: Any) -> str:
    (want,) = stage.wanted(tree.train_job(**changes))
    return want.key


def test_the_curve_lies_in_the_results_and_in_the_checkpoint(tree: Tree) -> None:
    rows = rows_of(tree.results / CURVE)
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert [row["step"] for row in rows if row["validation"] is not None] == [2, 5, 8]
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)
    tensors, _ = checkpoint.load_checkpoint(tree.store.open_path(tree.model()), "watch.")
    assert curve_rows(tensors) == [{name: row[name] for name in NUMBERS} for row in rows]


def test_a_curve_that_is_lost_is_written_from_the_checkpoint(tree: Tree) -> None:
    path = tree.results / CURVE
    before = path.read_text()
    stage.run(tree.train_job())
    assert path.read_text() == before
    path.unlink()
    stage.run(tree.train_job())
    assert rows_of(path) == [{name: row[name] for name in NUMBERS} for row in map(json.loads, before.splitlines())]
    path.write_text(before)


def test_the_curve_of_a_resumed_training_has_each_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    made = small_tree(tmp_path)
    advance, asked = Trainer.advance, iter(range(100))

    def killed(trainer: Trainer, *tensors: Any) -> None:
        if next(asked) == 5:
            raise KeyboardInterrupt
        advance(trainer, *tensors)

    monkeypatch.setattr(Trainer, "advance", killed)
    monkeypatch.setattr("rasterloom.learning.training.train", partial(train, save_seconds=0.0))
    with pytest.raises(KeyboardInterrupt):
        stage.run(made.train_job())
    assert [row["step"] for row in rows_of(made.results / CURVE)] == [1, 2, 3, 4, 5]
    stage.run(made.train_job())
    assert "m fold-0 goes on at step 5 of 8" in capsys.readouterr().err
    assert [row["step"] for row in rows_of(made.results / CURVE)] == list(range(1, 9))


def test_without_validation_scenes_nobody_watches(tmp_path: Path, capsys: Capture) -> None:
    made = small_tree(tmp_path)
    stage.run(made.train_job("all", scenes=["a", "b", "c"], training={**TRAINING, "keep": "best"}))
    assert "m all: no validation scenes: nobody watches, and the last weights are kept" in capsys.readouterr().err
    assert {row["validation"] for row in rows_of(made.results / "training/m/all.jsonl")} == {None}
    other = key_of(made, fold="all", scenes=["a", "b", "c"], training={**TRAINING, "keep": "ema"})
    assert made.model("all").key == key_of(made, fold="all", scenes=["a", "b", "c"]) != other


@pytest.mark.parametrize("keep", ["last", "ema", "best"])
def test_key_depends_on_validation_scenes_only_if_they_choose(tmp_path: Path, keep: str) -> None:
    made, training = small_tree(tmp_path), {**TRAINING, "keep": keep}
    keys = [key_of(made, training=training), key_of(made, training=training, window=24)]
    made.write_mask("c", np.flip(scene(2)[2]).copy())
    keys.append(key_of(made, training=training))
    data, valid, _ = scene(9)
    made.write_stack("c", data, valid)
    keys.append(key_of(made, training=training))
    assert len(set(keys)) == (4 if keep == "best" else 1)
    (other,) = stage.wanted(made.train_job(training=training, window=24))
    assert ("window" in other.recipe) == ("validation" in other.inputs) == (keep == "best")


def test_digest_of_a_checkpoint_does_not_depend_on_what_was_watched(tmp_path: Path, tree: Tree) -> None:
    made = small_tree(tmp_path)
    made.write_mask("c", np.flip(scene(2)[2]).copy())
    stage.run(made.train_job())
    assert rows_of(made.results / CURVE) != rows_of(tree.results / CURVE)
    assert (made.model().key, made.model().digest) == (tree.model().key, tree.model().digest)


def test_a_loss_that_is_not_finite_is_one_line_and_leaves_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small_tree(tmp_path)
    advance = Trainer.advance

    def spoilt(trainer: Trainer, *tensors: Any) -> None:
        advance(trainer, *tensors)
        if trainer.step == 4:
            trainer.history[3, 0] = float("nan")

    monkeypatch.setattr(Trainer, "advance", spoilt)
    monkeypatch.setattr("rasterloom.learning.training.train", partial(train, save_seconds=0.0))
    with pytest.raises(TrainingError, match=r"^m fold-0: the loss is not finite at step 4: lower `learning_rate`"):
        stage.run(made.train_job())
    (log,) = (made.store.root / "train").glob("*")
    assert log.read_text().splitlines()[-1].startswith("m fold-0: the loss is not finite at step 4: lower")


def test_a_network_that_learns_nothing_is_told_in_the_log_and_in_the_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    made = small_tree(tmp_path)
    monkeypatch.setattr("rasterloom.learning.training.learned_nothing", lambda *_: True)
    stage.run(made.train_job())
    assert "train: m fold-0: warning: the network has learned nothing" in capsys.readouterr().err
    assert rows_of(made.results / CURVE)[-1]["warning"].startswith("the network has learned nothing")


def test_validation_scenes_are_normalised_as_they_will_be_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where scenes have statistics of their own, those of validation scenes are read, and decide with `keep: best`."""
    made = small_tree(tmp_path)
    for name in "abc":
        made.own_statistics(name)
    own = {"normalise_by": "scene"}
    seen: list[float] = []

    def watch(scenes: Sequence[TrainingScene], *options: Any) -> Watch:
        seen.extend(float(scene.normalisation.mean[0]) for scene in scenes)
        return Watch(scenes, *options)

    monkeypatch.setattr(stage, "Watch", watch)
    best = {**TRAINING, "keep": "best"}
    stage.run(made.train_job(**own))
    assert seen == pytest.approx([made.scenes["c"][0][1].mean()])
    before = [key_of(made, training=training, **own) for training in (TRAINING, best)]
    data, valid, coverage = made.scenes["c"]
    made.scenes["c"] = data + np.uint16(7), valid, coverage
    made.own_statistics("c")
    after = [key_of(made, training=training, **own) for training in (TRAINING, best)]
    assert before[0] == after[0] and before[1] != after[1]
