"""Runs: what is kept of them, when one is the same as another, and what differs between two."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rasterloom.errors import InputError, StoreError
from rasterloom.polygons.scores import COLUMNS
from rasterloom.report.runs import (
    Run,
    current_curves,
    differences,
    find_run,
    read_curve,
    read_runs,
    record,
    run_curves,
)
from rasterloom.store.files import write_text
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item
from rasterloom.store.tables import tsv_text

Put = Callable[..., Item]
RECIPE: dict[str, Any] = {
    "results": "results",
    "sensors": {"rgb": {"reference": True}, "m": {"reference": False}},
    "classes": {"trees": {"id": 5, "members": [{"model": "unet", "scale": "native"}]}},
    "defaults": {"training": {"steps": 100, "augment": {"zoom": 1}}},
    "execution": {"scenes_per_job": 1},
}
CURVE = '{"step": 10, "loss": 0.5, "validation": null}\n{"step": 20, "loss": 0.25, "validation": 0.5}\n'
MODELS = ["models/trees-unet/fold-0.json"]


def changed(**training: Any) -> dict[str, Any]:
    """The recipe with other settings of training."""
    found = copy.deepcopy(RECIPE)
    found["defaults"]["training"].update(training)
    return found


def scored(results: Path, jaccard: str = "0.500000") -> None:
    """A table of scores of one class, of which nothing held out."""
    rest = [""] * (len(COLUMNS) - 7)
    rows = [["out-of-fold", name, "all", "1.0", "1.0", "0.0", jaccard, *rest] for name in ("trees", "mean")]
    write_text(results / "score.tsv", tsv_text(COLUMNS, rows))


@pytest.fixture
def trained(results: Path, put: Put) -> Path:
    """A results folder with a scored training, whose learning curve is there."""
    Manifest("train", {"fold-0": put("train", "a" * 32)}).write(results / MODELS[0])
    write_text(results / "training/trees-unet/fold-0.jsonl", CURVE)
    scored(results)
    return results


def kept(results: Path, recipe: dict[str, Any], **versions: int) -> Run:
    found = record(results, recipe, {"train": 1, **versions}, [*MODELS, "models/never-asked-for/fold-0.json"])
    assert found is not None
    return found


def test_run_is_read_as_it_was_kept(trained: Path) -> None:
    run = kept(trained, RECIPE)
    assert read_runs(trained) == [run]
    assert run.scores == {"held-out": {}, "out-of-fold": {"trees": 0.5, "mean": 0.5}}
    assert list(run.trainings) == ["trees-unet/fold-0"]
    assert list(read_runs(trained)[0].recipe["sensors"]) == ["rgb", "m"], "their order is that of the channels"


def test_same_recipe_and_scores_are_the_same_run(trained: Path) -> None:
    kept(trained, RECIPE)
    assert record(trained, RECIPE, {"train": 2}, MODELS) is None
    assert record(trained, {**RECIPE, "results": "other", "execution": {}}, {}, MODELS) is None, "they change no result"
    kept(trained, changed(steps=200))
    scored(trained, "0.600000")
    kept(trained, RECIPE, train=2)
    assert len(read_runs(trained)) == 3


def test_curves_stay_with_their_run_when_the_member_is_trained_again(trained: Path, put: Put) -> None:
    first = kept(trained, RECIPE)
    with_other = put("train", "b" * 32)
    Manifest("train", {"fold-0": Item("b" * 32, "e" * 64, with_other.path)}).write(trained / MODELS[0])
    write_text(trained / "training/trees-unet/fold-0.jsonl", '{"step": 30, "loss": 0.1}\n')
    second = kept(trained, changed(steps=30))
    assert [row["loss"] for row in run_curves(trained, first)["trees-unet/fold-0"]] == [0.5, 0.25]
    assert [row["loss"] for row in run_curves(trained, second)["trees-unet/fold-0"]] == [0.1]
    assert current_curves(trained) == run_curves(trained, second)


def test_run_of_models_without_a_curve(trained: Path) -> None:
    (trained / "training/trees-unet/fold-0.jsonl").unlink()
    assert run_curves(trained, kept(trained, RECIPE)) == {}


def test_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    path.write_text(CURVE + '{"step": 3')
    assert [row["step"] for row in read_curve(path)] == [10, 20]
    path.write_text("{\n" + CURVE)
    with pytest.raises(StoreError, match=r"curve\.jsonl is not a learning curve .* delete it"):
        read_curve(path)


def test_differences_name_the_keys(trained: Path) -> None:
    recipe = changed(steps=200, augment={"zoom": 1, "flips": True})
    recipe["classes"]["trees"]["members"][0]["scale"] = "coarse"
    recipe["sensors"] = {"m": RECIPE["sensors"]["m"], "rgb": RECIPE["sensors"]["rgb"]}
    old, new = kept(trained, RECIPE, stack=3), kept(trained, recipe, mask=1)
    assert set(differences(old, new)) == {
        ("defaults.training.steps", "100", "200"),
        ("defaults.training.augment.flips", None, "true"),
        ("classes.trees.members[0].scale", "native", "coarse"),
        ("sensors", "rgb, m", "m, rgb"),
        ("version of stack", "3", None),
        ("version of mask", None, "1"),
    }
    assert differences(old, old) == []


@pytest.mark.parametrize("text", ["{", "[1]", '{"name": "x"}'])
def test_damaged_record_is_named(text: str, results: Path) -> None:
    write_text(results / "runs/0123abcd.json", text)
    with pytest.raises(StoreError, match=r"runs/0123abcd\.json is not the record of a run .* delete it"):
        read_runs(results)


def test_run_is_found_by_the_beginning_of_its_name() -> None:
    runs = [Run(name, "", {}, {}, {}, {}) for name in ("1234aaaa", "1234bbbb", "cccccccc")]
    assert find_run(runs, "c") == 2
    assert find_run(runs, "1234b") == 1
    with pytest.raises(InputError, match=r"several runs begin with '1234'"):
        find_run(runs, "1234")
    with pytest.raises(InputError, match=r"no run begins with 'f'; valid: 1234aaaa"):
        find_run(runs, "f")
