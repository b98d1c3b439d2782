"""Stage train: its claim on the state of a training, checkpoints, keys, interrupted runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rasterloom.config.model import AugmentConfig, TrainingConfig
from rasterloom.errors import LabelError, RasterloomError
from rasterloom.learning import checkpoint, training
from rasterloom.learning.augment import Normalisation
from rasterloom.learning.batches import Batch, make_batch
from rasterloom.learning.scenes import open_training_scenes
from rasterloom.learning.stack_reader import read_stack
from rasterloom.learning.state import STATE, claimed_state, read_state, write_state
from rasterloom.learning.training import Trainer
from rasterloom.stages import train as stage
from rasterloom.store.digest import array_digest
from rasterloom.store.job import Job
from small_training import MODEL, TRAINING, Tree, recipe, scene, small_tree

# Files ------------------------------------------------------------------------------------------------------


def test_read_state_ignores_what_is_not_one(tmp_path: Path) -> None:
    assert read_state(tmp_path / "none") is None
    (tmp_path / "bad").write_bytes(b"12345678901234567890")
    assert read_state(tmp_path / "bad") is None


# The stage --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    made = small_tree(tmp_path_factory.mktemp("results"))
    stage.run(made.train_job())
    return made


def test_inputs_of_a_fold_and_of_all() -> None:
    spec = {"scale": {"name": "s"}, "scenes": ["x"], "target": "t", "group": "g", "fold": "fold-0"}
    common = ["stacks/s/x.json", "masks/s/t/x.json", "statistics/statistics.json"]
    assert stage.inputs(spec) == [*common, "folds/g.json"]
    assert stage.inputs({**spec, "fold": "all"}) == common


def test_run_writes_checkpoint_and_manifest(tree: Tree) -> None:
    item = tree.model()
    tensors, found = checkpoint.load_checkpoint(tree.store.open_path(item))
    assert item.digest == array_digest({n: v for n, v in tensors.items() if not n.startswith("watch.")})
    assert found["training"] == TRAINING
    assert tensors["normalisation.mean"].shape == (3,)
    assert tensors["history.loss"].shape == (8,)
    assert any(name.startswith("network.down.0") for name in tensors)
    assert (tree.results / "models/m/fold-0.safetensors").exists()
    assert not [path for path in (tree.store.root / "train").iterdir() if path.is_dir()]


def test_run_reuses_the_checkpoint_without_torch(tree: Tree) -> None:
    code = (
        "import json, sys; from pathlib import Path; from rasterloom.stages import job_of\n"
        "from rasterloom.store.store import Store\n"
        "from rasterloom.stages import train\n"
        f"results = Path({str(tree.results)!r}); spec = json.loads({json.dumps(tree.train_job().spec)!r})\n"
        "train.run(job_of(spec, {}, results, Store(results / 'store')))\n"
        "print(sorted({'torch', 'sklearn', 'zarr', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout == "[]\n"


def same(job: Job) -> str:
    stage.run(job)
    return job.manifest(f"models/m/{job.spec['fold']}").items[job.spec["fold"]].key


def test_run_key_depends_on_what_can_change_the_weights(tree: Tree) -> None:
    key = tree.model().key
    short = {**TRAINING, "steps": 1}
    assert same(tree.train_job(member="m", scenes=["a", "b", "c", "d"])) == key  # the fold decides the scenes
    keys = {
        same(tree.train_job(training=short)),
        same(tree.train_job(training=short, sensors=["rgb"])),
        same(tree.train_job("fold-1", training=short)),
        same(tree.train_job("all", training=short)),
        key,
    }
    assert len(keys) == 5


@pytest.mark.parametrize("ids", ["dcba", "bacd"])
def test_run_renaming_scenes_and_sensors_retrains_nothing(tree: Tree, tmp_path: Path, ids: str) -> None:
    """Neither the key nor the draw of patches sees a name: the weights are the same when trained anew."""
    stage.run(tree.train_job())
    other = small_tree(tmp_path, ids=ids, names={"rgb": "colour", "a": "swir"})
    stage.run(other.train_job(member="other"))
    item = other.train_job().manifest("models/other/fold-0").items["fold-0"]
    assert (item.key, item.digest) == (tree.model().key, tree.model().digest)


def test_run_key_depends_on_the_order_of_sensors_and_on_the_reference(tmp_path: Path) -> None:
    made = small_tree(tmp_path)
    short = {**TRAINING, "steps": 1}
    keys = {
        same(made.train_job(training=short, sensors=sensors, reference=reference))
        for sensors, reference in ((["rgb", "a"], "rgb"), (["a", "rgb"], "rgb"), (["a", "rgb"], "a"), (["rgb"], "a"))
    }
    assert len(keys) == 4


def test_run_provenance_holds_the_names(tree: Tree) -> None:
    stage.run(tree.train_job())
    record = json.loads(tree.store.record_path("train", tree.model().key).read_text())
    assert record["recipe"]["sensors"] == ["rgb", "a"] and set(record["inputs"]["stacks"]) == {"a", "b"}


def test_run_key_of_a_forest_does_not_depend_on_threads(tmp_path: Path) -> None:
    digests = set()
    for threads in (1, 2):
        made = small_tree(tmp_path / str(threads))
        model = {"kind": "forest", "samples": 200, "trees": 3}
        stage.run(made.train_job(model=model, training={"threads": threads, "seed": 0}))
        digests.add((made.model().key, made.model().digest))
    assert len(digests) == 1


def test_run_does_not_depend_on_unused_sensors(tmp_path: Path) -> None:
    made = small_tree(tmp_path)
    short = {**TRAINING, "steps": 1}
    before = same(made.train_job(training=short))
    data, valid, coverage = scene(0)
    data[0] += 1  # sensor p, which the member does not read
    made.write_stack("a", data, valid)
    assert same(made.train_job(training=short)) == before
    made.write_mask("a", np.flip(coverage).copy())
    assert same(made.train_job(training=short)) != before


def test_run_reads_by_window_what_the_cache_does_not_hold(tree: Tree) -> None:
    job = tree.train_job()
    stacks, items = job.items("stacks/s", ["a", "b"]), job.items("masks/s/t", ["a", "b"])
    masks = {name: [item] for name, item in items.items()}
    norm = Normalisation(np.zeros(3, np.float32), np.ones(3, np.float32), np.array([0, 0, 1]))
    with ExitStack() as held:
        paths = {name: tree.store.open_path(item) for name, item in stacks.items()}
        readers = {name: held.enter_context(read_stack(path, ["rgb", "a"], "rgb")) for name, path in paths.items()}
        cached, windowed = (
            open_training_scenes(job, held, readers, masks, {"a": norm, "b": norm}, cache) for cache in (10**6, 0)
        )
        for step in range(3):
            one, two = (make_batch(s, recipe(), step) for s in (cached, windowed))
            assert np.array_equal(one.images, two.images)
            assert np.array_equal(one.target, two.target)
            assert np.array_equal(one.weight, two.weight)


def test_run_resumes_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = small_tree(tmp_path)
    stage.run(made.train_job())
    whole = made.model()
    path = made.store.open_path(whole)
    path.unlink()

    real = training.train

    def interrupted(trainer: Trainer, batch_of: Any, **options: Any) -> Any:
        def batch(step: int) -> Batch:
            if step == 5:
                raise KeyboardInterrupt
            made_batch: Batch = batch_of(step)
            return made_batch

        return real(trainer, batch, **{**options, "save_seconds": 0.0})

    monkeypatch.setattr("rasterloom.learning.training.train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage.run(made.train_job())
    started: list[int] = []

    def watched(trainer: Trainer, batch_of: Any, **options: Any) -> Any:
        started.append(trainer.step)
        return real(trainer, batch_of, **options)

    monkeypatch.setattr("rasterloom.learning.training.train", watched)
    stage.run(made.train_job())
    assert started[0] > 0
    assert made.model().digest == whole.digest
    log = made.store.log_path("train", whole.key).read_text()
    first, second, third = (part.splitlines() for part in log.split("--- attempt of ")[1:])
    assert first[1].startswith("train: m fold-0: ")
    assert second[1] == first[1]
    assert second[-2:] == ["KeyboardInterrupt", ""]
    assert third[2] == f"train: m fold-0 goes on at step {started[0]} of 8"


def test_run_keeps_the_state_until_the_checkpoint_is_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small_tree(tmp_path / "whole")
    stage.run(made.train_job())
    digest = made.model().digest
    made = small_tree(tmp_path / "broken")

    def full(*_: Any) -> str:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(stage, "save_checkpoint", full)
        with pytest.raises(OSError, match="no space left"):
            stage.run(made.train_job())
    assert len(list((made.store.root / "train").glob(f"*/state-*/{STATE}"))) == 1
    monkeypatch.setattr(Trainer, "advance", lambda *_: pytest.fail("a step was trained again"))
    stage.run(made.train_job())
    assert made.model().digest == digest
    assert not [path for path in (made.store.root / "train").iterdir() if path.is_dir()]


def test_run_saves_its_state_on_sigterm_and_the_next_attempt_ends_with_the_same_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small_tree(tmp_path / "whole")
    stage.run(made.train_job())
    digest = made.model().digest
    made = small_tree(tmp_path / "stopped")
    advance, steps = Trainer.advance, []

    def until_told(trainer: Trainer, *batch: Any) -> None:
        steps.append(trainer.step)
        if trainer.step == 3 and len(steps) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        advance(trainer, *batch)

    monkeypatch.setattr(Trainer, "advance", until_told)
    with pytest.raises(RasterloomError, match=r"m fold-0: stopped from outside at step 4 of 8; the next attempt goes"):
        stage.run(made.train_job())
    assert len(list((made.store.root / "train").glob(f"*/state-*/{STATE}"))) == 1
    stage.run(made.train_job())
    assert steps == [0, 1, 2, 3, 4, 5, 6, 7], "no step was trained twice"
    assert made.model().digest == digest


def test_run_waits_for_a_process_that_trains_the_same_checkpoint_and_takes_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs that share a store, or jobs of a run that died beside those of the next one."""
    made = small_tree(tmp_path)
    real, begun, waits, go_on = stage.training_scenes, threading.Event(), threading.Event(), threading.Event()

    def said(text: str) -> None:
        if "waiting for process" in text:
            waits.set()

    def slow(*given: Any) -> Any:
        assert not begun.is_set(), "both train"
        begun.set()
        go_on.wait()
        return real(*given)

    monkeypatch.setattr(stage, "training_scenes", slow)
    monkeypatch.setattr("rasterloom.store.job.to_stderr", said)
    monkeypatch.setattr("rasterloom.learning.state.LOOK_SECONDS", 0.05)
    # a signal's handler is of the main thread alone
    monkeypatch.setattr(stage, "told_to_stop", lambda: nullcontext(lambda: False))
    one, two = (threading.Thread(target=stage.run, args=(made.train_job(),)) for _ in range(2))
    one.start()
    begun.wait()
    two.start()
    while not waits.wait(1.0):
        assert two.is_alive()
    go_on.set()
    one.join()
    two.join()
    assert made.model().digest


