"""Rates: read from records, timed on this machine, or unknown."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from rasterloom.config.recipe import MemberRecipe
from rasterloom.learning.cost import Speed
from rasterloom.learning.networks import parameters
from rasterloom.planning.rates import Kind, benchmark, known_rates
from rasterloom.store.store import Store

MODEL = {"kind": "unet", "width": 4, "depth": 2, "convs_per_block": 1}
TRAINING: Kind = ("training", "bfloat16", 50)
PREDICTION: Kind = ("prediction", "bfloat16", 50)


def speed(seconds: float, work: str = "training", hardware: str = "GPU", size: int = 50) -> Speed:
    return Speed(work, hardware, "bfloat16", size, seconds, 100)


def record(store: Store, stage: str, key: str, found: Speed | dict[str, Any]) -> None:
    with store.writing(stage, key * 32, ".bin") as work:
        work.path.write_bytes(b"x")
        work.digest = "d"
        work.cost["network"] = found if isinstance(found, dict) else vars(found)


def test_known_rates_without_any_record_are_none(store: Store) -> None:
    assert known_rates(store) == {}


def test_known_rates_are_means_over_the_records_of_a_network_by_device(store: Store) -> None:
    record(store, "train", "a", speed(1.0, hardware="NVIDIA X"))
    record(store, "train", "b", speed(3.0, hardware="NVIDIA X"))
    record(store, "train", "c", speed(9.0, hardware="NVIDIA X", size=60))
    record(store, "train", "d", speed(2.0, hardware="2 threads of Y"))
    record(store, "predict", "e", speed(5.0, "prediction", "NVIDIA X"))
    record(store, "predict", "f", {"hardware": "from another version"})
    record(store, "predict", "0", speed(0.0, "prediction", "NVIDIA X"))
    assert known_rates(store) == {
        "NVIDIA X": {TRAINING: 0.02, ("training", "bfloat16", 60): 0.09, PREDICTION: 0.05},
        "2 threads of Y": {TRAINING: 0.02},
    }


def test_known_rates_take_a_benchmark_where_no_record_tells(store: Store) -> None:
    record(store, "train", "a", speed(1.0))
    (store.root / "rates").mkdir()
    timed = {"speeds": [vars(speed(9.0)), vars(speed(4.0, "prediction"))]}
    (store.root / "rates/x.json").write_text(json.dumps(timed))
    assert known_rates(store) == {"GPU": {TRAINING: 0.01, PREDICTION: 0.04}}


def test_benchmark_times_a_network_and_keeps_the_rates(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rasterloom.planning.rates.pick_device", lambda: nullcontext("cpu"))
    monkeypatch.setattr("rasterloom.planning.rates.BENCHMARK_SECONDS", 0.0)
    training = {"steps": 10**9, "batch": 2, "patch": 16, "precision": "float32", "threads": 1}
    prediction = {
        "window": 16, "stride": 8, "symmetries": True, "batch": 3, "precision": "bfloat16", "threads": 1,
    }  # fmt: skip
    member = MemberRecipe("m", "t", ("t",), MODEL, ("rgb",), {"name": "s"}, training, prediction)
    said: list[str] = []
    found = benchmark(store, [(member, 3)], said.append)
    size = parameters(MODEL, 3)
    assert [(entry.work, entry.precision, entry.parameters, entry.pixels) for entry in found] == [
        ("training", "float32", size, 2 * 256),
        ("prediction", "bfloat16", size, 3 * 256),
    ]
    assert found[0].hardware.startswith("1 thread of ")
    assert said[1:] == [
        f"benchmark: {work} of the network of m on {found[0].hardware}" for work in ("training", "prediction")
    ]
    rates = known_rates(store)[found[0].hardware]
    assert rates["training", "float32", size] == pytest.approx(found[0].seconds / 512)
    assert rates["prediction", "bfloat16", size] > 0


def test_records_of_training_and_prediction_tell_their_speed(tmp_path: Path) -> None:
    from rasterloom.stages import predict, train
    from small_training import MODEL as SMALL
    from small_training import TRAINING as RECIPE
    from small_training import small_tree

    tree = small_tree(tmp_path)
    for fold in ("fold-0", "fold-1"):
        train.run(tree.train_job(fold))
    predict.run(tree.predict_job(["d"]))
    trained = tree.store.cost(tree.model())["network"]
    predicted = tree.store.cost(tree.prediction("d"))["network"]
    assert trained["work"] == "training"
    assert trained["seconds"] > 0
    assert trained["pixels"] == RECIPE["steps"] * RECIPE["batch"] * RECIPE["patch"] ** 2  # type: ignore[operator]
    assert predicted["work"] == "prediction"
    assert predicted["pixels"] == 2 * 8 * 4 * 4 * 16**2, "two checkpoints, eight symmetries, 4 x 4 windows"
    assert trained["parameters"] == predicted["parameters"] == parameters(SMALL, 3)
    assert list(known_rates(tree.store)) == [trained["hardware"]]
