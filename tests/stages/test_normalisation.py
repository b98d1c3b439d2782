"""Statistics: merged moments of the scenes that the recipe names, and models by each scene's own."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rasterloom.errors import InputError, StoreError
from rasterloom.learning.checkpoint import load_checkpoint
from rasterloom.learning.normalisation import read_statistics, statistics_items, training_normalisation
from rasterloom.learning.sanity import SANITY
from rasterloom.raster.planes import read_plane
from rasterloom.raster.scan import Moments
from rasterloom.stages import job_of, normalisation, predict, train
from rasterloom.stages.normalisation import merge_scenes
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store
from registrations import write_registration
from small_training import PREDICTION, TRAINING, Tree, small_tree

RNG = np.random.default_rng(0)
SCENES = {"one": RNG.normal(100, 5, (2, 50)), "two": RNG.normal(300, 1, (2, 20)), "three": RNG.normal(0, 9, (2, 7))}


def moments(values: np.ndarray) -> list[Moments]:
    return [Moments.of(band) for band in values]


def run(
    results: Path, scenes: list[str], sensors: list[str], unit: str = "statistics", **lenient: bool
) -> dict[str, Item]:
    spec: dict[str, Any] = {
        "stage": "normalisation",
        "version": normalisation.VERSION,
        "sensors": sensors,
        "scenes": scenes,
    }
    spec |= {"unit": unit, **lenient}
    assert normalisation.inputs(spec) == [f"registration/{scene}.json" for scene in scenes]
    normalisation.run(job_of(spec, {}, results, Store.of(results)))
    return Manifest.read(results / "statistics" / f"{unit}.json").items


def test_merge_scenes_equals_numpy_over_all_pixels() -> None:
    table = merge_scenes({name: moments(values) for name, values in SCENES.items()}, "m")
    every = np.concatenate(list(SCENES.values()), axis=1)
    np.testing.assert_allclose(table["mean"], every.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(table["sd"], every.std(axis=1), rtol=1e-12)
    assert table["count"] == [77, 77]


def test_a_constant_band_has_no_deviation() -> None:
    assert merge_scenes({"s": moments(np.full((1, 9), 4.0))}, "m") == {"mean": [4.0], "sd": [0.0], "count": [9]}


@pytest.mark.parametrize(
    ("scenes", "text"),
    [
        ({}, "sensor m: no scene"),
        ({"a": moments(np.ones((2, 3))), "b": moments(np.ones((1, 3)))}, "scene b has 1 bands, scene a 2"),
        ({"a": [Moments()]}, "band 1 has no valid pixel"),
    ],
)
def test_merge_scenes_refuses(scenes: dict[str, list[Moments]], text: str) -> None:
    with pytest.raises(InputError, match=text):
        merge_scenes(scenes, "m")


def test_merge_scenes_lenient_takes_what_there_is() -> None:
    assert merge_scenes({}, "m", lenient=True) == {"mean": [], "sd": [], "count": []}
    half = merge_scenes({"a": [Moments(), *moments(np.full((1, 9), 4.0))]}, "m", lenient=True)
    assert half == {"mean": [0.0, 4.0], "sd": [0.0, 0.0], "count": [0, 9]}
    with pytest.raises(InputError, match="scene b has 1 bands, scene a 2"):
        merge_scenes({"a": moments(np.ones((2, 3))), "b": moments(np.ones((1, 3)))}, "m", lenient=True)


def test_run_of_a_unit_is_its_own_and_may_lack_a_sensor(tmp_path: Path) -> None:
    write_registration(tmp_path, "one", {"rgb": moments(SCENES["one"])})
    write_registration(tmp_path, "two", {"rgb": moments(SCENES["two"])})
    one, two = (run(tmp_path, [scene], ["rgb", "m"], scene, lenient=True) for scene in ("one", "two"))
    assert one["rgb"].digest != two["rgb"].digest
    assert one["m"] == two["m"]
    (path,) = (tmp_path / "statistics/one").glob("m.*")
    assert json.loads(path.read_text()) == {"mean": [], "sd": [], "count": []}
    with pytest.raises(InputError, match="no scene of the statistics"):  # not found in the store
        run(tmp_path, ["one"], ["m"])


def test_run_writes_an_item_a_sensor_and_reuses_it(tmp_path: Path) -> None:
    for name, values in SCENES.items():
        write_registration(tmp_path, name, {"rgb": moments(values), "m": moments(values + 1)})
    first = run(tmp_path, ["one", "two"], ["rgb", "m"])
    assert set(first) == {"rgb", "m"}
    files = {path: path.stat().st_ino for path in (tmp_path / "store/normalisation").iterdir()}
    assert run(tmp_path, ["two", "one"], ["rgb", "m"]) == first  # the order of scenes does not matter
    assert {path: path.stat().st_ino for path in (tmp_path / "store/normalisation").iterdir()} == files
    other = run(tmp_path, ["one", "three"], ["rgb", "m"])
    assert other["rgb"].digest != first["rgb"].digest


def test_run_depends_on_the_moments_of_each_sensor_alone(tmp_path: Path) -> None:
    write_registration(tmp_path, "one", {"rgb": moments(SCENES["one"]), "m": moments(SCENES["one"])})
    first = run(tmp_path, ["one"], ["rgb", "m"])
    write_registration(tmp_path, "one", {"rgb": moments(SCENES["one"]), "m": moments(SCENES["two"])})
    second = run(tmp_path, ["one"], ["rgb", "m"])
    assert second["rgb"] == first["rgb"] and second["m"] != first["m"]


def test_run_passes_over_scenes_without_the_sensor(tmp_path: Path) -> None:
    write_registration(tmp_path, "one", {"rgb": moments(SCENES["one"])})
    write_registration(tmp_path, "two", {"rgb": moments(SCENES["two"]), "m": moments(SCENES["two"])})
    both = run(tmp_path, ["one", "two"], ["rgb", "m"])
    write_registration(tmp_path, "one", {"rgb": moments(SCENES["two"])})
    assert run(tmp_path, ["one", "two"], ["rgb", "m"])["m"] == both["m"]


# Training and prediction with each scene's own ---------------------------------------------------------------

SHORT = {**TRAINING, "steps": 3}
CHEAP = {**PREDICTION, "stride": 16, "symmetries": False}
OWN: dict[str, Any] = {"normalise_by": "scene"}
FOREST: dict[str, Any] = {"model": {"kind": "forest", "samples": 400, "trees": 5, "max_depth": 4}}


def own_tree(root: Path) -> Tree:
    made = small_tree(root)
    for name in made.scenes:
        made.own_statistics(name)
    return made


def brighter(tree: Tree, name: str) -> None:
    """The same scene through haze."""
    data, valid, coverage = tree.scenes[name]
    tree.scenes[name] = ((data + 1000).astype(np.uint16), valid, coverage)
    tree.write_stack(name, *tree.scenes[name][:2])
    tree.own_statistics(name)


def predicted(tree: Tree, name: str, **changes: Any) -> tuple[Item, np.ndarray]:
    predict.run(tree.predict_job([name], folds=["fold-0"], prediction=CHEAP, **changes))
    return tree.prediction(name), read_plane(tree.store.open_path(tree.prediction(name)), "probability")


@pytest.mark.parametrize("model", [{}, FOREST], ids=["network", "forest"])
def test_a_brighter_scene_is_predicted_alike_by_its_own_statistics(tmp_path: Path, model: dict[str, Any]) -> None:
    made = own_tree(tmp_path)
    outcomes = {}
    for name, own in (("dataset", {}), ("scene", OWN)):
        train.run(made.train_job(training=SHORT, **own, **model))
        outcomes[name] = [predicted(made, "d", **own, **model)[1].astype(int)]
    brighter(made, "d")
    for name, own in (("dataset", {}), ("scene", OWN)):
        train.run(made.train_job(training=SHORT, **own, **model))
        outcomes[name].append(predicted(made, "d", **own, **model)[1].astype(int))
    far = {name: np.abs(one - other).max() for name, (one, other) in outcomes.items()}
    assert far["scene"] <= 1 < far["dataset"]


def test_training_reads_every_scene_by_its_own_statistics(tmp_path: Path) -> None:
    """A training scene through haze gives the same weights, but for rounding; its key is another."""
    made = own_tree(tmp_path)
    train.run(made.train_job(training=SHORT, **OWN))
    before = made.model()
    tensors, recipe = load_checkpoint(made.store.open_path(before))
    assert recipe["normalise_by"] == "scene"
    within = np.sqrt(np.mean([made.scenes[name][0][1:].astype(float).var(axis=(1, 2)) for name in "ab"], axis=0))
    np.testing.assert_allclose(tensors["normalisation.sd"], within, rtol=1e-6)
    brighter(made, "a")
    made.own_statistics("c")
    train.run(made.train_job(training=SHORT, **OWN))
    assert made.model().key != before.key
    again, _ = load_checkpoint(made.store.open_path(made.model()))
    np.testing.assert_allclose(again["normalisation.sd"], tensors["normalisation.sd"], rtol=1e-5)
    np.testing.assert_allclose(again["history.loss"], tensors["history.loss"], rtol=0.05, atol=0.01)
    first = "network.down.0.0.weight"
    assert np.abs(again[first] - tensors[first]).mean() < 0.01


def test_keys_follow_the_statistics_of_their_own_scenes_alone(tmp_path: Path) -> None:
    made = own_tree(tmp_path)

    def keys() -> list[str]:
        train.run(made.train_job(training=SHORT, **OWN))
        return [made.model().key, *(predicted(made, name, **OWN)[0].key for name in "cd")]

    first = keys()
    made.scenes["d"] = (made.scenes["d"][0] + np.uint16(1), *made.scenes["d"][1:])
    made.own_statistics("d")  # as if pixels had changed that no stack shows
    assert [one == other for one, other in zip(first, keys(), strict=True)] == [True, True, False]
    made.scenes["b"] = (made.scenes["b"][0] + np.uint16(1), *made.scenes["b"][1:])
    made.own_statistics("b")
    assert [one == other for one, other in zip(first, keys(), strict=True)] == [False, False, False]


def test_keys_with_the_statistics_of_the_data_set_have_kept_their_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So nothing that was trained before is trained again."""
    made = small_tree(tmp_path)
    train.run(made.train_job(training=SHORT))
    items = made.train_job().manifest("statistics/statistics").items
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(Job, "key", lambda _, recipe, inputs: asked.append(inputs) or "k" * 32)
    (want,) = train.wanted(made.train_job())
    list(predict.wanted(made.predict_job(["d"], folds=["fold-0"])))
    assert asked[0]["statistics"] == [items["rgb"].digest, items["a"].digest]
    assert asked[1].keys() == {"models", "stack"}
    assert want.inputs["statistics"] == {name: items[name].digest for name in ("rgb", "a")}
    assert want.recipe.keys() == {"model", "sensors", "reference", "training"}


