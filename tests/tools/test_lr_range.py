"""The range test of learning rates: what it tries, when it stops, what it suggests, and what it needs."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common import stand_in_dag
from rasterloom.config.model import TrainingConfig
from rasterloom.errors import InputError
from rasterloom.learning.batches import Batch
from rasterloom.learning.device import computing
from rasterloom.learning.training import Trainer
from rasterloom.planning.graph import Dag
from rasterloom.tools import lr_range
from rasterloom.tools.lr_range import DIVERGED, lines, range_test, rates, suggestion, try_rates
from small_training import MODEL, TRAINING, small_tree

IMAGES = np.random.default_rng(0).normal(size=(2, 4, 16, 16)).astype(np.float32)
BATCH = Batch(IMAGES, (IMAGES[:, 0] > 0.5).astype(np.float32), np.ones((2, 16, 16), np.float32))


def trainer_of(steps: int) -> Trainer:
    return Trainer(TrainingConfig.model_validate({**TRAINING, "steps": steps}), MODEL, 4, "cpu")


def tried(lowest: float, highest: float, steps: int = 40) -> tuple[Trainer, list[float]]:
    """A network that sees one batch again and again, and its losses."""
    with computing(1):
        trainer = trainer_of(steps)
        return trainer, try_rates(trainer, lambda _: BATCH, rates(steps, lowest, highest))


def test_rates_rise_by_one_factor() -> None:
    found = rates(4, 1e-3, 1.0)
    assert found == pytest.approx([1e-3, 1e-2, 1e-1, 1.0])


def test_a_network_learns_fastest_in_the_middle() -> None:
    trainer, losses = tried(1e-6, 3.0)
    rate = suggestion(rates(40, 1e-6, 3.0), losses)
    assert rate is not None and 1e-4 < rate < 1.0
    last = rates(40, 1e-6, 3.0)[len(losses) - 1]
    assert trainer.optimiser.param_groups[0]["lr"] == last, "each step has its own rate"


def test_the_steepest_descent_is_suggested() -> None:
    losses = [0.7] * 30 + [0.7 - 0.004 * step for step in range(20)] + [0.3] * 20 + [0.29] * 30
    assert suggestion(rates(100, 1e-5, 1.0), losses) == rates(100, 1e-5, 1.0)[50]


def test_it_stops_when_the_loss_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, values = trainer_of(30), [1.0] * 10 + [100.0] * 20

    def advance(*_: Any) -> None:
        trainer.history[trainer.step, 0] = values[trainer.step]
        trainer.step += 1

    monkeypatch.setattr(trainer, "advance", advance)
    losses = try_rates(trainer, lambda _: BATCH, rates(30, 1e-4, 1.0))
    assert len(losses) < 14 and losses[-1] > DIVERGED * min(losses)
    trainer.step, values[3] = 0, math.nan
    assert try_rates(trainer, lambda _: BATCH, rates(30, 1e-4, 1.0)) == pytest.approx([1.0] * 3)


@pytest.mark.parametrize(
    "losses",
    [[0.7, 0.71] * 20, [0.7] * 35 + [0.6, 0.5, 0.4, 0.3, 0.2], [0.4 + 0.01 * step for step in range(40)], [0.7], []],
    ids=["flat", "fastest at the end", "rising", "one", "none"],
)
def test_no_suggestion_without_a_steepest_descent(losses: list[float]) -> None:
    assert suggestion(rates(40, 1e-5, 1.0), losses) is None


def test_the_table_averages_all_steps() -> None:
    found = lines(rates(100, 1e-5, 1.0), [1.0 - 0.005 * step for step in range(100)])
    assert len(found) == 17
    assert found[1].split()[:2] == ["1.4e-05", "0.9875"]
    assert found[1].count("#") == 40 > found[-1].count("#") > 0
    assert len(lines(rates(100, 1e-5, 1.0), [1.0] * 20)) == 5, "up to where it stopped"


def test_a_training_job_is_tested_on_its_own_scenes(tmp_path: Path) -> None:
    job = small_tree(tmp_path).train_job()
    losses = range_test(job, rates(6, 1e-4, 1e-2))
    assert len(losses) == 6 and all(math.isfinite(loss) for loss in losses)
    assert not list(tmp_path.glob("models/**/*")), "nothing is written"


@pytest.fixture
def contest(settings_table: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dag = stand_in_dag({**settings_table, "results": str(tmp_path / "results")}, ["a", "b", "c", "d", "e"], [])
    monkeypatch.setattr(lr_range, "read_configuration", lambda files: {})
    monkeypatch.setattr(Dag, "load", lambda merged: dag)


@pytest.mark.usefixtures("contest")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--class", "tree"], ["--class tree", "`trees`"]),
        (["--class", "waterway"], ["waterway", "per pixel"]),
        (["--class", "trees", "--member", "x"], ["--member x", "trees-unet64-all20-s1024"]),
        (["--class", "trees", "--lowest", "1", "--highest", "0.1"], ["--lowest 1", "--highest 0.1", "below"]),
        (["--class", "trees", "--steps", "3"], ["--steps 3", "at least 10"]),
        (
            ["--class", "trees", "--configfile", "my file.yaml"],
            [
                "16 of the 16",
                "`snakemake --cores all --until stack mask split normalisation --configfile 'my file.yaml'`",
            ],
        ),
    ],
)
def test_what_is_missing_is_said(options: list[str], says: list[str]) -> None:
    parser = argparse.ArgumentParser()
    lr_range.configure(parser)
    with pytest.raises(InputError) as raised:
        lr_range.main(parser.parse_args(options))
    assert all(words in str(raised.value) for words in says), str(raised.value)


@pytest.mark.usefixtures("contest")
def test_each_network_and_one_line_for_the_configuration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    job = small_tree(tmp_path).train_job()
    curves = iter([[0.7] * 5 + [0.3] * 5, [0.7] * 4 + [0.3] * 6])
    monkeypatch.setattr(lr_range, "job_of_member", lambda dag, member, over: job)
    monkeypatch.setattr(lr_range, "range_test", lambda *_: next(curves))
    parser = argparse.ArgumentParser()
    lr_range.configure(parser)
    lr_range.main(parser.parse_args(["--class", "trees", "--steps", "10", "--lowest", "1e-9", "--highest", "1"]))
    printed = capsys.readouterr().out
    assert "trees-unet64-all20-s1024, fold fold-0" in printed and "learning_rate: 1.0e-04\n" in printed
    assert printed.splitlines()[-1] == "classes: {trees: {training: {learning_rate: 1.0e-05}}}"


@pytest.mark.usefixtures("contest")
def test_the_line_names_all_classes_that_share_a_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    job = small_tree(tmp_path).train_job()
    monkeypatch.setattr(lr_range, "job_of_member", lambda dag, member, over: job)
    monkeypatch.setattr(lr_range, "range_test", lambda *_: [0.7] * 5 + [0.3] * 5)
    parser = argparse.ArgumentParser()
    lr_range.configure(parser)
    lr_range.main(
        parser.parse_args(["--class", "small_vehicle", "--steps", "10", "--lowest", "1e-9", "--highest", "1"])
    )
    rate = "{training: {learning_rate: 1.0e-04}}"
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == f"classes: {{large_vehicle: {rate}, small_vehicle: {rate}}}"
