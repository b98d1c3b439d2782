"""Mistakes in a configuration: what is given is laid over config.yaml."""

from __future__ import annotations

from pathlib import Path

from bad_inputs import BadInput
from common import ROOT
from rasterloom.config import load_config, read_config_files, resolve


def setting(name: str, given: str, *says: str) -> BadInput:
    """A case of a table that is laid over config.yaml."""

    def make(root: Path) -> list[str]:
        overlay = root / "mine.yaml"
        overlay.write_text(f"{given}\n", encoding="utf-8")
        resolve(load_config(read_config_files([ROOT / "config.yaml", overlay])))
        return []

    return BadInput(name, given, says, make)


CASES: list[BadInput] = [
    setting(
        "key that is misspelt", "defaults: {training: {stepz: 3}}", "`defaults.training.stepz`", "did you mean `steps`"
    ),
    setting(
        "key of a member that is misspelt",
        "classes: {trees: {members: [{modle: unet64, channels: all20, scale: s1024}]}}",
        "`classes.trees.members[0].modle`",
        "did you mean `model`",
    ),
    setting(
        "key that stands twice",
        "results: a\nresults: b",
        "{root}/mine.yaml",
        "line 2",
        "'results'",
        "line 1",
        "remove one",
    ),
    setting(
        "tab that indents",
        "defaults:\n\ttraining: {steps: 3}",
        "{root}/mine.yaml",
        "line 2, column 1",
        "a tab",
        "blanks",
    ),
    setting(
        "text for a number", "defaults: {training: {steps: many}}", "`defaults.training.steps`", "integer", "'many'"
    ),
    setting(
        "number of steps that is none",
        "defaults: {training: {steps: 0}}",
        "`defaults.training.steps`",
        "at least 1",
        "0 was given",
    ),
    setting(
        "number that YAML reads as text",
        "defaults: {training: {learning_rate: 1e-3}}",
        "`defaults.training.learning_rate`",
        "'1e-3'",
        "1.0e-3",
    ),
    setting("id that YAML reads as a number", "statistics: [6010_1_2]", "`statistics[0]`", "601012", "quotes"),
    setting(
        "model that is not there",
        "classes: {trees: {members: [{model: unet46, channels: all20, scale: s1024}]}}",
        "`classes.trees.members[0].model`",
        "`unet46`",
        "did you mean `unet64`",
    ),
    setting(
        "scale that is not there",
        "classes: {trees: {members: [{model: unet64, channels: all20, scale: s2014}]}}",
        "`classes.trees.members[0].scale`",
        "`s2014`",
        "did you mean `s2048`",
    ),
    setting(
        "sensor that is not there", "channels: {all20: [rgb, pan]}", "`channels.all20`", "`pan`", "did you mean `p`"
    ),
    setting(
        "target of a class that is not there",
        "targets: {vehicles: [large_vehicle, lorry]}",
        "`targets.vehicles`",
        "`lorry`",
        "valid: buildings, structures",
    ),
    setting(
        "water of a class that is not there",
        "water: [waterway, lakes]",
        "`water`: no class is called `lakes`",
    ),
    setting("water of one class", "water: [waterway]", "`water`", "at least 2"),
    setting(
        "stride beyond the window",
        "defaults: {prediction: {window: 128, stride: 256}}",
        "`defaults.prediction`",
        "stride 256",
        "window 128",
        "at most",
    ),
    setting(
        "patch below what the network needs",
        "defaults: {training: {patch: 32}}",
        "`defaults.training.patch`",
        "32 was given",
        "64 or more",
    ),
    setting(
        "two ways to say a scale",
        "scales: {s1024: {size: 1024, gsd: 0.5}}",
        "`scales.s1024`",
        "only one of size, gsd and factor",
    ),
    setting(
        "buffer of two lengths",
        "classes: {trees: {buffer: {metres: 2, pixels: 4}}}",
        "`classes.trees.buffer`",
        "exactly one of pixels and metres",
        "{metres: 2}",
    ),
    setting("buffer that is a number", "classes: {trees: {buffer: 2}}", "`classes.trees.buffer`", "table", "2"),
    setting(
        "width of a neighbourhood that has no centre",
        "models: {forest: {neighbourhood: [3, 8]}}",
        "`models.forest.neighbourhood[1]`",
        "8 is even",
        "odd",
    ),
    setting(
        "indices of bands that nobody has named",
        "{models: {forest: {indices: true}}, sensors: {m: {bands_are: null}}}",
        "`models.forest.indices`",
        "rgb, p, m, a",
        "NDWI: green, nir",
        "`bands_are`",
    ),
    setting(
        "more names than bands",
        "{models: {forest: {indices: true}}, sensors: {m: {bands: 4}}}",
        "`sensors.m.bands_are`",
        "8 names",
        "`bands` is 4",
    ),
    setting(
        "hold-out and folds at once", "validation: {split: 0.8, folds: 5}", "`validation`", "`split`", "`folds`", "null"
    ),
    setting("number of a class twice", "classes: {trees: {id: 1}}", "`classes.trees.id`", "1", "`buildings`", "unique"),
    setting("two references", "sensors: {p: {reference: true}}", "`sensors`", "`reference: true`", "rgb, p"),
    setting(
        "setting without effect",
        "classes: {waterway: {training: {steps: 5}}}",
        "`classes.waterway.training.steps`",
        "no effect",
        "remove it",
    ),
    setting(
        "target of other classes",
        "classes: {trees: {members: [{model: unet64, channels: all20, scale: s1024, target: crops}]}}",
        "`classes.trees.members[0].target`",
        "`crops`",
        "trees",
        "does not include",
    ),
    setting(
        "sheet without a table",
        "dataset: {layout: sheet, root: null, predict: null}",
        "`dataset`",
        "layout sheet",
        "`table`",
    ),
    setting(
        "encoder whose licence forbids commercial use",
        "models: {mine: {kind: smp, encoder: mit_b0}}",
        "`models.mine.encoder`",
        "mit_b0",
        "licence",
        "choose another",
    ),
    setting(
        "network of one's own that is not there",
        "models: {mine: {kind: module, factory: mine:build}}\nclasses: {trees: {members: "
        "[{model: mine, channels: all20, scale: s1024}]}}",
        "`models.mine.factory`",
        "no module mine",
        "the folder that the workflow runs in",
    ),
    setting(
        "first weights of a member with other folds",
        "models: {tuned: {kind: unet, init: crops-unet64-all20-s1024}}\nclasses: {trees: {members: "
        "[{model: tuned, channels: all20, scale: s1024}]}}",
        "`models.tuned.init`",
        "divided into folds apart",
        "learns trees",
    ),
    setting(
        "results around the data",
        "results: data",
        "`results`",
        "'data'",
        "'data/dstl'",
        "`dataset.root`",
        "another folder",
    ),
]
