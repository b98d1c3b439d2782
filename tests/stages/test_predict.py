"""The stage `predict`: which checkpoints, which windows, which key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rasterloom.config.model import Prediction
from rasterloom.labels.folds import checkpoints_of
from rasterloom.learning import inference
from rasterloom.learning.checkpoint import load_checkpoint
from rasterloom.learning.inference import mean_forward, pixel_rows
from rasterloom.learning.normalisation import prediction_normalisation
from rasterloom.learning.stack_reader import read_stack
from rasterloom.learning.state import write_state
from rasterloom.raster.planes import read_plane
from rasterloom.stages import predict as stage
from rasterloom.stages import train
from rasterloom.store.digest import array_digest
from rasterloom.store.store import read_record
from small_training import PREDICTION, TRAINING, Tree, scene, small_tree

SHORT = {**TRAINING, "steps": 3}
FOLDS = {"f0": {"train": ["a", "b"], "validation": ["c"]}, "f1": {"train": ["b", "c"], "validation": ["a", "c"]}}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    made = small_tree(tmp_path_factory.mktemp("results"))
    for fold in ("fold-0", "fold-1", "all"):
        train.run(made.train_job(fold, training=SHORT))
    return made


def run(tree: Tree, scenes: str, **changes: Any) -> dict[str, NDArray[np.uint8]]:
    labelled = [name for name in scenes if name != "d"]
    job = tree.predict_job(list(scenes), **{"labelled": labelled, **changes})
    stage.run(job)
    return {name: read_plane(tree.store.open_path(tree.prediction(name)), "probability") for name in scenes}


@pytest.mark.parametrize(
    ("scene_id", "names", "predict_with", "expected"),
    [
        ("c", ["f0", "f1"], "folds", ["f0", "f1"]),
        ("a", ["f0", "f1"], "folds", ["f1"]),
        ("a", ["f0", "f1", "all"], "refit", ["f1"]),
        ("b", ["f0", "f1"], "folds", ["f0", "f1"]),
        ("b", ["f0", "f1", "all"], "refit", ["f0", "f1"]),
        ("new", ["f0", "f1"], "folds", ["f0", "f1"]),
        ("new", ["f0", "f1", "all"], "refit", ["all"]),
    ],
)
def test_checkpoints_of(scene_id: str, names: list[str], predict_with: str, expected: list[str]) -> None:
    assert checkpoints_of(scene_id, ["a", "b", "c"], FOLDS, names, predict_with) == expected


def test_inputs_ask_for_folds_only_where_scenes_are_labelled() -> None:
    spec: dict[str, Any] = {
        "scale": {"name": "s"}, "scenes": ["x"], "member": "m", "folds": ["f", "all"], "group": "g", "labelled": [],
    }  # fmt: skip
    common = ["stacks/s/x.json", "models/m/f.json", "models/m/all.json"]
    assert stage.inputs(spec) == common
    assert stage.inputs({**spec, "labelled": ["x"]}) == [*common, "folds/g.json"]


def test_run_gives_bytes_and_zero_where_the_reference_is_invalid(tree: Tree) -> None:
    out = run(tree, "ad")
    for name, probability in out.items():
        valid = tree.scenes[name][1][1]
        assert probability.shape == (40, 36)
        assert probability.dtype == np.uint8
        assert (probability[valid == 0] == 0).all()
        assert probability[valid != 0].max() > 0
        assert tree.prediction(name).digest == array_digest({"probability": probability})
        assert (tree.results / f"predictions/m/{name}.zarr.zip").exists()


def test_run_is_out_of_fold_and_the_mean_elsewhere(tree: Tree) -> None:
    out = run(tree, "acd")
    one = {s: run(tree, s, labelled=[], folds=[f])[s] for s, f in (("a", "fold-1"), ("c", "fold-0"))}
    assert np.array_equal(out["a"], one["a"])
    assert np.array_equal(out["c"], one["c"])
    both = [run(tree, "d", folds=[fold])["d"].astype(int) for fold in ("fold-0", "fold-1")]
    assert np.abs(out["d"] - (both[0] + both[1]) / 2).max() <= 1.0
    assert not np.array_equal(both[0], both[1])
    refitted = run(tree, "d", folds=["fold-0", "all"], predict_with="refit")["d"]
    assert np.array_equal(refitted, run(tree, "d", folds=["all"], predict_with="refit")["d"])


def test_run_same_whatever_the_batch_of_scenes(tree: Tree) -> None:
    together = run(tree, "abcd", member="m", prediction={**PREDICTION, "stride": 7})
    keys = {name: tree.prediction(name).key for name in "abcd"}
    (tree.store.root / "predict").rename(tree.store.root / "moved")
    for name in "abcd":
        alone = run(tree, name, prediction={**PREDICTION, "stride": 7})
        assert np.array_equal(alone[name], together[name])
        assert tree.prediction(name).key == keys[name]


def test_run_key_depends_on_what_can_change_the_output(tree: Tree) -> None:
    def key(**changes: Any) -> str:
        run(tree, "d", **changes)
        return tree.prediction("d").key

    cheap = {**PREDICTION, "stride": 16, "symmetries": False}
    keys = [
        key(prediction=cheap),
        key(prediction={**cheap, "stride": 15}),
        key(prediction={**cheap, "batch": 2}),
        key(prediction=cheap, folds=["fold-0"]),
        key(prediction=cheap, folds=["fold-1"]),
    ]
    assert len(set(keys)) == 5
    assert key(prediction=cheap) == keys[0]


def test_run_alternating_symmetries_are_the_same_in_any_batch(tree: Tree) -> None:
    """A turned network's mistakes are turned, so neighbours differ; the batch of windows changes nothing."""
    alternate = {**PREDICTION, "symmetries": "alternate", "precision": "float32"}
    found = [run(tree, "d", prediction={**alternate, "batch": batch})["d"] for batch in (1, 3, 100)]
    assert np.abs(found[0].astype(int) - found[1]).max() <= 1 and np.abs(found[0].astype(int) - found[2]).max() <= 1
    once, all_eight = (run(tree, "d", prediction={**alternate, "symmetries": own})["d"] for own in (False, True))
    error = [np.abs(own.astype(int) - all_eight).mean() for own in (found[0], once)]
    assert 0 < error[0] < error[1]


