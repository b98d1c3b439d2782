"""Mistakes in a configuration: what is laid over config.yaml, and word for word what is said of it."""

from __future__ import annotations

from bad_inputs import BadInput

CASES: list[BadInput] = [
    BadInput(
        "key that is misspelt",
        given="defaults: {training: {stepz: 3}}",
        stops=True,
        says="the configuration has a mistake: unknown key `defaults.training.stepz`; did you mean `steps`?",
    ),
    BadInput(
        "key of a member that is misspelt",
        given="classes: {trees: {members: [{modle: unet64, channels: all20, scale: s1024}]}}",
        stops=True,
        says=("the configuration has a mistake: unknown key `classes.trees.members[0].modle`; did you mean `model`?"),
    ),
    BadInput(
        "key that stands twice",
        given="results: a\nresults: b",
        stops=True,
        says=(
            "{root}/mine.yaml, line 2: the key 'results' stands in line 1 already; of the two only one "
            "would count: merge them, or remove one"
        ),
    ),
    BadInput(
        "tab that indents",
        given="defaults:\n\ttraining: {steps: 3}",
        stops=True,
        says=(
            "{root}/mine.yaml is not valid YAML, line 2, column 1: a tab stands where only blanks may "
            "indent: replace it by blanks"
        ),
    ),
    BadInput(
        "text for a number",
        given="defaults: {training: {steps: many}}",
        stops=True,
        says=("the configuration has a mistake: `defaults.training.steps`: an integer is needed, but 'many' was given"),
    ),
    BadInput(
        "number of steps that is none",
        given="defaults: {training: {steps: 0}}",
        stops=True,
        says=(
            "the configuration has a mistake: `defaults.training.steps`: a number of at least 1 is needed, "
            "but 0 was given"
        ),
    ),
    BadInput(
        "number that YAML reads as text",
        given="defaults: {training: {learning_rate: 1e-3}}",
        stops=True,
        says=(
            "the configuration has a mistake: `defaults.training.learning_rate`: a number is needed, but "
            "'1e-3' was given; YAML takes it for text: write a point and a sign, as in 1.0e-3"
        ),
    ),
    BadInput(
        "id that YAML reads as a number",
        given="statistics: [6010_1_2]",
        stops=True,
        says=(
            "the configuration has a mistake: `statistics[0]`: text is needed, but 601012 was given; put it "
            "in quotes: YAML takes 6120_2 for the number 61202"
        ),
    ),
    BadInput(
        "model that is not there",
        given="classes: {trees: {members: [{model: unet46, channels: all20, scale: s1024}]}}",
        stops=True,
        says=(
            "the configuration has a mistake: `classes.trees.members[0].model`: no model is called "
            "`unet46`; did you mean `unet64`?"
        ),
    ),
    BadInput(
        "scale that is not there",
        given="classes: {trees: {members: [{model: unet64, channels: all20, scale: s2014}]}}",
        stops=True,
        says=(
            "the configuration has a mistake: `classes.trees.members[0].scale`: no scale is called `s2014`; "
            "did you mean `s2048`?"
        ),
    ),
    BadInput(
        "sensor that is not there",
        given="channels: {all20: [rgb, pan]}",
        stops=True,
        says="the configuration has a mistake: `channels.all20`: no sensor is called `pan`; did you mean `p`?",
    ),
    BadInput(
        "target of a class that is not there",
        given="targets: {vehicles: [large_vehicle, lorry]}",
        stops=True,
        says=(
            "the configuration has a mistake: `targets.vehicles`: no class is called `lorry`; valid: "
            "buildings, structures, road, track, trees, crops, waterway, standing_water, large_vehicle, "
            "small_vehicle"
        ),
    ),
    BadInput(
        "stride beyond the window",
        given="defaults: {prediction: {window: 128, stride: 256}}",
        stops=True,
        says=(
            "the configuration has a mistake: `defaults.prediction`: stride 256 is larger than window 128: "
            "pixels between windows would never be predicted; make stride at most the window"
        ),
    ),
    BadInput(
        "patch below what the network needs",
        given="defaults: {training: {patch: 32}}",
        stops=True,
        says=(
            "the configuration has a mistake: `defaults.training.patch`: 32 was given, but a pixel of the "
            "network's deepest level is 64 pixels wide; make it 64 or more, or give the model less `depth`"
        ),
    ),
    BadInput(
        "two ways to say a scale",
        given="scales: {s1024: {size: 1024, gsd: 0.5}}",
        stops=True,
        says="the configuration has a mistake: `scales.s1024`: give only one of size, gsd and factor",
    ),
    BadInput(
        "hold-out and folds at once",
        given="validation: {split: 0.8, folds: 5}",
        stops=True,
        says=(
            "the configuration has a mistake: `validation`: give either `split` (a hold-out) or `folds` "
            "(cross-validation), the other one null"
        ),
    ),
    BadInput(
        "number of a class twice",
        given="classes: {trees: {id: 1}}",
        stops=True,
        says=("the configuration has a mistake: `classes.trees.id`: 1 is also the id of `buildings`; ids are unique"),
    ),
    BadInput(
        "two references",
        given="sensors: {p: {reference: true}}",
        stops=True,
        says=("the configuration has a mistake: `sensors`: exactly one must have `reference: true`, not 2 (rgb, p)"),
    ),
    BadInput(
        "setting without effect",
        given="classes: {waterway: {training: {steps: 5}}}",
        stops=True,
        says=(
            "the configuration has a mistake: `classes.waterway.training.steps`: it has no effect on models "
            "of kind forest and linear (of training they use only threads and seed): remove it"
        ),
    ),
    BadInput(
        "target of other classes",
        given="classes: {trees: {members: [{model: unet64, channels: all20, scale: s1024, target: crops}]}}",
        stops=True,
        says=(
            "the configuration has a mistake: `classes.trees.members[0].target`: target `crops` "
            "(crops) does not include class trees; use trees, or an entry of `targets` that includes it"
        ),
    ),
    BadInput(
        "sheet without a table",
        given="dataset: {layout: sheet, root: null, predict: null}",
        stops=True,
        says=(
            "the configuration has a mistake: `dataset`: layout sheet needs `table`, the path of a "
            "tab-separated table of scenes"
        ),
    ),
    BadInput(
        "results around the data",
        given="results: data",
        stops=True,
        says=(
            "the configuration has a mistake: `results`: 'data' holds the data ('data/dstl', "
            "`dataset.root`); results and data must lie apart, as `rasterloom gc` tidies the results "
            "folder: name another folder"
        ),
    ),
]
