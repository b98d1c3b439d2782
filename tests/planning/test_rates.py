"""Rates: interpolated between what was measured, read from records, measured on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rasterloom.config.recipe import MemberRecipe
from rasterloom.learning.cost import Speed, speed_of
from rasterloom.planning.rates import Rates, built_in, known_rates, measure
from rasterloom.store.store import Store

MODEL = {"kind": "unet", "width": 4, "depth": 2, "convs_per_block": 1}


def speed(seconds: float, intensity: float, work: str = "training", hardware: str = "GPU") -> Speed:
    return Speed(work, hardware, "bfloat16", seconds, intensity * 100, 100)


def record(store: Store, stage: str, key: str, found: Speed | dict[str, Any]) -> None:
    with store.writing(stage, key * 32, ".bin") as work:
        work.path.write_bytes(b"x")
        work.digest = "d"
        work.cost["network"] = found if isinstance(found, dict) else vars(found)


def test_speed_of_counts_the_forward_passes() -> None:
    from rasterloom.learning.networks import multiply_adds

    found = speed_of("training", "GPU", "float32", 2.0, MODEL, 3, 16, 5)
    assert found.multiply_adds == 5 * multiply_adds(MODEL, 3, 16, 16)
    assert found.pixels == 5 * 256
    assert found.intensity == multiply_adds(MODEL, 3, 16, 16) / 256


def test_rates_of_a_measured_intensity_are_the_mean_over_its_work() -> None:
    rates = Rates("GPU", "", [speed(1.0, 50.0), speed(3.0, 50.0)])
    assert rates.seconds("training", "bfloat16", 50.0, 10_000.0) == pytest.approx(4.0)


def test_rates_between_two_intensities_are_interpolated_and_beyond_them_the_nearest() -> None:
    rates = Rates("GPU", "", [speed(4.0, 100.0), speed(4.0, 400.0)])
    slow, fast = 4.0 / 10_000, 4.0 / 40_000
    assert rates.seconds("training", "bfloat16", 10.0, 1.0) == pytest.approx(slow)
    assert rates.seconds("training", "bfloat16", 100.0, 1.0) == pytest.approx(slow)
    assert rates.seconds("training", "bfloat16", 200.0, 1.0) == pytest.approx((slow * fast) ** 0.5)
    assert rates.seconds("training", "bfloat16", 4000.0, 1.0) == pytest.approx(fast)


def test_rates_of_what_was_not_measured_are_not_known() -> None:
    rates = Rates("GPU", "", [speed(1.0, 50.0)])
    assert rates.seconds("prediction", "bfloat16", 50.0, 1.0) is None
    assert rates.seconds("training", "float32", 50.0, 1.0) is None


def test_built_in_rates_give_the_seconds_that_they_were_measured_as() -> None:
    large = {"kind": "unet", "width": 64, "depth": 6, "convs_per_block": 3}
    work = speed_of("training", "", "", 1.0, large, 20, 256, 4)
    rates = built_in()
    assert not rates.gpu
    for kind, precision, seconds in (("training", "bfloat16", 0.69), ("prediction", "float32", 0.36)):
        found = rates.seconds(kind, precision, work.intensity, work.multiply_adds)  # type: ignore[arg-type]
        assert found == pytest.approx(seconds)


def test_known_rates_without_any_are_the_built_in_ones(store: Store) -> None:
    (rates,) = known_rates(store)
    assert rates.hardware == built_in().hardware


def test_known_rates_are_those_of_the_records_by_device(store: Store) -> None:
    record(store, "train", "a", speed(1.0, 50.0, hardware="NVIDIA X"))
    record(store, "train", "b", speed(2.0, 50.0, hardware="2 threads of Y"))
    record(store, "predict", "c", speed(5.0, 50.0, "prediction", "NVIDIA X"))
    record(store, "predict", "d", {"hardware": "from another version"})
    record(store, "predict", "e", speed(0.0, 50.0, "prediction", "NVIDIA X"))
    first, second = known_rates(store)
    assert (first.hardware, first.gpu) == ("NVIDIA X", True)
    assert (second.hardware, second.gpu) == ("2 threads of Y", False)
    assert first.seconds("prediction", "bfloat16", 50.0, 5000.0) == pytest.approx(5.0)
    assert "2 records" in first.origin
    assert second.seconds("prediction", "bfloat16", 50.0, 5000.0) is None


def test_known_rates_take_a_measurement_where_no_record_tells(store: Store) -> None:
    record(store, "train", "a", speed(1.0, 50.0, hardware="NVIDIA X"))
    measured = [speed(9.0, 50.0, "training", "NVIDIA X"), speed(4.0, 50.0, "prediction", "NVIDIA X")]
    (store.root / "rates").mkdir()
    (store.root / "rates/x.json").write_text(json.dumps({"speeds": [vars(entry) for entry in measured]}))
    (store.root / "rates/damaged.json").write_text("{")
    (rates,) = known_rates(store)
    assert rates.seconds("training", "bfloat16", 50.0, 5000.0) == pytest.approx(1.0)
    assert rates.seconds("prediction", "bfloat16", 50.0, 5000.0) == pytest.approx(4.0)
    assert "--measure" in rates.origin


@pytest.mark.parametrize("load", [0.0, 1e6])
def test_measure_times_a_network_and_keeps_the_rates(
    store: Store, monkeypatch: pytest.MonkeyPatch, load: float
) -> None:
    from rasterloom.learning.device import Device

    monkeypatch.setattr("rasterloom.learning.device.pick_device", lambda **_: Device("cpu"))
    monkeypatch.setattr("rasterloom.planning.rates.MEASURE_SECONDS", 0.0)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    training = {"steps": 10**9, "batch": 2, "patch": 16, "precision": "float32", "threads": 1}
    prediction = {
        "window": 16, "stride": 8, "symmetries": True, "batch": 3, "precision": "bfloat16", "threads": 1,
    }  # fmt: skip
    member = MemberRecipe("m", "t", ("t",), MODEL, ("rgb",), {"name": "s"}, training, prediction)
    said: list[str] = []
    found = measure(store, member, 3, said.append)
    assert [(entry.work, entry.precision, entry.pixels) for entry in found] == [
        ("training", "float32", 2 * 256),
        ("prediction", "bfloat16", 3 * 256),
    ]
    assert all(entry.seconds > 0 for entry in found)
    assert found[0].hardware.startswith("1 thread of ")
    assert said[0] == f"measuring the network of m on {found[0].hardware}"
    assert [line.split(" (")[0] for line in said[1:]] == ["this machine is busy"] * (load > 0)
    (rates,) = known_rates(store)
    total = found[0].multiply_adds
    assert rates.seconds("training", "float32", found[0].intensity, total) == pytest.approx(found[0].seconds)


def test_records_of_training_and_prediction_tell_their_speed(tmp_path: Path) -> None:
    from rasterloom.learning.networks import multiply_adds
    from rasterloom.stages import predict, train
    from small_training import MODEL as SMALL
    from small_training import TRAINING, small_tree

    tree = small_tree(tmp_path)
    for fold in ("fold-0", "fold-1"):
        train.run(tree.train_job(fold))
    predict.run(tree.predict_job(["d"]))
    trained = tree.store.cost(tree.model())["network"]
    images = TRAINING["steps"] * TRAINING["batch"]  # type: ignore[operator]
    assert trained["work"] == "training"
    assert trained["seconds"] > 0
    assert trained["pixels"] == images * TRAINING["patch"] ** 2  # type: ignore[operator]
    predicted = tree.store.cost(tree.prediction("d"))["network"]
    assert predicted["work"] == "prediction"
    assert predicted["pixels"] == 2 * 8 * 4 * 4 * 16**2, "two checkpoints, eight symmetries, 4 x 4 windows"
    assert trained["multiply_adds"] == images * multiply_adds(SMALL, 3, 16, 16)
    assert [rates.hardware for rates in known_rates(tree.store)] == [trained["hardware"]]