@pytest.mark.parametrize("own", [{}, OWN], ids=["dataset", "scene"])
def test_a_scene_without_a_sensor_is_predicted(tmp_path: Path, own: dict[str, Any]) -> None:
    """As `stack` leaves it: nothing of the sensor is valid. Its channel counts as average."""
    made = own_tree(tmp_path)
    train.run(made.train_job(training=SHORT, **own))
    data, valid, coverage = made.scenes["d"]
    lacking = valid.copy()
    lacking[2] = 0
    found = []
    for value in (0, 60_000):
        void = data.copy()
        void[3] = value
        made.scenes["d"] = (void, lacking, coverage)
        made.write_stack("d", void, lacking)
        made.own_statistics("d", a=True)
        found.append(predicted(made, "d", **own)[1])
    assert np.array_equal(*found)
    assert found[0][valid[1] > 0].std() > 0


def test_a_training_scene_may_lack_a_sensor_but_not_all(tmp_path: Path) -> None:
    made = own_tree(tmp_path)
    made.own_statistics("a", a=True)
    train.run(made.train_job(training=SHORT, **OWN))
    tensors, _ = load_checkpoint(made.store.open_path(made.model()))
    np.testing.assert_allclose(tensors["normalisation.mean"][2], made.scenes["b"][0][3].mean(), rtol=1e-6)
    made.own_statistics("b", a=True)
    with pytest.raises(InputError, match="sensor a: none of the 2 training scenes has a valid pixel"):
        train.run(made.train_job(training=SHORT, **OWN))


