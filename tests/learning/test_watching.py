"""Watching a training: which windows, when, what they count; which weights are kept; what is said of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rasterloom.config.model import TrainingConfig
from rasterloom.errors import TrainingError
from rasterloom.learning import curves, watching
from rasterloom.learning.batches import Batch, make_batch
from rasterloom.learning.device import computing
from rasterloom.learning.training import NOTHING_LEARNED, Trainer, require_finite, train
from rasterloom.learning.watching import Look, Watch, learned_nothing
from rasterloom.polygons.thresholds import best_threshold
from rasterloom.store.digest import array_digest
from small_training import MODEL, NORMALISATION, SCENES, memory_scene, recipe, trained

OTHERS = [memory_scene("c", 5), memory_scene("d", 6, covered=False)]
LONG = {"steps": 10_000, "patch": 16}


def watch(window: int = 16, scenes: Any = OTHERS, **changes: Any) -> Watch:
    return Watch(scenes, recipe(**changes), window)


class Told(Watch):
    """Looks of given Jaccards, at given steps; predicts nothing."""

    def __init__(self, looks: dict[int, float | None]) -> None:
        self.looks, self.steps = iter(looks.values()), list(looks)

    def look(self, network: Any) -> Look:
        return Look(next(self.looks), 0.5, 0.1)


# Windows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [16, 20, 38, 48])
def test_look_counts_every_valid_pixel_once(window: int) -> None:
    """A network that sees one pixel at a time gives the Jaccard of the whole scenes, at odd sizes too."""
    import torch
    from torch import nn

    network = nn.Conv2d(4, 1, 1)
    look = watch(window, **{**LONG, "precision": "float32"}).look(network)
    counts = np.zeros((2, 256), np.int64)
    for scene in OTHERS:
        data, valid, coverage = scene.read(0, 40, 0, 36)
        image = torch.from_numpy(NORMALISATION.apply(data, valid))[None]
        values = np.rint(255 * torch.sigmoid(network(image))[0, 0].detach().numpy()).astype(int)
        for inside in (0, 1):
            counts[inside] += np.bincount(values[(valid[0] > 0) & ((coverage >= 128) == inside)], minlength=256)
    threshold, jaccard, _ = best_threshold(counts)
    assert (look.jaccard, look.threshold) == (jaccard, threshold / 255)
    assert look.everything == counts[1].sum() / counts.sum()


def test_windows_are_drawn_half_of_each_kind_and_stand_for_all() -> None:
    small = watch(steps=100)
    having = {bool(OTHERS[p.scene].index.positive.window(*p.part).any()) for p in small.places}
    assert having == {True, False} and len(small.places) < small.total == 18
    assert sum(place.factor for place in small.places) == pytest.approx(small.total)
    assert small.places == watch(steps=100).places != watch(steps=100, seed=2).places


def test_a_drawn_look_is_right_on_average() -> None:
    import torch
    from torch import nn

    torch.manual_seed(0)
    network = nn.Conv2d(4, 1, 1)
    truth = watch(**LONG).look(network).everything
    found = [watch(steps=100, seed=seed).look(network).everything for seed in range(60)]
    assert np.mean(found) == pytest.approx(truth, abs=3 * np.std(found) / np.sqrt(60))


@pytest.mark.parametrize("steps", [100, 777, 40_000])
@pytest.mark.parametrize(("window", "patch"), [(16, 16), (24, 16), (16, 32)])
def test_looks_cost_at_most_their_share(steps: int, window: int, patch: int) -> None:
    found = watch(window, steps=steps, batch=4, patch=patch)
    passes = len(found.steps) * len(found.places) * window**2
    assert passes <= watching.COST * watching.PASSES * steps * 4 * patch**2
    assert found.steps[-1] == steps and watching.LOOKS[0] <= len(found.steps) <= watching.LOOKS[1]
    assert found.steps == sorted(set(found.steps)) and found.steps[0] > 0


@pytest.mark.parametrize(("steps", "looks"), [(1, [1]), (2, [1, 2]), (8, [2, 5, 8])])
def test_short_trainings_are_watched_too(steps: int, looks: list[int]) -> None:
    assert watch(steps=steps).steps == looks
    assert len(watch(steps=steps).places) == 2


def test_watch_says_what_it_looks_at() -> None:
    assert str(watch(steps=8)) == "3 looks at 2 of 18 windows of 2 validation scenes (1 with the class)"
    none = watch(scenes=OTHERS[1:])
    assert "none with the class" in str(none)
    assert none.look(Trainer(recipe(), MODEL, 4, "cpu").network).jaccard is None


# Which weights are kept -------------------------------------------------------------------------------------


def test_watching_changes_no_weight_and_looks_in_the_mode_of_prediction() -> None:
    network = Trainer(recipe(), MODEL, 4, "cpu").network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    watch().look(network)
    assert network.training and all(bool((before[n] == v).all()) for n, v in network.state_dict().items())
    assert array_digest(trained(recipe(), watch=watch())) == array_digest(trained(recipe()))


def test_best_are_the_weights_of_the_best_look() -> None:
    looks = {2: 0.1, 4: 0.5, 6: 0.5, 8: 0.2}
    states: list[Any] = []
    best = trained(recipe(keep="best"), watch=Told(looks), save=states.append, save_seconds=0.0)
    at_four = {name.removeprefix("network."): v for name, v in states[3].items() if name.startswith("network.")}
    del best["history"]
    assert array_digest(best) == array_digest(at_four)
    for seen in (None, Told({8: None})):  # nobody looked, or saw the class
        assert array_digest(trained(recipe(keep="best"), watch=seen)) == array_digest(trained(recipe()))


def test_ema_is_the_moving_average_of_weights_and_statistics() -> None:
    states: list[Any] = []
    kept = trained(recipe(keep="ema", steps=40), save=states.append, save_seconds=0.0)
    last = trained(recipe(steps=40))
    name = "down.0.1.running_mean"
    mean = np.zeros(4)
    for step, state in enumerate(states):
        old = min(1 / 2, (1 + step) / (10 + step))  # a twentieth of the steps are two
        mean = old * mean + (1 - old) * state[f"network.{name}"]
        assert np.allclose(state[f"average.{name}"], mean, atol=1e-5)
    assert np.allclose(kept[name], (mean + last[name]) / 2, atol=1e-5)
    assert kept["down.0.1.num_batches_tracked"] == 40
    assert array_digest(kept) != array_digest(last)


class Killed(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("keep", ["last", "best", "ema"])
def test_resumed_after_kills_at_random_steps(keep: str) -> None:
    settings = recipe(keep=keep, steps=24)
    whole_rows: list[Any] = []
    whole = trained(settings, watch=watch(steps=24), tell=whole_rows.append)
    rng, state, rows = np.random.default_rng(3), None, list[Any]()
    for kill in sorted(rng.choice(np.arange(1, 24), 5, replace=False)):
        found: list[Any] = []
        seen: list[Any] = []
        with pytest.raises(Killed):
            _killed_at(int(kill), settings, state, found, seen)
        saved = len(found[-1]["history"]) if found else 0  # what was seen after the last save is seen again
        rows = [*rows, *(row for row in seen if row["step"] <= saved)]
        state = found[-1] if found else state
    assert array_digest(trained(settings, state, watch=watch(steps=24), tell=rows.append)) == array_digest(whole)
    assert [{**row, "seconds": 0} for row in rows] == [{**row, "seconds": 0} for row in whole_rows]


def _killed_at(kill: int, settings: TrainingConfig, state: Any, found: list[Any], seen: list[Any]) -> None:
    with computing(1):
        trainer = Trainer(settings, MODEL, 4, "cpu")
        if state is not None:
            trainer.restore(state)

        def save(arrays: Any) -> None:
            if trainer.step % 3 == 0:  # not after every step
                found.append(arrays)

        def batch_of(step: int) -> Batch:
            if step == kill:
                raise Killed
            return make_batch(SCENES, settings, step)

        train(trainer, batch_of, watch=watch(steps=24), tell=seen.append, save=save, save_seconds=0.0)


# What is said -----------------------------------------------------------------------------------------------


def test_curve_has_a_row_for_each_look_and_point() -> None:
    rows: list[Any] = []
    trained(recipe(steps=120), watch=Told({5: 0.25, 120: None}), tell=rows.append)
    steps = [row["step"] for row in rows]
    assert steps == sorted(curves.curve_steps(120) | {5, 120}) and len(steps) == 101
    assert [row["validation"] for row in rows if row["step"] in {4, 5, 6}] == [None, 0.25, None]
    assert all(set(row) >= {*curves.NUMBERS, "seconds"} for row in rows)
    assert curves.curve_rows(curves.curve_arrays(rows)) == [{n: row[n] for n in curves.NUMBERS} for row in rows]


def test_write_curve_keeps_seconds_where_the_numbers_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m" / "f.jsonl"
    rows = [{**dict.fromkeys(curves.NUMBERS), "step": step, "loss": 0.5, "seconds": 1.5} for step in (1, 2)]
    for row in rows:
        curves.add_to_curve(path, row)
    without = [{name: row[name] for name in curves.NUMBERS} for row in rows]
    curves.write_curve(path, without)
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows
    for spoilt in ("", "{", "3\n", '{"step": 1}\n'):
        path.write_text(spoilt)
        curves.write_curve(path, without)
        assert [json.loads(line) for line in path.read_text().splitlines()] == without
    curves.write_curve(path, [])
    assert not path.exists()


def poisoned(values: Iterable[float]) -> Any:
    """Batches whose images hold one value each."""
    given = list(values)

    def batch_of(step: int) -> Batch:
        batch = make_batch(SCENES, recipe(), 0)
        batch.images[0, 0, 0, 0] = given[step]
        return batch

    return batch_of


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_images_that_are_not_finite_stop_a_training_and_are_named(value: float) -> None:
    with pytest.raises(TrainingError, match=r"not finite at step [34], whose images hold .* inspect"):
        train(Trainer(recipe(), MODEL, 4, "cpu"), poisoned([0, 0, value, value, *[0] * 4]))


def test_a_loss_that_is_not_finite_says_what_to_change() -> None:
    for settings, words in (
        (recipe(), "at step 5: lower `learning_rate` (0.01), or set `gradient_clip: 1`, or set `precision: float32`"),
        (recipe(precision="float32", gradient_clip=3), "step 5: lower `learning_rate` (0.01), or lower `gradient_cli"),
    ):
        trainer = Trainer(settings, MODEL, 4, "cpu")
        trainer.step, trainer.history[4, 0] = 8, float("inf")
        with pytest.raises(TrainingError) as caught:
            require_finite(trainer, 2, poisoned([0] * 8))
        assert words in str(caught.value)
        require_finite(trainer, 5, poisoned([]))


def answering(network: Any, bias: float) -> None:
    """Give the head of a network its first bias."""
    network.head.bias.data.fill_(bias)


def test_a_network_that_finds_nothing_is_warned_of_at_the_end() -> None:
    """Nothing above one half, and no threshold better than all; either alone may be a rare class after few steps."""
    assert learned_nothing(0.0, None) and learned_nothing(0.0, Look(0.1, 0.5, 0.1))
    assert not learned_nothing(0.0, Look(0.2, 0.5, 0.1)) and not learned_nothing(0.01, Look(0.1, 0.5, 0.1))
    for bias, warned in ((-20.0, True), (20.0, False)):
        rows: list[Any] = []
        trainer = Trainer(recipe(steps=9, learning_rate=1e-9), MODEL, 4, "cpu", start=partial(answering, bias=bias))
        batch_of = lambda step: make_batch(SCENES, recipe(), step)  # noqa: E731
        train(trainer, batch_of, watch=Told({9: 0.1}), tell=rows.append)
        assert [row.get("warning") for row in rows] == [None] * 8 + [NOTHING_LEARNED if warned else None]