def test_run_removes_a_state_that_outlived_its_checkpoint(tmp_path: Path) -> None:
    """As a kill leaves it between the commit and the removal of the state."""
    made = small_tree(tmp_path)
    job = made.train_job(training={**TRAINING, "steps": 1})
    stage.run(job)
    folder = made.store.root / "train" / made.model().key
    with pytest.raises(KeyError), claimed_state(folder) as state:
        write_state(state / STATE, {"x": np.arange(3)})
        raise KeyError
    assert folder.is_dir()
    stage.run(job)
    assert not folder.exists()


def test_run_without_positive_pixels_stops(tmp_path: Path) -> None:
    made = small_tree(tmp_path)
    for name in "ab":
        made.write_mask(name, np.zeros((40, 36), np.uint8))
    with pytest.raises(LabelError, match="t: none of the 2 training scenes"):
        stage.run(made.train_job())
    assert [path.suffix for path in (made.store.root / "train").glob("*")] == [".log"]


@pytest.mark.parametrize(
    "model",
    [
        {"kind": "linear", "samples": 200},
        {"kind": "logistic", "samples": 200},
        {"kind": "forest", "samples": 200, "trees": 3},
        {"kind": "boosting", "samples": 200, "trees": 3},
    ],
)
def test_run_pixel_models(tree: Tree, model: dict[str, Any]) -> None:
    job = tree.train_job("fold-1", model=model, training={"threads": 1, "seed": 0}, member="p")
    stage.run(job)
    item = job.manifest("models/p/fold-1").items["fold-1"]
    tensors, _ = checkpoint.load_checkpoint(tree.store.open_path(item))
    assert {name.split(".")[0] for name in tensors} == {model["kind"], "normalisation"}