def test_what_learns_by_heart_may_lack_a_sensor_in_all_of_its_few_scenes(tmp_path: Path) -> None:
    made = own_tree(tmp_path)
    made.own_statistics("a", a=True)
    made.own_statistics("b", a=True)
    job = made.train_job(**OWN)
    reader: Any = SimpleNamespace(counts=[2, 2], planes=[0, 0, 1, 1])
    readers, items = {"a": reader, "b": reader}, statistics_items(job, ["a", "b"])
    with pytest.raises(InputError, match="none of the 2 training scenes"):
        training_normalisation(job, items, readers)
    job.spec["fold"] = SANITY
    assert training_normalisation(job, items, readers).mean[2:].tolist() == [0, 0]


def test_training_scenes_must_have_the_same_bands(tmp_path: Path) -> None:
    made = own_tree(tmp_path)
    readers: Any = {"a": SimpleNamespace(counts=[2, 1], planes=[0, 0, 1]), "b": SimpleNamespace(counts=[3, 1])}
    with pytest.raises(InputError, match=r"scene b has \[3, 1\] bands of rgb, a, scene a \[2, 1\]"):
        training_normalisation(made.train_job(**OWN), {}, readers)


def test_statistics_of_another_configuration(tmp_path: Path) -> None:
    made = own_tree(tmp_path)
    reader: Any = SimpleNamespace(counts=[2, 2], planes=[0, 0, 1, 1])
    job = made.train_job(**OWN)
    with pytest.raises(StoreError, match="statistics of rgb, a have 3 channels, the stacks 4"):
        read_statistics(job, statistics_items(job, ["a"])["a"], reader)
