"""Reasons: what differs between two recipes, and which key of the configuration decides it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from rasterloom.config import load_config, resolve
from rasterloom.config.overlays import merge
from rasterloom.planning.reasons import PENDING, Change, KeyPaths, differences, shown

Table = dict[str, Any]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [(("a",), 1, 2)]),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, [(("a", "b", "1", "c"), 2, 3)]),
        ({"a": [1]}, {"a": [1, 2]}, [(("a",), [1], [1, 2])]),
        ({"a": 1}, {"b": 1}, [(("a",), 1, None), (("b",), None, 1)]),
        ({"a": "xy"}, {"a": "xz"}, [(("a",), "xy", "xz")]),
        ({"a": {"b": 1}}, {"a": 3}, [(("a",), {"b": 1}, 3)]),
        ({"a": ["x", "y", "z"]}, {"a": ["y", "x", "z"]}, [(("a", "order"), ["x", "y", "z"], ["y", "x", "z"])]),
        ({"a": [1, 2]}, {"a": [2, 1]}, [(("a", "0"), 1, 2), (("a", "1"), 2, 1)]),
        ({"a": ["x", "x", "y"]}, {"a": ["x", "y", "y"]}, [(("a", "1"), "x", "y")]),
    ],
)
def test_differences(old: Any, new: Any, expected: list[Any]) -> None:
    assert list(differences(old, new)) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (0.5, "0.5"),
        ("auto", "auto"),
        ("ab" * 32, "content abababab"),
        (f"{PENDING}models/x/fold-0", "what models/x/fold-0 becomes"),
        (["rgb", "p"], "[rgb, p]"),
        ({"split": 0.8}, "{split: 0.8}"),
        (list(range(100)), "100 entries"),
    ],
)
def test_shown(value: Any, text: str) -> None:
    assert shown(value) == text


def test_change_reads_as_a_sentence() -> None:
    assert str(Change("a.b", "1", "2")) == "a.b: 1 -> 2"


def paths(settings_table: Table, overlay: Table, before: Table | None = None) -> KeyPaths:
    merged = merge(copy.deepcopy(settings_table), overlay)
    return KeyPaths(resolve(load_config(merged)), merged, before if before is not None else settings_table)


TREES = "trees-unet64-all20-s1024"


@pytest.mark.parametrize(
    ("overlay", "key"),
    [
        ({}, "defaults.training.steps"),
        ({"classes": {"trees": {"training": {"steps": 9}}}}, "classes.trees.training.steps"),
        ({"defaults": {"training": {"steps": 9}}}, "defaults.training.steps"),
        (
            {
                "classes": {
                    "trees": {
                        "members": [
                            {"model": "unet64", "channels": "all20", "scale": "s1024", "training": {"steps": 9}}
                        ]
                    }
                }
            },
            "classes.trees.members.0.training.steps",
        ),
    ],
)
def test_key_path_of_a_training_is_where_it_is_written(settings_table: Table, overlay: Table, key: str) -> None:
    spec = {"stage": "train", "member": TREES}
    assert paths(settings_table, overlay).of(spec, ("training", "steps")) == key


def test_key_path_of_a_setting_that_was_taken_away_is_where_it_was(settings_table: Table) -> None:
    before = merge(settings_table, {"classes": {"trees": {"polygons": {"open": 2}}}})
    table = copy.deepcopy(settings_table)
    del table["defaults"]["polygons"]
    found = KeyPaths(resolve(load_config(table)), table, before)
    assert found.of({"stage": "tune", "class": "trees"}, ("open",)) == "classes.trees.polygons.open"
    assert found.of({"stage": "tune", "class": "road"}, ("open",)) == "defaults.polygons.open"


@pytest.mark.parametrize(
    ("spec", "path", "key"),
    [
        ({"stage": "train", "member": TREES}, ("model", "maps"), "models.unet64.width"),
        ({"stage": "predict", "member": TREES}, ("sensors",), "channels.all20"),
        ({"stage": "predict", "member": TREES}, ("prediction", "stride"), "defaults.prediction.quality (stride)"),
        ({"stage": "predict", "member": TREES}, ("prediction", "batch"), "defaults.prediction.batch"),
        ({"stage": "register", "scene": "x"}, ("labels",), "dataset.labels"),
        ({"stage": "register", "scene": "x"}, ("labels", "max_shift"), "dataset.labels.max_shift"),
        ({"stage": "stack", "scale": {"name": "s1024", "size": 1024}}, ("scale", "size"), "scales.s1024.size"),
        ({"stage": "stack", "scale": {"name": "s1024"}}, ("sensors", "order"), "sensors"),
        ({"stage": "mask", "scale": {"name": "half"}}, ("scale", "gsd"), "scales.half.gsd"),
        ({"stage": "vectorise", "class": "trees"}, ("polygons", "simplify"), "defaults.polygons.simplify"),
        ({"stage": "vectorise", "class": "trees"}, ("tuned", "threshold"), "tuning/trees.threshold"),
        ({"stage": "split", "group": "trees"}, ("validation", "split"), "validation.split"),
        ({"stage": "split", "group": "trees"}, ("seed",), "validation.seed"),
        ({"stage": "register", "scene": "x"}, ("sensors", "p", "max_shift"), "sensors.p.max_shift"),
    ],
)
def test_key_path(settings_table: Table, spec: Table, path: tuple[str, ...], key: str) -> None:
    assert paths(settings_table, {}).of(spec, path) == key
