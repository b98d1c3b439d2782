"""Training: the schedule, the batches, reproducible and resumed weights, checkpoints, the stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rasterloom.config.model import TrainingConfig
from rasterloom.errors import LabelError
from rasterloom.learning import checkpoint, training
from rasterloom.learning.augment import Normalisation, TrainingScene
from rasterloom.learning.batches import Batch, make_batch, require_positive
from rasterloom.learning.curves import jaccard, learning_curve
from rasterloom.learning.device import computing
from rasterloom.learning.sampling import index_scene
from rasterloom.learning.scenes import open_training_scenes
from rasterloom.learning.state import STATE, claimed_state, read_state, write_state
from rasterloom.learning.training import Trainer
from rasterloom.stages import train as stage
from rasterloom.store.digest import array_digest
from rasterloom.store.job import Job
from small_training import MODEL, TRAINING, Tree, scene, small_tree


def memory_scene(name: str, seed: int, covered: bool = True) -> TrainingScene:
    data, valid, coverage = scene(seed)
    coverage = coverage if covered else np.zeros_like(coverage)

    def read(y0: int, y1: int, x0: int, x1: int) -> Any:
        return data[:, y0:y1, x0:x1], valid[:, y0:y1, x0:x1], coverage[y0:y1, x0:x1]

    return TrainingScene(name, index_scene(lambda a, b: (coverage[a:b], valid[0, a:b]), len(coverage)), read)


SCENES = [memory_scene("a", 0), memory_scene("b", 1)]
NORMALISATION = Normalisation(np.full(4, 510, np.float32), np.full(4, 25, np.float32), np.array([0, 1, 1, 2]))


def trained(
    recipe: TrainingConfig, state: dict[str, NDArray[Any]] | None = None, **options: Any
) -> dict[str, NDArray[Any]]:
    with computing(recipe.threads):
        trainer = Trainer(recipe, MODEL, 4, "cpu")
        if state is not None:
            trainer.restore(state)
        batch_of: Callable[[int], Batch] = lambda step: make_batch(  # noqa: E731
            SCENES, recipe, NORMALISATION, step
        )
        done = training.train(trainer, batch_of, **options)
    return {**done.weights, "history": done.history}


def recipe(**changes: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({**TRAINING, **changes})


# Pure functions ---------------------------------------------------------------------------------------------


def test_learning_rate_is_one_cycle() -> None:
    rates = [training.learning_rate(step, 100, 2.0) for step in range(100)]
    assert rates[0] == pytest.approx(2.0 / 25)
    assert max(rates) == rates[20] == 2.0
    assert rates[-1] == pytest.approx(2e-3)
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_learning_rate_of_short_trainings(steps: int) -> None:
    assert all(0 < training.learning_rate(step, steps, 1.0) <= 1.0 for step in range(steps))


def test_jaccard_pools_pixels() -> None:
    assert jaccard(np.array([[0.0, 1, 1, 0], [0.0, 5, 1, 2]])) == 0.6
    assert jaccard(np.zeros((2, 4))) == 1.0


@pytest.mark.parametrize(("steps", "points"), [(1, 1), (7, 7), (1000, 400)])
def test_learning_curve(steps: int, points: int) -> None:
    curve = learning_curve(np.ones((steps, 4), np.float32))
    assert [len(value) for value in curve.values()] == [points] * 3
    assert curve["history.step"][-1] == steps
    assert (curve["history.iou"] == np.float32(1 / 3)).all()


def test_make_batch_masks_invalid_reference_and_zeroes_invalid_sensors() -> None:
    still = recipe(batch=4, patch=40, augment={"flips": False, "rotation": False, "colour": 0.5})
    batch = make_batch(SCENES, still, NORMALISATION, 0)
    assert batch.images.shape == (4, 4, 40, 40)
    assert {str(a.dtype) for a in (batch.images, batch.target, batch.weight)} == {"float32"}
    assert batch.weight.sum() == 4 * 40 * 36  # columns beyond the scene have no weight
    assert set(np.unique(batch.target)) == {0.0, 1.0}
    assert (batch.images[:, 1:3, :3, 2:6] == 0).all()  # plane 1 is invalid in its corner
    assert (batch.images[:, 3, -5:] == 0).all()
    assert (batch.images[:, 0, :, 2:38] != 0).mean() > 0.99


def test_make_batch_is_a_function_of_the_step() -> None:
    one, again, other = (make_batch(SCENES, recipe(), NORMALISATION, step) for step in (3, 3, 4))
    assert np.array_equal(one.images, again.images)
    assert not np.array_equal(one.images, other.images)


# The loop ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_train_equal_inputs_equal_weights(precision: str) -> None:
    one, again, other = (
        trained(recipe(precision=precision, seed=seed), workers=workers) for seed, workers in ((1, 1), (1, 3), (2, 1))
    )
    assert array_digest(one) == array_digest(again)
    assert array_digest(one) != array_digest(other)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_train_resumed_equals_uninterrupted(precision: str, tmp_path: Path) -> None:
    states: list[dict[str, NDArray[Any]]] = []
    whole = trained(recipe(precision=precision), save=states.append, save_seconds=0.0)
    assert [len(state["history"]) for state in states] == list(range(1, 8))
    for state in (states[0], states[4]):
        write_state(tmp_path / "s.safetensors", state)
        read = read_state(tmp_path / "s.safetensors")
        assert array_digest(trained(recipe(precision=precision), read)) == array_digest(whole)


def test_train_learns() -> None:
    history = trained(recipe(steps=60, batch=4, precision="float32"))["history"]
    assert history[-10:, 0].mean() < 0.5 * history[:5, 0].mean()
    assert jaccard(history[-10:]) > 0.6


def test_train_ignores_invalid_ground() -> None:
    """What lies where the reference is invalid changes no weight."""
    digests = set()
    for value in (0.0, 1.0):

        def batch_of(step: int, value: float = value) -> Batch:
            batch = make_batch(SCENES, recipe(), NORMALISATION, step)
            batch.weight[:, :5] = 0.0
            batch.target[:, :5] = value
            return batch

        with computing(1):
            done = training.train(Trainer(recipe(steps=2), MODEL, 4, "cpu"), batch_of)
        digests.add(array_digest(done.weights))
    assert len(digests) == 1


def test_train_reports_progress() -> None:
    seen: list[training.Progress] = []
    trained(recipe(steps=45), report=seen.append)
    assert [p.step for p in seen] == [20, 40, 45]
    assert all(0 <= p.busy <= 1 and p.seconds_per_step > 0 for p in seen)
    assert "ms/step network" in str(seen[0])


def test_require_positive_names_class_scenes_and_remedy() -> None:
    empty = [memory_scene(name, 0, covered=False) for name in ("s1", "s2")]
    with pytest.raises(LabelError, match=r"lakes: none of the 2 training scenes \(s1, s2\).*scale s.*Label it there"):
        require_positive(empty, "lakes", "s")
    require_positive([*empty, SCENES[0]], "lakes", "s")


# Files ------------------------------------------------------------------------------------------------------


def test_claimed_state_is_exclusive_and_removed(tmp_path: Path) -> None:
    folder = tmp_path / "k"
    with claimed_state(folder) as one, claimed_state(folder) as two:
        assert one != two
        assert len(list(folder.iterdir())) == 2
    assert not folder.exists()


def test_claimed_state_survives_an_error_and_is_taken_over(tmp_path: Path) -> None:
    folder = tmp_path / "k"
    with pytest.raises(KeyError), claimed_state(folder) as state:
        write_state(state / STATE, {"x": np.arange(3)})
        raise KeyError
    with claimed_state(folder) as state:
        read = read_state(state / STATE)
        assert read is not None
        assert read["x"].tolist() == [0, 1, 2]
    assert not folder.exists()


def test_claimed_state_without_a_state_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), claimed_state(tmp_path / "k"):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_claimed_state_survives_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, numpy as np; from pathlib import Path; from rasterloom.learning import state as train\n"
        f"with train.claimed_state(Path({str(tmp_path)!r}) / 'k') as state:\n"
        "    train.write_state(state / train.STATE, {'x': np.arange(2)}); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with claimed_state(tmp_path / "k") as state:
        assert read_state(state / STATE) is not None


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
    assert item.digest == array_digest(tensors)
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
    stacks, masks = job.items("stacks/s", ["a", "b"]), job.items("masks/s/t", ["a", "b"])
    norm = Normalisation(np.zeros(3, np.float32), np.ones(3, np.float32), np.array([0, 0, 1]))
    with ExitStack() as held:
        cached = open_training_scenes(job, held, stacks, masks)
        windowed = open_training_scenes(job, held, stacks, masks, cache=0)
        for step in range(3):
            one, two = (make_batch(s, recipe(), norm, step) for s in (cached, windowed))
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

    monkeypatch.setattr(stage, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage.run(made.train_job())
    started: list[int] = []

    def watched(trainer: Trainer, batch_of: Any, **options: Any) -> Any:
        started.append(trainer.step)
        return real(trainer, batch_of, **options)

    monkeypatch.setattr(stage, "train", watched)
    stage.run(made.train_job())
    assert started[0] > 0
    assert made.model().digest == whole.digest


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
    assert not list((made.store.root / "train").glob("*"))


@pytest.mark.parametrize("model", [{"kind": "linear", "samples": 200}, {"kind": "forest", "samples": 200, "trees": 3}])
def test_run_pixel_models(tree: Tree, model: dict[str, Any]) -> None:
    job = tree.train_job("fold-1", model=model, training={"threads": 1, "seed": 0}, member="p")
    stage.run(job)
    item = job.manifest("models/p/fold-1").items["fold-1"]
    tensors, _ = checkpoint.load_checkpoint(tree.store.open_path(item))
    assert {name.split(".")[0] for name in tensors} == {model["kind"], "normalisation"}


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