def test_run_says_which_indices_it_makes(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    model = {"kind": "linear", "samples": 200, "indices": True, "neighbourhood": [3]}
    indices = {"rgb": {"NDWI": [1, 0]}}
    job = tree.train_job("fold-1", model=model, training={"threads": 1, "seed": 0}, member="p", indices=indices)
    stage.run(job)
    tensors, recipe = checkpoint.load_checkpoint(tree.store.open_path(job.manifest("models/p/fold-1").items["fold-1"]))
    assert "indices of rgb: NDWI" in capsys.readouterr().err
    assert tensors["features.indices"].tolist() == [[1, 0, -1, -1]]
    assert len(tensors["linear.coefficients"]) == 3 + 1 + 3
    assert recipe["indices"] == "rgb: NDWI of bands 2 1"


def test_keys_leave_out_features_that_are_off_and_hold_bands_by_place(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no model is trained again by the settings alone, nor by another name of a sensor."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(Job, "key", lambda _, recipe, inputs: asked.append(recipe) or "k" * 32)
    linear = {"kind": "linear", "samples": 200}
    list(stage.wanted(tree.train_job(model={**linear, "indices": False, "neighbourhood": []})))
    list(stage.wanted(tree.train_job(model={**linear, "indices": True}, indices={"a": {"NDWI": [0, 1]}})))
    assert [recipe["model"] for recipe in asked] == [linear, {**linear, "indices": True}]
    assert [recipe.get("indices") for recipe in asked] == [None, [None, {"NDWI": [0, 1]}]]


def test_keys_hold_the_first_names_of_settings(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that gets another name trains nothing again."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(Job, "key", lambda _, recipe, inputs: asked.append(recipe) or "k" * 32)
    forest = {"kind": "forest", "samples": 200, "trees": 3, "max_depth": 4}
    for model in (MODEL, forest):
        list(stage.wanted(tree.train_job(model=model)))
    assert [recipe["model"] for recipe in asked] == [
        {"kind": "unet", "maps": 4, "levels": 2, "convolutions": 1},
        {"kind": "forest", "samples": 200, "trees": 3, "depth": 4},
    ]


def test_keys_hold_later_settings_only_at_another_value(tree: Tree) -> None:
    off = {name.removeprefix("training."): value for name, value in stage.OFF.items() if name.startswith("training.")}
    augment = {name.removeprefix("augment."): off.pop(name) for name in list(off) if name.startswith("augment.")}
    written = {**TRAINING, **off, "augment": {**TRAINING["augment"], **augment}}
    keys = [want.key for t in (TRAINING, written) for want in stage.wanted(tree.train_job(training=t))]
    assert keys[0] == keys[1] and set(off) <= set(TrainingConfig.model_fields)
    assert AugmentConfig.model_validate(augment) == AugmentConfig()
    (other,) = stage.wanted(tree.train_job(training={**TRAINING, **off, "soft_jaccard": 0.5}))
    assert other.key != keys[0]
