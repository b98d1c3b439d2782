"""`rasterloom runs`: the list, the comparison, the curves, and the exports."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from rasterloom.cli import main
from rasterloom.report.runs import Run
from rasterloom.store.files import write_text

CURVE = (
    '{"step": 10, "loss": 0.5, "validation": null}\n'
    '{"step": 20, "loss": 0.25, "validation": 0.625, "warning": "text"}\n'
)
Capture = pytest.CaptureFixture[str]


def run_of(name: str, minute: int, steps: int, jaccard: float | None, digest: str) -> Run:
    recipe = {"sensors": {"rgb": {}}, "defaults": {"training": {"steps": steps}}, "classes": {"trees": [{"id": 5}]}}
    scores: dict[str, dict[str, float | None]] = {"held-out": {}, "out-of-fold": {"trees": jaccard, "mean": jaccard}}
    trainings: dict[str, Any] = {"trees-unet/fold-0": {"digest": digest * 64, "seconds": 75.0}}
    return Run(name, f"2026-01-02T03:{minute:02d}:05+00:00", recipe, {"train": 1}, scores, trainings)


@pytest.fixture
def runs(results: Path) -> list[Run]:
    """Three runs; the second differs from the first in a setting, the third has nothing to score."""
    found = [run_of("aaaa1111", 10, 100, 0.5, "1"), run_of("bbbb2222", 20, 200, 0.625, "2")]
    found.append(run_of("00cc3333", 30, 200, None, "2"))
    for run in reversed(found):
        write_text(results / f"runs/{run.name}.json", json.dumps(asdict(run)))
    for digest in "12":
        write_text(results / f"runs/curves/{digest * 32}.jsonl", CURVE)
    write_text(results / "training/trees-unet/fold-1.jsonl", CURVE[: CURVE.index("\n") + 1])
    return found


def said(capsys: Capture, results: Path, *arguments: str, code: int = 0) -> list[str]:
    """Lines of the command, with single blanks."""
    with pytest.raises(SystemExit) as caught:
        main(["runs", "--results", str(results), *arguments])
    captured = capsys.readouterr()
    assert caught.value.code == code, captured.err
    return [" ".join(line.split()) for line in (captured.err if code else captured.out).splitlines()]


def test_list_says_what_differs_and_how_far_trainings_are(results: Path, runs: list[Run], capsys: Capture) -> None:
    lines = said(capsys, results)
    assert lines[2:5] == [
        "aaaa1111 2026-01-02 03:10 – 0.5000 1 min 15 s –",
        "bbbb2222 2026-01-02 03:20 – 0.6250 1 min 15 s defaults.training.steps: 100 -> 200",
        "00cc3333 2026-01-02 03:30 – – 1 min 15 s –",
    ]
    assert lines[-1] == "trees-unet/fold-1 10 0.5 – – – – –"


def test_list_of_nothing_says_what_to_do(results: Path, capsys: Capture) -> None:
    assert said(capsys, results) == [f"{results} has no finished run with a score: run `snakemake` there first"]


@pytest.mark.parametrize("arguments", [["bb"], ["aa", "bb"]])
def test_comparison_of_two_or_with_the_one_before(
    arguments: list[str], results: Path, runs: list[Run], capsys: Capture
) -> None:
    assert said(capsys, results, *arguments) == [
        "Recipe, aaaa1111 -> bbbb2222:",
        "defaults.training.steps 100 200",
        "Checkpoints: 0 of 1 are those of aaaa1111",
        "Jaccard aaaa1111 bbbb2222 difference",
        "out-of-fold trees 0.5000 0.6250 +0.1250",
        "out-of-fold mean 0.5000 0.6250 +0.1250",
    ]


def test_comparison_of_equal_recipes_and_of_nothing_scored(results: Path, runs: list[Run], capsys: Capture) -> None:
    lines = said(capsys, results, "00")
    assert lines[1:3] == ["the same", "Checkpoints: 1 of 1 are those of bbbb2222"]
    assert lines[-1] == "out-of-fold mean 0.6250 – –"


def test_curves_of_now_and_of_a_run(results: Path, runs: list[Run], capsys: Capture) -> None:
    assert said(capsys, results, "--curves", "trees-unet")[2:] == ["10 0.5 – – – – –"]
    lines = said(capsys, results, "--curves", "trees-unet", "aaaa")
    assert lines[0] == "trees-unet/fold-0"
    assert lines[2:] == ["10 0.5 – – – – –", "20 0.25 – 0.625 – – –"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["aaaa"], "aaaa1111 is the first run: name the one to compare it with"),
        (["aa", "bb", "00"], "3 runs are given: name one or two"),
        (["x"], "no run begins with 'x'; valid: aaaa1111, bbbb2222, 00cc3333"),
        (["--curves", "shrubs"], "there is no learning curve of shrubs; there is one of trees-unet"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], words: str, results: Path, runs: list[Run], capsys: Capture
) -> None:
    assert said(capsys, results, *arguments, code=1) == [f"rasterloom: {words}"]


def test_folder_that_is_none(tmp_path: Path, capsys: Capture) -> None:
    (line,) = said(capsys, tmp_path / "none", code=1)
    assert line.endswith("none is not a folder: name the results folder with --results")


@pytest.mark.parametrize(
    ("option", "module", "words"),
    [
        ("tensorboard", "torch.utils.tensorboard", "install tensorboard"),
        ("mlflow", "mlflow.entities", "install mlflow"),
    ],
)
def test_missing_extra_is_one_line(
    option: str, module: str, words: str, results: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (line,) = said(capsys, results, f"--{option}", str(results / "out"), code=1)
    assert line.startswith(f"rasterloom: --{option} needs ") and words in line


@pytest.mark.slow
def test_export_to_tensorboard(results: Path, runs: list[Run], tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "events"
    (folder / "bbbb2222/trees-unet/fold-0").mkdir(parents=True)  # as an export leaves it that was interrupted
    assert said(capsys, results, "--tensorboard", str(folder)) == ["3 runs exported"]
    assert said(capsys, results, "--tensorboard", str(folder)) == ["0 runs exported"]
    curve = EventAccumulator(str(folder / "bbbb2222/trees-unet/fold-0")).Reload()
    assert [(e.step, e.value) for e in curve.Scalars("loss")] == [(10, 0.5), (20, 0.25)]
    assert [(e.step, e.value) for e in curve.Scalars("validation")] == [(20, 0.625)]
    scores = EventAccumulator(str(folder / "bbbb2222")).Reload()
    assert [e.value for e in scores.Scalars("out-of-fold/trees")] == [0.625]
    (text,) = scores.Tensors("recipe/text_summary")
    assert json.loads(text.tensor_proto.string_val[0]) == runs[1].recipe


@pytest.mark.slow
def test_export_to_mlflow(results: Path, runs: list[Run], tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    interrupted = MlflowClient(tracking_uri=uri)
    interrupted.create_run(interrupted.create_experiment("results"), start_time=0, run_name="00cc3333")
    assert said(capsys, results, "--mlflow", uri) == ["3 runs exported"]
    assert said(capsys, results, "--mlflow", uri) == ["0 runs exported"]
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("results")
    exported = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
    found = {run.info.run_name: run for run in exported}
    assert found.keys() == {run.name for run in runs}
    second = found["bbbb2222"]
    assert second.data.params == {"defaults.training.steps": "200", "classes.trees.0.id": "5"}
    assert second.data.metrics["out-of-fold/trees"] == 0.625
    losses = client.get_metric_history(second.info.run_id, "trees-unet/fold-0/loss")
    assert [(metric.step, metric.value) for metric in losses] == [(10, 0.5), (20, 0.25)]
    assert second.info.status == "FINISHED"
    (line,) = said(capsys, results, "--mlflow", str(tmp_path), code=1)
    assert line.startswith(f"rasterloom: MLflow cannot write to {tmp_path}: ")