def test_run_key_holds_no_name(tree: Tree, tmp_path: Path) -> None:
    """The same scene, models and sensors under other names: the same prediction."""
    cheap = {**PREDICTION, "stride": 16, "symmetries": False}
    run(tree, "d", prediction=cheap)
    other = small_tree(tmp_path, ids="dcbz", names={"rgb": "colour", "a": "swir"})
    for fold in ("fold-0", "fold-1"):
        train.run(other.train_job(fold, training=SHORT))
    run(other, "z", prediction=cheap, labelled=[])
    assert other.prediction("z") == tree.prediction("d")
    stage.run(other.predict_job(["z"], prediction=cheap, sensors=["swir", "colour"]))
    assert other.prediction("z").key != tree.prediction("d").key


def test_run_reuses_predictions_without_torch(tree: Tree) -> None:
    run(tree, "ad")
    spec = tree.predict_job(["a", "d"], labelled=["a"]).spec
    code = (
        "import sys; from pathlib import Path\n"
        "from rasterloom.stages import job_of; from rasterloom.store.store import Store\n"
        "from rasterloom.stages import predict\n"
        f"results = Path({str(tree.results)!r}); \n"
        f"predict.run(job_of({spec!r}, {{}}, results, Store(results / 'store')))\n"
        "print(sorted({'torch', 'sklearn', 'zarr', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (17, 16), (33, 7)])
def test_run_scenes_of_any_shape(tree: Tree, shape: tuple[int, int]) -> None:
    data = scene(9, (44, 44))[0][:, : shape[0], : shape[1]]
    tree.write_stack("odd", data, np.full((3, *shape), 255, np.uint8))
    stage.run(tree.predict_job(["odd"], folds=["fold-0"]))
    assert read_plane(tree.store.open_path(tree.prediction("odd")), "probability").shape == shape


def test_run_goes_on_at_the_last_finished_strip_of_a_large_scene(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.tile(scene(5)[0], (1, 18, 1))[:, :700]
    tree.write_stack("tall", data, np.full((3, *data.shape[1:]), 255, np.uint8))
    job = tree.predict_job(["tall"], folds=["fold-0"], prediction={**PREDICTION, "symmetries": "alternate"})
    stage.run(job)
    (want,) = stage.wanted(job)
    sure, folder = tree.prediction("tall"), tree.store.root / "predict" / want.key
    windows = count_windows(monkeypatch)
    monkeypatch.setattr(stage, "WORTH_KEEPING", 1)
    (tree.store.root / "predict").rename(tree.store.root / "sure")

    def killed(path: Path, arrays: Any) -> None:
        write_state(path, arrays)
        if path.name == inference.STRIP.format(1):
            raise KeyboardInterrupt

    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(inference, "write_state", killed)
        stage.run(job)
    before = sum(windows)
    assert len(list(folder.glob("state-*/strip-*"))) == 2 and not list((tree.store.root / "predict").glob("*.zip"))
    stage.run(job)
    assert tree.prediction("tall") == sure, "the same bytes, under the same key"
    assert sum(windows) - before < before / 2, "windows above row 512 are not predicted again"
    assert not folder.exists()
    record = read_record(tree.store.record_path("predict", sure.key))
    assert record is not None and "network" not in record["cost"], "half a scene says nothing of the speed"


def count_windows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many windows each forward pass has, from now on."""
    found: list[int] = []

    def counting(*given: Any) -> Any:
        forward = mean_forward(*given)

        def run(images: Any) -> Any:
            found.append(len(images))
            return forward(images)

        return run

    monkeypatch.setattr(inference, "mean_forward", counting)
    return found


def test_run_without_valid_ground_is_zero(tree: Tree) -> None:
    data, valid, _ = scene(3)
    tree.write_stack("void", data, np.zeros_like(valid))
    stage.run(tree.predict_job(["void"], folds=["fold-0"]))
    assert not read_plane(tree.store.open_path(tree.prediction("void")), "probability").any()


@pytest.mark.parametrize("kind", ["forest", "boosting", "linear", "logistic"])
def test_run_pixel_models(tree: Tree, kind: str) -> None:
    trees = {"trees": 5, "max_depth": 4} if kind in {"forest", "boosting"} else {}
    model = {"kind": kind, "samples": 400, **trees}
    pixel = {"model": model, "training": {"threads": 1, "seed": 0}, "member": kind}
    train.run(tree.train_job("fold-0", **pixel))
    job = tree.predict_job(["c"], labelled=["c"], folds=["fold-0"], model=model, member=kind, prediction={"threads": 1})
    stage.run(job)
    item = job.manifest(f"predictions/{kind}/b").items["c"]
    probability = read_plane(tree.store.open_path(item), "probability")
    _, valid, coverage = tree.scenes["c"]
    assert probability[(coverage > 0) & (valid[1] > 0)].mean() > 100 + probability[coverage == 0].mean()
    assert (probability[valid[1] == 0] == 0).all()


def test_pixel_rows_are_the_same_in_any_blocks(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"kind": "logistic", "samples": 400, "neighbourhood": [3, 9]}
    train.run(tree.train_job("fold-0", model=model, training={"threads": 1, "seed": 0}, member="n"))
    job = tree.predict_job(["c"], folds=["fold-0"], model=model, member="n")
    (want,) = stage.wanted(job)
    item = job.manifest("models/n/fold-0").items["fold-0"]
    checkpoint = load_checkpoint(tree.store.open_path(item))[0]
    with read_stack(tree.store.open_path(want.work[0]), job.spec["sensors"], job.spec["reference"]) as reader:
        shared = prediction_normalisation([checkpoint], None, reader)
        whole, alone = (np.concatenate(list(pixel_rows(reader, shared, [checkpoint] * n, 1))) for n in (1, 2))
        assert np.array_equal(whole, alone) and len(np.unique(whole)) > 20
        for rows, columns in ((1, 50), (7, 5), (16, 36)):
            monkeypatch.setattr(inference, "SAMPLE_ROWS", rows)
            monkeypatch.setattr(inference, "TILE_COLUMNS", columns)
            assert np.array_equal(np.concatenate(list(pixel_rows(reader, shared, [checkpoint], 2))), whole)


class Asymmetric:
    """A network whose logit is the first channel, and much lower at the left edge."""

    def __call__(self, images: Any) -> Any:
        logits = images[:, :1].clone()
        logits[..., 0] -= 4.0
        return logits


@pytest.mark.parametrize("symmetric", [True, False])
def test_mean_forward_averages_over_the_symmetries(symmetric: bool) -> None:
    prediction = Prediction(window=16, stride=16, symmetries=symmetric, precision="float32")
    image = np.zeros((2, 1, 5, 5), np.float32)
    out = mean_forward([Asymmetric()], prediction, "cpu")(image)
    low = 1 / (1 + np.exp(4))
    if symmetric:  # each edge is the left one in two of eight, each corner in four
        assert np.allclose(out[:, 0, 1:-1], (6 * 0.5 + 2 * low) / 8)
        assert np.allclose(out[:, 0, 0], (4 * 0.5 + 4 * low) / 8)
        assert np.allclose(out, np.rot90(out, 1, (1, 2)))
    else:
        assert np.allclose(out[:, :, 0], low)
        assert np.allclose(out[:, :, 1:], 0.5)


def test_mean_forward_turns_back_what_it_turned() -> None:
    image = np.random.default_rng(0).normal(size=(1, 1, 6, 6)).astype(np.float32)
    forward = mean_forward(
        [lambda x: x[:, :1]], Prediction(window=16, stride=16, symmetries=True, precision="float32"), "cpu"
    )
    assert np.allclose(forward(image)[0], 1 / (1 + np.exp(-image[0, 0])), atol=1e-6)
